"""The Ray Data programs that S3 compares with: the same network in a pool of two actors.

`from_paths` is as favourable to Ray as can be: paths go in, so no reader sits between the script and its
files, and the pool has both cores to itself. `from_images` is what Ray's documentation shows: Ray's own
reader opens the images, and a third core is declared, since the actors take two and the reader needs one.
Runs in Ray's own environment; the driver imports no TensorFlow, as ours does not.
"""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path

import numpy as np
import ray
from ray.data import ActorPoolStrategy, DataContext, Dataset

ACTORS = 2
BLOCKS = 12  # few enough to cost little, enough to keep both actors busy to the end; 2, 6 and 30 were no faster, once each


class Scorer:
    """One actor: the entry script, loaded and initialised once."""

    def __init__(self, script: str) -> None:
        sys.path.insert(0, str(Path(script).parent))
        self._module = __import__(Path(script).stem)
        self._module.init()

    def __call__(self, batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {"row": np.array(self._score(batch))}

    def _score(self, batch: dict[str, np.ndarray]) -> list[str]:
        if "image" in batch:
            return self._module.name_digits(batch["path"], batch["image"])
        return self._module.run(batch["path"].tolist())


def from_paths(folder: str) -> Dataset:
    """The paths of the folder's files, in order."""
    _start(cores=ACTORS)
    paths = sorted(entry.path for entry in os.scandir(folder))
    return ray.data.from_items([{"path": path} for path in paths], override_num_blocks=BLOCKS)


def from_images(folder: str) -> Dataset:
    """The folder's images, read by Ray."""
    _start(cores=ACTORS + 1)
    return ray.data.read_images(folder, include_paths=True)


def _start(cores: int) -> None:
    ray.init(num_cpus=cores, include_dashboard=False, logging_level=logging.ERROR)
    DataContext.get_current().enable_progress_bars = False


def main(source: str, script: str, folder: str, mini_batch_size: str, output: str) -> None:
    """Score the folder and write one row per line."""
    items = {"paths": from_paths, "images": from_images}[source](folder)
    pool = ActorPoolStrategy(size=ACTORS)
    scored = items.map_batches(Scorer, fn_constructor_args=(script,), batch_size=int(mini_batch_size), compute=pool)
    with open(output, "w", encoding="utf-8") as rows:
        for batch in scored.iter_batches(batch_size=None, batch_format="numpy"):
            rows.writelines(f"{row}\n" for row in batch["row"])


if __name__ == "__main__":
    main(*sys.argv[1:])
