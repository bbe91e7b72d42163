"""An exception as text, made where it is, so that one that cannot be pickled, printed or encoded hurts nobody."""

from __future__ import annotations

import os
import traceback
from types import TracebackType
from typing import Any, Dict, Optional

TRACEBACK_CHARACTERS = 8000
_NOT_THE_SCRIPT = (os.path.dirname(os.path.abspath(__file__)), "<frozen importlib")


def described(error: BaseException, source: str) -> Dict[str, Any]:
    """An exception as text: one line, where in the script's source it happened, and the traceback without our own frames."""
    kind = type(error).__name__
    try:
        message = str(error)
    except BaseException:
        message = "<its text cannot be made>"
    frames = traceback.extract_tb(_beyond_ours(error.__traceback__))
    own = [frame for frame in frames if frame.filename.startswith(source)] or frames
    where = f"{os.path.basename(own[-1].filename)}:{own[-1].lineno}" if own else "?"
    try:
        told = traceback.TracebackException(type(error), error, _beyond_ours(error.__traceback__))
        text = "".join(told.format())
    except BaseException:
        text = f"{kind}: {message}\n"
    if len(text) > TRACEBACK_CHARACTERS:
        half = TRACEBACK_CHARACTERS // 2
        text = f"{text[:half]}\n... {len(text) - 2 * half} characters left out ...\n{text[-half:]}"
    return {"reason": printable(f"{kind}: {message}"[:1000]), "key": f"{kind} at {where}", "traceback": printable(text)}


def _beyond_ours(trace: Optional[TracebackType]) -> Optional[TracebackType]:
    while trace is not None and trace.tb_next is not None and trace.tb_frame.f_code.co_filename.startswith(_NOT_THE_SCRIPT):
        trace = trace.tb_next
    return trace


def printable(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()
