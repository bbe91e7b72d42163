"""Reads DAG files, and tries DAGs with `dag.test()`, without a running Airflow: about half a second each, after a first start.

Everything of Airflow happens in processes of their own (see trial_program.py), so that neither its logging nor its threads
nor what it warns of reaches the tests. `dag.test()` knows no pools and no slots: what needs those needs a live Airflow.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

START_SECONDS = 120.0


@dataclass(frozen=True)
class Trial:
    """What a DAG file holds, and what came of a run; one of a mapped task is named `id[map index]`."""

    dags: dict[str, list[str]]
    import_errors: dict[str, str]
    printed: str
    run_id: str = ""
    state: str = ""
    tasks: dict[str, str | None] = field(default_factory=dict)
    xcoms: dict[str, dict[str, Any]] = field(default_factory=dict)


class Trials:
    """A process that has loaded Airflow, with this home."""

    def __init__(self, home: Path) -> None:
        self._home = home

    def __enter__(self) -> Self:
        program = [sys.executable, str(Path(__file__).with_name("trial_program.py")), str(os.getpid())]
        self._log = (self._home / "trials.log").open("wb")
        environment = {**os.environ, "AIRFLOW_HOME": str(self._home), "AIRFLOW__CORE__LOAD_EXAMPLES": "False"}
        self._process = subprocess.Popen(
            program,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            env=environment,
            cwd=self._home,
            start_new_session=True,
        )
        try:
            self._wait_until_done(START_SECONDS)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.communicate()
        self._log.close()

    def read(self, file: Path) -> Trial:
        """The DAGs of a file and their tasks, or why it cannot be read."""
        return self._ask(file, run=False)

    def test(
        self,
        file: Path,
        dag: str | None = None,
        conf: Mapping[str, Any] | None = None,
        *,
        logical_date: str | None = None,
        folder: Path | None = None,
        environment: Mapping[str, str] | None = None,
        seconds: float = 120.0,
    ) -> Trial:
        """Run a DAG of this file, the only one if none is named, with these params.

        `folder` is the folder of all DAGs, in which the file must lie: its own by default. All of it is read.
        """
        tried = self._ask(
            file, True, seconds, dag=dag, conf=dict(conf or {}), logical_date=logical_date, folder=folder, environment=environment
        )
        assert not tried.import_errors, "\n".join(tried.import_errors.values())
        return tried

    def _ask(self, file: Path, run: bool, seconds: float = 60.0, **asked: object) -> Trial:
        with tempfile.TemporaryDirectory(dir=self._home) as folder:
            answer, output = Path(folder, "answer.json"), Path(folder, "output")
            places = {
                "file": str(file),
                "folder": str(asked.get("folder") or file.parent),
                "answer": str(answer),
                "output": str(output),
            }
            request = {**asked, **places, "run": run, "environment": asked.get("environment") or {}}
            self._process.stdin.write(json.dumps(request).encode() + b"\n")
            self._process.stdin.flush()
            self._wait_until_done(seconds)
            printed = output.read_text(errors="replace")
            assert answer.exists(), printed
            return Trial(printed=printed, **json.loads(answer.read_text()))

    def _wait_until_done(self, seconds: float) -> None:
        ready, _, _ = select.select([self._process.stdout], [], [], seconds)
        if not ready or self._process.stdout.readline() != b"done\n":
            what = "ended" if ready else f"has not answered after {seconds:g} s"
            raise AssertionError(f"The process that tries DAGs {what}:\n{(self._home / 'trials.log').read_text(errors='replace')}")
