"""What can go wrong, split by whose fault it is: that is all a scheduler has to know.

A `UserError` means that someone must change something, so trying again is useless; a `TransientError` means that the
surroundings failed, so trying again may help. A mini-batch that fails is not here: that is a value (`engine.ledger`).
Every message says what happened, with which value, and what to do.
"""

from collections.abc import Iterable


class BatchInferError(Exception):
    """Anything this package raises on purpose."""


class UserError(BatchInferError):
    """Someone must change something before it can work."""


class TransientError(BatchInferError):
    """The surroundings failed; the same thing may work later."""


class ConfigError(UserError):
    """What was asked for cannot be done as asked; holds every fault that was found, not only the first."""

    def __init__(self, faults: str | Iterable[str]) -> None:
        self.faults = (faults,) if isinstance(faults, str) else tuple(faults)
        super().__init__(self.faults[0] if len(self.faults) == 1 else "\n".join(f"- {fault}" for fault in self.faults))


class ScriptError(UserError):
    """The entry script cannot be used: it does not load, has no `run`, or its `init()` keeps failing."""


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
