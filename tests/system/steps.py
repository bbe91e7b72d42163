"""Steps in the shared Airflow: DAGs of one step each, with a script of the cast and items of their own, and what came of their runs.

Many steps stand in one DAG file, so that all are read at once and their runs go on side by side. Nothing here judges.
"""

import itertools
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import RLock
from typing import Any, Self
from uuid import uuid4

from airflow_batchinfer.engine.heartbeats import Heartbeat, read_heartbeat
from airflow_batchinfer.engine.jobs import job_status
from airflow_batchinfer.planning.pin import Pin
from airflow_batchinfer.planning.stored import load_pin
from airflow_batchinfer.workspace import JobFolder, Workspace, pin_file
from dags.demo.rest import RefusedError, Rest, wait_until
from tests.integration.lab import SCRIPTS
from tests.integration.leftovers import MARK, marked_processes
from tests.system.live import LiveAirflow

# Items of waits_for_gate.py.
GATE_LAST = [*(f"{number:03d}" for number in range(7)), "007-gate"]
TRIES = 5
LOOK_SECONDS = 0.5
HEAD = """
import datetime
from airflow.sdk import DAG, task
from airflow_batchinfer import ComputeTarget, ParallelRunConfig, ParallelRunOperator, PythonEnvironment
"""
ONE_DAG = """
with DAG({dag!r}, schedule=None, params={params!r}):
    score = ParallelRunOperator(task_id="score", config=ParallelRunConfig(**{config!r}), inputs={inputs!r}, **{operator!r})
{further}
"""


class PatientRest(Rest):
    """For several threads that wait for many runs at once.

    The API server writes to SQLite in its event loop. If a task's request has just begun to write, each waits for the other, for
    five seconds, and then one is refused, having done nothing; with many at once Airflow's own processes fail. So one thread asks
    at a time, and what was refused is asked again; and one look at all runs does for everybody who waits for one.
    """

    def __init__(self, *login: str) -> None:
        self._lock = RLock()
        self._runs: dict[tuple[str, str], Any] = {}
        self._looked_at = 0.0
        super().__init__(*login)

    def request(self, method: str, path: str, **how: Any) -> Any:  # noqa: ANN401 - JSON
        with self._lock:
            if method != "GET":
                self._looked_at = 0.0
            for _ in range(TRIES):
                try:
                    return super().request(method, path, **how)
                except RefusedError as error:
                    if "Database error" not in str(error):
                        raise
            return super().request(method, path, **how)

    def run(self, dag: str, run_id: str) -> Any:  # noqa: ANN401 - JSON
        with self._lock:
            if time.monotonic() - self._looked_at > LOOK_SECONDS:
                self._runs = {(run["dag_id"], run["dag_run_id"]): run for run in self.runs("~")}
                self._looked_at = time.monotonic()
            return self._runs[dag, run_id]


@contextmanager
def patient(airflow: LiveAirflow) -> Iterator[LiveAirflow]:
    """The same Airflow, asked in this way."""
    running = airflow.standalone
    with PatientRest(running.url, running.login.user, running.login.password) as rest:
        yield LiveAirflow(running, rest)


@dataclass
class Step:
    """A DAG with one step, `score`, which scores so many items or those of these names.

    `script` is one of the cast, unless `code` says what it is. `config` and `operator` are arguments, `further` is code inside
    the DAG. `{root}` in an argument is the step's own folder. The script finds a folder in STATE_DIR that is empty at first, in
    GATE the path of a file that `open_gate` makes, and its workers bear a mark.
    """

    dag: str
    script: str
    items: int | Iterable[str] = 8
    code: str | None = None
    config: Mapping[str, Any] = field(default_factory=dict)
    operator: Mapping[str, Any] = field(default_factory=dict)
    params: Mapping[str, Any] = field(default_factory=dict)
    further: str = ""
    airflow: LiveAirflow = field(init=False)
    root: Path = field(init=False)
    mark: str = field(default_factory=lambda: uuid4().hex, init=False)

    @property
    def names(self) -> list[str]:
        """Of its items."""
        return sorted(f"{number:03d}" for number in range(self.items)) if isinstance(self.items, int) else sorted(self.items)

    @property
    def rows(self) -> bytes:
        """What the script makes of its items, as most of the cast does."""
        end = " done" if self.script == "waits_for_gate.py" else ""
        return "".join(f"{name}: {number + 1}{end}\n" for number, name in enumerate(self.names)).encode()

    def place(self, airflow: LiveAirflow, folder: Path) -> None:
        """Make its folders, its items and its script."""
        self.airflow, self.root = airflow, folder / self.dag
        self.state.mkdir(parents=True)
        self.inputs.mkdir()
        for number, name in enumerate(self.names):
            (self.inputs / name).write_bytes(b"x" * (number + 1))
        script = airflow.standalone.dags_folder / self.entry_script
        script.parent.mkdir(parents=True)
        script.write_text((SCRIPTS / self.script).read_text() if self.code is None else self.code)

    @property
    def entry_script(self) -> str:
        """Alone in its folder, since what lies beside a script belongs to it."""
        return f"{self.dag}/{self.script}"

    @property
    def text(self) -> str:
        found = {"STATE_DIR": str(self.state), "GATE": str(self.gate), "MARK": "done", MARK: self.mark}
        variables = {**found, **self.config.get("environment_variables", {})}
        ours = {"entry_script": self.entry_script, "error_threshold": 0, "mini_batch_size": 1, "process_count_per_node": 1}
        config = {**ours, **self.config, "environment_variables": variables}
        operator = {name: self._placed(value) for name, value in {"retries": 0, **self.operator}.items()}
        inputs = operator.pop("inputs", str(self.inputs))
        return ONE_DAG.format(dag=self.dag, params=self.params, config=config, inputs=inputs, operator=operator, further=self.further)

    @property
    def inputs(self) -> Path:
        return self.root / "inputs"

    @property
    def state(self) -> Path:
        return self.root / "state"

    @property
    def gate(self) -> Path:
        return self.root / "gate"

    def open_gate(self) -> None:
        """Let the script go on that waits for it."""
        self.gate.touch()

    @property
    def calls(self) -> list[str]:
        """The items of all calls, as the scripts noted them."""
        lines = itertools.chain.from_iterable(path.read_text().splitlines() for path in self.state.glob("calls-*"))
        return sorted(line.split()[0] for line in lines)

    @property
    def workers(self) -> list[int]:
        """Its workers that live, with the keepers above them and whatever they started."""
        return marked_processes(self.mark)

    def wait_for_call(self, item: str, times: int = 1) -> None:
        """Wait until a worker has begun with this item, so many times."""
        wait_until(lambda: self.calls.count(item) >= times, f"{self.dag} scores {item}", 120)

    def _placed(self, argument: object) -> object:
        return argument.replace("{root}", str(self.root)) if isinstance(argument, str) else argument

    def trigger(self, conf: Mapping[str, Any] | None = None) -> "StepRun":
        return StepRun(self, self.airflow.rest.trigger(self.dag, conf))


