"""What scripts of a web service import for raw HTTP: `aml_request` and `aml_response`."""

from azureml.contrib.services.aml_request import rawhttp

__all__ = ["rawhttp"]
