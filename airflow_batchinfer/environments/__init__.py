"""In which Python a script runs, made where it must be, and which GPUs it may have. Nothing here starts a script.

Nothing is imported here: a DAG file needs `python_environment` only, and must not pay for what makes one.
"""
