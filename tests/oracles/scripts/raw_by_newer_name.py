"""Takes the request itself, under a decorator that forgets what it decorates."""

from azureml_inference_server_http.api.aml_request import rawhttp
from azureml_inference_server_http.api.aml_response import AMLResponse


def init():
    pass


def forgetful(function):
    def decorated(request):
        return function(request)

    return decorated


@forgetful
@rawhttp
def run(request):
    return AMLResponse(request.get_data() + b" came", 202, {"Content-Type": "application/octet-stream"})
