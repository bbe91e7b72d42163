"""The name under which scripts import from Azure ML's own server; only its `api` is there."""
