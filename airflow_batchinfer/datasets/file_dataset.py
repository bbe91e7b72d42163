"""FileDataset: files as items, named by paths, folders and globs; a frozen value with a plain and a stored form.

A path may also be `dataset:name[:version]`, which the registry must replace before anything is listed, or a value that
only a run knows, which Airflow must replace before that. Nothing here looks either of them up.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, cast, runtime_checkable

from airflow_batchinfer.errors import ConfigError

REFERENCE_PREFIX = "dataset:"
_TEMPLATE_MARKS = ("{{", "{%")
_PATHS_TOLD = 3


@runtime_checkable
class KnownLater(Protocol):
    """A value that only a run knows, such as Airflow's XComArg; here it is told by this method and kept as it is."""

    def iter_references(self) -> Iterable[Any]:
        """What it waits for."""


@dataclass(frozen=True)
class FileDataset:
    """Files below folders, or that match globs, or that are named; each once, in the order of their paths.

    `start` and `stop` cut the ordered files like a slice: that is what `skip` and `take` leave behind.
    """

    paths: tuple[str, ...]
    start: int = 0
    stop: int | None = None

    @classmethod
    def from_files(cls, path: str | KnownLater | Iterable[str | KnownLater]) -> "FileDataset":
        """The files of one or more paths: each a file, a folder (with all below it) or a glob, on anything fsspec opens.

        A path may also name a registered dataset, hold a template, or be the output of an Airflow task.
        """
        return cls(_checked([path] if isinstance(path, str | KnownLater) else path))

    def take(self, count: int) -> "FileDataset":
        """The first files of this dataset."""
        end = self.start + _not_negative("take", count)
        return replace(self, stop=end if self.stop is None else min(self.stop, end))

    def skip(self, count: int) -> "FileDataset":
        """This dataset without its first files."""
        return replace(self, start=self.start + _not_negative("skip", count))

    def as_plain(self) -> dict[str, Any]:
        """A dict of strings, whole numbers and one list, which holds the paths as they were given."""
        cut = {} if self.stop is None else {"stop": self.stop}
        return {"kind": "files", "paths": list(self.paths), "start": self.start, **cut}

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> "FileDataset":
        """A dataset from its plain form; where a value came to be known that is several paths, each is one."""
        try:
            if plain["kind"] != "files":
                raise ConfigError(f"this is a stored dataset of kind {plain['kind']!r}, not of files")
            paths, start, stop = plain["paths"], plain.get("start", 0), plain.get("stop")
        except (KeyError, TypeError, AttributeError) as error:
            raise ConfigError(f"this is not a stored FileDataset: {str(plain)[:200]} ({error!r})") from error
        flat = [path for each in _as_list(paths) for path in _as_list(each)]
        return cls(_checked(flat), _not_negative("skip", start), None if stop is None else _not_negative("take", stop))

    def to_json(self) -> str:
        """The stored form."""
        return json.dumps(self.as_plain(), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> "FileDataset":
        """A dataset from its stored form."""
        try:
            stored = json.loads(text)
        except ValueError as error:
            raise ConfigError(f"this is not a stored FileDataset: {text[:200]!r} ({error})") from error
        return cls.from_plain(stored)

    def __str__(self) -> str:
        told = ", ".join(str(path) for path in self.paths[:_PATHS_TOLD])
        more = f" and {len(self.paths) - _PATHS_TOLD:,} more" if len(self.paths) > _PATHS_TOLD else ""
        skipped = f", skip {self.start:,}" if self.start else ""
        taken = "" if self.stop is None else f", take {max(0, self.stop - self.start):,}"
        return f"{told}{more}{skipped}{taken}"


def is_reference(path: str) -> bool:
    """Whether a path names a registered dataset; a file that is called so can be given as `./dataset:name`."""
    return path.startswith(REFERENCE_PREFIX)


def _checked(paths: Iterable[Any]) -> tuple[str, ...]:
    """Paths that may be given; what only a run knows passes for one, and is one when it is listed."""
    found = tuple(paths) if isinstance(paths, Iterable) else ()
    if not found or not all(isinstance(each, KnownLater) or (isinstance(each, str) and each) for each in found):
        raise ConfigError(f"FileDataset.from_files takes a path or a list of paths, not {found or paths!r}")
    for each in found:
        if isinstance(each, str) and not any(mark in each for mark in _TEMPLATE_MARKS):
            _check_stars(each)
    return cast("tuple[str, ...]", found)


def _check_stars(path: str) -> None:
    if any("**" in part and part != "**" for part in path.split("/")):
        raise ConfigError(f"the input {path!r}: '**' must stand alone between slashes, as in a/**/*.png")


def _as_list(value: Any) -> list[Any]:  # noqa: ANN401 - whatever a run made of it
    # A slice: Airflow fetches the outputs of mapped tasks at once by it, and one by one when they are iterated over.
    return list(value[:]) if isinstance(value, Sequence) and not isinstance(value, str) else [value]


def _not_negative(name: str, count: int) -> int:
    if not isinstance(count, int) or count < 0:
        raise ConfigError(f"{name}({count!r}): give a whole number of files, 0 or more")
    return count
