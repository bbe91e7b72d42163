"""Every command and option there is. The commands themselves are imported only when they are called."""

import argparse
import re
from collections.abc import Callable
from importlib import import_module
from typing import Any, NoReturn

from airflow_batchinfer.cli import inputs
from airflow_batchinfer.workspace import ENVIRONMENT_VARIABLE

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def parse(arguments: list[str]) -> argparse.Namespace:
    """Parse; what stands after `--` is the script's."""
    ours, script = (arguments[: arguments.index("--")], arguments[arguments.index("--") + 1 :]) if "--" in arguments else (arguments, [])
    parser = _Parser(prog="batchinfer", description="Score files and tables with an entry script, exactly once.", allow_abbrev=False)
    commands = parser.add_subparsers(metavar="COMMAND", required=True, parser_class=_Parser)
    _add_run(commands)
    _add_serve(commands)
    _add_models(commands)
    _add_datasets(commands)
    _add_jobs(commands)
    _add_services(commands)
    options, unknown = parser.parse_known_args(ours)
    if unknown:
        options.asked.error(f"unrecognized arguments: {' '.join(unknown)}")
    options.arguments = script
    return options


class _Parser(argparse.ArgumentParser):
    """Says how to get help, not the whole usage. `asked` is the command that an error is of."""

    def __init__(self, **options: Any) -> None:  # noqa: ANN401 - argparse's own
        super().__init__(**options)
        self.set_defaults(asked=self)

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}\nTry '{self.prog} --help'.\n")


def _add_run(commands: Any) -> None:  # noqa: ANN401 - argparse's own type has no name
    run = commands.add_parser(
        "run",
        help="score files or tables",
        description="Score files or tables with an entry script. Run twice, the same command reuses its result; interrupted, it resumes.",
        epilog="What stands after -- goes to the script as its own arguments.",
        allow_abbrev=False,
    )
    run.add_argument("script", metavar="SCRIPT", help="the entry script, with init() and run(mini_batch)")
    run.add_argument(
        "--input", action="append", required=True, metavar="URL", help="a file, folder or glob on any storage, or dataset:NAME; repeatable"
    )
    run.add_argument("--output", required=True, metavar="DIR", help="the folder for the result; never inside an input folder")
    run.add_argument("--source-directory", metavar="DIR", help="the folder to ship with the script; else the script and its sibling *.py")
    inputs.add_options(run)
    run.add_argument(
        "--mini-batch-size", metavar="N", help="files of one run() call (default 10); of tables bytes, such as 512KB (default 1MB)"
    )
    run.add_argument(
        "--partition-key",
        action="append",
        metavar="NAME",
        help="one run() call for all items that share this key of their path; repeatable",
    )
    run.add_argument("--processes", metavar="N", help="workers (default: one per GPU, else one per core)")
    run.add_argument("--error-threshold", metavar="N", default="0", help="how many items may fail; -1: any number (default 0)")
    run.add_argument("--allowed-failed-count", metavar="N", help="how many mini-batches may fail")
    run.add_argument("--allowed-failed-percent", metavar="P", help="what share of the mini-batches may fail, at the end")
    run.add_argument(
        "--append-row-file-name", metavar="F", default="parallel_run_step.txt", help="the result's file name (default %(default)s)"
    )
    run.add_argument("--include-item", action="store_true", help="say of each row of a .csv, .jsonl or .parquet file which item it is of")
    run.add_argument("--output-action", metavar="A", default="append_row", help="append_row or summary_only (default %(default)s)")
    run.add_argument(
        "--model", action="append", default=[], metavar="REF", help="name, name:3 or name:latest; the script finds it in AZUREML_MODEL_DIR"
    )
    run.add_argument(
        "--side-input", action="append", default=[], metavar="NAME=URL", help="a path for every worker; {NAME} in the arguments becomes it"
    )
    run.add_argument(
        "--env", action="append", default=[], metavar="NAME=VALUE", help="an environment variable for the script; never stored"
    )
    _add_environment(run)
    run.add_argument("--timeout", metavar="S", default="60", help="seconds that one run() call may take (default %(default)s)")
    run.add_argument("--max-try", metavar="N", default="3", help="tries of one mini-batch in all (default %(default)s)")
    run.add_argument("--isolate-failures", action="store_true", help="halve a mini-batch that fails until the items that do are found")
    _add_compatibility(run)
    run.add_argument("--no-reuse", action="store_true", help="score anew, even if nothing has changed")
    run.add_argument("--allow-empty", action="store_true", help="an input without files gives an empty result instead of an error")
    run.add_argument("--json", action="store_true", help="print the summary as the last line")
    _finish(run, "run", "run")


