"""What all datasets are: paths, a cut, and a format of the paths; a frozen value with a plain and a stored form.

A path may also be `dataset:name[:version]`, which the registry must replace before anything is listed, or a value that
only a run knows, which Airflow must replace before that. Nothing here looks either of them up.
"""

import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Protocol, Self, cast, runtime_checkable

from airflow_batchinfer.datasets.partitions import PartitionFormat
from airflow_batchinfer.errors import ConfigError

REFERENCE_PREFIX = "dataset:"
_TEMPLATE_MARKS = ("{{", "{%")
_PATHS_TOLD = 3


@runtime_checkable
class KnownLater(Protocol):
    """A value that only a run knows, such as Airflow's XComArg; here it is told by this method and kept as it is."""

    def iter_references(self) -> Iterable[Any]:
        """What it waits for."""


Paths = str | KnownLater | Iterable[str | KnownLater]


@dataclass(frozen=True)
class Dataset(ABC):
    """Paths: each a file, a folder (with all below it) or a glob, on anything fsspec opens; each file once, in order.

    `start` and `stop` cut the ordered items like a slice: that is what `skip` and `take` leave behind. `partition_format`
    says which parts of a path are partition keys, such as `{region}/{date:yyyy-MM-dd}/{name}.csv`; without one, folders
    called `key=value` do.
    """

    items_are: ClassVar[str]
    paths: tuple[str, ...]
    start: int = 0
    stop: int | None = None
    partition_format: str | None = None

    def take(self, count: int) -> Self:
        """The first items of this dataset."""
        end = self.start + self._not_negative("take", count)
        return replace(self, stop=end if self.stop is None else min(self.stop, end))

    def skip(self, count: int) -> Self:
        """This dataset without its first items."""
        return replace(self, start=self.start + self._not_negative("skip", count))

    @property
    def is_cut(self) -> bool:
        """Whether `skip` or `take` leave something out."""
        return self.start > 0 or self.stop is not None

    def as_plain(self) -> dict[str, Any]:
        """A dict of strings, numbers, lists and dicts; `paths` as they were given."""
        given = {"stop": self.stop, "partition_format": self.partition_format}
        return {"paths": list(self.paths), "start": self.start, **{name: value for name, value in given.items() if value is not None}}

    @classmethod
    def _of_plain(cls, plain: Mapping[str, Any]) -> dict[str, Any]:
        """The fields that every dataset has; where a value came to be known that is several paths, each is one."""
        try:
            paths, start, stop = plain["paths"], plain.get("start", 0), plain.get("stop")
        except (KeyError, TypeError, AttributeError) as error:
            raise ConfigError(f"this is not a stored {cls.__name__}: {str(plain)[:200]} ({error!r})") from error
        flat = [path for each in _as_list(paths) for path in _as_list(each)]
        cut = {"start": cls._not_negative("skip", start), "stop": None if stop is None else cls._not_negative("take", stop)}
        return {"paths": checked_paths(cls.__name__, flat), **cut, "partition_format": checked_format(plain.get("partition_format"))}

    @classmethod
    @abstractmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Self:
        """A dataset from its plain form."""

    def to_json(self) -> str:
        """The stored form."""
        return json.dumps(self.as_plain(), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """A dataset from its stored form."""
        try:
            stored = json.loads(text)
        except ValueError as error:
            raise ConfigError(f"this is not a stored {cls.__name__}: {text[:200]!r} ({error})") from error
        return cls.from_plain(stored)

    @classmethod
    def _not_negative(cls, name: str, count: int) -> int:
        if not isinstance(count, int) or count < 0:
            raise ConfigError(f"{name}({count!r}): give a whole number of {cls.items_are}, 0 or more")
        return count

    def __str__(self) -> str:
        told = ", ".join(str(path) for path in self.paths[:_PATHS_TOLD])
        more = f" and {len(self.paths) - _PATHS_TOLD:,} more" if len(self.paths) > _PATHS_TOLD else ""
        skipped = f", skip {self.start:,}" if self.start else ""
        taken = "" if self.stop is None else f", take {max(0, self.stop - self.start):,}"
        return f"{told}{more}{skipped}{taken}"


def is_reference(path: str) -> bool:
    """Whether a path names a registered dataset; a file that is called so can be given as `./dataset:name`."""
    return path.startswith(REFERENCE_PREFIX)


def listed(paths: Paths) -> Iterable[str | KnownLater]:
    """One path as well as several."""
    return [paths] if isinstance(paths, str | KnownLater) else paths


def checked_paths(kind: str, paths: Iterable[Any]) -> tuple[str, ...]:
    """Paths that may be given; what only a run knows passes for one, and is one when it is listed."""
    found = tuple(paths) if isinstance(paths, Iterable) else ()
    if not found or not all(isinstance(each, KnownLater) or (isinstance(each, str) and each) for each in found):
        raise ConfigError(f"{kind} takes a path or a list of paths, not {found or paths!r}")
    for each in found:
        if isinstance(each, str) and not any(mark in each for mark in _TEMPLATE_MARKS):
            _check_stars(each)
    return cast("tuple[str, ...]", found)


def checked_format(partition_format: object) -> str | None:
    """A format that can be read, or none."""
    return None if partition_format is None else PartitionFormat(partition_format).text


def _check_stars(path: str) -> None:
    if any("**" in part and part != "**" for part in path.split("/")):
        raise ConfigError(f"the input {path!r}: '**' must stand alone between slashes, as in a/**/*.png")


def _as_list(value: Any) -> list[Any]:  # noqa: ANN401 - whatever a run made of it
    # A slice: Airflow fetches the outputs of mapped tasks at once by it, and one by one when they are iterated over.
    return list(value[:]) if isinstance(value, Sequence) and not isinstance(value, str) else [value]
