"""`EntryScript`: what a script asks about the place it runs in."""

from __future__ import annotations

import logging
import os
from typing import Any, NoReturn, Optional

from _batchinfer_unserved import Served, refuse, worker


class EntryScript(metaclass=Served):
    """The same object however often it is made."""

    _only: Optional[EntryScript] = None

    def __new__(cls, *_: object, **__: object) -> EntryScript:
        if cls._only is None:
            cls._only = super().__new__(cls)
        return cls._only

    def __init__(self, *_: object, **__: object) -> None:
        self._here: Any = worker("surroundings").here()

    @property
    def logger(self) -> logging.Logger:
        """What it is told reaches the task's log, from the step's logging_level on."""
        return logging.getLogger("EntryScript")

    @property
    def log_dir(self) -> str:
        """A folder for log files of the script's own, kept in the job's folder by worker."""
        os.makedirs(self._here.log_folder, exist_ok=True)
        return str(self._here.log_folder)

    @property
    def output_dir(self) -> str:
        """As AZUREML_BI_OUTPUT_PATH."""
        return str(self._here.files)

    @property
    def working_dir(self) -> str:
        """The copy of the source."""
        return str(self._here.source)

    @property
    def dir(self) -> str:
        """The script's own folder."""
        return os.path.dirname(str(self._here.script))

    @property
    def agent_name(self) -> str:
        """The worker's name, which its replacement inherits."""
        return str(self._here.agent)

    def __getattr__(self, name: str) -> NoReturn:
        refuse(type(self), name)


__all__ = ["EntryScript"]