@dataclass(frozen=True)
class StepRun:
    """A run of such a DAG. Tasks are named without the step: `plan`, `run`, `merge`."""

    step: Step
    run_id: str

    def wait(self, state: str = "success", seconds: float = 120.0) -> Self:
        self.step.airflow.rest.wait_for(self.step.dag, self.run_id, [state], seconds)
        return self

    def wait_for_its_end(self) -> Self:
        """However it ends: a run that is marked failed while the scheduler looks at it may be a success, by its skipped merge."""
        self.step.airflow.rest.wait_for(self.step.dag, self.run_id, ["failed", "success"])
        return self

    @property
    def states(self) -> dict[str, str | None]:
        """Of all tasks, those of nodes as `run[0]`."""
        return {name.removeprefix("score."): state for name, state in self.step.airflow.rest.states(self.step.dag, self.run_id).items()}

    @property
    def tries(self) -> dict[str, int]:
        """How often each task was tried; not at all is 0."""
        tasks = self.step.airflow.rest.task_instances(self.step.dag, self.run_id)
        return {_name(task["task_id"], task["map_index"]): task["try_number"] for task in tasks}

    @property
    def summary(self) -> dict[str, Any]:
        return self.xcom("summary")

    @property
    def output(self) -> Path:
        return Path(self.xcom("return_value"))

    @property
    def result(self) -> bytes:
        return self.output.read_bytes()

    def xcom(self, key: str) -> Any:  # noqa: ANN401 - JSON
        """What merge gives."""
        return self.step.airflow.rest.xcom(self.step.dag, self.run_id, "score.merge", key)

    def log(self, task: str, map_index: int = -1, try_number: int = 1) -> str:
        return self.step.airflow.rest.log(self.step.dag, self.run_id, f"score.{task}", map_index, try_number)

    def clear(self, *tasks: str | tuple[str, int]) -> Self:
        """Clear these tasks of the step, and what follows from them."""
        ids = [f"score.{task}" if isinstance(task, str) else (f"score.{task[0]}", task[1]) for task in tasks]
        self.step.airflow.rest.clear(self.step.dag, self.run_id, ids, include_downstream=True)
        return self

    @property
    def workspace(self) -> Workspace:
        return Workspace.at(str(self.step.airflow.standalone.home / "batchinfer"), to_read=True)

    @property
    def pin(self) -> Pin:
        return load_pin(self.workspace, pin_file(self.step.dag, self.run_id, "score"))

    @property
    def job_folder(self) -> Path:
        return Path(self.workspace.url, JobFolder(self.pin.job).root)

    def wait_for_the_gate(self) -> None:
        """Wait until nothing but the gate, the last item, is left to do, and all else is committed."""
        self.step.wait_for_call(self.step.names[-1])
        wait_until(lambda: self._done == len(self.step.names) - 1, f"all but the gate of {self.step.dag} is committed", 60)

    @property
    def _done(self) -> int:
        return job_status(self.workspace, self.pin.job).counts.mini_batches

    @property
    def heartbeats(self) -> list[Heartbeat]:
        """Of all nodes that have worked on its job, in the order of their map indexes and tries."""
        store, folder = self.workspace.store, JobFolder(self.pin.job)
        found = [beat for node in store.children(folder.nodes) if (beat := read_heartbeat(store, folder, node))]
        return sorted(found, key=lambda beat: (beat.map_index, beat.try_number))


def add_steps(airflow: LiveAirflow, folder: Path, file: str, steps: Iterable[Step]) -> dict[str, Step]:
    """Drop them into the Airflow as one DAG file, and wait until they can be triggered."""
    found = {step.dag: step for step in steps}
    for step in found.values():
        step.place(airflow, folder)
    airflow.add_dag(file, HEAD + "".join(step.text for step in found.values()))
    return found


def _name(task_id: str, map_index: int) -> str:
    name = task_id.removeprefix("score.")
    return name if map_index < 0 else f"{name}[{map_index}]"
