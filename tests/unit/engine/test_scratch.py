"""Where a node keeps what it fetches: folders that come and go fast."""

import fcntl
import os
import struct
from pathlib import Path

import pytest

from airflow_batchinfer.engine.scratch import spread_out

FS_IOC_GETFLAGS = 0x80086601
TOP_OF_A_HIERARCHY = 0x00020000
EXTENTS = 0x00080000  # only ext4 has it on a folder


def flags(folder: Path) -> int:
    """What `lsattr` shows as letters; the test is skipped where there is nothing to show."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        return int(struct.unpack("l", fcntl.ioctl(descriptor, FS_IOC_GETFLAGS, struct.pack("l", 0)))[0])
    except OSError:
        pytest.skip("a file system without such flags")
    finally:
        os.close(descriptor)


def test_the_folders_of_a_folder_are_spread_over_a_disk_that_looks_long_for_a_place_beside_files_that_just_went(tmp_path: Path):
    before = flags(tmp_path)
    spread_out(tmp_path)
    if not before & EXTENTS:
        pytest.skip("not ext4")
    assert not before & TOP_OF_A_HIERARCHY
    assert flags(tmp_path) == before | TOP_OF_A_HIERARCHY


def test_a_folder_where_nothing_can_be_spread_is_left_alone(tmp_path: Path):
    spread_out(Path("/proc/self"))
    spread_out(tmp_path / "missing")
    assert not list(tmp_path.iterdir())
