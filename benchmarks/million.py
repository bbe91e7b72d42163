"""Makes a million empty files, twice: in a tree of a thousand folders, and all in one folder.

The tree is three levels of ten folders, so that 1,000, 10,000, 100,000 or all files lie under one folder
each, and a job over so many has one plain input.
"""

from __future__ import annotations

import itertools
import os
import string
from typing import TYPE_CHECKING

from benchmarks.places import MILLION

if TYPE_CHECKING:
    from pathlib import Path

FILES_PER_FOLDER = 1_000

_UNDER = {1_000: "tree/0/0/0", 10_000: "tree/0/0", 100_000: "tree/0", 1_000_000: "tree"}


def tree(files: int) -> Path:
    """The folder of the tree with so many files below it, made when missing."""
    top = MILLION / _UNDER[files]
    for folder in _leaves(top):
        _fill(folder, FILES_PER_FOLDER)
    return top


def flat(files: int) -> Path:
    """One folder with so many files in it, made when missing."""
    folder = MILLION / f"flat-{files}"
    _fill(folder, files)
    return folder


def _leaves(top: Path) -> list[Path]:
    levels = 3 - len(top.relative_to(MILLION / "tree").parts)
    return [top.joinpath(*digits) for digits in itertools.product(string.digits, repeat=levels)]


def _fill(folder: Path, files: int) -> None:
    done = MILLION / "made" / "-".join(folder.relative_to(MILLION).parts)  # not beside the files: it would be one more item
    if done.exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(files):
        os.close(os.open(folder / f"{number:06}.txt", os.O_CREAT | os.O_WRONLY, 0o644))
    done.parent.mkdir(exist_ok=True)
    done.touch()
