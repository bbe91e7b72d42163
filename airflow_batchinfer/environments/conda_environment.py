"""Environments of conda's packages, made by micromamba, mamba or conda; what pip is to install comes on top of them, by uv.

Their lock is what conda chose, read from the environment's own records, which all three write alike.
"""

import json
import re
import tempfile
from pathlib import Path

from airflow_batchinfer.environments.interpreter import describe
from airflow_batchinfer.environments.lock import Lock, compiled
from airflow_batchinfer.environments.made import install
from airflow_batchinfer.environments.programs import CONDAS, conda, conda_program, uv
from airflow_batchinfer.environments.pythons import Python
from airflow_batchinfer.environments.specification import Specification
from airflow_batchinfer.errors import UnusableEnvironment

_SECRETS = re.compile(r"(?<=://)[^/@\s]+@|(?<=/)t/[^/\s]+/")
_NO_DEFAULTS = "nodefaults"
_MAKING = "conda's packages of the script's environment cannot be had"


def resolve_with_conda(specification: Specification) -> Lock:
    """What conda chooses now, and what fits on top of it. The environment that it takes is thrown away."""
    if conda_program() is None:
        raise UnusableEnvironment(
            f"the conda specification asks conda, and not pip, for {', '.join(specification.conda_packages)}. That needs one of "
            f"{', '.join(CONDAS)} on the PATH of every machine; without them, write below pip: what PyPI has too, as name==version"
        )
    with tempfile.TemporaryDirectory(prefix="batchinfer-lock-") as name:
        folder = Path(name)
        prefix = folder / "prefix"
        channels = [word for channel in specification.conda_channels for word in _channel(channel)]
        asked = (f"python{_conda_version(specification.python or '')}", *specification.conda_packages)
        conda("create", "--yes", "--quiet", "--prefix", str(prefix), *channels, *asked, doing=_MAKING)
        path = str(prefix / "bin" / "python")
        python = Python(path, describe(path).version)
        listed = json.loads(uv("pip", "list", "--format", "json", "--python", path, doing=_MAKING))
        there = tuple(f"{package['name']}=={package['version']}" for package in listed)
        return Lock(python.minor, compiled(specification, (*specification.constraints, *there), python, folder), addresses(prefix))


def make_with_conda(specification: Specification, lock: Lock, folder: Path) -> None:
    """Make it as it is locked."""
    with tempfile.TemporaryDirectory(prefix="batchinfer-lock-") as name:
        asked = Path(name) / "explicit.txt"
        asked.write_text("".join(f"{line}\n" for line in ("@EXPLICIT", *lock.conda_packages)))
        conda("create", "--yes", "--quiet", "--prefix", str(folder), "--file", str(asked), doing=_MAKING)
    install(specification, lock, folder)


def addresses(prefix: Path) -> tuple[str, ...]:
    """The packages of an environment, as its records tell them: address and digest, without a secret."""
    records = [json.loads(path.read_text()) for path in sorted((prefix / "conda-meta").glob("*.json"))]
    return tuple(f"{_SECRETS.sub('', record['url'])}#{record['md5']}" for record in records if record.get("url"))


def _channel(name: str) -> tuple[str, ...]:
    return ("--override-channels",) if name == _NO_DEFAULTS else ("--channel", name)


def _conda_version(python: str) -> str:
    return f"={python}" if python[:1].isdigit() else python
