"""The arguments that may change from run to run, as Airflow's trigger form shows them: types, limits, words.

The one place below the operators that names Airflow: a Param is Airflow's, what a good one says is ours.
"""

from collections.abc import Mapping
from typing import Any

from airflow.sdk import Param
from airflow.sdk.configuration import conf

from airflow_batchinfer.errors import ConfigError

# From the narrowest reading of each argument that planning accepts. Nothing names a section: Airflow's form opens with its own section
# unfolded and every other folded, so that nobody would see these. And no `code` in the descriptions: the form draws it as a box higher
# than the line, which hides the line above.
_FIELDS: Mapping[str, Mapping[str, Any]] = {
    "input": {
        "type": "string",
        "minLength": 1,
        "title": "Input",
        "description_md": "A file, a folder or a glob such as digits/*.png, on any storage; or dataset:name or dataset:name:3. "
        "Relative paths count from the workspace.",
    },
    "mini_batch_size": {
        "default": "10",
        "type": "string",
        "pattern": r"^0*[1-9]\d*([kKmMgG][bB])?$",
        "title": "Mini-batch size",
        "description_md": "How much one call of run() gets: a number of files; of tables bytes, such as 512KB or 10MB.",
    },
    "node_count": {
        "default": 1,
        "type": "integer",
        "minimum": 1,
        "title": "Nodes",
        "description_md": "How many tasks share the work. Each takes a slot of the pool.",
    },
    "process_count_per_node": {
        "default": None,
        "type": ["integer", "null"],
        "minimum": 1,
        "title": "Workers per node",
        "description_md": "How many processes each node runs. Empty: one for each GPU, or one for each core.",
    },
    "logging_level": {
        "default": "INFO",
        "type": "string",
        "enum": ["WARNING", "INFO", "DEBUG"],
        "title": "Logging level",
        "description_md": "From which level on the script's own log messages are written.",
    },
    "run_invocation_timeout": {
        "default": 60,
        "type": "number",
        "exclusiveMinimum": 0,
        "title": "Timeout of one run()",
        "description_md": "Seconds. A call that takes longer is stopped and counts as a failed try.",
    },
    "run_max_try": {
        "default": 3,
        "type": "integer",
        "minimum": 1,
        "title": "Tries",
        "description_md": "How often one mini-batch is tried in all.",
    },
}


def params_of(defaults: Mapping[str, Any]) -> dict[str, Param]:
    """A Param for each; for the input only if it has a default."""
    if unknown := sorted(set(defaults) - set(_FIELDS)):
        raise ConfigError(f"params({', '.join(unknown)}): no such run-time parameter; there are: {', '.join(_FIELDS)}")
    return {name: _param(name, defaults) for name in _FIELDS if name != "input" or name in defaults}


def _param(name: str, defaults: Mapping[str, Any]) -> Param:
    described = dict(_FIELDS[name])
    ours = described.pop("default", None)
    default = ours if defaults.get(name) is None else defaults[name]
    if name == "node_count":
        described["maximum"] = conf.getint("core", "max_map_length")
    if name == "mini_batch_size":
        default = str(default)
    return Param(default, **described)
