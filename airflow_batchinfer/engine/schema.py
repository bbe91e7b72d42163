"""The columns of a job's result: the same for every mini-batch, and fixed by the first one that has any.

They lie in the job's folder as numbered records, each created exclusively. The first names the columns; each later one says
what a column holds that was all null until then, or how many digits its decimals have. A mini-batch whose columns do not fit
has a bad result. One that is isolated enters its parts as one, when none is left to be called.

Whoever comes first, a run that succeeds has the same bytes: a mini-batch that does not fit what a later one of the input has
fixed fails not itself but the job, since in another order the other would be the bad one.
"""

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import NamedTuple

from airflow_batchinfer.engine.joining import Basis, Named, basis_of, judged
from airflow_batchinfer.engine.ledger import Failed
from airflow_batchinfer.engine.protocol import Done
from airflow_batchinfer.engine.result_file import as_columns, as_stream, is_stream
from airflow_batchinfer.errors import ScriptError
from airflow_batchinfer.storage import Store
from airflow_batchinfer.worker.kinds import Differs, Kind, Unwritable, joined, told
from airflow_batchinfer.workspace import JobFolder

MOST_TOLD = 30
REMEDY = "let run() return the same columns for every mini-batch"


class Column(NamedTuple):
    """A column, what it holds, and the last mini-batch of the input of those that what is known of it comes from."""

    name: str
    kind: Kind
    source: int


class Columns(NamedTuple):
    """All of them, and the earliest mini-batch that is known to have named them so."""

    source: int
    columns: list[Column]

    def __str__(self) -> str:
        more = len(self.columns) - MOST_TOLD
        named = [f"{name} {told(kind)}" if kind else name for name, kind, _ in self.columns[:MOST_TOLD]]
        return ", ".join(named) + (f" and {more} more" if more > 0 else "")


class _Misfit(Exception):
    """These columns cannot stand beside those that `source` had; the text says where they differ."""

    def __init__(self, what: str, source: int, *, indivisible: bool) -> None:
        super().__init__(what)
        self.source = source
        self.indivisible = indivisible


@dataclass(frozen=True)
class Fit:
    """What a mini-batch's columns came to: rows as they are stored, or that they do not fit, or (by its number) why a part is refused.

    `basis` is what its parts are judged by from now on. If it `comes_too_late`, they were judged before an earlier mini-batch
    had fixed what they should have been judged by.
    """

    rows: bytes = b""
    header_bytes: int = 0
    failure: Failed | None = None
    refused: dict[int, Failed] = field(default_factory=dict)
    basis: Basis | None = None
    comes_too_late: bool = False


