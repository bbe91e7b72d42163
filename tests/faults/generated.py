"""A file system of tables that nobody has written: the rows are made where they are read, so a table may be as large as one likes.

`generated://rows-1000000.csv` has a header and a million rows of 100 bytes.
"""

from typing import Any

import numpy as np
from fsspec import AbstractFileSystem, register_implementation
from fsspec.spec import AbstractBufferedFile

ROW_BYTES = 100
HEADER = b"number,share,text".ljust(ROW_BYTES - 1, b"_") + b"\n"
_DIGITS = 10
_TEMPLATE = np.frombuffer(b"0000000000,0.5,".ljust(ROW_BYTES - 1, b"x") + b"\n", np.uint8)


class GeneratedFileSystem(AbstractFileSystem):
    protocol = "generated"
    cachable = False

    def info(self, path: str, **_: object) -> dict[str, Any]:
        rows = int(self._strip_protocol(path).removesuffix(".csv").rpartition("-")[2])
        return {"name": self._strip_protocol(path), "size": (rows + 1) * ROW_BYTES, "type": "file", "ETag": "made"}

    def ls(self, path: str, detail: bool = True, **_: object) -> list[Any]:  # noqa: FBT002 - fsspec's
        return [self.info(path)] if detail else [path]

    def cat_file(self, path: str, start: int | None = None, end: int | None = None, **_: object) -> bytes:
        first, stop = start or 0, self.info(path)["size"] if end is None else end
        rows = made(first // ROW_BYTES, -(-stop // ROW_BYTES))
        return rows[first % ROW_BYTES :][: stop - first]

    def _open(self, path: str, mode: str = "rb", **_: object) -> "GeneratedFile":
        return GeneratedFile(self, path, mode, block_size=8 << 20, cache_type="readahead", size=self.info(path)["size"])


class GeneratedFile(AbstractBufferedFile):
    def _fetch_range(self, start: int, end: int) -> bytes:
        return self.fs.cat_file(self.path, start, end)


def made(first: int, stop: int) -> bytes:
    """These lines; the header is line 0."""
    numbers = np.arange(max(first, 1), stop) - 1
    lines = np.tile(_TEMPLATE, (len(numbers), 1))
    for place in range(_DIGITS):
        lines[:, _DIGITS - 1 - place] = ord("0") + numbers // 10**place % 10
    return (HEADER if first == 0 else b"") + lines.tobytes()


def register() -> None:
    register_implementation("generated", GeneratedFileSystem, clobber=True)
