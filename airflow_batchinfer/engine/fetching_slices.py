"""Slices of tables come to local disk: of a text file only the bytes, of Parquet the row groups, of a gzip file all of it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from airflow_batchinfer.datasets.listing import version_of
from airflow_batchinfer.engine.disk_budget import TooLarge, disk_explained
from airflow_batchinfer.engine.row_groups import RowGroups
from airflow_batchinfer.errors import ConfigError, NotFoundError
from airflow_batchinfer.storage import insist, is_local, open_file_system
from airflow_batchinfer.tables.slices import Slice
from airflow_batchinfer.tables.streams import is_gzip

Cell = list[Any]


def bytes_on_disk(piece: Slice, kind: str) -> int:
    """What a slice takes of the disk when it is here; row groups take theirs when they are brought."""
    if is_local(piece.path) or kind == "parquet":
        return 0
    return piece.size if is_gzip(piece.path) else piece.stop - piece.start


def bring_slice(piece: Slice, kind: str, place: Path, row_groups: RowGroups) -> Cell:
    """A slice as a worker gets it: what is on local disk, its name as planned, and what is wrong with it, if it cannot be had."""
    if is_local(piece.path):
        return [*piece, piece.path, None]
    fs, path = open_file_system(piece.path, use_listings_cache=False)
    target = place / Path(path).name[-100:]

    def is_as_planned() -> bool:
        fs.invalidate_cache()
        entry: Mapping[str, Any] = fs.info(path)
        return int(entry["size"] or 0) == piece.size and version_of(dict(entry)) == piece.version

    def download() -> tuple[int, int]:
        with disk_explained(target):
            if is_gzip(path):
                fs.get_file(path, str(target))
                return piece.start, piece.stop
            target.write_bytes(fs.cat_file(path, start=piece.start, end=piece.stop))
        return 0, piece.stop - piece.start

    try:
        if not insist(is_as_planned, piece.path):
            return lost_slice(piece, "changed since planned")
        with disk_explained(place):
            place.mkdir(parents=True, exist_ok=True)
        if kind == "parquet":
            row_groups.link(piece, target)
            where = piece.start, piece.stop
        else:
            where = insist(download, piece.path)
    except (FileNotFoundError, NotFoundError):
        return lost_slice(piece, "cannot be read: it does not exist any more")
    except (OSError, ConfigError, TooLarge) as error:
        return lost_slice(piece, f"cannot be read: {error}")
    return [str(target), None, None, *where, piece.first, piece.rows, piece.path, None]


def lost_slice(piece: Slice, problem: str) -> Cell:
    """A slice as a worker gets it when it cannot be had."""
    return [*piece, piece.path, problem]
