"""A node's life: one process that works on a job until every mini-batch has an outcome.

It brings the job's material, takes its GPUs, and works in shifts: a shift lasts while there are blocks to claim. Between
shifts it has no worker and holds no GPU, and watches whether a block of a node that died can be taken over. However it
ends, its workers end with it, and what was settled is committed.
"""

import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from uuid import uuid4

from airflow_batchinfer.engine.answering import Answers
from airflow_batchinfer.engine.blocks import Blocks
from airflow_batchinfer.engine.coordinator import Coordinator, Report, Spent
from airflow_batchinfer.engine.disk_budget import disk_budget
from airflow_batchinfer.engine.failures import budget_spent, keep_uncommitted
from airflow_batchinfer.engine.fetching import Fetcher
from airflow_batchinfer.engine.files import FileUploads
from airflow_batchinfer.engine.heartbeats import Pulse, Witness, own_heartbeat
from airflow_batchinfer.engine.ledger import Ledger, Patience
from airflow_batchinfer.engine.printing import Printing
from airflow_batchinfer.engine.recorder import Recorder
from airflow_batchinfer.engine.schema import Schema
from airflow_batchinfer.engine.scratch import scratch_folder
from airflow_batchinfer.engine.staging import Stage, stage
from airflow_batchinfer.engine.supervisor import Supervisor
from airflow_batchinfer.environments.gpus import lock_gpus, visible_gpus
from airflow_batchinfer.environments.interpreter import Interpreter
from airflow_batchinfer.environments.providing import provide
from airflow_batchinfer.environments.specification import Specification
from airflow_batchinfer.errors import UserError
from airflow_batchinfer.planning.choice import Ending
from airflow_batchinfer.planning.pin import Pin
from airflow_batchinfer.planning.stored import end_generation, load_job, plan_prefix
from airflow_batchinfer.processes import Show
from airflow_batchinfer.workspace import JobFolder, Workspace

log = logging.getLogger(__name__)

WATCH_SECONDS = 2.0
LAST_COMMIT_SECONDS = 3.0


@dataclass(frozen=True)
class NodeOptions:
    """What a node is told besides its pin: what must not be stored, where it stands in its run, and who listens."""

    environment_variables: Mapping[str, str] = field(default_factory=dict)
    map_index: int = 0
    try_number: int = 1
    report: Report = lambda _: None
    show: Show | None = None
    name: str | None = None


def work(workspace: Workspace, pin: Pin, options: NodeOptions | None = None) -> None:
    """Work on the pinned job until every mini-batch has an outcome, or raise why not."""
    with ExitStack() as stack:
        _Node(workspace, pin, options or NodeOptions(), stack).work()


