"""`azureml.core.workspace`: whatever way it is named, the workspace is the one that the job lies in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Dict, NoReturn

from _batchinfer_unserved import Served, names_of, refuse, worker

if TYPE_CHECKING:
    from azureml.core.model import Model


class Workspace(metaclass=Served):
    """Stands for the job's own; how it is reached, its credentials included, is the node's affair."""

    def __init__(self, *_: object, **__: object) -> None:
        """Any arguments: they name a workspace of Azure's, and there is none."""

    @staticmethod
    def from_config(*_: object, **__: object) -> Workspace:
        return Workspace()

    @staticmethod
    def get(*_: object, **__: object) -> Workspace:
        return Workspace()

    @property
    def name(self) -> str:
        return str(worker("surroundings").here().workspace)

    @property
    def models(self) -> Dict[str, Model]:
        """The newest version of each."""
        from azureml.core.model import Model

        return {model.name: model for model in Model.list(self, latest=True)}

    def __getattr__(self, name: str) -> NoReturn:
        refuse(type(self), name)

    def __repr__(self) -> str:
        return f"Workspace({self.name!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Workspace)

    def __hash__(self) -> int:
        return hash(Workspace)


__all__ = ["Workspace"]
__getattr__ = names_of(__name__)