def _add_environment(run: argparse.ArgumentParser) -> None:
    """In which Python the script runs; one of the three that name packages, or none."""
    run.add_argument(
        "--requirements",
        action="append",
        default=[],
        metavar="FILE|SPEC",
        help="a requirements.txt (.txt, .in) or a requirement such as numpy==1.26.4, for a Python of the script's own; repeatable",
    )
    run.add_argument("--python", metavar="VERSION", help="that Python's version, such as 3.11 (default: that of this command)")
    run.add_argument("--conda-specification", metavar="FILE", help="a conda environment.yml, for a Python of the script's own")
    run.add_argument("--interpreter", metavar="PATH", help="a Python that is installed, to run the script in with its packages")


def _add_compatibility(run: argparse.ArgumentParser) -> None:
    run.add_argument(
        "--azureml-compat",
        metavar="auto|true|false",
        default="auto",
        help="names of Azure ML's SDK for the script; auto: where its Python has no azureml-core (default %(default)s)",
    )
    run.add_argument(
        "--tensorflow-v1",
        metavar="auto|true|false",
        default="auto",
        help="TensorFlow 1 for the script; auto: where it uses names that only TensorFlow 1 had (default %(default)s)",
    )


def _add_serve(commands: Any) -> None:  # noqa: ANN401 - as above
    serve = commands.add_parser(
        "serve",
        help="answer requests with an entry script",
        description="Answer HTTP requests with an entry script, on this machine, until Ctrl-C.",
        epilog="What stands after -- goes to the script as its own arguments.",
        allow_abbrev=False,
    )
    serve.add_argument("script", metavar="SCRIPT", help="the entry script, with init() and run(raw_data)")
    serve.add_argument(
        "--model", action="append", default=[], metavar="REF", help="name, name:3 or name:latest; the script finds it in AZUREML_MODEL_DIR"
    )
    serve.add_argument("--source-directory", metavar="DIR", help="the folder that the script is part of (default: its own)")
    serve.add_argument("--host", metavar="H", default="127.0.0.1", help="where to listen (default %(default)s: this machine only)")
    serve.add_argument("--port", metavar="N", default="5001", help="0 takes one that is free (default %(default)s)")
    serve.add_argument("--replicas", metavar="N", default="1", help="processes that answer, or MIN-MAX to follow the load (default 1)")
    serve.add_argument(
        "--env", action="append", default=[], metavar="NAME=VALUE", help="an environment variable for the script; repeatable"
    )
    _add_environment(serve)
    _add_compatibility(serve)
    serve.add_argument("--key-file", metavar="F", help="a file with one or two keys, each on a line (default: a new key, in a file)")
    serve.add_argument("--no-auth", action="count", default=0, help="ask for no key; with an open --host only if given twice")
    serve.add_argument("--status-profile", metavar="P", default="aks", help="aks or inference-server (default %(default)s)")
    serve.add_argument("--max-concurrent", metavar="N", default="1", help="requests that a replica has at once (default %(default)s)")
    serve.add_argument("--max-wait", metavar="MS", default="500", help="how long a request waits for a replica (default %(default)s)")
    serve.add_argument("--scoring-timeout", metavar="MS", default="60000", help="how long run() may take (default %(default)s)")
    serve.add_argument("--tls-cert", metavar="F", help="a certificate, to serve https")
    serve.add_argument("--tls-key", metavar="F", help="the certificate's key")
    _finish(serve, "serve", "serve_script")