class _Node:
    def __init__(self, workspace: Workspace, pin: Pin, options: NodeOptions, stack: ExitStack) -> None:
        self._workspace = workspace
        self._pin = pin
        self._options = options
        self._stack = stack
        self._name = options.name or uuid4().hex[:12]
        self._job = load_job(workspace, pin.job)
        self._folder = JobFolder(self._job.name)
        store, rules = workspace.store, pin.rules
        self._blocks = Blocks(store, self._folder, self._job.blocks(), pin.generation, self._name)
        own = own_heartbeat(self._name, pin, options.map_index, options.try_number)
        self._witness = Witness(store, self._folder, own)
        self._pulse = Pulse(store, self._folder, own)
        schema = Schema(store, self._folder, self._job.spec.result_format)
        self._recorder = Recorder(store, self._folder, plan_prefix(self._job), self._name, self._blocks, self._witness, schema)
        self._gpus = visible_gpus()
        self._waits_for_a_gpu = False
        self._processes = min(self._job.mini_batches, rules.processes or len(self._gpus) or os.cpu_count() or 1)
        self._patience = Patience(rules.run_timeout_seconds, rules.nodes, self._processes)

    def work(self) -> None:
        self._stack.enter_context(closing(self._recorder))
        self._blocks.refresh()
        if self._blocks.finished:
            return
        self._stack.enter_context(self._pulse)
        ledger = Ledger(self._pin.rules.thresholds, self._pin.rules.max_tries, isolates=self._job.spec.isolate_failures)
        coordinator = Coordinator(self._job, self._recorder, self._pulse, ledger, self._patience, self._options.report)
        try:
            self._work_until_done(coordinator)
        except UserError as error:
            self._pulse.say_failure(error)
            raise
        coordinator.tell(0)

    def _work_until_done(self, coordinator: Coordinator) -> None:
        try:
            coordinator.refresh()
            self._work_in_shifts(coordinator)
        except Spent as spent:
            _quietly(lambda: coordinator.commit_all(LAST_COMMIT_SECONDS))
            store, generation = self._workspace.store, self._pin.generation
            if spent.errors:
                keep_uncommitted(store, self._job, self._name, generation, spent.errors)
            end_generation(store, self._job.name, Ending(generation, None))
            raise budget_spent(store, self._job, generation, str(spent)) from spent
        except BaseException:
            _quietly(lambda: coordinator.commit_all(LAST_COMMIT_SECONDS))
            raise

    def _work_in_shifts(self, coordinator: Coordinator) -> None:
        staged: tuple[Stage, Printing, Answers] | None = None
        interpreter: Interpreter | None = None
        while not self._blocks.finished:
            if next(self._blocks.candidates(self._witness.is_dead), None) is None:
                self._watch(coordinator)
                continue
            # What may take long first, then a GPU, then a claim: a node that waits must hold nothing back.
            interpreter = interpreter or self._interpreter()
            with self._gpus_for_a_shift() as gpus:
                if gpus is None:
                    self._watch(coordinator)
                elif coordinator.claim():
                    staged = staged or self._stage(interpreter)
                    self._shift(coordinator, *staged, gpus)
            coordinator.refresh()

    def _shift(self, coordinator: Coordinator, staged: Stage, printing: Printing, answers: Answers, gpus: Sequence[str]) -> None:
        places = staged.places(self._name, min(self._processes, len(gpus) or self._processes), gpus)
        supervisor = Supervisor(staged.launch(), staged.start, printing, self._pin.rules.run_timeout_seconds, answer=answers.answer)
        self._recorder.wake = supervisor.wake
        with closing(supervisor), closing(self._fetcher(staged, supervisor)) as fetcher:
            try:
                coordinator.shift(supervisor, fetcher, places)
                supervisor.end(gracefully=True)
            except BaseException:
                supervisor.end(gracefully=False)
                raise
            finally:
                self._recorder.wake = lambda: None

    def _fetcher(self, staged: Stage, supervisor: Supervisor) -> Fetcher:
        return Fetcher(staged.folder / "items", supervisor.wake, self._job.table_kinds, disk_budget(staged.folder))

    def _interpreter(self) -> Interpreter:
        return provide(self._workspace.store, self._folder.environment_lock, Specification.from_json(self._job.spec.environment))

    def _stage(self, interpreter: Interpreter) -> tuple[Stage, Printing, Answers]:
        folder = self._stack.enter_context(scratch_folder())
        staged = stage(self._workspace, self._job, self._pin.rules, interpreter, folder, self._options.environment_variables)
        logs = self._folder.logs(self._name)
        answers = self._stack.enter_context(closing(Answers(self._workspace, self._folder, folder / "asked")))
        printing = self._stack.enter_context(Printing(folder / "logs", self._workspace.store, logs, self._options.show))
        if self._workspace.store.local_root is None:
            self._recorder.before_commit = FileUploads(self._workspace.store, self._folder, staged.files)
        return staged, printing, answers

    @contextmanager
    def _gpus_for_a_shift(self) -> Iterator[tuple[str, ...] | None]:
        """GPUs of our own while the block lasts: none needed, or as many as are free, or None while all are taken."""
        if not self._gpus:
            yield ()
            return
        locks = lock_gpus(self._gpus, self._processes)
        try:
            if not locks and not self._waits_for_a_gpu:
                log.info("all %d GPUs of this host are in use; waiting for one", len(self._gpus))
            self._waits_for_a_gpu = not locks
            if 0 < len(locks) < self._processes:
                log.info("%d GPUs are free, so that many workers are started, not %d", len(locks), self._processes)
            yield tuple(lock.gpu for lock in locks) or None
        finally:
            for lock in locks:
                lock.release()

    def _watch(self, coordinator: Coordinator) -> None:
        """Others hold what is left: look now and then whether one of them died."""
        time.sleep(WATCH_SECONDS)
        coordinator.refresh()
        coordinator.tell(0)


def _quietly(do: Callable[[], None]) -> None:
    """While something else is already wrong."""
    try:
        do()
    except Exception as error:  # noqa: BLE001 - it is told; what is raised is the first error
        log.warning("what was settled could not be committed and will be done again: %s", str(error) or type(error).__name__)
