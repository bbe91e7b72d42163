"""`batchinfer` with a storage layer, `slow:///folder`, that adds 50 ms to each request: the local disk as S3 or Azure feel.

Of the storage's own libraries it costs nothing, so what is measured is how well waiting is hidden. Started by path.
"""

import sys
import time

from fsspec import register_implementation
from fsspec.implementations.local import LocalFileSystem

from airflow_batchinfer.cli import main

REQUEST_SECONDS = 0.05


_HERE = LocalFileSystem()


class SlowFileSystem(LocalFileSystem):
    """Local files behind requests."""

    protocol = "slow"
    root_marker = "/"

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return str(LocalFileSystem._strip_protocol(path.removeprefix("slow://")))  # noqa: SLF001 - how fsspec's classes are extended

    def ls(self, path: str, detail: bool = False, **options: object) -> list[object]:  # noqa: FBT001, FBT002 - fsspec's
        """List a folder."""
        time.sleep(REQUEST_SECONDS)
        found: list[object] = _HERE.ls(path, detail, **options)
        return found

    def info(self, path: str, **options: object) -> dict[str, object]:
        """Look at a file."""
        time.sleep(REQUEST_SECONDS)
        found: dict[str, object] = super().info(path, **options)
        return found

    def get_file(self, path: str, target: str, **options: object) -> None:
        """Download a file."""
        time.sleep(REQUEST_SECONDS)
        super().get_file(path, target, **options)


if __name__ == "__main__":
    register_implementation("slow", SlowFileSystem)
    sys.exit(main())
