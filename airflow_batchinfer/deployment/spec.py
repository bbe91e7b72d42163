"""What a deployment asks for, as a value with a hash: two that ask for the same have the same, so nothing has to be done twice.

Keys are in it as digests only. Nothing here reads or does anything.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

from airflow_batchinfer.environments.python_environment import is_template
from airflow_batchinfer.errors import ConfigError
from airflow_batchinfer.service.config import ServiceConfig, key_fault

FORMAT = 1
KEYS = ("primary_key", "secondary_key")
KEY_NAMES = ("primary", "secondary")
# They say nothing of how a service answers.
_TOLD_ONLY = ("tags", "properties", "description")


@dataclass(frozen=True)
class GivenKeys:
    """Keys that a deployment sets; where there is None, the service keeps what it has, or gets a new one."""

    primary: str | None = None
    secondary: str | None = None

    def __repr__(self) -> str:
        return "<keys>"


@dataclass(frozen=True, kw_only=True)
class Spec:
    """What is to be served and how.

    :param entry_script: Its path inside the source.
    :param source: A digest of the source.
    :param models: A reference and a digest of each.
    :param environment: The script's environment, as `Specification.to_json` has it.
    :param config: The arguments of ServiceConfig, without keys.
    :param keys: Digests of the keys that were given.
    :param sample: What the new revision must answer before it gets requests.
    """

    entry_script: str
    source: str
    models: tuple[tuple[str, str], ...]
    environment: str
    config: Mapping[str, Any]
    keys: tuple[str | None, str | None] = (None, None)
    sample: str | None = None

    @property
    def hash(self) -> str:
        """The same for the same."""
        counted = {name: value for name, value in self.config.items() if name not in _TOLD_ONLY}
        return hashlib.sha256(json.dumps([FORMAT, {**asdict(self), "config": counted}], sort_keys=True).encode()).hexdigest()[:16]

    def service_config(self) -> ServiceConfig:
        """How the service runs."""
        return ServiceConfig(**self.config)

    def as_plain(self) -> dict[str, Any]:
        """What JSON can hold."""
        return {**asdict(self), "hash": self.hash}

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Self:
        """From `as_plain`."""
        models = tuple((reference, digest) for reference, digest in plain["models"])
        known = {field.name: plain[field.name] for field in fields(cls)}
        return cls(**{**known, "models": models, "keys": tuple(plain["keys"])})


def plain_config(config: ServiceConfig) -> dict[str, Any]:
    """A config without its keys."""
    values = {field.name: getattr(config, field.name) for field in fields(config) if field.name not in KEYS}
    return {name: dict(value) if isinstance(value, Mapping) else value for name, value in values.items()}


def digests_of(keys: GivenKeys) -> tuple[str | None, str | None]:
    """What is stored of keys, where many may read it: slow to make, so that nobody finds a weak key by trying many."""
    primary, secondary = (None if key is None else _digest(key) for key in (keys.primary, keys.secondary))
    return primary, secondary


def _digest(key: str) -> str:
    return hashlib.scrypt(key.encode(), salt=b"airflow-batchinfer", n=1 << 14, r=8, p=1, dklen=16).hex()


def check_another_key(which: object, key: object = None) -> None:
    """Raise unless this key may be replaced by that one, as far as a template lets know."""
    faults = []
    if not is_template(which) and str(which).lower() not in KEY_NAMES:
        faults.append(f"key={which!r}: give one of {', '.join(KEY_NAMES)}")
    if key is not None and not is_template(key) and (fault := key_fault(key)):
        faults.append(f"new_key: {fault}")
    if faults:
        raise ConfigError(faults)
