"""One small process above each worker, so that nothing of an attempt outlives it.

The fresh interpreter forks once, before anything of the user's is loaded. The parent stays as the keeper: a subreaper,
so every descendant of the worker, daemonised or not, ends up as its child when its own parent dies. When the worker
ends, when the node asks (SIGTERM) or when the node dies, the keeper kills until no child is left, and then ends the same
way the worker did. Linux only; elsewhere the process group is killed, which a daemon escapes.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import signal
import sys
import time
from typing import List, Tuple

_SET_PARENT_DEATH_SIGNAL = 1
_SET_CHILD_SUBREAPER = 36
_SIGNALS = (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def keep_child(parent: int, pipes: Tuple[int, ...], alive: int) -> None:
    """Fork; return in the worker, and never in the keeper.

    `alive` is a pipe that only the keeper holds open: it closes when the worker and all below it are gone.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    _prctl(_SET_CHILD_SUBREAPER, 1)
    _prctl(_SET_PARENT_DEATH_SIGNAL, signal.SIGTERM)
    keeper = os.getpid()
    if os.getppid() != parent:
        os._exit(1)  # the node died before it could be told apart
    worker = os.fork()
    if worker:
        for pipe in pipes:
            os.close(pipe)
        _let_go_of_the_output()
        _keep(worker)
    os.close(alive)
    os.setsid()
    _prctl(_SET_PARENT_DEATH_SIGNAL, signal.SIGKILL)
    if os.getppid() != keeper:
        os._exit(1)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)


def _keep(worker: int) -> None:
    status = None
    while status is None:
        if signal.sigwait(_SIGNALS) != signal.SIGCHLD:
            _kill(-worker)  # its session at once: tearing down a large process takes the kernel a while
            _kill(worker)
        status = _reap(worker)
    _kill_all_children(worker)
    end_as(status)


def _reap(worker: int) -> int | None:
    """Collect whoever has ended; give the worker's status once it is among them."""
    found = None
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return 0 if found is None else found
        if pid == 0:
            return found
        if pid == worker:
            found = status


def _kill_all_children(worker: int) -> None:
    """Kill and reap until nobody is left: each death hands us the next generation as children."""
    while True:
        for pid in _children() or [-worker]:
            _kill(pid)
        try:
            if os.waitpid(-1, os.WNOHANG)[0] == 0:
                time.sleep(0.005)  # a death takes a moment
        except ChildProcessError:
            return


def _children() -> List[int]:
    try:
        with open(f"/proc/self/task/{os.getpid()}/children") as file:
            return [int(pid) for pid in file.read().split()]
    except OSError:
        return _children_by_looking_at_everyone()


def _children_by_looking_at_everyone() -> List[int]:
    """For kernels without the children file."""
    found = []
    me = str(os.getpid())
    for name in os.listdir("/proc") if os.path.isdir("/proc") else []:
        try:
            with open(f"/proc/{name}/stat", "rb") as file:
                if name.isdigit() and file.read().rpartition(b")")[2].split()[1].decode() == me:
                    found.append(int(name))
        except (OSError, IndexError):
            continue
    return found


def _kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):  # gone already, or it became another user's
        os.kill(pid, signal.SIGKILL)


def _let_go_of_the_output() -> None:
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nowhere, descriptor)


def end_as(status: int) -> None:
    """End with the worker's own exit code or signal, so that the node reads the truth from us, also if it asks us to kill meanwhile."""
    if os.WIFSIGNALED(status):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        number = os.WTERMSIG(status)
        if number != signal.SIGKILL:
            signal.signal(number, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, [number])
        os.kill(os.getpid(), number)
    os._exit(os.WEXITSTATUS(status))


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)
