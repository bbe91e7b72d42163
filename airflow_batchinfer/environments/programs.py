"""uv and conda as they are run here: which program, with which variables, ended with the node, and what its failure means.

What a program says of a failure is told as it is, but without secrets. A network that does not answer may answer later; all
else someone must change.
"""

import logging
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence

from airflow_batchinfer.environments.requirements import without_secrets
from airflow_batchinfer.errors import BatchInferError, UnusableEnvironment, WorkersUnavailable

log = logging.getLogger(__name__)

MOST_CHARACTERS = 6_000
CONDAS = ("micromamba", "mamba", "conda")
# How pip is told where packages come from, in uv's words; what uv is told itself counts more.
_OF_PIP = {
    "PIP_INDEX_URL": ("UV_INDEX_URL", "UV_DEFAULT_INDEX"),
    "PIP_EXTRA_INDEX_URL": ("UV_EXTRA_INDEX_URL", "UV_INDEX"),
    "PIP_FIND_LINKS": ("UV_FIND_LINKS",),
    "PIP_NO_INDEX": ("UV_NO_INDEX",),
    "PIP_TRUSTED_HOST": ("UV_INSECURE_HOST",),
    "PIP_CERT": ("SSL_CERT_FILE",),
}
# What lies active around the node is not what is made, and Airflow's secrets are no affair of a package that is built.
_FOREIGN = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "CONDA_PREFIX", "UV_PYTHON", "UV_SYSTEM_PYTHON", "UV_PROJECT")
_OF_AIRFLOW = "AIRFLOW_"
_MAY_WORK_LATER = re.compile(
    r"error sending request|Request failed after|dns error|timed out|tcp connect error|connection (closed|reset|refused|error)"
    r"|HTTP status server error|\(429 Too Many Requests\)|HTTP (000|429|5\d\d)|end of file before message"
    r"|No space left on device|Disk quota exceeded|ConnectionError|Could not (resolve host|connect)",
    re.IGNORECASE,
)
# How conda's private channels are named.
_TOKEN = re.compile(r"(?P<host>://[^/\s]+/t/)[^/\s]+(?=/)")
# Ends with the process that started it, by whatever signal that was ended.
_ENDS_WITH_US = """
import ctypes, os, sys
ctypes.CDLL(None).prctl(1, 9, 0, 0, 0)
if os.getppid() != int(sys.argv[1]):
    sys.exit(1)
os.execv(sys.argv[2], sys.argv[2:])
"""


def uv(*arguments: str, doing: str) -> str:
    """Run uv; what it wrote on stdout."""
    return _run([_uv_program(), "--no-progress", *arguments], {**settings_of_uv(os.environ), "NO_COLOR": "1"}, doing)


def conda_program() -> str | None:
    """The first of those that are on PATH."""
    return next(filter(None, map(shutil.which, CONDAS)), None)


def conda(*arguments: str, doing: str) -> str:
    """Run micromamba, mamba or conda."""
    program = conda_program()
    if program is None:
        raise UnusableEnvironment(f"{doing}: none of {', '.join(CONDAS)} is on this machine's PATH")
    return _run([program, *arguments], _without_foreign(os.environ), doing)


def settings_of_uv(own: Mapping[str, str]) -> dict[str, str]:
    """A process's variables for uv: what pip is told is told to uv."""
    found = _without_foreign(own)
    for pip, names in _OF_PIP.items():
        value = own.get(pip, "").strip()
        if value and not any(name in own for name in names):
            found[names[0]] = ",".join(value.split()) if pip == "PIP_FIND_LINKS" else value
    return found


def _without_foreign(own: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in own.items() if name not in _FOREIGN and not name.startswith(_OF_AIRFLOW)}


def _uv_program() -> str:
    from uv import find_uv_bin

    try:
        return os.fspath(find_uv_bin())
    except FileNotFoundError as error:
        if found := shutil.which("uv"):
            return found
        raise UnusableEnvironment(f"there is no uv beside {sys.executable}: install airflow-batchinfer there anew") from error


def _run(command: Sequence[str], variables: Mapping[str, str], doing: str) -> str:
    """An interrupt ends it too: `subprocess.run` kills what it waits for.

    uv takes the settings of a project from the current folder and all above it, /tmp among them, where anybody writes.
    """
    if sys.platform == "linux":
        command = [sys.executable, "-I", "-S", "-c", _ENDS_WITH_US, str(os.getpid()), *command]
    try:
        ended = subprocess.run(
            command,
            cwd=os.sep,
            env=variables,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            check=False,
        )
    except OSError as error:
        raise WorkersUnavailable(f"{doing}: {command[0]} cannot be started: {error}") from error
    if ended.returncode:
        raise failure(doing, ended.stderr or ended.stdout, ended.returncode)
    return ended.stdout


def failure(doing: str, said: str, code: int) -> BatchInferError:
    """What a program's failure means."""
    text = _TOKEN.sub(r"\g<host>****", without_secrets(said.strip()))
    if len(text) > MOST_CHARACTERS:
        text = f"{text[: MOST_CHARACTERS // 2]}\n...\n{text[-MOST_CHARACTERS // 2 :]}"
    if code < 0 or _MAY_WORK_LATER.search(text):
        return WorkersUnavailable(f"{doing}, which may work later:\n{text or f'it was ended by signal {-code}'}")
    return UnusableEnvironment(f"{doing}:\n{text}")
