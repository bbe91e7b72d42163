"""ParallelRunConfig: how a step scores, under the argument names that Azure ML's users know.

The names stay exact here, at the public edge, and are translated once into words with units (`Rules`, `Cut`).
A config that cannot work is refused when it is made, with every fault in one error; an argument that holds a template is
looked at when it is rendered (`require_rendered`).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_batchinfer.environments.python_environment import PythonEnvironment, is_template
from airflow_batchinfer.errors import ConfigError
from airflow_batchinfer.planning import config_file
from airflow_batchinfer.planning.compute_target import ComputeTarget
from airflow_batchinfer.planning.cutting import Cut
from airflow_batchinfer.planning.sizes import bytes_of
from airflow_batchinfer.planning.spec import TEXT, format_of
from airflow_batchinfer.planning.thresholds import Thresholds

if TYPE_CHECKING:
    from airflow.sdk import Param

DEFAULT_FILE_NAME = "parallel_run_step.txt"
DEFAULT_MINI_BATCH_FILES = 10
DEFAULT_MINI_BATCH_BYTES = 1 << 20
ALL_PERCENT = 100
MOST_NAME_BYTES = 200
OUTPUT_ACTIONS = ("append_row", "summary_only")
LOGGING_LEVELS = ("WARNING", "INFO", "DEBUG")
SWITCH = ("auto", "true", "false")
_FORBIDDEN_IN_NAMES = frozenset('~"#%&*:<>?/\\{|}')
_PACKED = (".gz", ".bz2", ".xz", ".zst", ".zip")
# Numbers may come as text: a template renders to text.
Number = str | int | float
# Where the original takes None for the default.
_DEFAULTED = ("append_row_file_name", "logging_level", "run_invocation_timeout", "run_max_try")
_NUMBERS = {
    "error_threshold": int,
    "allowed_failed_count": int,
    "allowed_failed_percent": float,
    "node_count": int,
    "process_count_per_node": int,
    "run_invocation_timeout": float,
    "run_max_try": int,
}


@dataclass(frozen=True)
class Rules:
    """How fast and how strictly one run works on a job: what its pin holds and no fingerprint covers."""

    thresholds: Thresholds
    max_tries: int
    run_timeout_seconds: float
    nodes: int
    processes: int | None
    logging_level: str


@dataclass(frozen=True, kw_only=True)
class ParallelRunConfig:
    """How a step scores; see docs/reference.md for every argument."""

    entry_script: str
    error_threshold: int | str
    output_action: str = "append_row"
    source_directory: str | None = None
    mini_batch_size: str | int | None = None
    partition_keys: Sequence[str] | None = None
    node_count: int | str = 1
    process_count_per_node: int | str | None = None
    run_invocation_timeout: float | str = 60
    run_max_try: int | str = 3
    allowed_failed_count: int | str | None = None
    allowed_failed_percent: float | str | None = None
    append_row_file_name: str = DEFAULT_FILE_NAME
    include_item: bool | str = False
    isolate_failures: bool | str = False
    logging_level: str = "INFO"
    environment: PythonEnvironment | None = None
    azureml_compat: bool | str = "auto"
    tensorflow_v1: bool | str = "auto"
    environment_variables: Mapping[str, str] | None = field(default=None, repr=False)
    description: str | None = None
    compute_target: ComputeTarget | None = None

    def __post_init__(self) -> None:
        self._put(_as_given_there({name: getattr(self, name) for name in (*_DEFAULTED, "entry_script", "source_directory")}))
        values = [fault for name, fault in self._faults().items() if not is_template(getattr(self, name))]
        if faults := values + self._object_faults():
            raise ConfigError(faults)
        self._put({name: _as_number(getattr(self, name), kind) for name, kind in _NUMBERS.items()})

    def _put(self, values: Mapping[str, object]) -> None:
        for name, value in values.items():
            object.__setattr__(self, name, value)

    def require_rendered(self) -> None:
        """Raise also for what looks like a template: whoever asks this has rendered them all."""
        of_environment = self.environment.faults(rendered=True) if isinstance(self.environment, PythonEnvironment) else []
        if faults := [*self._faults().values(), *self._object_faults(), *of_environment]:
            raise ConfigError(faults)

    @classmethod
    def from_yaml(cls, path: str | Path, **instead: Any) -> "ParallelRunConfig":  # noqa: ANN401 - any argument of this class
        """Read a file that this class or Azure ML's `save_to_yaml` wrote.

        :param path: The file.
        :param instead: Arguments that count instead of what the file says, such as `compute_target`.
        """
        return cls(**config_file.read(Path(path), [field.name for field in fields(cls)], instead))

    def to_yaml(self, path: str | Path) -> None:
        """Write it in the form of Azure ML's `save_to_yaml`."""
        config_file.write(Path(path), self)

    @staticmethod
    def params(**defaults: Any) -> "dict[str, Param]":  # noqa: ANN401 - of every type
        """Params for a DAG, one for each argument that may change from run to run, with limits and words for the trigger form.

        :param defaults: What each is unless a run says otherwise; `input` appears only if it is given.
        """
        from airflow_batchinfer.planning.form import params_of

        return params_of(defaults)

    def cut(self, *, of_tables: bool) -> Cut:
        """How large a mini-batch is: files are counted, tables are measured in bytes."""
        if self.partition_keys:
            return Cut(0, tuple(self.partition_keys))
        if self.mini_batch_size is None:
            return Cut(DEFAULT_MINI_BATCH_BYTES if of_tables else DEFAULT_MINI_BATCH_FILES)
        if not of_tables and not str(self.mini_batch_size).isdigit():
            raise ConfigError(
                f"mini_batch_size={self.mini_batch_size!r}: a size in bytes is for tables; give a number of files, such as 10"
            )
        return Cut(bytes_of(str(self.mini_batch_size)) or 0)

    @property
    def isolates_failures(self) -> bool:
        """Whether a mini-batch whose tries are used up is halved until the items that fail are found."""
        return str(self.isolate_failures).lower() == "true"

    @property
    def appends_rows(self) -> bool:
        """Whether the rows that `run()` returns are the result."""
        return self.output_action.lower() == "append_row"

    @property
    def includes_item(self) -> bool:
        """Whether the result says of each row which item it is of."""
        return str(self.include_item).lower() == "true"

    def rules(self) -> Rules:
        """This config in words with units."""
        percent = self.allowed_failed_percent
        return Rules(
            thresholds=Thresholds(
                int(self.error_threshold),
                None if self.allowed_failed_count is None else int(self.allowed_failed_count),
                None if percent is None else float(percent),
            ),
            max_tries=int(self.run_max_try),
            run_timeout_seconds=float(self.run_invocation_timeout),
            nodes=int(self.node_count),
            processes=None if self.process_count_per_node is None else int(self.process_count_per_node),
            logging_level=self.logging_level.upper(),
        )

    def _faults(self) -> dict[str, str]:
        checks = {**self._number_faults(), **self._text_faults()}
        return {name: fault for name, fault in checks.items() if fault}

    def _number_faults(self) -> dict[str, str | None]:
        positive = "a whole number, 1 or more"
        return {
            "error_threshold": _number(
                "error_threshold", self.error_threshold, int, "a whole number, -1 (no limit) or more", lambda n: n >= -1
            ),
            "node_count": _number("node_count", self.node_count, int, positive, lambda n: n >= 1),
            "run_invocation_timeout": _number(
                "run_invocation_timeout", self.run_invocation_timeout, float, "a number of seconds above 0", lambda n: n > 0
            ),
            "run_max_try": _number("run_max_try", self.run_max_try, int, positive, lambda n: n >= 1),
            "process_count_per_node": _optional("process_count_per_node", self.process_count_per_node, int, positive, lambda n: n >= 1),
            "allowed_failed_count": _optional(
                "allowed_failed_count", self.allowed_failed_count, int, "a whole number, -1 or more", lambda n: n >= -1
            ),
            "allowed_failed_percent": _optional(
                "allowed_failed_percent", self.allowed_failed_percent, float, "a number from 0 to 100", lambda n: 0 <= n <= ALL_PERCENT
            ),
        }

    def _text_faults(self) -> dict[str, str | None]:
        return {
            "entry_script": _path_fault("entry_script", self.entry_script, "the path of the script with init() and run(mini_batch)"),
            "source_directory": None
            if self.source_directory is None
            else _path_fault("source_directory", self.source_directory, "the path of a folder"),
            "output_action": _one_of("output_action", self.output_action, OUTPUT_ACTIONS, str.lower),
            "logging_level": _one_of("logging_level", self.logging_level, LOGGING_LEVELS, str.upper),
            "mini_batch_size": _mini_batch_fault(self.mini_batch_size),
            "partition_keys": _keys_fault(self.partition_keys, self.mini_batch_size),
            "append_row_file_name": _file_name_fault(self.append_row_file_name, self.output_action),
            "include_item": _include_item_fault(self.include_item, self.append_row_file_name, self.output_action),
            "isolate_failures": _isolation_fault(self.isolate_failures, self.partition_keys),
            "azureml_compat": _switch_fault("azureml_compat", self.azureml_compat),
            "tensorflow_v1": _switch_fault("tensorflow_v1", self.tensorflow_v1),
        }

    def _object_faults(self) -> list[str]:
        """Of what is more than one value, and no template as a whole."""
        target, variables = self.compute_target, self.environment_variables or {}
        found: list[str] = []
        if not isinstance(self.environment, PythonEnvironment | None):
            found = [f"environment={self.environment!r}: give a PythonEnvironment(...)"]
        if not isinstance(target, ComputeTarget | None):
            found.append(f"compute_target={target!r}: give a ComputeTarget(...)")
        if not isinstance(variables, Mapping):
            return [*found, f"environment_variables: give a dict of names and values, not a {type(variables).__name__}"]
        return found + [
            f"environment_variables: {name!r} and its value must be text without NUL, and the name without '='"
            for name, value in variables.items()
            if not (isinstance(name, str) and _is_text(value) and name and "=" not in name and "\0" not in name + str(value))
        ]


