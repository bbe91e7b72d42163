"""`azureml.core.experiment`: a name, and the workspace."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from _batchinfer_unserved import Served, names_of, refuse

if TYPE_CHECKING:
    from azureml.core.workspace import Workspace


class Experiment(metaclass=Served):
    """What a run says it is of; nothing is submitted here."""

    def __init__(self, workspace: Workspace, name: str, **_: object) -> None:
        self.workspace = workspace
        self.name = name

    def __getattr__(self, name: str) -> NoReturn:
        refuse(type(self), name)


__all__ = ["Experiment"]
__getattr__ = names_of(__name__)
