"""Inputs as the command line names them: files, or with `--table` the rows of tables."""

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from inspect import signature
from itertools import islice
from pathlib import PurePosixPath
from typing import Any

from airflow_batchinfer.datasets import Dataset, FileDataset, TabularDataset, is_reference, list_items
from airflow_batchinfer.errors import ConfigError, Faults

_ENDINGS = {".csv": "csv", ".tsv": "csv", ".tab": "csv", ".jsonl": "json_lines", ".ndjson": "json_lines", ".parquet": "parquet"}
_MAKERS: Mapping[str, Callable[..., TabularDataset]] = {
    "csv": TabularDataset.from_csv,
    "json_lines": TabularDataset.from_json_lines,
    "parquet": TabularDataset.from_parquet,
}
MOST_LOOKED_AT = 1_000
_YES_OR_NO = {"true": True, "yes": True, "false": False, "no": False}


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options that say how inputs are read."""
    parser.add_argument("--table", action="store_true", help="the inputs are tables: .csv, .tsv and .jsonl, also .gz, and .parquet")
    parser.add_argument(
        "--table-option",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="how tables are read: format, separator, header, column_names, types (a:int64), columns, encoding, multi_line; repeatable",
    )
    parser.add_argument(
        "--partition-format", metavar="F", help="which parts of a path are keys, such as {region}/{date:yyyy-MM-dd}/{name}.csv"
    )


def inputs_of(options: argparse.Namespace, urls: Sequence[str]) -> list[Dataset]:
    """A dataset of each path, but one of all paths that are tables of the same form; registered ones have a form of their own."""
    faults, found = Faults(), dict[object, Dataset]()
    for number, url in enumerate(urls):
        dataset = faults.attempt(partial(dataset_of, options, [url]))
        is_alone = not isinstance(dataset, TabularDataset) or is_reference(url)
        other = found.setdefault(number if is_alone else replace(dataset, paths=()), dataset)
        if other is not dataset:
            found[replace(dataset, paths=())] = replace(other, paths=(*other.paths, url))
    faults.raise_any()
    for dataset in found.values() if not options.allow_empty else ():
        for path in dataset.paths if len(dataset.paths) > 1 else ():
            if faults.attempt(lambda: next(list_items(FileDataset((path,))), True)) is True:  # noqa: B023 - called at once
                faults.add(f"the input {path!r} matches no files")
    faults.raise_any()
    return list(found.values())


def dataset_of(options: argparse.Namespace, urls: Sequence[str]) -> Dataset:
    """One dataset of some paths, read as the options say."""
    if not options.table:
        if options.table_option:
            raise ConfigError("--table-option says how tables are read: give --table as well")
        return FileDataset.from_files(urls, partition_format=options.partition_format)
    given = _given(options.table_option)
    kind, kept = given.pop("format", None) or _kind_of(urls), given.pop("columns", None)
    if kind not in _MAKERS:
        raise ConfigError(f"--table-option format={kind}: give one of {', '.join(_MAKERS)}")
    known = [name for name in _VALUES if name in signature(_MAKERS[kind]).parameters]
    if wrong := [name for name in given if name not in known]:
        told = f"tables of the format {kind} have only {', '.join(['format', 'columns', *known])}"
        raise ConfigError([f"--table-option {name}: {told}" for name in wrong])
    dataset = _MAKERS[kind](urls, **given, partition_format=options.partition_format)
    return dataset if kept is None else dataset.columns(kept)


def _given(options: Sequence[str]) -> dict[str, Any]:
    """NAME=VALUE, several times; a separator may be any character, also `=`."""
    found: dict[str, Any] = {}
    for option in options:
        name, equals, value = option.partition("=")
        if not equals or name not in _VALUES or name in found:
            told = "is given twice" if name in found else f"give NAME=VALUE, the name one of {', '.join(_VALUES)}"
            raise ConfigError(f"--table-option {option!r}: {told}")
        found[name] = _VALUES[name](value)
    return found


def _kind_of(urls: Sequence[str]) -> str:
    """By the endings of what is named, or of what is in it; a registered dataset has a form of its own."""
    kinds = {_kind_of_path(url) or _kind_of_files(url) for url in urls if not is_reference(url)} or {"csv"}
    kind = kinds.pop()
    if kinds or kind is None:
        endings = ", ".join(_ENDINGS)
        raise ConfigError(f"--table: the endings of {', '.join(urls)} do not say one format ({endings}); say --table-option format=csv")
    return kind


def _kind_of_path(path: str) -> str | None:
    return _ENDINGS.get(PurePosixPath(path.lower().removesuffix(".gz")).suffix)


def _kind_of_files(url: str) -> str | None:
    """By the first file that says it; beside the tables there may be others, such as _SUCCESS."""
    files = islice(list_items(FileDataset((url,))), MOST_LOOKED_AT)
    return next(filter(None, (_kind_of_path(file.path) for file in files)), None)


def _yes_or_no(value: str) -> bool:
    if value.lower() not in _YES_OR_NO:
        raise ConfigError(f"--table-option: {value!r} is neither true nor false")
    return _YES_OR_NO[value.lower()]


def _list(value: str) -> list[str]:
    return [name.strip() for name in value.split(",")]


def _types(value: str) -> dict[str, str]:
    pairs = [tuple(map(str.strip, pair.rpartition(":"))) for pair in value.split(",")]
    if not all(name and kind for name, _, kind in pairs):
        raise ConfigError(f"--table-option types={value}: give NAME:TYPE, such as a:int64,b:str")
    return {name: kind for name, _, kind in pairs}


_VALUES: Mapping[str, Callable[[str], Any]] = {
    "format": str,
    "separator": lambda value: value.replace("\\t", "\t"),
    "header": _yes_or_no,
    "column_names": _list,
    "types": _types,
    "columns": _list,
    "encoding": str,
    "multi_line": _yes_or_no,
}
