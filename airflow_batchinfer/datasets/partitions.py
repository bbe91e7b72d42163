"""Partition keys in paths: by a format such as `{region}/{date:yyyy-MM-dd}/{name}.csv`, or as Hive's folders, `key=value`."""

import re
from calendar import monthrange
from collections.abc import Mapping, Sequence
from itertools import pairwise
from urllib.parse import unquote

from airflow_batchinfer.errors import ConfigError

_FIELD = re.compile(r"\{([^{}:]*)(?::([^{}]*))?\}")
_NAME = re.compile(r"[A-Za-z_]\w*")
_DATE_PARTS = {
    "yyyy": r"\d{4}",
    "MM": r"(?:0[1-9]|1[0-2])",
    "dd": r"(?:0[1-9]|[12]\d|3[01])",
    "HH": r"(?:[01]\d|2[0-3])",
    "mm": r"[0-5]\d",
    "ss": r"(?:[0-5]\d|60)",
}
_DATE = re.compile("|".join(_DATE_PARTS))
_LEAP_YEAR = 2000
_NULL = "__HIVE_DEFAULT_PARTITION__"  # as Hive and Spark call the folder of rows in whose key nothing is


class PartitionFormat:
    """Which parts of a path are keys. It says how a path ends: what stands before it is not looked at."""

    def __init__(self, text: object) -> None:
        fields = list(_FIELD.finditer(text)) if isinstance(text, str) else []
        names = [field[1] for field in fields]
        if not isinstance(text, str) or not fields:
            raise ConfigError(
                f"partition_format={text!r}: give a format with keys in braces, such as {{region}}/{{date:yyyy-MM-dd}}/{{name}}.csv"
            )
        faults = [f"partition_format={text!r}: {name!r} is no name of a key" for name in names if not _NAME.fullmatch(name)]
        faults += [
            f"partition_format={text!r}: the key {name!r} stands there twice" for name in sorted({n for n in names if names.count(n) > 1})
        ]
        faults += [
            f"partition_format={text!r}: {field[2]!r} holds none of {', '.join(_DATE_PARTS)}"
            for field in fields
            if field[2] is not None and not _DATE.search(field[2])
        ]
        faults += [
            f"partition_format={text!r}: nothing between {first[0]} and {second[0]} says where one ends; put something there"
            for first, second in pairwise(fields)
            if first.end() == second.start() and first[2] is None and second[2] is None
        ]
        if any(brace in _FIELD.sub("", text) for brace in "{}"):
            faults.append(f"partition_format={text!r}: a brace is open or closed that does not belong to a key")
        if faults:
            raise ConfigError(faults)
        self.text = text
        self.names = tuple(names)
        self._dates = {field[1]: field[2] for field in fields if field[2] is not None}
        self._pattern = re.compile(rf"(?:^|/){self._as_pattern(text.lstrip('/'))}$")

    @staticmethod
    def _as_pattern(text: str) -> str:
        pattern, end = "", 0
        for field in _FIELD.finditer(text):
            pattern += re.escape(text[end : field.start()]) + f"(?P<{field[1]}>{_value_pattern(field[2])})"
            end = field.end()
        return pattern + re.escape(text[end:])

    def values(self, path: str) -> dict[str, str]:
        """The values of the keys in a path."""
        match = self._pattern.search(path)
        if match and all(_is_real(date, match[name]) for name, date in self._dates.items()):
            return match.groupdict()
        raise ConfigError(f"the path {path} does not end as partition_format={self.text!r} says; mend the format, or leave the file out")


def _value_pattern(date: str | None) -> str:
    if date is None:
        return "[^/]+"
    parts = re.split(f"({_DATE.pattern})", date)
    return "".join(f"({_DATE_PARTS[part]})" if part in _DATE_PARTS else re.escape(part) for part in parts)


def _is_real(date: str, text: str) -> bool:
    """Whether there is such a date: a month may have fewer days. Where no year is said it may be a leap year."""
    match = re.fullmatch(_value_pattern(date), text)
    found = dict(zip(_DATE.findall(date), map(int, match.groups() if match else ()), strict=True))
    year, month = found.get("yyyy", _LEAP_YEAR), found.get("MM", 1)
    return bool(year) and found.get("dd", 1) <= monthrange(year, month)[1]


def hive_values(path: str) -> dict[str, str]:
    """The values of the keys in folders called `key=value`; a null is nothing, as it is in a column. Bytes that are no text stay apart."""
    pairs = [[unquote(part, errors="surrogateescape") for part in folder.partition("=")] for folder in path.split("/")[:-1]]
    return {name: "" if value == _NULL else value for name, equals, value in pairs if equals and name}


class PathKeys:
    """The keys that paths hold, of those that are asked for."""

    def __init__(self, partition_format: str | None, asked: Sequence[str]) -> None:
        self._format = PartitionFormat(partition_format) if partition_format else None
        self._asked = tuple(asked)

    def of(self, path: str) -> Mapping[str, str]:
        """Those of the asked keys that the path holds."""
        found = self._format.values(path) if self._format else hive_values(path)
        return {name: found[name] for name in self._asked if name in found}

    def all_of(self, path: str) -> Mapping[str, str]:
        """All keys that are asked for, or an error."""
        found = self.of(path)
        if missing := [name for name in self._asked if name not in found]:
            how = (
                f"partition_format={self._format.text!r} has no such key"
                if self._format
                else "no folder is called key=value; give a partition_format"
            )
            raise ConfigError(f"partition_keys: the path {path} holds no {', '.join(missing)}: {how}")
        return found
