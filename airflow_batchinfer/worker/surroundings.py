"""What the stand-ins for Azure ML's names can ask of the worker they run in: where it is, the job's models, and how to ask its node.

It is filled in once, before the script is loaded. A process that the script starts has none: the stand-ins import there, and
say so when they are used.
"""

from __future__ import annotations

import os
from typing import Any, Callable, Dict, List, Optional

Question = Dict[str, Any]
Ask = Callable[[Question], Any]


class Surroundings:
    """One worker's. `models` are those that the job was given, each with the folder that holds what was registered."""

    def __init__(self, told: Dict[str, Any], source: str, script: str, ask: Ask) -> None:
        self.job: str = told["job"]
        self.agent: str = told["agent"]
        self.files: str = told["files"]
        self.log_folder: str = told["logs"]
        self.models: List[Dict[str, Any]] = told["models"]
        self.workspace: str = told["workspace"]
        self.source = source
        self.script = script
        self._ask = ask
        self._process = os.getpid()

    def ask(self, question: Question) -> Any:
        """What the node answers; only the worker's own process has the way to it."""
        if os.getpid() != self._process:
            raise RuntimeError(f"{question}: only the process that runs init() and run() can ask for this, not one that the script started")
        return self._ask(question)


_here: Optional[Surroundings] = None


def arrange(surroundings: Surroundings) -> None:
    """These are this process's from now on."""
    global _here  # noqa: PLW0603 - one worker, one process
    _here = surroundings


def here() -> Surroundings:
    """This process's."""
    if _here is None:
        raise RuntimeError("this works in a script's init(), run() and shutdown() only: here no job is at work")
    return _here
