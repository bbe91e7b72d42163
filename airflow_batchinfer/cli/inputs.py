"""Inputs as the command line names them: files, or with `--table` the rows of tables."""

import argparse
from collections.abc import Callable, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

from airflow_batchinfer.datasets import Dataset, FileDataset, TabularDataset, is_reference
from airflow_batchinfer.errors import ConfigError

_ENDINGS = {".csv": "csv", ".tsv": "csv", ".tab": "csv", ".jsonl": "json_lines", ".ndjson": "json_lines", ".parquet": "parquet"}
_MAKERS: Mapping[str, Callable[..., TabularDataset]] = {
    "csv": TabularDataset.from_csv,
    "json_lines": TabularDataset.from_json_lines,
    "parquet": TabularDataset.from_parquet,
}
_YES_OR_NO = {"true": True, "yes": True, "false": False, "no": False}


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options that say how inputs are read."""
    parser.add_argument("--table", action="store_true", help="the inputs are tables: .csv, .tsv, .jsonl and .parquet, also .gz")
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
    try:
        dataset = _MAKERS[kind](urls, **given, partition_format=options.partition_format)
    except TypeError as error:
        raise ConfigError(f"--table-option: tables of the format {kind} know no {', '.join(sorted(given))} ({error})") from error
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
    """By the endings of what is named; a folder or a registered dataset says nothing of that."""
    kinds = {_ENDINGS.get(PurePosixPath(url.lower().removesuffix(".gz")).suffix) for url in urls if not is_reference(url)} or {"csv"}
    kind = kinds.pop()
    if kinds or kind is None:
        endings = ", ".join(_ENDINGS)
        raise ConfigError(f"--table: the endings of {', '.join(urls)} do not say one format ({endings}); say --table-option format=csv")
    return kind


def _yes_or_no(value: str) -> bool:
    if value.lower() not in _YES_OR_NO:
        raise ConfigError(f"--table-option: {value!r} is neither true nor false")
    return _YES_OR_NO[value.lower()]


def _list(value: str) -> list[str]:
    return [name.strip() for name in value.split(",")]


def _types(value: str) -> dict[str, str]:
    return {name.strip(): kind.strip() for name, _, kind in (pair.rpartition(":") for pair in value.split(","))}


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