def _as_given_there(values: Mapping[str, object]) -> dict[str, object]:
    """As the original takes them: None is the default, no folder is none, and blanks around a path are no part of it."""
    found = {name: value.strip() if isinstance(value, str) and name not in _DEFAULTED else value for name, value in values.items()}
    defaults = {field.name: field.default for field in fields(ParallelRunConfig)}
    found |= {name: defaults[name] for name in _DEFAULTED if values[name] is None}
    return found | {"source_directory": None if found["source_directory"] == "" else found["source_directory"]}


def _as_number(value: object, kind: type[int | float]) -> object:
    """What came as text, or as a float where numbers are whole, as the number that it is."""
    return kind(value) if (isinstance(value, str) and not is_template(value)) or (isinstance(value, float) and kind is int) else value


def _is_text(value: object) -> bool:
    return isinstance(value, str) or is_template(value)


def _number(name: str, value: Number, kind: type[int | float], wanted: str, fits: Callable[[float], bool]) -> str | None:
    try:
        whole = kind(value)
        good = not isinstance(value, bool) and float(value) == whole and fits(whole)
    except (TypeError, ValueError, OverflowError):
        good = False
    return None if good else f"{name}={value!r}: give {wanted}"


def _optional(name: str, value: Number | None, kind: type[int | float], wanted: str, fits: Callable[[float], bool]) -> str | None:
    return None if value is None else _number(name, value, kind, wanted, fits)


