"""How far a job is, as a bar on a terminal with what is said above it. Importers import this where they show one."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn
from rich.text import Text

from airflow_batchinfer.engine import progress as engine_progress


class ProgressBar:
    """A display for a terminal."""

    def __init__(self, bar: Progress, task: TaskID) -> None:
        self._bar = bar
        self._task = task

    def say(self, text: str) -> None:
        """Tell something once, above the bar."""
        self._bar.console.print(Text(text), soft_wrap=True)

    def progress(self, progress: engine_progress.Progress) -> None:
        """Tell how far the job is."""
        self._bar.update(self._task, total=progress.items, completed=progress.counts.items, told=str(progress))

    def printed(self, worker: int, line: str) -> None:
        """Tell what a worker printed, above the bar."""
        self._bar.console.print(Text(f"worker {worker} | ", style="dim") + Text(line), soft_wrap=True)


@contextmanager
def progress_bar() -> Iterator[ProgressBar]:
    """A bar, for the length of a job."""
    columns = (BarColumn(bar_width=30), TextColumn("{task.fields[told]}"))
    with Progress(*columns, console=Console(stderr=True), refresh_per_second=5, transient=False) as bar:
        yield ProgressBar(bar, bar.add_task("scoring", total=None, told=""))
