"""What scripts of a web service import for raw HTTP: `aml_request` and `aml_response`."""
