"""Imports what scripts of Azure ML import, used or not, and does with the names what such scripts do."""

# ruff: noqa: F401 - imported and never used, as it is in many scripts
import json
import os
from pathlib import Path

import azureml.core
import azureml.train.automl
from azureml.contrib.services.aml_request import AMLRequest, rawhttp
from azureml.contrib.services.aml_response import AMLResponse
from azureml.core import Dataset, Datastore, Environment, Experiment, Model, Run, Workspace
from azureml.core.compute import AmlCompute, ComputeTarget
from azureml.core.compute_target import ComputeTargetException
from azureml.core.conda_dependencies import CondaDependencies
from azureml.core.dataset import Dataset as SameDataset
from azureml.core.model import Model as SameModel
from azureml.core.run import Run as SameRun
from azureml.core.runconfig import DEFAULT_GPU_IMAGE
from azureml.data.datapath import DataPath
from azureml.exceptions import ModelNotFoundException, WebserviceException
from azureml_user.parallel_run import EntryScript
from entry_script import EntryScript as SameEntryScript


class Wrapped(AmlCompute):
    pass


def complaint(function):
    try:
        function()
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return "none"


def init():
    global told
    run, script = Run.get_context(), EntryScript()
    workspace = Workspace.from_config()
    path = Model.get_model_path("given")
    other = Model(workspace, "other", tags={"stage": "prod"})
    with open(os.path.join(script.log_dir, "own.log"), "w") as log:
        log.write("kept")
    script.logger.warning("told by the logger")
    with open("curve.txt", "w") as curve:
        curve.write("up")
    run.upload_file("outputs/curve.txt", "curve.txt")
    run.tag("kind", "test")
    run.log("in init", 1)
    with run.child_run("child") as child:
        child.log("in init", 2)
    told = {
        "given": Path(path).read_text(),
        "folder": sorted(os.listdir(Model.get_model_path("folder"))),
        "other": [other.name, other.version, other.tags, other.description],
        "older": Path(Model.get_model_path("other", version=1)).read_text(),
        "downloaded": Path(other.download("downloaded")).read_text(),
        "again": complaint(lambda: other.download("downloaded")),
        "over it": other.download("downloaded", exist_ok=True),
        "listed": [model.id for model in Model.list(workspace, name="other")],
        "latest": sorted(model.id for model in Model.list(workspace, latest=True)),
        "of the workspace": sorted(workspace.models),
        "run": [run.id, run.parent.id, run.experiment.name, run.experiment.workspace == workspace, child.get_status(), child.parent is run],
        "script": [script.output_dir == os.environ["AZUREML_BI_OUTPUT_PATH"], script.working_dir == os.getcwd(), script.agent_name],
        "dir": script.dir == os.path.dirname(os.path.abspath(__file__)),
        "same": [SameModel is Model, SameRun is Run, SameDataset is Dataset, SameEntryScript() is script, Run.get_context() is run],
        "not here": {
            "model": complaint(lambda: Model.get_model_path("nowhere")),
            "version": complaint(lambda: Model.get_model_path("other", version="1")),
            "dataset": complaint(lambda: Dataset.get_by_name(workspace, "labels")),
            "secret": complaint(lambda: run.get_secret("token")),
            "environment": complaint(lambda: Environment("mine")),
            "module": complaint(lambda: azureml.train.automl.AutoMLConfig(task="x")),
            "subclass": complaint(Wrapped),
            "constant": complaint(lambda: list(DEFAULT_GPU_IMAGE)),
            "register": complaint(lambda: Model.register(workspace, "path", "name")),
            "way out": complaint(lambda: run.upload_file("../../out", "curve.txt")),
        },
        "is": [isinstance(run, Environment), hasattr(run, "get_secret"), issubclass(ModelNotFoundException, WebserviceException)],
        "caught": issubclass(ComputeTargetException, Exception),
    }


def run(mini_batch):
    return [json.dumps(told, sort_keys=True)] * len(mini_batch)
