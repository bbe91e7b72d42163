"""ServiceConfig and InferenceConfig: what is served and how, under the argument names that Azure ML's users know.

A config that cannot work is refused when it is made, with every fault in one error; an argument that holds a template is looked at
when it is rendered, which makes the config anew. Nothing here does anything.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from airflow_batchinfer.environments.python_environment import PythonEnvironment, is_template
from airflow_batchinfer.errors import ConfigError
from airflow_batchinfer.service.wire import PROFILES

_NAMESPACE = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", re.ASCII)
_SERVICE_NAME = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?", re.ASCII)
LEAST_NAME, MOST_NAME = 3, 32
LEAST_KEY = 16
_POSITIVE = (
    "autoscale_min_replicas",
    "autoscale_max_replicas",
    "autoscale_refresh_seconds",
    "autoscale_target_utilization",
    "num_replicas",
    "cpu_cores",
    "memory_gb",
    "cpu_cores_limit",
    "memory_gb_limit",
    "scoring_timeout_ms",
    "replica_max_concurrent_requests",
    "max_request_wait_time",
    "period_seconds",
    "initial_delay_seconds",
    "timeout_seconds",
    "success_threshold",
    "failure_threshold",
)
_WHOLE = frozenset(_POSITIVE) - {"cpu_cores", "memory_gb", "cpu_cores_limit", "memory_gb_limit"} | {"gpu_cores"}
_SWITCHES = ("autoscale_enabled", "auth_enabled", "token_auth_enabled", "collect_model_data")
_AUTOSCALE = ("autoscale_min_replicas", "autoscale_max_replicas", "autoscale_refresh_seconds", "autoscale_target_utilization")
ALL_PERCENT = 100
_WORDS = {"true": True, "false": False, "none": None, "": None}


@dataclass(frozen=True, kw_only=True)
class InferenceConfig:
    """What answers: a script with `init()` and `run(raw_data)`, what is shipped with it, and the Python that it runs in."""

    entry_script: str
    source_directory: str | None = None
    environment: PythonEnvironment | None = None

    def __post_init__(self) -> None:
        given = {"entry_script": self.entry_script, "source_directory": self.source_directory}
        faults = [
            f"{name}={value!r}: give a path as text"
            for name, value in given.items()
            if not (isinstance(value, str) and value) and (value is not None or name == "entry_script") and not is_template(value)
        ]
        if self.environment is not None and not isinstance(self.environment, PythonEnvironment):
            faults.append(f"environment={self.environment!r}: give a PythonEnvironment(...)")
        if faults:
            raise ConfigError(faults)


@dataclass(frozen=True)
class Scale:
    """How many replicas there are: as many as `least` where both are the same."""

    least: int
    most: int
    target_percent: int
    refresh_seconds: int


@dataclass(frozen=True, kw_only=True)
class ServiceConfig:
    """How a service runs; see docs/reference.md for every argument. None of an `autoscale_*` means its default."""

    autoscale_enabled: bool | None = None
    autoscale_min_replicas: int | None = None
    autoscale_max_replicas: int | None = None
    autoscale_refresh_seconds: int | None = None
    autoscale_target_utilization: int | None = None
    num_replicas: int | None = None
    cpu_cores: float = 0.1
    memory_gb: float = 0.5
    gpu_cores: int = 0
    cpu_cores_limit: float | None = None
    memory_gb_limit: float | None = None
    auth_enabled: bool = True
    token_auth_enabled: bool = False
    primary_key: str | None = field(default=None, repr=False)
    secondary_key: str | None = field(default=None, repr=False)
    scoring_timeout_ms: int = 60_000
    replica_max_concurrent_requests: int = 1
    max_request_wait_time: int = 500
    period_seconds: int = 10
    initial_delay_seconds: int = 310
    timeout_seconds: int = 2
    success_threshold: int = 1
    failure_threshold: int = 3
    namespace: str | None = None
    collect_model_data: bool = False
    tags: Mapping[str, str] = field(default_factory=dict)
    properties: Mapping[str, str] = field(default_factory=dict)
    description: str | None = None
    status_profile: str = "aks"

    def __post_init__(self) -> None:
        for name in (*_POSITIVE, "gpu_cores", *_SWITCHES):
            object.__setattr__(self, name, _read(getattr(self, name)))
        if faults := [*self._faults_of_numbers(), *self._faults_of_scale(), *self._faults_of_keys(), *self._other_faults()]:
            raise ConfigError(faults)

    @property
    def autoscales(self) -> bool:
        """Whether the number of replicas follows the load: so it is unless a number is given."""
        return self.num_replicas is None if self.autoscale_enabled is None else self.autoscale_enabled

    @property
    def scale(self) -> Scale:
        """How many replicas there are."""
        if not self.autoscales:
            count = self.num_replicas or 1
            return Scale(count, count, ALL_PERCENT, 1)
        return Scale(
            self.autoscale_min_replicas or 1,
            self.autoscale_max_replicas or 10,
            self.autoscale_target_utilization or 70,
            self.autoscale_refresh_seconds or 1,
        )

    def _faults_of_numbers(self) -> Iterator[str]:
        for name in (*_POSITIVE, "gpu_cores"):
            value = getattr(self, name)
            may_be_none = name in (*_AUTOSCALE, "num_replicas", "cpu_cores_limit", "memory_gb_limit")
            if is_template(value) or (value is None and may_be_none):
                continue
            kinds = int if name in _WHOLE else int | float
            if isinstance(value, bool) or not isinstance(value, kinds):
                yield f"{name}={value!r}: give a {'whole ' if name in _WHOLE else ''}number"
            elif value < 0 or (value == 0 and name != "gpu_cores"):
                yield f"{name}={value!r}: give a number {'of at least' if name == 'gpu_cores' else 'greater than'} 0"
        for name in ("cpu_cores", "memory_gb"):
            wanted, limit = getattr(self, name), getattr(self, f"{name}_limit")
            if isinstance(wanted, int | float) and isinstance(limit, int | float) and limit < wanted:
                yield f"{name}_limit={limit!r} is less than {name}={wanted!r}: give a limit that is not"

    def _faults_of_scale(self) -> Iterator[str]:
        if is_template(self.autoscale_enabled):
            return
        given = [name for name in _AUTOSCALE if getattr(self, name) is not None]
        if self.autoscales and self.num_replicas is not None:
            yield f"num_replicas={self.num_replicas!r} and autoscaling exclude each other: leave one of them out"
        if not self.autoscales and given:
            yield f"{', '.join(given)}: without autoscaling there is nothing to scale; leave them out, or num_replicas"
        if not self.autoscales and self.num_replicas is None:
            yield "autoscale_enabled=False: say with num_replicas how many replicas there are"
        least, most = self.autoscale_min_replicas or 1, self.autoscale_max_replicas or 10
        if isinstance(least, int) and isinstance(most, int) and least > most:
            yield f"autoscale_min_replicas={least!r} is more than autoscale_max_replicas={most!r}"
        percent = self.autoscale_target_utilization
        if isinstance(percent, int) and percent > ALL_PERCENT:
            yield f"autoscale_target_utilization={percent!r}: give percent, at most {ALL_PERCENT}"

    def _faults_of_keys(self) -> Iterator[str]:
        if self.auth_enabled and self.token_auth_enabled:
            yield "auth_enabled and token_auth_enabled exclude each other: set auth_enabled=False to use tokens"
        elif self.token_auth_enabled:
            yield "token_auth_enabled=True: there are no tokens here, only keys; leave it and auth_enabled out"
        keys = {name: getattr(self, name) for name in ("primary_key", "secondary_key") if getattr(self, name) is not None}
        if keys and not self.auth_enabled:
            yield f"{' and '.join(keys)}: with auth_enabled=False no key is asked for; leave {'them' if len(keys) > 1 else 'it'} out"
        for name, key in keys.items():
            if not is_template(key) and (fault := key_fault(key)):
                yield f"{name}: {fault}"

    def _other_faults(self) -> Iterator[str]:
        if not (self.namespace is None or is_template(self.namespace) or _NAMESPACE.fullmatch(self.namespace)):
            yield f"namespace={self.namespace!r}: give 1 to 63 of a-z, 0-9 and '-', beginning and ending with a letter or digit"
        if self.status_profile not in PROFILES and not is_template(self.status_profile):
            yield f"status_profile={self.status_profile!r}: give one of {', '.join(PROFILES)}"
        if self.collect_model_data:
            yield "collect_model_data=True: nothing here keeps what callers send; let run() write it where it belongs"
        for name in ("tags", "properties"):
            pairs: Mapping[Any, Any] = getattr(self, name)
            yield from (f"{name}: {key!r}: {value!r} is not text" for key, value in pairs.items() if not _are_text(key, value))


def check_service_name(name: str) -> None:
    """Raise unless a service may have this name."""
    if not (isinstance(name, str) and LEAST_NAME <= len(name) <= MOST_NAME and _SERVICE_NAME.fullmatch(name)):
        raise ConfigError(
            f"the service name {name!r}: give {LEAST_NAME} to {MOST_NAME} of a-z, 0-9 and '-', beginning with a letter, ending with no '-'"
        )


def key_fault(key: object) -> str | None:
    """What is wrong with a key, which is never shown."""
    if not isinstance(key, str) or not key.isascii() or not key.isprintable() or " " in key:
        return "a key is text of ASCII characters without spaces"
    if len(key) < LEAST_KEY:
        return f"a key has at least {LEAST_KEY} characters; `openssl rand -hex 32` makes one"
    return None


def _read(given: Any) -> Any:  # noqa: ANN401 - whatever was given
    """A template renders to text: what it says where that is a number, a switch or nothing."""
    if not isinstance(given, str) or is_template(given):
        return given
    text = given.strip().lower()
    if text in _WORDS:
        return _WORDS[text]
    for kind in (int, float):
        with suppress(ValueError):
            return kind(text)
    return given


def _are_text(*values: object) -> bool:
    return all(isinstance(value, str) for value in values)
