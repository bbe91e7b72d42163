"""`azureml.core.dataset`: its names can be imported; a step's inputs and side inputs are what stands for datasets."""

from _batchinfer_unserved import names_of, unserved

Dataset = unserved("azureml.core", "Dataset")
__all__ = ["Dataset"]
__getattr__ = names_of(__name__)
