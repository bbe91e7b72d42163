"""What can go wrong, split by whose fault it is: that is all a scheduler has to know.

A `UserError` means that someone must change something, so trying again is useless; a `TransientError` means that the
surroundings failed, so trying again may help. A mini-batch that fails is not here: that is a value (`engine.ledger`).
Every message says what happened, with which value, and what to do.
"""

from collections.abc import Callable, Iterable
from typing import TypeVar, cast

Answer = TypeVar("Answer")


class BatchInferError(Exception):
    """Anything this package raises on purpose."""


class UserError(BatchInferError):
    """Someone must change something before it can work. What the script itself said of it, its traceback, is told first."""

    def __init__(self, told: str, of_the_script: str = "") -> None:
        self.told = told
        self.of_the_script = of_the_script.rstrip()
        super().__init__(f"{self.of_the_script}\n\n{told}" if of_the_script else told)


class TransientError(BatchInferError):
    """The surroundings failed; the same thing may work later."""


class ConfigError(UserError):
    """What was asked for cannot be done as asked; holds every fault that was found, not only the first."""

    def __init__(self, faults: str | Iterable[str]) -> None:
        self.faults = (faults,) if isinstance(faults, str) else tuple(faults)
        told = [f"{len(self.faults)} things are wrong:", *(f"- {fault}" for fault in self.faults)]
        super().__init__(self.faults[0] if len(self.faults) == 1 else "\n".join(told))


class Faults:
    """Collects the faults of several steps, so that one error can list them all."""

    def __init__(self) -> None:
        self._found: list[str] = []

    def attempt(self, step: Callable[[], Answer]) -> Answer:
        """Do a step and keep its faults for later. What it gives after a fault is nothing: `raise_any` must come first."""
        try:
            return step()
        except ConfigError as error:
            self._found += [fault for fault in error.faults if fault not in self._found]
        except NotFoundError as error:
            self._found.append(str(error))
        return cast("Answer", None)

    def add(self, fault: str) -> None:
        """Keep a fault that no step raised."""
        self._found.append(fault)

    def raise_any(self) -> None:
        """Raise them, if there are any."""
        if self._found:
            raise ConfigError(self._found)


class ScriptError(UserError):
    """The entry script cannot be used: it does not load, has no `run`, or its `init()` keeps failing."""


class UnusableEnvironment(UserError):
    """The environment that the script is to run in cannot be made, or is not there."""


class NotFoundError(UserError):
    """A name, version or path that does not exist."""


class ConflictError(UserError):
    """Two things want the same place."""


class ErrorBudgetSpent(UserError):
    """More items or mini-batches failed than the run allows."""


class StorageError(TransientError):
    """Storage did not do what was asked, after every sensible retry."""


class WorkersUnavailable(TransientError):
    """No worker process could be brought to work."""


class DeploymentError(TransientError):
    """A service did not come to be, or to answer, in the time that it has."""


def meant(name: object, known: Iterable[str]) -> str:
    """A question to end an error with, where a name that is not known is nearly one that is."""
    from difflib import get_close_matches  # only for an error

    near = get_close_matches(str(name), list(known), 1)
    return f"; did you mean {near[0]}?" if near else ""
