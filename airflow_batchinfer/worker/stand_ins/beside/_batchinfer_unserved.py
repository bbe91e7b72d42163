"""Names of Azure ML that nothing here stands for: importing one is no fault, using it says what it would need.

An unserved name is a class, since a script may also subclass it, name it in an annotation or ask `isinstance`; what is called an
exception can be caught. Nothing is imported here but the standard library: processes that a script starts import this too.
"""

from __future__ import annotations

import importlib
from typing import Any, Callable, Dict, NoReturn

HOWTO = "docs/howto/migrate-from-azure-parallelrunstep.md of airflow-batchinfer"
# What a name would need, by how its address begins; the first that fits.
_NEEDS = (
    ("azureml.core.compute", "a cluster of Azure's; where a step runs is said by its compute_target"),
    ("azureml.core.ComputeTarget", "a cluster of Azure's; where a step runs is said by its compute_target"),
    ("azureml.core.Data", "a datastore or dataset of Azure's; give the step its paths, as inputs or side_inputs"),
    ("azureml.core.data", "a datastore or dataset of Azure's; give the step its paths, as inputs or side_inputs"),
    ("azureml.data", "a datastore or dataset of Azure's; give the step its paths, as inputs or side_inputs"),
    ("azureml.core.Environment", "Azure's image builder; what a script is to find installed is said by the step's environment"),
    ("azureml.core.environment", "Azure's image builder; what a script is to find installed is said by the step's environment"),
    ("azureml.core.conda_dependencies", "Azure's image builder; what a script is to find installed is said by the step's environment"),
    ("azureml.core.run.Run.get_secret", "Azure's key vault; give secrets as environment_variables of the step"),
    ("azureml.core.Keyvault", "Azure's key vault; give secrets as environment_variables of the step"),
    ("azureml.core.keyvault", "Azure's key vault; give secrets as environment_variables of the step"),
    ("azureml.core.workspace.Workspace.get_default_keyvault", "Azure's key vault; give secrets as environment_variables of the step"),
    ("azureml.core.workspace.Workspace.data", "a datastore or dataset of Azure's; give the step its paths, as inputs or side_inputs"),
    ("azureml.core.run.Run.input_datasets", "a dataset of Azure's; give it to the step as one of its side_inputs"),
    ("azureml.core.model.Model.register", "a task of its own; RegisterModel registers models in a DAG"),
    ("azureml.core.model.Model.deploy", "a web service of Azure's"),
    ("azureml.core.webservice", "a web service of Azure's"),
    ("azureml.core.Webservice", "a web service of Azure's"),
    ("azureml.pipeline", "Azure's pipelines; a DAG of Airflow stands for them"),
)


class AzureMLException(Exception):
    """What scripts catch as Azure ML's errors."""

    def __init__(self, exception_message: object = "", *arguments: object, **named: object) -> None:
        super().__init__(exception_message, *arguments)
        self.message = str(exception_message)
        del named


class NotServed(AzureMLException, AttributeError, NotImplementedError):
    """A name of Azure ML was used for which nothing stands here."""

    is_final = True

    def __init__(self, name: str) -> None:
        need = next((need for beginning, need in _NEEDS if name.startswith(beginning)), "Azure ML's own service")
        super().__init__(f"{name} is not here: it would need {need}. See {HOWTO}")


def worker(module: str) -> Any:
    """A module of the worker, which only the process that runs `init()` and `run()` has."""
    try:
        return importlib.import_module(f"_batchinfer_worker.{module}")
    except ImportError:
        raise AzureMLException("only the process that runs init() and run() can ask for this, not one that the script started") from None


def is_pythons_own(name: str) -> bool:
    """Whether Python itself asks for such a name, to learn what an object can do."""
    return name.startswith("__") and name.endswith("__")


class Served(type):
    """Of a class that stands for one of the SDK's: what it lacks of that is told."""

    def __getattr__(cls, name: str) -> NoReturn:
        refuse(cls, name)


def refuse(of: type, name: str) -> NoReturn:
    """There is no attribute of this name."""
    if is_pythons_own(name):
        raise AttributeError(name)
    raise NotServed(f"{of.__module__}.{of.__name__}.{name}")


class _Unserved(type):
    def __call__(cls, *_: object, **__: object) -> NoReturn:
        raise NotServed(f"{cls.__module__}.{cls.__name__}")

    def __getattr__(cls, name: str) -> NoReturn:
        refuse(cls, name)

    def __getitem__(cls, key: object) -> NoReturn:
        raise NotServed(f"{cls.__module__}.{cls.__name__}[{key!r}]")

    def __iter__(cls) -> NoReturn:
        raise NotServed(f"{cls.__module__}.{cls.__name__}")


def unserved(module: str, name: str) -> type:
    """A name of a module that nothing stands for."""
    if name.endswith(("Exception", "Error")):
        return type(name, (AzureMLException,), {"__module__": module})
    return _Unserved(name, (), {"__module__": module})


def names_of(module: str) -> Callable[[str], Any]:
    """A module's `__getattr__`: every name is there, and the same one each time."""
    known: Dict[str, type] = {}

    def __getattr__(name: str) -> type:  # noqa: N807 - this is what it becomes
        if is_pythons_own(name):
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        return known.setdefault(name, unserved(module, name))

    return __getattr__
