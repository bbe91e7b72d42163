"""What one task of a step does, in a process of its own, with every request to the workspace counted.

`counted_task.py plan|run|merge WORKSPACE ...` prints one line of JSON: seconds, peak memory, requests by what they do. Started by path.
"""

import json
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from airflow_batchinfer.datasets import FileDataset
from airflow_batchinfer.engine.merge import merge
from airflow_batchinfer.engine.node import NodeOptions, work
from airflow_batchinfer.engine.scoring import begin
from airflow_batchinfer.environments.specification import Specification
from airflow_batchinfer.planning.config import ParallelRunConfig
from airflow_batchinfer.planning.planner import Request
from airflow_batchinfer.planning.stored import load_job, load_pin
from airflow_batchinfer.storage import Store
from airflow_batchinfer.workspace import Workspace

# What each call of a store is on object storage. A listing has one page for each 1,000 names.
REQUESTS = {"read": "get", "open": "get", "create": "put", "writer": "put", "find": "list", "children": "list", "delete": "delete"}
NAMES_PER_PAGE = 1_000


class CountingStore:
    """A store that counts what it is asked."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.requests: Counter[str] = Counter()

    def __getattr__(self, name: str) -> object:
        """The store's own, counted if it is a request."""
        found = getattr(self._store, name)
        return self._counted(found, REQUESTS[name]) if name in REQUESTS else found

    def _counted(self, ask: Callable[..., object], kind: str) -> Callable[..., object]:
        def counted(*given: object, **options: object) -> object:
            answer = ask(*given, **options)
            if kind == "list":
                answer = list(answer)  # type: ignore[call-overload]
                self.requests[kind] += max(1, -(-len(answer) // NAMES_PER_PAGE))
                return iter(answer) if ask.__name__ == "find" else answer
            self.requests[kind] += 1
            return answer

        return counted


def main(task: str, url: str, *given: str) -> None:
    """Do the task."""
    store = CountingStore(Workspace.at(url).store)
    workspace = Workspace(store)  # type: ignore[arg-type]
    started = time.monotonic()
    told: dict[str, object] = {"plan": _plan, "run": _run, "merge": _merge}[task](workspace, *given)
    # Not getrusage: what that tells of a process begins with the memory of the one that started it.
    peak_bytes = next(
        int(line.split()[1]) * 1024 for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")
    )
    print(json.dumps({**told, "seconds": time.monotonic() - started, "peak_bytes": peak_bytes, "requests": dict(store.requests)}))


def _plan(workspace: Workspace, script: str, folder: str, nodes: str, output: str) -> dict[str, object]:
    config = ParallelRunConfig(
        entry_script=script,
        error_threshold=0,
        mini_batch_size=1,
        node_count=nodes,
        process_count_per_node=1,
        append_row_file_name="rows.txt",
    )
    inputs = [FileDataset.from_files(folder)]
    pin = begin(workspace, Request(config=config, inputs=inputs, output_dir=output, environment=Specification()))
    job = load_job(workspace, pin.job)
    return {"pin": pin.path, "blocks": len(job.blocks()), "mini_batches": job.mini_batches}


def _run(workspace: Workspace, pin: str, map_index: str) -> dict[str, object]:
    work(workspace, load_pin(workspace, pin), NodeOptions(map_index=int(map_index)))
    return {}


def _merge(workspace: Workspace, pin: str) -> dict[str, object]:
    return {"rows": merge(workspace, load_pin(workspace, pin)).rows}


if __name__ == "__main__":
    main(*sys.argv[1:])
