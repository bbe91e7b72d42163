"""Plan: list the inputs, find out which job they make, and make it if there is none.

job.json is created last and exclusively, so a job is either whole or not there, and of two planners one wins.
"""

import hashlib
import logging
import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import NamedTuple
from uuid import uuid4

from airflow_batchinfer.datasets import Dataset, FileDataset, TabularDataset, list_items
from airflow_batchinfer.datasets.listing import is_glob
from airflow_batchinfer.environments.specification import Specification
from airflow_batchinfer.errors import ConfigError, Faults, NotFoundError
from airflow_batchinfer.planning.choice import Continue, Create, Existing, Reuse, choose
from airflow_batchinfer.planning.config import ParallelRunConfig, Rules
from airflow_batchinfer.planning.overlap import overlap_faults
from airflow_batchinfer.planning.pin import Pin
from airflow_batchinfer.planning.plan import PlanDraft
from airflow_batchinfer.planning.source import Source, read_source
from airflow_batchinfer.planning.spec import Job, JobSpec
from airflow_batchinfer.planning.stored import endings, is_deleted, load_job, plan_prefix, source_file
from airflow_batchinfer.storage import Store, is_local, local_path, open_output, probe_output
from airflow_batchinfer.workspace import JobFolder, Workspace, pin_file

log = logging.getLogger(__name__)

FEW_BYTES = 1 << 10


class RunName(NamedTuple):
    """Which run this is; its retries bear the same name."""

    dag_id: str
    run_id: str
    step: str


@dataclass(frozen=True, kw_only=True)
class Request:
    """What a run asks for. A run without a name is known by what it asks and where the result goes."""

    config: ParallelRunConfig
    inputs: Sequence[Dataset]
    output_dir: str
    environment: Specification
    models: Sequence[tuple[str, str]] = ()
    side_inputs: Mapping[str, str] = field(default_factory=dict)
    arguments: Sequence[str] = ()
    allow_reuse: bool = True
    allow_empty: bool = False
    run: RunName | None = None


def plan(workspace: Workspace, request: Request, outdated: Callable[[str], str | None] = lambda _: None) -> tuple[Job, Pin]:
    """Decide which job this run works on, making it if it must; the pin is not stored yet (`save_pin`).

    `outdated` says why a complete job of the same fingerprint would come out otherwise now, if it would.
    """
    started = time.time()
    with ExitStack() as stack:
        faults = Faults()
        faults.attempt(request.config.require_rendered)
        faults.raise_any()
        faults.attempt(lambda: _check_places(workspace, request))
        source = faults.attempt(lambda: _read_source(workspace, request))
        side_inputs = faults.attempt(lambda: _list_side_inputs(request.side_inputs))
        draft = faults.attempt(lambda: stack.enter_context(_draft(request)))
        faults.raise_any()
        spec = _spec(request, source, draft, side_inputs)
        path = _pin_path(request, spec)
        # Only a run that has a name comes again as itself; without one, asking anew means anew.
        unfinished = _unfinished_job(workspace.store, path) if request.run else None
        thresholds = request.config.rules().thresholds
        while True:
            existing, last_number = _existing(workspace.store, spec, outdated)
            choice = choose(existing, thresholds, unfinished, last_number, allow_reuse=request.allow_reuse)
            if not isinstance(choice, Create):
                return load_job(workspace, choice.job), _pin(request, path, choice, started)
            if job := _create_job(workspace.store, f"{spec.fingerprint}-{choice.number}", spec, source, draft, request.config.rules()):
                return job, _pin(request, path, Continue(job.name, 0), started)


def _draft(request: Request) -> PlanDraft:
    tables = [isinstance(dataset, TabularDataset) for dataset in request.inputs]
    if any(tables) and not all(tables):
        raise ConfigError("inputs: some are files and some are tables; give all of one kind, or make two steps of it")
    cut = request.config.cut(of_tables=any(tables))
    if any(tables) and 0 < cut.size < FEW_BYTES:
        log.warning("mini_batch_size=%s: of tables that is bytes, so each call gets a row or few; 1MB is the default", cut.size)
    return PlanDraft(request.inputs, cut, allow_empty=request.allow_empty)


def _check_places(workspace: Workspace, request: Request) -> None:
    ours = {"the output folder": request.output_dir, "the workspace": workspace.url}
    if faults := overlap_faults(request.inputs, ours, request.config.append_row_file_name):
        raise ConfigError(faults)
    probe_output(open_output(request.output_dir))


def _read_source(workspace: Workspace, request: Request) -> Source:
    ours = [local_path(url) for url in (workspace.url, request.output_dir) if is_local(url)]
    return read_source(request.config.entry_script, request.config.source_directory, ours)


