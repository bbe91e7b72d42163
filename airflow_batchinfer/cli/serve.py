"""`batchinfer serve`: the script behind HTTP in seconds, to try it and to debug it."""

import argparse
import os
import re
import shlex
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

from airflow_batchinfer.cli import environment
from airflow_batchinfer.cli.display import open_display
from airflow_batchinfer.cli.values import named_values
from airflow_batchinfer.engine.scratch import scratch_folder
from airflow_batchinfer.environments.gpus import lock_gpus, visible_gpus
from airflow_batchinfer.environments.interpreter import Interpreter
from airflow_batchinfer.environments.providing import provide
from airflow_batchinfer.errors import ConfigError, Faults, ScriptError, WorkersUnavailable
from airflow_batchinfer.planning.source import locate
from airflow_batchinfer.processes import FAREWELL_SECONDS, Launch, Showing, without_secrets
from airflow_batchinfer.registry import Model, ModelRegistry
from airflow_batchinfer.service.config import ServiceConfig
from airflow_batchinfer.service.keys import KeyFile, make_key_file
from airflow_batchinfer.service.machine import this_machine
from airflow_batchinfer.service.protocol import Start
from airflow_batchinfer.service.seats import Seat, Seats
from airflow_batchinfer.service.server import SERVER, Address, Tls, listen, serve
from airflow_batchinfer.service.serving import Service
from airflow_batchinfer.service.wire import PROFILES
from airflow_batchinfer.storage import LocalStore
from airflow_batchinfer.workspace import Workspace

SCRIPT_FAILED = 3
MOST_PORT = 65535
SWITCH = ("auto", "true", "false")


def serve_script(options: argparse.Namespace) -> None:
    """Serve until Ctrl-C. A script that cannot be served ends the process with the code 3, as Azure ML's server does."""
    try:
        with ExitStack() as stack:
            _serve(options, stack)
    except ScriptError as error:
        print(f"batchinfer: {error}", file=sys.stderr, flush=True)
        sys.exit(SCRIPT_FAILED)


def _serve(options: argparse.Namespace, stack: ExitStack) -> None:
    faults = Faults()
    config = faults.attempt(lambda: _config(options))
    variables = faults.attempt(lambda: named_values("--env", options.env))
    address = faults.attempt(lambda: _address(options))
    specification = faults.attempt(lambda: environment.specification(options))
    for option, value in (("--azureml-compat", options.azureml_compat), ("--tensorflow-v1", options.tensorflow_v1)):
        if value not in SWITCH:
            faults.add(f"{option} {value!r}: give one of {', '.join(SWITCH)}")
    registry = ModelRegistry(Workspace.at(options.workspace, to_read=True)) if options.model else None
    models = [faults.attempt(partial(registry.resolve, reference)) for reference in options.model] if registry else []
    keys = faults.attempt(lambda: KeyFile(options.key_file)) if options.key_file else None
    faults.raise_any()
    script, source = _located(options)
    sock = stack.enter_context(listen(address))
    folder = stack.enter_context(scratch_folder())
    model_folder = registry.bring(models, folder / "models") if registry else None
    key_file = options.key_file or (None if options.no_auth else make_key_file(folder))
    seats = _seats(config)
    interpreter = provide(LocalStore(folder), "environment.json", specification)
    start = Start(
        str(script),
        str(source),
        tuple(options.arguments),
        at_once=config.replica_max_concurrent_requests,
        azureml_compat=options.azureml_compat,
        tensorflow_v1=options.tensorflow_v1,
        surroundings=_surroundings(options, folder, models, model_folder),
    )
    service = Service(
        name=re.sub(r"[^a-z0-9-]", "-", script.stem.lower()),
        config=config,
        launch=Launch(interpreter.executable, str(source), _environment(interpreter, model_folder, variables)),
        start=start,
        keys=keys or (KeyFile(key_file) if key_file else None),
        seats=seats,
    )
    display = stack.enter_context(open_display())
    showing = Showing(lambda place, line: display.say(line if place == SERVER else f"replica {place} | {line}"))
    stack.callback(showing.close, FAREWELL_SECONDS)
    url = address.url(sock.getsockname()[1])
    serve(service, address, sock, showing, lambda: showing(SERVER, _how_to_call(url, key_file, address)))


def _located(options: argparse.Namespace) -> tuple[Path, Path]:
    try:
        return locate(options.script, options.source_directory)
    except ConfigError as error:
        raise ScriptError(str(error)) from error


