"""What several commands take in the same form."""

import re
from collections import Counter
from collections.abc import Mapping

from airflow_batchinfer.errors import ConfigError

_NAME = re.compile(r"[A-Za-z_][\w.-]*", re.ASCII)


def named_values(option: str, given: list[str]) -> Mapping[str, str]:
    """NAME=VALUE, several times."""
    pairs = [text.partition("=") for text in given]
    faults = [
        f"{option} {name!r}: give NAME=VALUE, the name of letters, digits, '_', '.' and '-'"
        for name, equals, _ in pairs
        if not (equals and _NAME.fullmatch(name))
    ]
    faults += [f"{option} {name!r} is given twice" for name, times in Counter(name for name, _, _ in pairs).items() if times > 1]
    if faults:
        raise ConfigError(faults)
    return {name: value for name, _, value in pairs}
