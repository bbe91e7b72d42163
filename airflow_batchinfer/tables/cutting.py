"""From a table to slices of its files, in order, with the columns settled once for all of it."""

from collections.abc import Iterator, Mapping
from typing import Any, Protocol

from airflow_batchinfer.datasets import FileDataset, Item, TableForm, TabularDataset, list_items
from airflow_batchinfer.datasets.partitions import PathKeys
from airflow_batchinfer.errors import ConfigError
from airflow_batchinfer.tables.slices import Slice, Window


class Cutter(Protocol):
    """What each kind of table has: it reads one file after the other."""

    def cut(self, item: Item, window: Window) -> Iterator[tuple[tuple[str, ...], Slice]]:
        """The slices of a file, each with the values of the key columns."""

    @property
    def columns(self) -> tuple[tuple[str, str], ...]:
        """Names and types, when every file has been read."""

    def close(self) -> None:
        """Let go of what it holds; also where a cut breaks off."""


class TableCut:
    """A table on its way into slices; `told` is known when all of them are made."""

    def __init__(self, dataset: TabularDataset, most_bytes: int, keys: tuple[str, ...] = (), *, may_be_missing: bool = False) -> None:
        self._dataset = dataset
        self._most_bytes = None if keys else most_bytes
        self._keys = keys
        self._may_be_missing = may_be_missing
        self._cutter: Cutter | None = None
        self._column_keys: tuple[str, ...] = ()
        self._first_path = ""
        self._columns: tuple[tuple[str, str], ...] = ()

    def slices(self) -> Iterator[tuple[Mapping[str, str], Slice]]:
        """Every slice with the values of its keys, those of the path and those of columns."""
        dataset = self._dataset
        window = Window(dataset.start, None if dataset.stop is None else max(0, dataset.stop - dataset.start))
        in_path = PathKeys(dataset.partition_format, self._keys)
        try:
            for item in list_items(FileDataset(dataset.paths), may_be_missing=self._may_be_missing):
                found = in_path.of(item.path)
                for values, piece in self._cutter_for(item, found).cut(item, window):
                    yield {**found, **dict(zip(self._column_keys, values, strict=True))}, piece
                if window.take == 0:
                    break
            self._columns = self._cutter.columns if self._cutter else ()
        finally:
            if self._cutter:
                self._cutter.close()

    def told(self) -> dict[str, Any]:
        """What a worker must know to read the slices."""
        form, columns = self._dataset.form, self._columns
        names = [name for name, _ in columns]
        if missing := [name for name in self._dataset.kept or () if self._cutter and name not in names]:
            raise ConfigError(f"columns: the table {self._dataset} has no {', '.join(map(repr, missing))}; it has {', '.join(names)}")
        kept = None if self._dataset.kept is None else list(self._dataset.kept)
        read_by = {"kind": form.kind, "separator": form.separator, "encoding": form.encoding}
        return {**read_by, "names": names, "types": dict(columns), "columns": kept}

    def _cutter_for(self, item: Item, found: Mapping[str, str]) -> Cutter:
        """The same for all files; the keys that the first path does not hold are columns, and so they are in every file."""
        column_keys = tuple(key for key in self._keys if key not in found)
        if self._cutter is None:
            self._column_keys, self._first_path = column_keys, item.path
            self._cutter = _cutter(self._dataset.form, self._most_bytes, column_keys)
        elif column_keys != self._column_keys:
            raise ConfigError(_differing(item.path, set(column_keys), self._first_path, set(self._column_keys)))
        return self._cutter


def _differing(path: str, here: set[str], first_path: str, there: set[str]) -> str:
    """What is told of keys that only one of two paths holds; `here` and `there` are those that it does not."""
    with_it, without = (first_path, path) if here - there else (path, first_path)
    told = ", ".join(sorted(here ^ there))
    remedy = "a key is in the path of every file, or a column of every file; move the file, leave it out, or give a partition_format"
    return f"partition_keys: the path {with_it} holds {told}, and the path {without} does not: {remedy}"


def _cutter(form: TableForm, most_bytes: int | None, keys: tuple[str, ...]) -> Cutter:
    """Imported only where there is such a table: each brings a library of its own."""
    if form.kind == "parquet":
        from airflow_batchinfer.tables.parquet import ParquetCutter

        return ParquetCutter(form, most_bytes, keys)
    if form.kind == "json_lines":
        from airflow_batchinfer.tables.json_lines import JsonLinesCutter

        return JsonLinesCutter(form, most_bytes, keys)
    from airflow_batchinfer.tables.csv_cutter import CsvCutter

    return CsvCutter(form, most_bytes, keys)
