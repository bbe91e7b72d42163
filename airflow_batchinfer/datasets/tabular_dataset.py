"""TabularDataset: the rows of CSV, JSON lines or Parquet files as items."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from typing import Any, ClassVar, Self

from airflow_batchinfer.datasets.dataset import Dataset, KnownLater, Paths, checked_format, checked_paths, listed
from airflow_batchinfer.errors import ConfigError, Faults

TYPES = ("int64", "float64", "bool", "str", "datetime")
_TAB_ENDINGS = (".tsv", ".tab", ".tsv.gz", ".tab.gz")
# All of ASCII, and what other encodings than it take for the beginning of something else.
_ALL_ASCII = bytes(range(128)) + b"\\u0022\\x22\x1b$B!!"


@cache
def _means_ascii(encoding: str, separator: str) -> bool:
    """Whether ASCII bytes mean ASCII; those by which a table is cut must do so also behind any other byte."""
    try:
        if _ALL_ASCII.decode(encoding) != _ALL_ASCII.decode("ascii"):
            return False
    except UnicodeError:
        return False
    for lead in range(128, 256):
        for byte in f'"\r\n\t {separator}'.encode():
            with suppress(UnicodeError):
                if bytes((lead, byte)).decode(encoding)[1:] != chr(byte):
                    return False
    return True


def _named_twice(what: str, names: Sequence[str]) -> list[str]:
    wrong = [f"{what}: {name!r} is no name" for name in names if not isinstance(name, str) or not name]
    return wrong or [f"{what}: {name!r} stands there twice" for name in sorted({name for name in names if names.count(name) > 1})]


@dataclass(frozen=True)
class TableForm:
    """How the files of a table are read; see docs/reference.md for each."""

    kind: str
    separator: str = ","
    header: bool = True
    names: tuple[str, ...] | None = None
    types: tuple[tuple[str, str], ...] = ()
    encoding: str = "utf-8"
    multi_line: bool = True

    def __post_init__(self) -> None:
        switches = {"header": self.header, "multi_line": self.multi_line}
        faults = [f"{name}={value!r}: give True or False" for name, value in switches.items() if not isinstance(value, bool)]
        faults += [*self._separator_faults(), *self._name_faults(), *self._type_faults(), *self._encoding_faults()]
        if faults:
            raise ConfigError(faults)

    def _separator_faults(self) -> list[str]:
        good = (
            isinstance(self.separator, str) and len(self.separator) == 1 and self.separator.isascii() and self.separator not in '"\r\n\0 '
        )
        return [] if good else [f"separator={self.separator!r}: give one ASCII character that is no quote, space or line break"]

    def _name_faults(self) -> list[str]:
        if self.names is None:
            return []
        if not isinstance(self.names, tuple) or not self.names:
            return [f"column_names={self.names!r}: give a list of names"]
        found = _named_twice("column_names", self.names)
        return [*found, "column_names name the columns of files without a header: say header=False as well"] if self.header else found

    def _type_faults(self) -> list[str]:
        if not isinstance(self.types, tuple):
            return [f"types={self.types!r}: give a dict of columns and types, such as {{'zip': 'str'}}"]
        found = _named_twice("types", [name for name, _ in self.types])
        return found + [f"types: {name!r} is {kind!r}; give one of {', '.join(TYPES)}" for name, kind in self.types if kind not in TYPES]

    def _encoding_faults(self) -> list[str]:
        try:
            good = _means_ascii(self.encoding, str(self.separator))
        except (LookupError, TypeError, ValueError):
            return [f"encoding={self.encoding!r}: Python knows no such encoding"]
        told = f"encoding={self.encoding!r}: a file can be cut only where ASCII bytes mean ASCII; convert the files to UTF-8"
        return [] if good else [told]


@dataclass(frozen=True)
class TabularDataset(Dataset):
    """The rows of files, one file below the other in the order of their paths. Made by `from_csv` and its sisters."""

    items_are: ClassVar[str] = "rows"
    form: TableForm = field(default=TableForm("csv"))
    kept: tuple[str, ...] | None = None

    @classmethod
    def from_csv(  # noqa: PLR0913 - as many things differ between CSV files; all but the path go by name
        cls,
        path: Paths,
        *,
        separator: str | None = None,
        header: bool = True,
        column_names: Sequence[str] | None = None,
        types: Mapping[str, str] | None = None,
        encoding: str = "utf-8",
        multi_line: bool = True,
        partition_format: str | None = None,
    ) -> Self:
        """The rows of CSV files, also gzipped (`.gz`).

        :param path: One or more files, folders or globs, as for FileDataset.
        :param separator: What stands between two values; None is a tab for `.tsv` files, else a comma.
        :param header: Whether the first record of each file names the columns.
        :param column_names: What the columns of files without a header are called; None numbers them, from "0".
        :param types: Of columns, of int64, float64, bool, str and datetime; the others are settled from the data.
        :param encoding: Of the text.
        :param multi_line: Whether a quoted value may hold a line break. False is faster for huge files: they are cut without being read.
        :param partition_format: Which parts of a path are partition keys.
        """
        given = {"names": _as_tuple(column_names), "types": _pairs(types), "encoding": encoding, "multi_line": multi_line}
        return cls._made("from_csv", path, partition_format, kind="csv", separator=separator, header=header, **given)

    @classmethod
    def from_json_lines(
        cls, path: Paths, *, types: Mapping[str, str] | None = None, encoding: str = "utf-8", partition_format: str | None = None
    ) -> Self:
        """The rows of files with one JSON object in each line, also gzipped (`.gz`); the parameters are those of `from_csv`."""
        return cls._made("from_json_lines", path, partition_format, kind="json_lines", types=_pairs(types), encoding=encoding)

    @classmethod
    def from_parquet(cls, path: Paths, *, partition_format: str | None = None) -> Self:
        """The rows of Parquet files; the parameters are those of `from_csv`."""
        return cls._made("from_parquet", path, partition_format, kind="parquet")

    @classmethod
    def _made(cls, how: str, path: Paths, partition_format: str | None, **form: Any) -> Self:  # noqa: ANN401 - whatever was given
        """A table, or one error with every fault."""
        faults = Faults()
        paths = faults.attempt(lambda: checked_paths(f"TabularDataset.{how}", listed(path)))
        checked = faults.attempt(lambda: checked_format(partition_format))
        if form.get("separator", "") is None:
            form["separator"] = _separator_of(paths or ())
        made = faults.attempt(lambda: TableForm(**form))
        faults.raise_any()
        return cls(paths, partition_format=checked, form=made)

    def columns(self, names: Sequence[str]) -> Self:
        """This dataset with only these columns, in this order."""
        kept = tuple(names) if isinstance(names, Sequence) and not isinstance(names, str) else ()
        if not kept or (faults := _named_twice("columns", kept)):
            raise ConfigError(faults if kept else f"columns({names!r}): give a list of names")
        return replace(self, kept=kept)

    def as_plain(self) -> dict[str, Any]:
        """See `Dataset`."""
        form = asdict(self.form) | {"names": self.form.names and list(self.form.names), "types": dict(self.form.types)}
        kept = {} if self.kept is None else {"columns": list(self.kept)}
        return {"kind": "table", **super().as_plain(), "form": form, **kept}

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Self:
        """A dataset from its plain form."""
        fields = cls._of_plain(plain)
        try:
            form = dict(plain["form"])
            names, types = form.pop("names", None), form.pop("types", {})
            made = TableForm(**form, names=_as_tuple(names), types=_pairs(types))
        except (KeyError, TypeError, ValueError) as error:
            raise ConfigError(f"this is not a stored TabularDataset: {str(plain)[:200]} ({error!r})") from error
        dataset = cls(**fields, form=made)
        return dataset.columns(plain["columns"]) if plain.get("columns") is not None else dataset


def _pairs(types: Any) -> Any:  # noqa: ANN401 - whatever was given, which TableForm looks at
    if types is None or isinstance(types, Mapping):
        return tuple((types or {}).items())
    return list(types) if isinstance(types, tuple) else types


def _as_tuple(names: Any) -> Any:  # noqa: ANN401 - as above
    return tuple(names) if isinstance(names, Sequence) and not isinstance(names, str) else names


def _separator_of(paths: Sequence[object]) -> str:
    ends_in_tab = [isinstance(path, str) and path.lower().endswith(_TAB_ENDINGS) for path in paths if not isinstance(path, KnownLater)]
    return "\t" if ends_in_tab and all(ends_in_tab) else ","
