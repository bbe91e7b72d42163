"""The columns of a job's result: the same for every mini-batch, and fixed by the first one that has any.

They lie in the job's folder as numbered records, each created exclusively. The first names the columns; each later one says
what a column holds that was all null until then. A mini-batch whose columns do not fit has a bad result.

Whoever comes first, a run that succeeds has the same bytes: a mini-batch that does not fit what a later one of the input has
fixed fails not itself but the job, since in another order the other would be the bad one.
"""

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from airflow_batchinfer.engine.ledger import Failed
from airflow_batchinfer.engine.protocol import Done
from airflow_batchinfer.engine.result_file import as_stream
from airflow_batchinfer.errors import ScriptError
from airflow_batchinfer.storage import Store
from airflow_batchinfer.worker.kinds import Differs, Kind, Unwritable, joined, told
from airflow_batchinfer.workspace import JobFolder

MOST_TOLD = 30
REMEDY = "let run() return the same columns for every mini-batch"


class Column(NamedTuple):
    """A column, what it holds, and the last mini-batch that knew something new of that."""

    name: str
    kind: Kind
    source: int


class Columns(NamedTuple):
    """All of them, and the mini-batch that named them."""

    source: int
    columns: list[Column]

    def __str__(self) -> str:
        more = len(self.columns) - MOST_TOLD
        named = [f"{name} {told(kind)}" if kind else name for name, kind, _ in self.columns[:MOST_TOLD]]
        return ", ".join(named) + (f" and {more} more" if more > 0 else "")


class _Misfit(Exception):
    """These columns cannot stand beside those that `source` had; the text says where they differ."""

    def __init__(self, what: str, source: int, *, of_names: bool) -> None:
        super().__init__(what)
        self.source = source
        self.of_names = of_names


class Schema:
    """See above; what it has read of the records once, it need not read again."""

    def __init__(self, store: Store, folder: JobFolder, result_format: str) -> None:
        self._store = store
        self._folder = folder
        self._typed = result_format == "parquet"
        self._known: Columns | None = None
        self._records = 0
        # What has fitted once fits for ever.
        self._fitting: object = None

    def check(self, mini_batch: int, result: Done | Failed) -> Done | Failed:
        """The result as it is stored, or that its columns do not fit; `ScriptError` if the others' may be the bad ones."""
        if isinstance(result, Failed) or not result.schema:
            return result
        here = Columns(mini_batch, [Column(name, kind, mini_batch) for name, kind in result.schema])
        try:
            text = as_stream(result.text, result.schema) if self._typed else result.text
            if result.schema != self._fitting:
                self._enter(here)
                self._fitting = result.schema
        except Unwritable as error:
            return Failed(f"bad result: {error}", f"bad result: {error}")
        except _Misfit as misfit:
            both = f"{misfit}. Columns of mini-batch {mini_batch}: {here}; of mini-batch {misfit.source}: {self._known}"
            if mini_batch < misfit.source:
                told = f"the result would depend on which mini-batch comes first: in mini-batch {mini_batch} {both}. Mend the script"
                raise ScriptError(f"{told}: {REMEDY}") from None
            return Failed(f"bad result: {both}; {REMEDY}", f"bad result: {misfit}", indivisible=misfit.of_names)
        return replace(result, text=text)

    def _enter(self, here: Columns) -> None:
        """Let all nodes know these columns."""
        while (columns := _joined(self._known, here)) != self._known:
            path = f"{self._folder.schema}/{self._records:05d}.json"
            try:
                self._store.create(path, json.dumps(columns).encode())
                self._known = columns
            except FileExistsError:
                self._known = _read(self._store, path)
            self._records += 1


def read_columns(store: Store, folder: JobFolder) -> list[tuple[str, Kind]] | None:
    """The columns of a job's result, unless no mini-batch had any."""
    records = store.children(folder.schema)
    return [(name, kind) for name, kind, _ in _read(store, f"{folder.schema}/{records[-1]}").columns] if records else None


def _read(store: Store, path: str) -> Columns:
    source, columns = json.loads(store.read(path))
    return Columns(source, [Column(*column) for column in columns])


def _joined(known: Columns | None, here: Columns) -> Columns:
    """What is known and what is here; `_Misfit` if they do not fit."""
    if known is None:
        return here
    names, own = ([column.name for column in each.columns] for each in (known, here))
    if names != own:
        raise _Misfit(_difference(names, own), known.source, of_names=True)
    return Columns(known.source, list(map(_joined_column, known.columns, here.columns)))


def _joined_column(known: Column, here: Column) -> Column:
    try:
        kind = joined(known.kind, here.kind)
    except Differs:
        raise _Misfit(f"the column {here.name!r} is {told(here.kind)}, not {told(known.kind)}", known.source, of_names=False) from None
    return known if kind == known.kind else Column(known.name, kind, here.source)


def _difference(names: Sequence[str], own: Sequence[str]) -> str:
    if missing := [name for name in names if name not in own]:
        return f"there is no column {missing[0]!r}"
    if added := [name for name in own if name not in names]:
        return f"there is a column {added[0]!r}"
    return "the columns are in another order"
