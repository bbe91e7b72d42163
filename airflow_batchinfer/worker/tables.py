"""Slices of tables as one pandas DataFrame, read in the script's own interpreter."""

from __future__ import annotations

from importlib import import_module
from typing import Any, Dict, List

from . import csv_slices, json_slices, parquet_slices
from .slices import BadTable, Slice

__all__ = ["BadTable", "add_keys", "read"]

_READERS = {"csv": csv_slices.read, "json_lines": json_slices.read, "parquet": parquet_slices.read}


def read(slices: List[List[Any]], table: Dict[str, Any]) -> Any:
    """The rows of these slices, one slice below the other."""
    try:
        pandas = import_module("pandas")
    except ImportError as error:
        raise BadTable(
            "the interpreter of the script has no pandas, which a table needs: add pandas to the requirements of its environment"
        ) from error
    frames = [_READERS[table["kind"]](pandas, Slice(*cells), table) for cells in slices]
    return frames[0] if len(frames) == 1 else pandas.concat(frames, ignore_index=True)


def add_keys(frame: Any, keys: Dict[str, str]) -> None:
    """The keys of a partition as columns, those that are none yet; what is not UTF-8 no text of pandas can hold."""
    for name, value in keys.items():
        if name not in frame:
            try:
                frame[name] = value
            except UnicodeEncodeError:
                frame[name] = import_module("pandas").Series([value] * len(frame), dtype=object)
