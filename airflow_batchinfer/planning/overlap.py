"""Whether a folder that we write to lies inside an input: then results would be scored as inputs by the next run."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from airflow_batchinfer.datasets import Dataset
from airflow_batchinfer.datasets.listing import GLOB_CHARACTERS
from airflow_batchinfer.storage import comparable, is_local, local_path


def overlap_faults(inputs: Sequence[Dataset], ours: Mapping[str, str], result_file: str) -> list[str]:
    """A sentence for each of our folders that lies inside an input."""
    names = (result_file, "_errors.jsonl", "_summary.json")
    return [
        f"{name} {url} lies inside the input {path!r}, so the next run would score what this one writes; choose another folder"
        for dataset in inputs
        for path in dataset.paths
        for name, url in ours.items()
        if _inside(url, path, names)
    ]


def _inside(folder: str, input_path: str, names: Sequence[str]) -> bool:
    place, pattern = _comparable(folder), _comparable(input_path)
    if not GLOB_CHARACTERS.search(pattern) or (is_local(input_path) and local_path(input_path).is_dir()):
        return f"{place}/".startswith(f"{pattern}/")
    if "**" in pattern:
        return f"{place}/".startswith(f"{GLOB_CHARACTERS.split(pattern, maxsplit=1)[0].rpartition('/')[0]}/")
    from fsspec.utils import glob_translate

    matches = re.compile(glob_translate(pattern)).match
    return any(matches(f"{place}/{name}") for name in names)


def _comparable(url: str) -> str:
    """A path whose links are followed as far as it exists; a glob's, as far as it is none."""
    path = local_path(url) if is_local(url) else None
    if path is None or path.exists():
        return comparable(url)
    fixed = Path(*_until_glob(path.parts))
    return str(fixed.resolve() / path.relative_to(fixed)).rstrip("/")


def _until_glob(parts: tuple[str, ...]) -> list[str]:
    fixed: list[str] = []
    for part in parts:
        if GLOB_CHARACTERS.search(part):
            break
        fixed.append(part)
    return fixed
