"""FileDataset: files as items."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from airflow_batchinfer.datasets.dataset import Dataset, Paths, checked_format, checked_paths, listed
from airflow_batchinfer.errors import ConfigError


@dataclass(frozen=True)
class FileDataset(Dataset):
    """Files below folders, or that match globs, or that are named; each once, in the order of their paths."""

    items_are: ClassVar[str] = "files"

    @classmethod
    def from_files(cls, path: Paths, partition_format: str | None = None) -> Self:
        """The files of one or more paths: each a file, a folder (with all below it) or a glob, on anything fsspec opens.

        A path may also name a registered dataset, hold a template, or be the output of an Airflow task.
        """
        return cls(checked_paths("FileDataset.from_files", listed(path)), partition_format=checked_format(partition_format))

    def as_plain(self) -> dict[str, Any]:
        """See `Dataset`."""
        return {"kind": "files", **super().as_plain()}

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Self:
        """A dataset from its plain form."""
        fields = cls._of_plain(plain)
        if plain.get("kind") != "files":
            raise ConfigError(f"this is a stored dataset of kind {plain.get('kind')!r}, not of files")
        return cls(**fields)
