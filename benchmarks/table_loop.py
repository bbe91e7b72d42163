"""What a user would write without us for a table: a plain loop over every N-th chunk of whole lines, in one process.

The baseline of S7. The chunks are about as large as the engine's mini-batches and the types are given, so pandas has nothing to find
out. No line break is quoted in what it reads. Started by path.
"""

import io
import os
import sys
from pathlib import Path

import pandas as pd
from hand_written_loop import load

TYPES = {"number": "int64", "a": "float64", "b": "float64", "c": "float64", "d": "int64", "text": "str"}


def main(script: str, file: str, chunk_bytes: str, worker: str, workers: str, output: str) -> None:
    """Score this worker's share of the file and write one row per line."""
    module = load(Path(script))
    module.init()
    with open(output, "w", encoding="utf-8") as rows, open(file, "rb") as stream:
        names = stream.readline().decode().strip().split(",")
        for start, stop in cut(stream, int(chunk_bytes))[int(worker) :: int(workers)]:
            stream.seek(start)
            frame = pd.read_csv(io.BytesIO(stream.read(stop - start)), header=None, names=names, dtype=TYPES)
            rows.writelines(row + "\n" for row in module.run(frame))


def cut(stream: io.BufferedReader, chunk_bytes: int) -> list[tuple[int, int]]:
    """Where each chunk starts and stops: at the first line end after so many bytes."""
    start, size = stream.tell(), os.fstat(stream.fileno()).st_size
    chunks = []
    while start < size:
        stream.seek(min(start + chunk_bytes, size))
        stream.readline()
        chunks.append((start, stream.tell()))
        start = stream.tell()
    return chunks


if __name__ == "__main__":
    main(*sys.argv[1:])