def _spec(request: Request, source: Source, draft: PlanDraft, side_inputs: tuple[tuple[str, str, str], ...]) -> JobSpec:
    config = request.config
    cut = config.cut(of_tables=bool(draft.tables))
    return JobSpec(
        inputs=draft.digest,
        tables=draft.tables,
        mini_batch_size=cut.size,
        partition_keys=cut.keys,
        entry_script=source.entry_script,
        source=source.digest,
        arguments=tuple(request.arguments),
        models=tuple(request.models),
        side_inputs=side_inputs,
        environment=request.environment.to_json(),
        environment_variables=digests_of(config.environment_variables or {}),
        appends_rows=config.appends_rows,
        append_row_file_name=config.append_row_file_name,
        to_csv=source.to_csv,
        include_item=config.includes_item,
        isolate_failures=config.isolates_failures,
        azureml_compat=str(config.azureml_compat).lower(),
        tensorflow_v1=str(config.tensorflow_v1).lower(),
    )


def _list_side_inputs(side_inputs: Mapping[str, str]) -> tuple[tuple[str, str, str], ...]:
    """Name, URL, and a digest of the files there and their versions."""
    if globs := [f"the side input {name}={url!r} is a glob: give a file or a folder" for name, url in side_inputs.items() if is_glob(url)]:
        raise ConfigError(globs)
    placed = {name: str(local_path(url)) if is_local(url) else url for name, url in side_inputs.items()}
    return tuple((name, placed[name], listing_digest(name, url)) for name, url in sorted(side_inputs.items()))


def listing_digest(name: str, url: str) -> str:
    """Of the files of a side input and their versions."""
    digest = hashlib.sha256()
    items = 0
    try:
        for item in list_items(FileDataset.from_files(url)):
            digest.update(repr(tuple(item)).encode("utf-8", "surrogateescape"))
            items += 1
    except NotFoundError as error:
        raise NotFoundError(f"the side input {name}={url!r} does not exist") from error
    if not items:
        raise ConfigError(f"the side input {name}={url!r} holds no files")
    return digest.hexdigest()


def digests_of(environment_variables: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """What is stored of environment variables."""
    return tuple(sorted((name, _digest(value)) for name, value in environment_variables.items()))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def _pin_path(request: Request, spec: JobSpec) -> str:
    return pin_file(*(request.run or RunName("cli", spec.fingerprint, _digest(request.output_dir)[:20])))


def _unfinished_job(store: Store, path: str) -> str | None:
    try:
        pin = Pin.from_json(store.read(path))
    except FileNotFoundError:
        return None
    return None if pin.complete else pin.job


def _existing(store: Store, spec: JobSpec, outdated: Callable[[str], str | None]) -> tuple[list[Existing], int]:
    """The jobs with our fingerprint that still hold, and the last number taken: there are no gaps, since deleting leaves a job.json."""
    found: list[Existing] = []
    number = 1
    while True:
        name = f"{spec.fingerprint}-{number}"
        try:
            if not is_deleted(store.read(JobFolder(name).job_file)):
                job = Existing(name, number, endings(store, name))
                if why := outdated(name) if job.merged else None:
                    log.info("The job %s is not shown again: %s", name, why)
                else:
                    found.append(job)
        except FileNotFoundError:
            return found, number - 1
        number += 1


def _create_job(store: Store, name: str, spec: JobSpec, source: Source, draft: PlanDraft, rules: Rules) -> Job | None:
    """Write a job, job.json last; None if another planner was faster."""
    folder = JobFolder(name)
    job = Job(
        name=name,
        spec=spec,
        items=draft.items,
        mini_batches=draft.mini_batches,
        plan=uuid4().hex[:12],
        nodes=rules.nodes,
        processes=rules.processes or os.cpu_count() or 1,
        created_at=time.time(),
    )
    with store.writer(source_file(job)) as stream:
        stream.write(source.archive)
    draft.store_in(store, plan_prefix(job))
    try:
        store.create(folder.job_file, job.to_json())
    except FileExistsError:
        for path in store.find(folder.plan):
            if path.startswith(plan_prefix(job)):
                store.delete(path)
        return None
    return job


def _pin(request: Request, path: str, choice: Reuse | Continue, started: float) -> Pin:
    return Pin(
        path=path,
        job=choice.job,
        generation=choice.view if isinstance(choice, Reuse) else choice.generation,
        output_dir=_absolute(request.output_dir),
        rules=request.config.rules(),
        reused=isinstance(choice, Reuse),
        resumed=0,
        pinned_at=started,
    )


def _absolute(url: str) -> str:
    return str(local_path(url)) if is_local(url) else open_output(url).url
