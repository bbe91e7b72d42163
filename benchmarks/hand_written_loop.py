"""What a user would write without us: a plain loop over every N-th mini-batch, in one process.

The baseline of S1 and S2. It keeps no record, retries nothing and survives nothing, so it is the
fastest that the entry script can be run. Standard library only; started by path.
"""

import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType


def main(script: str, folder: str, mini_batch_size: str, worker: str, workers: str, output: str) -> None:
    """Score this worker's share of the folder and write one row per line."""
    module = load(Path(script))
    module.init()
    with open(output, "w", encoding="utf-8") as rows:
        for mini_batch in cut(folder, int(mini_batch_size))[int(worker) :: int(workers)]:
            rows.writelines(str(row) + "\n" for row in module.run(mini_batch))


def load(script: Path) -> ModuleType:
    """Import the entry script from its path, its siblings importable."""
    sys.path.insert(0, str(script.parent))
    spec = importlib.util.spec_from_file_location(script.stem, script)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def cut(folder: str, mini_batch_size: int) -> list[list[str]]:
    """The folder's files in order, in mini-batches."""
    files = sorted(entry.path for entry in os.scandir(folder))
    return [files[start : start + mini_batch_size] for start in range(0, len(files), mini_batch_size)]


if __name__ == "__main__":
    main(*sys.argv[1:])
