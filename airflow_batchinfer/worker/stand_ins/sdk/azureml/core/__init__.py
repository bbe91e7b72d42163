"""`azureml.core` as scripts import it: Dataset, Experiment, Model, Run and Workspace. Whatever else it had raises when it is used."""

from _batchinfer_unserved import names_of
from azureml.core.dataset import Dataset
from azureml.core.experiment import Experiment
from azureml.core.model import Model
from azureml.core.run import Run
from azureml.core.workspace import Workspace

# Of the version whose names these are; what follows the plus says whose they are.
VERSION = __version__ = "1.61.0+batchinfer"
__all__ = ["Dataset", "Experiment", "Model", "Run", "Workspace"]
__getattr__ = names_of(__name__)
