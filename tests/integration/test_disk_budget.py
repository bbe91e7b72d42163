"""A node fetches no more than its machine's disk may hold, and says what does not fit."""

from collections.abc import Iterator
from uuid import uuid4

import fsspec
import pytest

from tests.integration.lab import Lab

# How many bytes of fetched items lie beside the one that it is given, at that moment.
COUNTS = """
from pathlib import Path

def run(items):
    fetched = next(folder for folder in Path(items[0]).parents if folder.name == "items")
    sizes = 0
    for path in fetched.rglob("*"):
        try:
            sizes += path.stat().st_size if path.is_file() else 0
        except FileNotFoundError:  # discarded just now
            pass
    return [f"{Path(item).name} {sizes}" for item in items]
"""


@pytest.fixture
def memory() -> Iterator[str]:
    url = f"memory:///{uuid4().hex}"
    yield url
    fsspec.filesystem("memory").rm(url, recursive=True)


def put(url: str, sizes: list[int]) -> None:
    for number, size in enumerate(sizes):
        fsspec.filesystem("memory").pipe_file(f"{url}/{number:03d}", b"x" * size)


def test_a_small_disk_only_means_that_less_is_fetched_ahead(lab: Lab, memory: str, monkeypatch: pytest.MonkeyPatch):
    put(memory, [1000] * 60)
    monkeypatch.setenv("BATCHINFER_DISK_BUDGET", "4KB")
    lab.score(lab.script(COUNTS), inputs=[memory], mini_batch_size=2, process_count_per_node=2)
    found = [row.split() for row in lab.rows]
    assert [name for name, _ in found] == [f"{number:03d}" for number in range(60)]
    assert max(int(size) for _, size in found) <= 4096


def test_an_item_larger_than_the_disk_budget_fails_by_name_and_says_what_to_do(lab: Lab, memory: str, monkeypatch: pytest.MonkeyPatch):
    put(memory, [1000, 5000, 1000])
    monkeypatch.setenv("BATCHINFER_DISK_BUDGET", "4KB")
    summary = lab.score(lab.script(COUNTS), inputs=[memory], mini_batch_size=3, process_count_per_node=1, error_threshold=1)
    assert (summary.rows, summary.items_failed) == (2, 1)
    (error,) = lab.errors
    assert error["items"] == [f"{memory}/001"]
    assert error["reason"].startswith("cannot be read: it has 4.88 KB, and a node may hold 4 KB on its disk at once: ")
    assert "BATCHINFER_DISK_BUDGET" in error["reason"]
