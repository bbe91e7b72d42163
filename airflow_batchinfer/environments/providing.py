"""From what a job stores of its script's environment to an interpreter on this machine. Nodes call it, before they start workers.

The order keeps what is slow from being done twice: the job's lock first, resolved by one process of a machine and bound by one
node of all; then the environment of that content, made by one process of a machine.
"""

import logging
from dataclasses import asdict
from functools import partial
from pathlib import Path

from airflow_batchinfer.environments.interpreter import Interpreter, require_usable
from airflow_batchinfer.environments.lock import Lock, bind, resolve, stored_lock
from airflow_batchinfer.environments.made import ENVIRONMENTS, alone, cache_folder, digest_of, made, make_with_uv
from airflow_batchinfer.environments.pythons import find_python, narrowed
from airflow_batchinfer.environments.specification import Specification
from airflow_batchinfer.storage import Store

log = logging.getLogger(__name__)


def provide(store: Store, lock_path: str, specification: Specification) -> Interpreter:
    """The interpreter for a script, made if it must be."""
    if specification.interpreter:
        require_usable(specification.interpreter)
    if not specification.is_made:
        return Interpreter(specification.interpreter)
    lock = stored_lock(store, lock_path) or _resolved(store, lock_path, specification)
    if lock.conda_packages:
        from airflow_batchinfer.environments.conda_environment import make_with_conda

        return Interpreter(made([asdict(lock), specification.options], partial(make_with_conda, specification, lock)))
    python = find_python(narrowed(specification.python or "", lock.python))
    content = [asdict(lock), specification.options, python.version, str(Path(python.path).resolve())]
    return Interpreter(made(content, partial(make_with_uv, specification, lock, python)))


def _resolved(store: Store, lock_path: str, specification: Specification) -> Lock:
    waiting = cache_folder(ENVIRONMENTS) / f"resolving-{digest_of(specification.to_json())}.lock"
    with alone(waiting, "resolves the script's environment"):
        return bind(store, lock_path, partial(_resolve, specification))


def _resolve(specification: Specification) -> Lock:
    asked = (*specification.conda_packages, *specification.requirements)
    log.info("Resolving the script's environment: Python %s, %s", specification.python, ", ".join(asked) or "no packages")
    if specification.conda_packages:
        from airflow_batchinfer.environments.conda_environment import resolve_with_conda

        return resolve_with_conda(specification)
    return resolve(specification)
