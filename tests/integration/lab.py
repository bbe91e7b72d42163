"""A lab for one test: folders of items, a workspace, and the programs of this package as real processes.

What it starts it ends, and then no process that bears the test's mark may be left. The same request can be given to the
command line (`run`, `start`), or planned here (`begin`) and worked on by nodes in processes of their own (`start_node`).
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from airflow_batchinfer.datasets import Dataset, FileDataset
from airflow_batchinfer.engine.blocks import read_log
from airflow_batchinfer.engine.merge import Summary, merge
from airflow_batchinfer.engine.node import NodeOptions
from airflow_batchinfer.engine.records import Record
from airflow_batchinfer.engine.scoring import begin, score
from airflow_batchinfer.environments.specification import specification_of
from airflow_batchinfer.planning.config import ParallelRunConfig
from airflow_batchinfer.planning.pin import Pin
from airflow_batchinfer.planning.planner import Request
from airflow_batchinfer.planning.stored import load_job
from airflow_batchinfer.workspace import JobFolder, Workspace
from tests.integration.leftovers import MARK, children, marked_processes, wait_until

SCRIPTS = Path(__file__).parents[1] / "entry_scripts"
COMMAND = (sys.executable, "-c", "import sys; from airflow_batchinfer.cli import main; sys.exit(main())")
NODE_PROGRAM = (sys.executable, str(Path(__file__).with_name("node_program.py")))
PROJECT = Path(__file__).parents[2]
# Drops CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH, by which root reads and writes every file, and becomes another program.
_UNPRIVILEGED = """
import ctypes, os, sys
for capability in (1, 2):
    ctypes.CDLL(None).prctl(24, capability, 0, 0, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""


@dataclass(frozen=True)
class Ended:
    """A program that ended; `code` is negative where a signal ended it."""

    code: int
    stdout: str
    stderr: str
    seconds: float

    @property
    def summary(self) -> dict[str, Any]:
        """What `--json` printed last."""
        assert self.code == 0, self.stderr
        return json.loads(self.stdout.splitlines()[-1])


class Program:
    """A process whose output goes to files, so that nobody has to read it while it runs."""

    def __init__(self, command: Sequence[str], folder: Path, **how: object) -> None:
        self._folder = folder
        folder.mkdir(parents=True)
        self.began = time.monotonic()
        with (folder / "stdout").open("wb") as out, (folder / "stderr").open("wb") as err:
            streams = {"stdin": subprocess.DEVNULL, "stdout": out, "stderr": err, **how}
            self._process = subprocess.Popen(command, start_new_session=True, **streams)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def is_running(self) -> bool:
        return self._process.poll() is None

    @property
    def stderr(self) -> str:
        return (self._folder / "stderr").read_text("utf-8", "replace")

    def send(self, number: int) -> None:
        """Send a signal to this process alone, unless it has ended."""
        if self.is_running:
            self._process.send_signal(number)

    def wait(self, seconds: float = 150.0) -> Ended:
        """Wait for the end; an error shows what it had said."""
        try:
            code = self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still running after {seconds:g} s; it said:\n{self.stderr}") from None
        stdout = (self._folder / "stdout").read_text("utf-8", "replace")
        return Ended(code, stdout, self.stderr, time.monotonic() - self.began)

    def keepers(self) -> list[int]:
        """The process above each of its workers."""
        return children(self.pid)

    def workers(self) -> list[int]:
        """The processes that run the script."""
        return [worker for keeper in self.keepers() for worker in children(keeper)]

    def tree(self) -> list[int]:
        """This process, its keepers, and all below them."""
        found = [self.pid]
        for pid in found:
            found += children(pid)
        return found


class Lab:
    """See above."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.mark = uuid4().hex
        self.inputs = self._folder("inputs")
        self.state = self._folder("state")
        self.temporary = self._folder("tmp")
        self.output = root / "output"
        self.workspace_url = str(root / "workspace")
        self.variables = {"STATE_DIR": str(self.state)}
        self._programs: list[Program] = []

    # What is scored.

    def items(self, *names: str, folder: Path | None = None) -> list[str]:
        """Write items, each of another size, and give the rows that `names.py` makes of them, in order."""
        sizes = {name: number + 1 for number, name in enumerate(names)}
        for name, size in sizes.items():
            path = (folder or self.inputs) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"x" * size)
        return [f"{Path(name).name}: {sizes[name]}" for name in sorted(names)]

    def many(self, count: int, poison: Iterable[int] = ()) -> list[str]:
        """Write numbered items, some of them named poison."""
        bad = set(poison)
        return self.items(*(f"{number:05d}{'-poison' if number in bad else ''}" for number in range(count)))

    def script(self, text: str, name: str = "script.py") -> Path:
        """Write a script that only one test needs."""
        path = self.root / "scripts" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    # The command line.

    def command(self, script: str | Path, *options: object) -> list[str]:
        """`batchinfer run` of a script of the cast, with this lab's folders unless others are given."""
        given = list(map(str, options))
        ours, theirs = (given[: given.index("--")], given[given.index("--") :]) if "--" in given else (given, [])
        found = [*COMMAND, "run", str(SCRIPTS / script)]
        for option, value in (("--input", self.inputs), ("--output", self.output), ("--workspace", self.workspace_url)):
            if option not in ours:
                found += [option, str(value)]
        for name, value in self.variables.items():
            found += ["--env", f"{name}={value}"]
        return [*found, "--json", *ours, *theirs]

    def start(self, script: str | Path, *options: object, **how: object) -> Program:
        """Start `batchinfer run`."""
        return self.start_program(self.command(script, *options), **how)

    def start_with_stderr(self, stderr: int, script: str | Path, *options: object) -> Program:
        """Start `batchinfer run` with a terminal, or whatever this descriptor is, to show its progress on."""
        return self.start(script, *options, stderr=stderr)

    def run(self, script: str | Path, *options: object, seconds: float = 150.0, **how: object) -> Ended:
        """Let `batchinfer run` come to its end."""
        return self.start(script, *options, **how).wait(seconds)

    def batchinfer(self, *arguments: object, **how: object) -> Ended:
        """Any other command."""
        return self.start_program([*COMMAND, *map(str, arguments)], **how).wait()

    def start_program(
        self, command: Sequence[str], *, environment: Mapping[str, str] | None = None, unprivileged: bool = False, **how: object
    ) -> Program:
        """Start anything, marked; `unprivileged` takes from root what lets it read and write every file."""
        if unprivileged:
            command = [sys.executable, "-c", _UNPRIVILEGED, *command]
        folder = self.root / "programs" / str(len(self._programs))
        program = Program(command, folder, env={**self.environment, **(environment or {})}, cwd=how.pop("cwd", self.root), **how)
        self._programs.append(program)
        return program

    @property
    def environment(self) -> dict[str, str]:
        """Of every program."""
        ours = {MARK: self.mark, "TMPDIR": str(self.temporary), "PYTHONPATH": str(PROJECT), **self.settings}
        return {**os.environ, **ours}

    @property
    def settings(self) -> dict[str, str]:
        """Of this machine: no GPU, environments of the test's own, and uv with neither a network nor what a user has set."""
        caches = {"BATCHINFER_CACHE": str(self.root / "cache"), "UV_CACHE_DIR": str(self.root / "uv")}
        return {"BATCHINFER_GPUS": "", "UV_OFFLINE": "1", "UV_NO_CONFIG": "1", **caches}

    def kill(self, pid: int, number: int = signal.SIGKILL) -> None:
        """Send a signal to a process of this test; one that has just ended needs none."""
        with suppress(ProcessLookupError):
            os.kill(pid, number)

    # Nodes.

    @property
    def workspace(self) -> Workspace:
        return Workspace.at(self.workspace_url)

    def request(self, script: str | Path, **asked: object) -> Request:
        """A request of a script of the cast; what is no field of the request belongs to the config."""
        environment = specification_of(asked.pop("environment", None), self.root)
        inputs = asked.pop("inputs", [self.inputs])
        ours = {name: asked.pop(name) for name in ("arguments", "models", "side_inputs", "run", "allow_reuse") if name in asked}
        output = str(asked.pop("output", self.output))
        config = {"error_threshold": 0, "environment_variables": self.variables, **asked}
        return Request(
            config=ParallelRunConfig(entry_script=str(SCRIPTS / script), **config),
            inputs=[given if isinstance(given, Dataset) else FileDataset.from_files(str(given)) for given in inputs],
            output_dir=output,
            environment=environment,
            **ours,
        )

    def begin(self, script: str | Path, **asked: object) -> Pin:
        """Plan a job here."""
        return begin(self.workspace, self.request(script, **asked))

    def start_node(self, pin: Pin, *, environment: Mapping[str, str] | None = None, **options: object) -> Program:
        """Start a node of a run; `options` are NodeOptions'."""
        told = json.dumps({"environment_variables": self.variables, **options})
        return self.start_program([*NODE_PROGRAM, self.workspace_url, pin.path, told], environment=environment)

    def merge(self, pin: Pin) -> Summary:
        """Merge here."""
        return merge(self.workspace, pin)

    def score(self, script: str | Path, **asked: object) -> Summary:
        """Plan, work and merge in this very process."""
        pin = self.begin(script, **asked)
        return score(self.workspace, pin, NodeOptions(environment_variables=asked.get("environment_variables", self.variables)))

    # What came of it.

    @property
    def result(self) -> bytes:
        """The bytes of the result."""
        return (self.output / "parallel_run_step.txt").read_bytes()

    @property
    def rows(self) -> list[str]:
        """The result, row by row."""
        return self.result.decode("utf-8", "surrogateescape").splitlines()

    @property
    def published(self) -> set[str]:
        """The names in the output folder."""
        return {path.name for path in self.output.iterdir()} if self.output.exists() else set()

    @property
    def errors(self) -> list[dict[str, Any]]:
        """What `_errors.jsonl` tells."""
        return [json.loads(line) for line in (self.output / "_errors.jsonl").read_text().splitlines()]

    @property
    def calls(self) -> list[str]:
        """The names of the items of every call, as the scripts noted them in STATE_DIR: `name` or `name time`."""
        return [line for path in sorted(self.state.glob("calls-*")) for line in path.read_text().splitlines()]

    @property
    def jobs(self) -> list[Path]:
        """The folders of the jobs of a local workspace."""
        return sorted(path.parent for path in Path(self.workspace_url, "jobs").glob("*/job.json"))

    def block_logs(self, job: str) -> list[list[Record]]:
        """Every block's log."""
        workspace = self.workspace
        return [read_log(workspace.store, JobFolder(job), block) for block in range(len(load_job(workspace, job).blocks()))]

    def committed(self, job: str) -> set[int]:
        """The mini-batches that have succeeded for good."""
        logs = self.block_logs(job)
        return {piece.mini_batch for log in logs for record in log for piece in record.pieces or () if piece.succeeded}

    def printed(self) -> dict[str, str]:
        """What the job's folders keep of what the workers printed."""
        return {path.name: path.read_text("utf-8", "replace") for job in self.jobs for path in sorted(job.glob("nodes/*/logs/*"))}

    # The end.

    @property
    def leftovers(self) -> list[int]:
        """The processes of this test that live."""
        return marked_processes(self.mark)

    def close(self) -> None:
        """End everything; what was told to end but did not is an error."""
        for program in self._programs:
            program.send(signal.SIGKILL)
            program.wait()
        for pid in self.leftovers:
            self.kill(pid, signal.SIGCONT)  # one that a failed test has left stopped cannot follow its node
        try:
            wait_until(lambda: not self.leftovers, "no process of the test is left", 5)
        except AssertionError:
            left = {pid: Path(f"/proc/{pid}/cmdline").read_bytes() for pid in self.leftovers}
            for pid in left:
                os.kill(pid, signal.SIGKILL)
            raise AssertionError(f"these processes outlived the test: {left}") from None

    def _folder(self, name: str) -> Path:
        folder = self.root / name
        folder.mkdir()
        return folder


def row_of(name: str, size: int) -> str:
    """As most of the cast makes it."""
    return f"{name}: {size}"


@contextmanager
def open_lab(root: Path) -> Iterator[Lab]:
    """A lab in a folder, closed at the end."""
    lab = Lab(root)
    try:
        yield lab
    finally:
        lab.close()
