"""In which interpreter a script runs, and which GPUs it may have. Neither starts a script."""

from airflow_batchinfer.environments.gpus import GpuLock, lock_gpus, visible_gpus
from airflow_batchinfer.environments.interpreter import Interpreter, interpreter_at, own_interpreter

__all__ = ["GpuLock", "Interpreter", "interpreter_at", "lock_gpus", "own_interpreter", "visible_gpus"]
