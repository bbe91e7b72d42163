"""S4's other side: the Airflow DAG that one writes first, with a mapped task for every mini-batch.

Each task is a process of its own, so each imports the script and calls `init()`. It is helped where that costs nothing: the
rows are gathered with one request, as a slice of the mapped results, instead of one request each.
"""

from airflow.sdk import DAG, Param, task

with DAG(
    "one_task_per_mini_batch",
    schedule=None,
    doc_md=__doc__,
    params={name: Param("", type="string") for name in ("script", "folder", "mini_batch_size", "processes", "output")},
):

    @task
    def cut(params: dict) -> list[list[str]]:
        """The folder's files in order, in mini-batches."""
        import os

        size = int(params["mini_batch_size"])
        files = sorted(entry.path for entry in os.scandir(params["folder"]))
        return [files[start : start + size] for start in range(0, len(files), size)]

    @task(pool="mapped_tasks")
    def score(mini_batch: list[str], params: dict) -> list[str]:
        """The rows of one mini-batch."""
        import importlib
        import sys
        from pathlib import Path

        script = Path(params["script"])
        sys.path.insert(0, str(script.parent))
        module = importlib.import_module(script.stem)
        module.init()
        return module.run(mini_batch)

    @task
    def gather(rows: list[list[str]], params: dict) -> str:
        """One file of all rows, and its path."""
        from pathlib import Path

        output = Path(params["output"]) / "rows.txt"
        output.parent.mkdir(parents=True)
        output.write_text("".join(f"{row}\n" for some in rows[:] for row in some), encoding="utf-8")
        return str(output)

    gather(score.expand(mini_batch=cut()))
