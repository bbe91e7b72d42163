"""FileDataset: files as items, named by paths, folders and globs; a frozen value with a stored form."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from airflow_batchinfer.errors import ConfigError


@dataclass(frozen=True)
class FileDataset:
    """Files below folders, or that match globs, or that are named; each once, in the order of their paths.

    `start` and `stop` cut the ordered files like a slice: that is what `skip` and `take` leave behind.
    """

    paths: tuple[str, ...]
    start: int = 0
    stop: int | None = None

    @classmethod
    def from_files(cls, path: str | Iterable[str]) -> "FileDataset":
        """The files of one or more paths: each a file, a folder (with all below it) or a glob, on anything fsspec opens."""
        paths = (path,) if isinstance(path, str) else tuple(path)
        if not paths or not all(isinstance(each, str) and each for each in paths):
            raise ConfigError(f"FileDataset.from_files takes a path or a list of paths, not {path!r}")
        for each in paths:
            if any("**" in part and part != "**" for part in each.split("/")):
                raise ConfigError(f"the input {each!r}: '**' must stand alone between slashes, as in a/**/*.png")
        return cls(paths)

    def take(self, count: int) -> "FileDataset":
        """The first files of this dataset."""
        end = self.start + _not_negative("take", count)
        return replace(self, stop=end if self.stop is None else min(self.stop, end))

    def skip(self, count: int) -> "FileDataset":
        """This dataset without its first files."""
        return replace(self, start=self.start + _not_negative("skip", count))

    def to_json(self) -> str:
        """The stored form."""
        return json.dumps({"kind": "files", "paths": list(self.paths), "start": self.start, "stop": self.stop}, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> "FileDataset":
        """A dataset from its stored form."""
        try:
            stored: dict[str, Any] = json.loads(text)
            if stored["kind"] != "files":
                raise ConfigError(f"this is a stored dataset of kind {stored['kind']!r}, not of files")
            return cls(tuple(stored["paths"]), stored["start"], stored["stop"])
        except (ValueError, KeyError, TypeError) as error:
            raise ConfigError(f"this is not a stored FileDataset: {text[:200]!r} ({error})") from error


def _not_negative(name: str, count: int) -> int:
    if not isinstance(count, int) or count < 0:
        raise ConfigError(f"{name}({count!r}): give a whole number of files, 0 or more")
    return count
