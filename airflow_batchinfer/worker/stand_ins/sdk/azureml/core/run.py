"""`azureml.core.run`: the run that a script finds itself in is the job's; what it logs goes to the log and into the summary."""

from __future__ import annotations

import os
import shutil
from types import TracebackType
from typing import Any, BinaryIO, Dict, Mapping, NoReturn, Optional, Sequence, Type, Union
from uuid import uuid4

from _batchinfer_unserved import Served, names_of, refuse, worker
from azureml.core.experiment import Experiment
from azureml.core.workspace import Workspace
from azureml.exceptions import UserErrorException

_DONE = {"complete": "Completed", "fail": "Failed", "cancel": "Canceled"}


class Run(metaclass=Served):
    """The job, or what a script calls a child of it: a name of its own, nothing else."""

    _context: Optional[Run] = None

    def __init__(self, experiment: Experiment, run_id: str, outputs: object = None, **_: object) -> None:
        del outputs
        self.experiment = experiment
        self.id = run_id
        self.name = self.display_name = run_id
        self.parent: Optional[Run] = None
        self.status = "Running"
        self.tags: Dict[str, str] = {}
        self.properties: Dict[str, str] = {}

    @classmethod
    def get_context(cls, allow_offline: bool = True, used_for_context_manager: bool = False, **_: object) -> Run:  # noqa: FBT001, FBT002
        """The run of this job, always the same object. The job itself stands for the pipeline run above it too."""
        del allow_offline, used_for_context_manager
        if Run._context is None:
            job = worker("surroundings").here()
            experiment = Experiment(Workspace(), os.path.splitext(os.path.basename(job.script))[0])
            Run._context = Run(experiment, job.job)
            Run._context.parent = Run(experiment, job.job)
        return Run._context

    # What it logs.

    def log(self, name: str, value: Any, description: str = "", step: Optional[int] = None) -> None:
        del description, step
        _note(name, [value])

    def log_list(self, name: str, value: Sequence[Any], description: str = "") -> None:
        del description
        _note(name, list(value))

    def log_row(self, name: str, description: Optional[str] = None, **columns: Any) -> None:
        """Each column is a metric of its own, `name.column`."""
        del description
        for column, value in columns.items():
            _note(f"{name}.{column}", [value])

    def log_table(self, name: str, value: Mapping[str, Any], description: str = "") -> None:
        """As rows; a column is a value, or a list of them."""
        del description
        for column, values in value.items():
            _note(f"{name}.{column}", list(values) if isinstance(values, (list, tuple)) else [values])

    # Files.

    def upload_file(self, name: str, path_or_stream: Union[str, BinaryIO], datastore_name: Optional[str] = None) -> str:
        """Publish a file beside the result, as if the script had written it to AZUREML_BI_OUTPUT_PATH; where it lies until then."""
        del datastore_name
        target = _place(name)
        unfinished = f"{target}.{uuid4().hex}"
        with open(unfinished, "wb") as file:
            if isinstance(path_or_stream, (str, os.PathLike)):
                with open(path_or_stream, "rb") as source:
                    shutil.copyfileobj(source, file)
            else:
                shutil.copyfileobj(path_or_stream, file)
        os.replace(unfinished, target)
        return target

    def upload_folder(self, name: str, path: str, datastore_name: Optional[str] = None) -> None:
        """Publish all files of a folder."""
        for folder, _, files in os.walk(path):
            for file in files:
                whole = os.path.join(folder, file)
                self.upload_file(os.path.join(name, os.path.relpath(whole, path)), whole, datastore_name)

    # Its life, which decides nothing: whether a mini-batch succeeded is said by what run() returns.

    def child_run(self, name: Optional[str] = None, run_id: Optional[str] = None, outputs: object = None) -> Run:
        """What it logs is the job's as well."""
        child = Run(self.experiment, run_id or f"{self.id}_{uuid4().hex[:8]}", outputs)
        child.name = child.display_name = name or child.id
        child.parent = self
        return child

    def start(self) -> None:
        self.status = "Running"

    def complete(self, *_: object, **__: object) -> None:
        self.status = _DONE["complete"]

    def fail(self, error_details: object = None, error_code: object = None, *_: object, **__: object) -> None:
        self.status = _DONE["fail"]
        told = ": ".join(str(each) for each in (error_code, error_details) if each)
        print(f"run {self.name} said that it failed{': ' if told else ''}{told}", flush=True)

    def cancel(self) -> None:
        self.status = _DONE["cancel"]

    def get_status(self) -> str:
        return self.status

    def flush(self, timeout_seconds: float = 300) -> None:
        """Nothing waits."""

    def tag(self, key: str, value: Optional[str] = None) -> None:
        self.set_tags({key: value})

    def set_tags(self, tags: Mapping[str, Any]) -> None:
        self.tags.update(tags)
        print(f"run {self.name} is tagged {', '.join(f'{name}={value}' for name, value in tags.items())}", flush=True)

    def get_tags(self) -> Dict[str, str]:
        return self.tags

    def remove_tags(self, tags: Sequence[str]) -> None:
        for name in tags:
            self.tags.pop(name, None)

    def add_properties(self, properties: Mapping[str, Any]) -> None:
        self.properties.update(properties)

    def get_properties(self) -> Dict[str, str]:
        return self.properties

    def __enter__(self) -> Run:
        return self

    def __exit__(self, kind: Optional[Type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]) -> None:
        if kind is None:
            self.complete()
        else:
            self.fail(error)

    def __getattr__(self, name: str) -> NoReturn:
        refuse(type(self), name)

    def __repr__(self) -> str:
        return f"Run(Experiment: {self.experiment.name}, Id: {self.id}, Status: {self.status})"


def _note(name: str, values: Sequence[Any]) -> None:
    worker("metrics").note(str(name), values)


def _place(name: str) -> str:
    """Where a file of this name is written, which must not lead out of its folder."""
    files = str(worker("surroundings").here().files)
    target = os.path.normpath(os.path.join(files, name))
    if os.path.isabs(name) or not target.startswith(os.path.join(files, "")):
        raise UserErrorException(f"upload_file({name!r}): the name leads out of the run's files; give a name such as outputs/curve.png")
    os.makedirs(os.path.dirname(target), exist_ok=True)
    return target


__all__ = ["Run"]
__getattr__ = names_of(__name__)
