"""A real Airflow on this machine: api-server, scheduler with LocalExecutor, dag-processor and triggerer over SQLite.

All that it writes lies in one folder, its home: airflow.cfg with the reason for every setting, the database, the logs,
the password. `AIRFLOW_HOME=<home> airflow ...` therefore speaks to it. It listens on 127.0.0.1 only and asks nothing of
the internet. Nothing outlives it: components.py stands above all its processes and ends them when it is stopped, and
when whoever started it is interrupted or killed. It must not know which DAGs run in it.
"""

from __future__ import annotations

import base64
import configparser
import contextlib
import fcntl
import json
import os
import secrets
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, Self

HOST = "127.0.0.1"
USER = "admin"
COMPONENTS = ("scheduler", "dag_processor", "triggerer")
POLL_SECONDS = 0.1
# How long stop() waits for running tasks before it kills them: Airflow would wait for ever.
GRACE_SECONDS = 5.0
SHOWN_LINES = 25

# A setting that an AIRFLOW__SECTION__KEY of the environment names as well is taken from there: give those as `environment`.
CONFIGURATION = """\
# Written by dags/demo/standalone.py at every start; only the three keys are kept.

[core]
dags_folder = {dags_folder}
executor = LocalExecutor
# How many tasks run at once.
parallelism = {parallelism}
load_examples = False
# Encrypts the passwords of connections in the database.
fernet_key = {fernet_key}
# The form of a connection has a button that tries it.
test_connection = Enabled
execution_api_server_url = http://{host}:{tasks_port}/execution/
# Tasks call their machine 127.0.0.1: their logs are asked for there, and no name server is needed.
hostname_callable = urllib.request.localhost
simple_auth_manager_users = {user}:admin
simple_auth_manager_passwords_file = {passwords_file}

[api]
host = {host}
port = {port}
base_url = http://{host}:{port}
secret_key = {secret_key}

[api_auth]
jwt_secret = {jwt_secret}

[logging]
worker_log_server_port = {log_server_port}
trigger_log_server_port = {log_server_port}

[workers]
# By default half of all short tasks hold their slot for 5 s after they have ended: a task's supervisor sleeps one such
# interval. With 1 a task that does nothing takes 0.12 s instead of 0.7 s.
min_heartbeat_interval = 1

[scheduler]
# A task whose worker died is noticed after 60 s instead of 300 s.
task_instance_heartbeat_timeout = 60

[dag_processor]
# A new DAG file is seen after so many seconds instead of 300.
refresh_interval = {refresh_seconds}
bundle_refresh_check_interval = {refresh_check_seconds}
"""


class NotHealthyError(Exception):
    """Airflow could not start, was not healthy in time, or has ended; the message ends with the last lines of its logs."""


@dataclass(frozen=True)
class Login:
    user: str
    password: str