def _add_models(commands: Any) -> None:  # noqa: ANN401 - as above
    models = _group(commands, "models", "register and look at models")
    register = models.add_parser("register", help="register a file, a folder or an archive as the next version", allow_abbrev=False)
    register.add_argument("name", metavar="NAME")
    register.add_argument("path", metavar="PATH", help="local or a URL, also http(s); a .zip, .tar.gz, .tgz or .tar is unpacked")
    register.add_argument("--tag", action="append", default=[], metavar="NAME=VALUE", help="repeatable")
    register.add_argument("--property", action="append", default=[], metavar="NAME=VALUE", help="repeatable")
    register.add_argument("--description", metavar="TEXT")
    register.add_argument("--always-new-version", action="store_true", help="also of content that is registered already")
    register.add_argument("--json", action="store_true", help="print the version as JSON")
    _finish(register, "models", "register")
    listing = models.add_parser("list", help="every model and version", allow_abbrev=False)
    listing.add_argument("--json", action="store_true", help="print JSON")
    _finish(listing, "models", "list_models")
    show = models.add_parser("show", help="one version, as JSON", allow_abbrev=False)
    show.add_argument("reference", metavar="REF", help="name, name:3 or name:latest")
    _finish(show, "models", "show")
    download = models.add_parser("download", help="put the files of a version into a folder", allow_abbrev=False)
    download.add_argument("reference", metavar="REF", help="name, name:3 or name:latest")
    download.add_argument("folder", metavar="DIR", help="a folder that does not exist yet, or is empty")
    _finish(download, "models", "download")
    delete = models.add_parser("delete", help="delete a version, or all of a model", allow_abbrev=False)
    delete.add_argument("reference", metavar="REF", help="name:3, or name for every version")
    _finish(delete, "models", "delete")


def _add_datasets(commands: Any) -> None:  # noqa: ANN401 - as above
    datasets = _group(commands, "datasets", "register inputs under a name and look at them")
    register = datasets.add_parser("register", help="register files, folders and globs under a name", allow_abbrev=False)
    register.add_argument("name", metavar="NAME")
    register.add_argument("urls", metavar="URL", nargs="+", help="a file, a folder, a glob or dataset:NAME[:VERSION]; quote globs")
    inputs.add_options(register)
    register.add_argument("--skip", type=int, metavar="N", help="leave out the first N files, or rows of a table")
    register.add_argument("--take", type=int, metavar="N", help="only the first N files or rows of those that are left")
    register.add_argument("--tag", action="append", default=[], metavar="NAME=VALUE", help="repeatable")
    register.add_argument("--description", metavar="TEXT")
    register.add_argument("--create-new-version", action="store_true", help="make another definition the name's next version")
    register.add_argument("--no-validate", action="store_true", help="register also what matches no file yet")
    register.add_argument("--json", action="store_true", help="print the version as JSON")
    _finish(register, "datasets", "register")
    listing = datasets.add_parser("list", help="every dataset and version", allow_abbrev=False)
    listing.add_argument("--json", action="store_true", help="print JSON")
    _finish(listing, "datasets", "list_datasets")
    show = datasets.add_parser("show", help="one version, as JSON", allow_abbrev=False)
    show.add_argument("reference", metavar="REF", help="name, name:3 or name:latest, with or without dataset: before it")
    show.add_argument("--count", action="store_true", help="list its files and say how many there are now, and of how many bytes")
    _finish(show, "datasets", "show")
    delete = datasets.add_parser("delete", help="delete a version, or all of a dataset; never its files", allow_abbrev=False)
    delete.add_argument("reference", metavar="REF", help="name:3, or name for every version")
    _finish(delete, "datasets", "delete")


