"""Azure ML's errors, of which the stand-ins raise some; any other name is an error that nobody raises."""

from _batchinfer_unserved import AzureMLException, NotServed, names_of


class UserErrorException(AzureMLException):
    """An argument that cannot be."""


class WebserviceException(AzureMLException):
    """What the registry of models could not do."""


class ModelNotFoundException(WebserviceException):
    """There is no such model."""


class RunEnvironmentException(AzureMLException):
    """No job is at work."""


__all__ = [
    "AzureMLException",
    "ModelNotFoundException",
    "NotServed",
    "RunEnvironmentException",
    "UserErrorException",
    "WebserviceException",
]
__getattr__ = names_of(__name__)