class Standalone:
    """An Airflow in `home` with the DAGs of `dags_folder`; one home holds one at a time.

    :param port: of the API and the UI; 0 takes one that is free.
    :param parallelism: how many tasks run at once.
    :param refresh_seconds: how often new DAG files are looked for.
    :param environment: further variables for every process, above this process' own; its `AIRFLOW__*` are not passed on.
    """

    def __init__(
        self,
        home: Path,
        dags_folder: Path,
        *,
        port: int = 0,
        parallelism: int = 8,
        refresh_seconds: int = 10,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.home = home.resolve()
        self.dags_folder = dags_folder.resolve()
        self.port = port
        self.login = Login(USER, "")
        self._parallelism = parallelism
        self._refresh_seconds = refresh_seconds
        self._environment = dict(environment or {})
        self._lock: IO[bytes] | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._started = datetime.now(UTC)
        self._is_healthy = False
        self._tasks_port = 0

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"

    @property
    def pid(self) -> int:
        """The process above all of its processes."""
        if self._process is None:
            raise RuntimeError(f"No Airflow was started in {self.home}")
        return self._process.pid

    @property
    def logs(self) -> Path:
        """The output of each component, and a folder per DAG with the logs of its tasks."""
        return self.home / "logs"

    @property
    def environment(self) -> dict[str, str]:
        """What every process of it has: this process' own variables, without those that speak of another Airflow."""
        inherited = {
            name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW__", "AIRFLOW_HOME", "AIRFLOW_CONFIG"))
        }
        programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
        past_the_proxy = ",".join(filter(None, [os.environ.get("NO_PROXY"), HOST, "localhost"]))
        ours = {"AIRFLOW_HOME": str(self.home), "PATH": programs, "NO_PROXY": past_the_proxy, "no_proxy": past_the_proxy}
        return {**inherited, **ours, **self._environment}

    def __enter__(self) -> Self:
        try:
            self.start()
            self.wait_until_healthy()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Write the home and start; returns at once. The thread that calls this must live as long as Airflow shall."""
        self.port = free_port(self.port)
        self.logs.mkdir(parents=True, exist_ok=True)
        self._take_the_home()
        log_port, self._tasks_port = free_port(), free_port()
        self.login = Login(USER, self._password())
        self._write_configuration(log_port)
        self._started = datetime.now(UTC)
        ours = [str(Path(__file__).with_name("components.py")), str(os.getpid()), str(self.home)]
        program = [sys.executable, *ours, str(log_port), str(self._tasks_port)]
        with (self.logs / "start.log").open("ab") as output:
            self._process = subprocess.Popen(
                program, stdin=subprocess.PIPE, stdout=output, stderr=output, env=self.environment, cwd=self.home, start_new_session=True
            )

    def wait_until_healthy(self, seconds: float = 120.0) -> None:
        """Wait until every component has said that it is well since the start."""
        deadline = time.monotonic() + seconds
        while missing := self._not_healthy():
            if self._process is None or self._process.poll() is not None:
                raise NotHealthyError(f"Airflow in {self.home} ended before it was healthy.\n{self.ends_of_logs()}")
            if time.monotonic() > deadline:
                raise NotHealthyError(f"Not healthy after {seconds:g} s: {', '.join(missing)}, in {self.home}.\n{self.ends_of_logs()}")
            time.sleep(POLL_SECONDS)
        self._is_healthy = True

    def wait(self) -> None:
        """Wait, for ever if all is well: an Airflow that ends by itself is an error."""
        if self._process is not None:
            self._process.wait()
        raise NotHealthyError(f"Airflow in {self.home} ended.\n{self.ends_of_logs()}")

    def stop(self) -> None:
        """End it and all that it started; running tasks get a few seconds to end by themselves."""
        process, self._process = self._process, None
        if process is not None:
            process.stdin.close()
            try:
                process.wait(GRACE_SECONDS if self._is_healthy else 0)
            except BaseException as error:  # an interrupt as well: then there is no time to lose
                process.terminate()
                process.wait()
                if not isinstance(error, subprocess.TimeoutExpired):
                    raise
        if self._lock is not None:
            self._lock.close()
        self._is_healthy, self._lock = False, None

    def cli(self, *arguments: str, seconds: float = 120.0) -> str:
        """What `airflow ...` in this home prints; it takes about 4 s, so prefer the REST API where it can do the same."""
        command = [sys.executable, "-m", "airflow", *arguments]
        ended = subprocess.run(command, env=self.environment, cwd=self.home, capture_output=True, text=True, timeout=seconds, check=False)
        if ended.returncode:
            raise RuntimeError(f"airflow {' '.join(arguments)} ended with exit code {ended.returncode}:\n{ended.stdout}{ended.stderr}")
        return ended.stdout

    def ends_of_logs(self) -> str:
        """The last lines that the components printed."""
        shown = []
        for log in sorted(self.logs.glob("*.log")):
            lines = log.read_text(errors="replace").splitlines()
            shown += [f"--- {log}", *lines[-SHOWN_LINES:]]
        return "\n".join(shown)

    def _take_the_home(self) -> None:
        self._lock = (self.home / "lock").open("wb")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._lock.close()
            raise RuntimeError(f"An Airflow runs in {self.home} already: stop it, or give another home") from None

    def _not_healthy(self) -> list[str]:
        """Which components have not said since the start that they are well; a home remembers those of an earlier start."""
        try:
            with _OPENER.open(f"{self.url}/api/v2/monitor/health", timeout=5) as answer:
                health = json.load(answer)
            # It makes itself ready with the first request, which takes seconds: whether it listens is enough.
            socket.create_connection((HOST, self._tasks_port), timeout=5).close()
        except (OSError, ValueError):
            return ["api_server"]
        return [name for name in COMPONENTS if not self._is_well(health[name], f"latest_{name}_heartbeat")]

    def _is_well(self, component: Mapping[str, Any], heartbeat: str) -> bool:
        return component["status"] == "healthy" and datetime.fromisoformat(component[heartbeat]) > self._started

    def _password(self) -> str:
        """The password of an earlier start of this home, or a new one."""
        with contextlib.suppress(OSError, ValueError, KeyError):
            return json.loads(self._passwords_file.read_text())[USER]
        password = secrets.token_urlsafe(12)
        _write_privately(self._passwords_file, json.dumps({USER: password}))
        return password

    @property
    def _passwords_file(self) -> Path:
        return self.home / "passwords.json"

    def _write_configuration(self, log_port: int) -> None:
        file = self.home / "airflow.cfg"
        before = configparser.ConfigParser(interpolation=None)
        before.read(file)
        values = {
            "dags_folder": str(self.dags_folder).replace("%", "%%"),
            "passwords_file": str(self._passwords_file).replace("%", "%%"),
            "host": HOST,
            "port": self.port,
            "log_server_port": log_port,
            "tasks_port": self._tasks_port,
            "user": USER,
            "parallelism": self._parallelism,
            "refresh_seconds": self._refresh_seconds,
            "refresh_check_seconds": min(self._refresh_seconds, 5),
            "fernet_key": before.get("core", "fernet_key", fallback=base64.urlsafe_b64encode(os.urandom(32)).decode()),
            "secret_key": before.get("api", "secret_key", fallback=secrets.token_hex(32)),
            "jwt_secret": before.get("api_auth", "jwt_secret", fallback=secrets.token_hex(64)),
        }
        _write_privately(file, CONFIGURATION.format(**values))


# A proxy of the surroundings is not asked for what runs here.
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def free_port(wanted: int = 0) -> int:
    """This port, or any if it is 0; an error says that somebody listens there."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((HOST, wanted))
        except OSError as error:
            raise NotHealthyError(
                f"Airflow cannot listen on {HOST}:{wanted} ({error.strerror}): give another port, or 0 for any that is free"
            ) from None
        return listener.getsockname()[1]


def _write_privately(file: Path, text: str) -> None:
    with open(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as writing:
        writing.write(text)
