"""The program below which all of a standalone Airflow runs: `components.py LAUNCHER HOME LOG_PORT TASKS_PORT`, started by standalone.py.

A keeper stands at its top, as above a scoring worker: when the launcher dies, however it dies, nobody below is left. Below
it Airflow is imported once, the database is brought up to date, and each component is a fork of that: on two cores this is
healthy in a third of the time of `airflow standalone`, in less memory. Each component is otherwise what `airflow NAME` would
be, with its output in HOME/logs/NAME.log. When its standard input closes, it asks all of them to end and waits, as long as
the launcher has the patience; when one of them ends by itself it ends at once, and the keeper kills the others. It must not
decide any setting.
"""

from __future__ import annotations

import os
import runpy
import select
import signal
import subprocess
import sys

from airflow_batchinfer.worker.keeper import keep_child

# Each is `python -m ...`. The servers of task logs that the scheduler and the triggerer would start listen on every network,
# so one that listens here only takes their place.
# Tasks have an API server of their own. One for them and for people writes to SQLite in its event loop when somebody triggers
# a run, waits there for a task's request that cannot finish without the loop, and after five seconds one of them has failed.
COMPONENTS = {
    "api-server": ("airflow", "api-server", "--apps", "core"),
    "tasks-api-server": ("airflow", "api-server", "--apps", "execution", "--port"),
    "scheduler": ("airflow", "scheduler", "--skip-serve-logs"),
    "dag-processor": ("airflow", "dag-processor"),
    "triggerer": ("airflow", "triggerer", "--skip-serve-logs"),
    "log-server": (
        "uvicorn",
        "--factory",
        "airflow.utils.serve_logs.log_server:get_app",
        "--host",
        "127.0.0.1",
        "--no-access-log",
        "--port",
    ),
}


def main() -> int:
    launcher, home = int(sys.argv[1]), sys.argv[2]
    ports = {"log-server": sys.argv[3], "tasks-api-server": sys.argv[4]}
    keep_child(launcher, (), os.open(os.devnull, os.O_RDONLY))
    load_airflow()
    components = {}
    for name, command in COMPONENTS.items():
        arguments = (*command, ports[name]) if name in ports else command
        components[start(name, arguments, os.path.join(home, "logs", f"{name}.log"))] = name
    if wait_for_an_end(components):
        return 1
    end(components)
    return 0


def load_airflow() -> None:
    """Import what the components share, and make or update the database while nobody else uses it."""
    import uvicorn  # noqa: F401
    from airflow import settings
    from airflow.api_fastapi import app  # noqa: F401
    from airflow.cli import cli_parser  # noqa: F401
    from airflow.cli.commands import api_server_command, dag_processor_command, scheduler_command, triggerer_command  # noqa: F401
    from airflow.utils import db

    db.initdb()
    settings.engine.dispose()  # a connection to SQLite must not be carried across a fork


def start(name: str, command: tuple[str, ...], log: str) -> int:
    """Start `python -m COMMAND...`, and give its process id."""
    with open(log, "ab") as output:
        if sys.platform != "linux":  # forking a process that has loaded much is not safe there
            return subprocess.Popen([sys.executable, "-m", *command], stdin=subprocess.DEVNULL, stdout=output, stderr=output).pid
        pid = os.fork()
        if pid == 0:
            become(name, command, output.fileno())
        return pid


def become(name: str, command: tuple[str, ...], output: int) -> None:
    """Be `python -m COMMAND...` from here on, and never return."""
    from setproctitle import setproctitle

    code = 1
    try:
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(output, 1)
        os.dup2(output, 2)
        setproctitle(f"airflow {name}")
        sys.argv = list(command)
        runpy.run_module(command[0], run_name="__main__", alter_sys=True)
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:  # noqa: BLE001 - whatever it is, it belongs into this component's log
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def wait_for_an_end(components: dict[int, str]) -> bool:
    """Wait until the launcher closes our standard input, or a component ends; forget one that has ended, and tell which it was."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    signal.set_wakeup_fd(writing)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    while True:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid in components:
            print(f"{components.pop(pid)} ended with exit code {os.waitstatus_to_exitcode(status)}", flush=True)
            return True
        ready, _, _ = select.select([0, reading], [], [])
        if 0 in ready:
            return False
        os.read(reading, 512)


def end(components: dict[int, str]) -> None:
    """Ask all to end, and wait for those that have something to finish: the triggerer may take half a minute to stop doing nothing."""
    for pid in components:
        os.kill(pid, signal.SIGTERM)
    while {*components.values()} - {"triggerer"}:
        components.pop(os.wait()[0], None)


if __name__ == "__main__":
    sys.exit(main())