class Schema:
    """See above; what it has read of the records once, it need not read again. It asks storage, so it is the recorder's."""

    def __init__(self, store: Store, folder: JobFolder, result_format: str) -> None:
        self._store = store
        self._folder = folder
        self._format = result_format
        self._known: Columns | None = None
        self._records = 0
        # What has fitted once fits for ever.
        self._fitting: object = None

    def fits_at_once(self, done: Done) -> bool:
        """Whether nothing has to be asked or made for that; any thread may ask this."""
        return not done.schema or (done.schema == self._fitting and (self._format != "parquet" or is_stream(done.text)))

    def fit(self, mini_batch: int, done: Done) -> Fit:
        """Enter the columns of a mini-batch that was called whole."""
        try:
            rows = as_stream(done.text, done.schema or ()) if self._format == "parquet" else done.text
        except Unwritable as error:
            return Fit(failure=_bad(str(error)))
        return Fit(rows, done.header_bytes, self._entered(mini_batch, done.schema or ()))

    def fit_parts(self, mini_batch: int, parts: Sequence[Done], basis: Basis | None) -> Fit:
        """Join the parts of a mini-batch, given in order, and enter what they have together; or say which of them are refused.

        Whoever isolates asks again without those that were refused, and with the same basis: a later look must not be another one.
        """
        basis, told_why = judged(parts, basis or basis_of(parts, self._fixed_before(mini_batch)))
        refused = {number: _bad(f"{why}, as the mini-batch's other rows or earlier ones") for number, why in told_why.items()}
        rows, header_bytes = b"", 0
        for number, part in enumerate(parts):
            if number not in refused:
                try:
                    text, own_header = self._as_joined(part, basis)
                except Unwritable as error:
                    refused[number] = _bad(str(error))
                else:
                    rows += text[own_header:] if header_bytes else text
                    header_bytes = header_bytes or own_header
        if refused:
            return Fit(refused=refused, basis=basis)
        failure = self._entered(mini_batch, basis.named)
        if failure and basis.fixed != self._fixed_before(mini_batch):
            return Fit(comes_too_late=True)
        return Fit(rows, header_bytes, failure, basis=basis)

    def _as_joined(self, part: Done, basis: Basis) -> tuple[bytes, int]:
        if not part.schema:
            return part.text, part.header_bytes
        text = as_stream(part.text, part.schema) if self._format == "parquet" else part.text
        return as_columns(text, part.header_bytes, self._format, part.schema, basis.named)

    def _fixed_before(self, mini_batch: int) -> dict[str, Kind] | None:
        """What earlier mini-batches are known to have fixed: the names, and of each column its kind or that it is open."""
        with suppress(FileNotFoundError):
            while True:
                self._known = _read(self._store, self._path)
                self._records += 1
        if self._known is None or self._known.source >= mini_batch:
            return None
        return {name: kind if source < mini_batch else None for name, kind, source in self._known.columns}

    def _entered(self, mini_batch: int, named: Named) -> Failed | None:
        """Let all nodes know these columns; a failure if they do not fit, `ScriptError` if the others' may be the bad ones."""
        if not named or tuple(named) == self._fitting:
            return None
        here = Columns(mini_batch, [Column(name, kind, mini_batch) for name, kind in named])
        try:
            self._enter(here)
        except _Misfit as misfit:
            both = f"{misfit}. Columns of mini-batch {mini_batch}: {here}; of mini-batch {misfit.source}: {self._known}"
            if mini_batch < misfit.source:
                told = f"the result would depend on which mini-batch comes first: in mini-batch {mini_batch} {both}. Mend the script"
                raise ScriptError(f"{told}: {REMEDY}") from None
            return Failed(f"bad result: {both}; {REMEDY}", f"bad result: {misfit}", indivisible=misfit.indivisible)
        self._fitting = tuple(named)
        return None

    def _enter(self, here: Columns) -> None:
        while (columns := _joined(self._known, here)) != self._known:
            path = self._path
            try:
                self._store.create(path, json.dumps(columns).encode())
                self._known = columns
            except FileExistsError:
                self._known = _read(self._store, path)
            self._records += 1

    @property
    def _path(self) -> str:
        """Of the next record."""
        return f"{self._folder.schema}/{self._records:05d}.json"


def read_columns(store: Store, folder: JobFolder) -> list[tuple[str, Kind]] | None:
    """The columns of a job's result, unless no mini-batch had any."""
    records = store.children(folder.schema)
    return [(name, kind) for name, kind, _ in _read(store, f"{folder.schema}/{records[-1]}").columns] if records else None


def _read(store: Store, path: str) -> Columns:
    source, columns = json.loads(store.read(path))
    return Columns(source, [Column(*column) for column in columns])


def _bad(why: str) -> Failed:
    return Failed(f"bad result: {why}", f"bad result: {why}")


def _joined(known: Columns | None, here: Columns) -> Columns:
    """What is known and what is here, by the names; `_Misfit` if they do not fit."""
    if known is None:
        return here
    names, own = ({column.name: column for column in each.columns} for each in (known, here))
    # A column that is missing is missing in every part; one too many may be in one alone.
    if missing := [name for name in names if name not in own]:
        raise _Misfit(f"there is no column {missing[0]!r}", known.source, indivisible=True)
    if added := [name for name in own if name not in names]:
        raise _Misfit(f"there is a column {added[0]!r}", known.source, indivisible=False)
    columns = [_joined_column(column, own[name]) for name, column in names.items()]
    # Who adds something has the same names, so the earlier of both has named them too.
    return known if columns == known.columns else Columns(min(known.source, here.source), columns)


def _joined_column(known: Column, here: Column) -> Column:
    try:
        kind = joined(known.kind, here.kind)
    except Differs as error:
        what = f"the column {here.name!r} is {told(here.kind)}, not {told(known.kind)}{error}"
        raise _Misfit(what, known.source, indivisible=False) from None
    if kind == known.kind:
        return known
    return Column(known.name, kind, here.source if known.kind is None else max(known.source, here.source))