def _add_jobs(commands: Any) -> None:  # noqa: ANN401 - as above
    jobs = _group(commands, "jobs", "look at jobs and remove them")
    listing = jobs.add_parser("list", help="every job and how far it is", allow_abbrev=False)
    listing.add_argument("--json", action="store_true", help="print JSON")
    _finish(listing, "jobs", "list_jobs")
    show = jobs.add_parser("show", help="one job: counts, nodes, why what failed", allow_abbrev=False)
    show.add_argument("job", metavar="JOB")
    show.add_argument("--json", action="store_true", help="print JSON")
    _finish(show, "jobs", "show")
    failed = jobs.add_parser("failures", help="every failure of a job, a line of JSON each, as _errors.jsonl has them", allow_abbrev=False)
    failed.add_argument("job", metavar="JOB")
    _finish(failed, "jobs", "failures")
    delete = jobs.add_parser("delete", help="remove a job that nobody works on", allow_abbrev=False)
    delete.add_argument("job", metavar="JOB")
    _finish(delete, "jobs", "delete")
    prune = jobs.add_parser("prune", help="remove old jobs that nobody works on", allow_abbrev=False)
    prune.add_argument("--older-than", required=True, type=_seconds, metavar="AGE", help="30d, 12h, 90m or 60s since anybody worked on it")
    _finish(prune, "jobs", "prune")


def _add_services(commands: Any) -> None:  # noqa: ANN401 - as above
    services = _group(commands, "services", "look at deployed services and remove them")
    listing = services.add_parser("list", help="every service and how it is", allow_abbrev=False)
    listing.add_argument("--json", action="store_true", help="print JSON")
    _finish(listing, "services", "list_services")
    show = services.add_parser("show", help="one service: state, revision, replicas, why a revision failed", allow_abbrev=False)
    show.add_argument("name", metavar="NAME")
    show.add_argument("--json", action="store_true", help="print JSON")
    _finish(show, "services", "show")
    logs = services.add_parser("logs", help="the end of what its processes said", allow_abbrev=False)
    logs.add_argument("name", metavar="NAME")
    logs.add_argument("--lines", type=int, default=100, metavar="N", help="how many (default %(default)s)")
    _finish(logs, "services", "logs")
    keys = services.add_parser("keys", help="its keys, the primary one first", allow_abbrev=False)
    keys.add_argument("name", metavar="NAME")
    keys.add_argument("--regenerate", metavar="primary|secondary", help="replace this one first")
    _finish(keys, "services", "keys")
    delete = services.add_parser("delete", help="end a service and leave nothing of it", allow_abbrev=False)
    delete.add_argument("name", metavar="NAME")
    delete.add_argument("--forget", action="store_true", help="also if it runs on a machine that is gone: let go of its name")
    _finish(delete, "services", "delete")


def _group(commands: Any, name: str, told: str) -> Any:  # noqa: ANN401 - as above
    group = commands.add_parser(name, help=told, description=told.capitalize() + ".", allow_abbrev=False)
    return group.add_subparsers(metavar="COMMAND", required=True, parser_class=_Parser)


def _finish(parser: argparse.ArgumentParser, module: str, function: str) -> None:
    parser.add_argument("--workspace", metavar="URL", help=f"default: ${ENVIRONMENT_VARIABLE}, else .batchinfer in the current folder")
    parser.set_defaults(command=_later(module, function))


def _later(module: str, function: str) -> Callable[[argparse.Namespace], None]:
    def command(options: argparse.Namespace) -> None:
        getattr(import_module(f"airflow_batchinfer.cli.{module}"), function)(options)

    return command


def _seconds(text: str) -> float:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd])", text)
    if not match:
        raise argparse.ArgumentTypeError(f"{text!r} is not an age such as 30d, 12h, 90m or 60s")
    return float(match[1]) * _UNITS[match[2]]
