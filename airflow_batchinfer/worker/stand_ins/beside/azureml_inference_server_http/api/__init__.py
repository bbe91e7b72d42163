"""The same as `azureml.contrib.services`, by its newer name."""