def _one_of(name: str, value: object, allowed: tuple[str, ...], fold: Callable[[str], str]) -> str | None:
    good = isinstance(value, str) and fold(value) in allowed
    return None if good else f"{name}={value!r}: give one of {', '.join(allowed)}"


def _path_fault(name: str, path: object, wanted: str) -> str | None:
    good = isinstance(path, str | Path) and str(path) and "\0" not in str(path)
    return None if good else f"{name}={path!r}: give {wanted}"


def _mini_batch_fault(size: object) -> str | None:
    if size is None or bytes_of(str(size)):
        return None
    return f"mini_batch_size={size!r}: give a number of files, such as 10, or bytes of a table, such as 512KB, 10MB or 1GB"


def _keys_fault(keys: Any, size: object) -> str | None:  # noqa: ANN401 - whatever was given
    if keys is None or keys in ([], ()):
        return None
    good = isinstance(keys, list | tuple) and all(isinstance(key, str) and key for key in keys) and len(set(keys)) == len(keys)
    if not good:
        return f"partition_keys={keys!r}: give a list of names, each once"
    return None if size is None else f"partition_keys={list(keys)} with mini_batch_size={size!r}: give one; a partition is a mini-batch"


def _isolation_fault(isolates: object, keys: object) -> str | None:
    if str(isolates).lower() not in ("true", "false"):
        return f"isolate_failures={isolates!r}: give True or False"
    together = str(isolates).lower() == "true" and keys
    return f"isolate_failures with partition_keys={keys!r}: give one; a partition is never called in parts" if together else None


def _switch_fault(name: str, value: object) -> str | None:
    return None if str(value).lower() in SWITCH else f'{name}={value!r}: give "auto", True or False'


def _file_name_fault(name: object, output_action: object) -> str | None:
    if isinstance(name, str) and isinstance(output_action, str) and output_action.lower() == "summary_only":
        return None
    if not isinstance(name, str) or not name or name in (".", "..") or name.startswith("_") or "\0" in name:
        return f"append_row_file_name={name!r}: give a file name that does not start with '_'"
    if len(name.encode("utf-8", "surrogateescape")) > MOST_NAME_BYTES:
        return f"append_row_file_name={name[:20]!r}...: give a name of at most {MOST_NAME_BYTES} bytes"
    if name.lower().endswith(_PACKED):
        whole = name.rpartition(".")[0]
        return f"append_row_file_name={name!r}: results are not packed; give {whole!r}, or a name in .parquet, which is compressed within"
    if bad := sorted(_FORBIDDEN_IN_NAMES & set(name)):
        return f"append_row_file_name={name!r}: a file name holds none of {' '.join(bad)}"
    return None


def _include_item_fault(include: object, file_name: object, output_action: object) -> str | None:
    if str(include).lower() not in ("true", "false"):
        return f"include_item={include!r}: give True or False"
    if str(include).lower() == "false" or is_template(file_name) or is_template(output_action):
        return None
    if isinstance(output_action, str) and output_action.lower() == "summary_only":
        return "include_item=True with output_action='summary_only': the script writes its own files; let it say there what it scored"
    if isinstance(file_name, str) and format_of(file_name) == TEXT:
        return f"include_item=True: {file_name!r} is text, which has no columns; let append_row_file_name end in .csv, .jsonl or .parquet"
    return None
