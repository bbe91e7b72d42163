"""The columns of a CSV table: named by the first file, the same in every other, their types settled by the rows of all."""

from collections.abc import Sequence
from itertools import zip_longest

from airflow_batchinfer.datasets import TableForm
from airflow_batchinfer.errors import ConfigError
from airflow_batchinfer.tables.chunks import Chunk
from airflow_batchinfer.tables.column_types import Marks, joined, settled
from airflow_batchinfer.tables.csv_text import CsvText

# Types that only whole columns show.
_OF_A_SAMPLE = {"int64_with_gaps": "float64", "verbatim": "str"}


class CsvColumns:
    """Names, marks and types of the columns."""

    def __init__(self, form: TableForm, text: CsvText, keys: tuple[str, ...]) -> None:
        self.names: list[str] = []
        self._form = form
        self._text = text
        self._declared = dict(form.types)
        self._keys = keys
        self.number_of_first_record = -1 if form.header else 0  # rows are counted from 0
        self._first_path = ""
        self._first_record = b""
        self._marks: list[Marks] = []

    @property
    def marks(self) -> list[Marks]:
        """What is known of each column. A declared one is as good as known to be text: nobody need find out its type."""
        return [Marks.TEXT if name in self._declared else marks for name, marks in zip(self.names, self._marks, strict=True)]

    @property
    def settled(self) -> tuple[tuple[str, str], ...]:
        """Names and types."""
        found = [settled(marks) for marks in self._marks]
        types = found if self._form.multi_line else [_OF_A_SAMPLE.get(kind, kind) for kind in found]
        return tuple((name, self._declared.get(name, kind)) for name, kind in zip(self.names, types, strict=True))

    def meet(self, path: str, chunk: Chunk) -> Chunk:
        """The first chunk of a file that holds a record, without its header: its columns must be those of the files before."""
        first = int(chunk.filled.argmax())
        record = chunk.part(first, first + 1)
        if not (self._form.header and record.text == self._first_record):
            self._meet_names(path, self._names(path, record))
            self._first_record = record.text
        return chunk.part(first + 1, len(chunk.ends)) if self._form.header else chunk

    def meet_nothing(self, path: str) -> None:
        """A file without a record: of files without headers that is one without rows."""
        if self._form.header:
            raise ConfigError(f"{path} is empty: it has no header; leave it out, or say header=False if no file of the table has one")

    def _meet_names(self, path: str, names: list[str]) -> None:
        if not self._first_path:
            self._first_path, self.names, self._marks = path, names, [Marks.NONE] * len(names)
            self._check_names()
        elif names != self.names:
            raise ConfigError(_difference(path, names, self._first_path, self.names))

    def add(self, marks: Sequence[Marks]) -> None:
        """What the rows below the ones before hold."""
        self._marks = [joined(above, below) for above, below in zip(self._marks, marks, strict=True)]

    def _names(self, path: str, record: Chunk) -> list[str]:
        if self._form.header:
            return self._text.names(path, record)
        width, given = self._text.width(path, record), self._form.names
        if given is None:
            return list(map(str, range(width)))
        if width > len(given):
            raise ConfigError(f"{path}: its first row has {width} values, and column_names name {len(given)} columns; name them all")
        return list(given)

    def _check_names(self) -> None:
        asked = {"types": self._declared, "partition_keys": self._keys}
        told = ", ".join(self.names)
        faults = [
            f"{what}: {self._first_path} has no column {name!r}; it has {told}"
            for what, names in asked.items()
            for name in names
            if name not in self.names
        ]
        if faults:
            raise ConfigError(faults)


def _difference(path: str, names: list[str], first_path: str, first_names: list[str]) -> str:
    pairs = enumerate(zip_longest(names, first_names), start=1)
    number, (here, there) = next((number, pair) for number, pair in pairs if pair[0] != pair[1])
    told = [f"{where} {'has none' if name is None else f'calls it {name!r}'}" for where, name in ((path, here), (first_path, there))]
    remedy = "every file of a table has the same columns in the same order; leave the file out, or make it a table of its own"
    return f"{path} has other columns than {first_path}: of column {number}, {' and '.join(told)}; {remedy}"
