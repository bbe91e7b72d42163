"""A filesystem over another one that fails every Nth call, before or after the other did it: `with flaky_filesystem() as fs`.

    the code under test  -->  FlakyFileSystem "flaky"  -->  memory, local or any other of fsspec's

It must not know what its callers do about a failure, and must not touch what it carries: names and bytes are the other's own.
Invariant: what fails "before" has changed nothing; what fails "after" has been done in full, as when an answer is lost.
Only the methods in FAULTY are counted. `isfile` and `isdir` are fsspec's own: they ask `info` and take a failure for a no, as s3fs does.
Over memory, files opened for reading share one position, which is fsspec's doing too.
"""

import contextlib
import errno
import itertools
import threading
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from typing import Any, ClassVar, Literal

import fsspec

FAULTY = frozenset([
    "cat_file", "cp_file", "exists", "find", "get_file", "info", "ls", "mv", "open", "pipe_file", "put_file", "rm", "rm_file",
])  # fmt: skip
_SOUND = frozenset(["created", "invalidate_cache", "makedirs", "mkdir", "modified", "rmdir", "touch"])
_ERRORS = (OSError(errno.EIO, "injected"), TimeoutError(errno.ETIMEDOUT, "injected"))

Mode = Literal["before", "after", "alternate"]


class Flakiness:
    """Which call fails next, over all instances and threads."""

    def __init__(self, every: int, mode: Mode, methods: Collection[str]) -> None:
        self.every = every
        self.methods = methods
        self.lock = threading.Lock()
        self.calls: Counter[str] = Counter()
        self.faults: Counter[tuple[str, str]] = Counter()
        self._when = itertools.cycle(["before", "after"] if mode == "alternate" else [mode])
        self._errors = itertools.cycle(_ERRORS)

    def of_next(self, method: str) -> tuple[str, OSError | None]:
        """When this call fails, and with what, if it does."""
        if method not in self.methods:
            return "never", None
        self.calls[method] += 1
        if not self.every or self.calls.total() % self.every:
            return "never", None
        when, model = next(self._when), next(self._errors)
        self.faults[method, when] += 1
        return when, type(model)(*model.args, method)


class FlakyFileSystem(fsspec.AbstractFileSystem):
    protocol = "flaky"
    cachable = False
    current: ClassVar[tuple[fsspec.AbstractFileSystem, Flakiness] | None] = None  # what "flaky://" means inside the `with` block

    def __init__(self, **options: Any) -> None:  # noqa: ANN401 fsspec's own
        super().__init__(**options)
        if self.current is None:
            raise RuntimeError("flaky:// means something only inside `with flaky_filesystem()`")
        self.target, self.flakiness = self.current

    @property
    def calls(self) -> Counter[str]:
        return self.flakiness.calls

    @property
    def faults(self) -> Counter[tuple[str, str]]:
        return self.flakiness.faults

    @classmethod
    def _strip_protocol(cls, path: Any) -> Any:  # noqa: ANN401 paths, lists of them, and whatever else a method takes
        if isinstance(path, list):
            return [cls._strip_protocol(one) for one in path]
        return path.removeprefix("flaky://") if isinstance(path, str) else path

    def carry(self, method: str, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 whatever the other takes and gives
        with self.flakiness.lock:  # memory looks first and writes then; so one call at a time
            when, error = self.flakiness.of_next(method)
            if when == "before":
                raise error
            answer = getattr(self.target, method)(*map(self._strip_protocol, args), **kwargs)
            if when == "after":
                if method == "open":
                    answer.close()
                raise error
            return answer


def _carried(method: str) -> Callable[..., Any]:
    def call(self: FlakyFileSystem, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 whatever the other takes and gives
        return self.carry(method, *args, **kwargs)

    return call


for _method in FAULTY | _SOUND:
    setattr(FlakyFileSystem, _method, _carried(_method))
fsspec.register_implementation("flaky", FlakyFileSystem, clobber=True)


@contextlib.contextmanager
def flaky_filesystem(
    target: fsspec.AbstractFileSystem | None = None, *, every: int = 3, mode: Mode = "alternate", methods: Collection[str] = FAULTY
) -> Iterator[FlakyFileSystem]:
    """Over a memory of its own unless told otherwise; "flaky://..." URLs reach the same, and count together."""
    target = target or fsspec.filesystem("memory", global_store=False, skip_instance_cache=True)
    before = FlakyFileSystem.current
    FlakyFileSystem.current = target, Flakiness(every, mode, methods)
    try:
        yield FlakyFileSystem()
    finally:
        FlakyFileSystem.current = before
