"""The least that listing can cost in Python: scan, stat and sort, nothing written. S6's yardstick.

A program of its own, so that the million paths fill no other process's memory.
"""

import os
import sys


def main(folder: str) -> None:
    """List the folder and print how many files there are."""
    print(len(sorted(_walk(folder))))


def _walk(folder: str) -> list[tuple[str, int, int]]:
    found = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir():
                found += _walk(entry.path)
            else:
                stat = entry.stat()
                found.append((entry.path, stat.st_size, stat.st_mtime_ns))
    return found


if __name__ == "__main__":
    main(*sys.argv[1:])
