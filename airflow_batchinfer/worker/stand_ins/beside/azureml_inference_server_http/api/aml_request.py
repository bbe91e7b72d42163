"""The newer name of `azureml.contrib.services.aml_request`."""

from azureml.contrib.services.aml_request import AMLRequest, rawhttp

__all__ = ["AMLRequest", "rawhttp"]