def _config(options: argparse.Namespace) -> ServiceConfig:
    faults = Faults()
    scale = faults.attempt(lambda: _scale(options.replicas))
    at_once = faults.attempt(lambda: _whole("--max-concurrent", options.max_concurrent))
    most_wait = faults.attempt(lambda: _whole("--max-wait", options.max_wait))
    scoring_timeout = faults.attempt(lambda: _whole("--scoring-timeout", options.scoring_timeout))
    if options.status_profile not in PROFILES:
        faults.add(f"--status-profile {options.status_profile!r}: give one of {', '.join(PROFILES)}")
    faults.raise_any()
    return ServiceConfig(
        **scale,
        auth_enabled=not options.no_auth,
        replica_max_concurrent_requests=at_once,
        max_request_wait_time=most_wait,
        scoring_timeout_ms=scoring_timeout,
        status_profile=options.status_profile,
    )


def _scale(replicas: str) -> dict[str, Any]:
    least, is_range, most = replicas.partition("-")
    found = [_whole("--replicas", number) for number in ((least, most) if is_range else (replicas,))]
    if found != sorted(found):
        raise ConfigError(f"--replicas {replicas!r}: give the lesser number first, such as 1-4")
    machine = this_machine(())
    if found[-1] > (possible := max(1, int(machine.cores / ServiceConfig.cpu_cores))):
        raise ConfigError(f"--replicas {replicas!r}: at most {possible} on the {machine.cores:g} cores of this machine")
    names = ("autoscale_min_replicas", "autoscale_max_replicas") if is_range else ("num_replicas",)
    return dict(zip(names, found, strict=True))


def _whole(option: str, text: str, least: int = 1) -> int:
    if not re.fullmatch(r"[0-9]{1,9}", text) or int(text) < least:
        raise ConfigError(f"{option} {text!r}: give a whole number of at least {least}")
    return int(text)


def _address(options: argparse.Namespace) -> Address:
    port = _whole("--port", options.port, least=0)
    faults = [f"--port {port}: give one up to {MOST_PORT}, or 0 for one that is free"] if port > MOST_PORT else []
    if bool(options.tls_cert) != bool(options.tls_key):
        faults.append("--tls-cert and --tls-key go together: give both")
    if options.key_file and options.no_auth:
        faults.append("--key-file and --no-auth exclude each other: give one of them")
    tls = Tls(options.tls_cert, options.tls_key) if options.tls_cert and options.tls_key else None
    address = Address(options.host, port, tls)
    if address.is_open and options.no_auth == 1:
        faults.append(
            f"--host {options.host} with --no-auth lets everyone who reaches this machine run the script: "
            "give --key-file, or say --no-auth twice if that is what you want"
        )
    if faults:
        raise ConfigError(faults)
    return address


def _environment(interpreter: Interpreter, model_folder: Path | None, variables: Mapping[str, str]) -> dict[str, str]:
    models = {"AZUREML_MODEL_DIR": str(model_folder)} if model_folder else {}
    return {**interpreter.variables(without_secrets(os.environ)), **models, **variables}


def _surroundings(options: argparse.Namespace, folder: Path, models: Sequence[Model], model_folder: Path | None) -> dict[str, Any]:
    """What a script may ask of Azure ML's names: its models, and folders that are gone with the service."""

    def place(model: Model) -> str:
        return str(model_folder if len(models) == 1 else folder / "models" / model.name / str(model.version))

    return {
        "job": Path(options.script).stem,
        "agent": "service",
        "files": str(folder / "files"),
        "logs": str(folder / "logs"),
        "workspace": options.workspace or "",
        "models": [{**model.described(), "path": place(model)} for model in models],
    }


def _seats(config: ServiceConfig) -> Seats:
    """One GPU for each replica that there may be, if there are any; GPUs are not shared, as in AKS."""
    gpus = visible_gpus()
    if not gpus:
        return Seats()
    free = lock_gpus(gpus, config.scale.most)
    Seat(locks=tuple(free)).release()  # each replica takes its own when it starts
    if len(free) < config.scale.most:
        raise WorkersUnavailable(
            f"{config.scale.most} replicas need as many GPUs, and {len(free)} of {len(gpus)} are free: "
            "ask for fewer with --replicas, or for none with BATCHINFER_GPUS="
        )
    return Seats(gpus, 1)


def _how_to_call(url: str, key_file: str | None, address: Address) -> str:
    key = f' -H "Authorization: Bearer $(head -n1 {shlex.quote(key_file)})"' if key_file else ""
    insecure = " --insecure" if address.tls else ""
    lines = [f"serving on {url}/score; call it:", f"  curl{insecure}{key} {url}/score -d '{{\"data\": [1, 2, 3]}}'"]
    if address.is_open and not address.tls and key_file:
        lines.append("without --tls-cert the key and all that is sent can be read on the network")
    if address.is_open and not key_file:
        lines.append("everyone who reaches this machine may run the script")
    return "\n".join([*lines, "Ctrl-C ends it"])
