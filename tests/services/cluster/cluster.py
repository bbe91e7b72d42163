"""The cluster of docker-compose.yaml on this machine, without containers: a machine of namespaces for each of its services.

    pytest --- machine 10.0.0.1 postgres --- switch     a machine: processes, network, host name and disk of its own;
           --- machine 10.0.0.2 redis -----/            every other's name is in its /etc/hosts
           --- ...

Each runs its service's command with its service's environment, as the file says them and images.py changes them. What the
file mounts from the checkout is copied, so the machines share the network and the object storage, and nothing else.
The kernel ends all of it when the thread that started it ends.
"""

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Self, TypeVar

from tests.faults.azurite import ENDS_WITH_ITS_PARENT
from tests.faults.azurite import PROGRAM as AZURITE
from tests.integration.leftovers import children, wait_for_the_end, wait_until
from tests.services.cluster.compose import Service, read
from tests.services.cluster.images import command_of, environment_of, image_of

Found = TypeVar("Found")
HERE = Path(__file__).parent
NETWORK = "10.0.0"
SWITCH = f"{NETWORK}.254"
NAMESPACES = ("--net", "--uts", "--ipc", "--mount", "--pid", "--mount-proc", "--fork", "--kill-child")
PROGRAMS = ("ip", "setpriv", "unshare", "nsenter", "redis-server", "node")
SHOWN_LINES, SHOWN_CHARACTERS = 15, 250


class Machine:
    """One replica of a service."""

    def __init__(self, name: str, service: Service, number: int, disks: Path) -> None:
        self.name = name
        self.service = service
        self.address = f"{NETWORK}.{number}"
        # The same after a restart, or the others would look for the old one.
        self.card = f"02:00:00:00:00:{number:02x}"
        self.disk = disks / name
        self.environment = {**environment_of(service), "HOSTNAME": name, "PATH": _programs()}
        self._process: subprocess.Popen[str] | None = None

    @property
    def is_on(self) -> bool:
        return self._process is not None

    @property
    def pid(self) -> int:
        """The process that the namespaces belong to; its only child is the machine's first."""
        return self._process.pid

    def power_on(self) -> None:
        program = [*ENDS_WITH_ITS_PARENT, "unshare", *NAMESPACES, sys.executable, str(HERE / "machine.py")]
        self._process = subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._expect("ready")

    def boot(self, hosts: Path) -> None:
        """Once its cable is plugged in."""
        told = {
            "name": self.name,
            "address": self.address,
            "hosts": str(hosts),
            "disk": str(self.disk),
            "disks": str(self.disk.parent),
            "command": command_of(self.service),
            "environment": self.environment,
            "user": image_of(self.service).user,
            "is_restarted": self.service.restart != "no",
        }
        self._process.stdin.write(f"{json.dumps(told)}\n")
        self._process.stdin.flush()
        self._expect("up")

    def kill(self) -> None:
        """kill -9 of everything on it: the first process dies with the one above it, and the kernel ends all others with the first."""
        process, self._process = self._process, None
        first = children(process.pid)
        process.kill()
        process.communicate()
        for one in first:
            wait_for_the_end(one, 20)

    def wait_for_its_end(self) -> None:
        """Wait for the end of a program that is run once."""
        process, self._process = self._process, None
        process.communicate(timeout=300)
        if process.returncode:
            raise RuntimeError(f"{self.name} ended with exit code {process.returncode}:\n{self.log()}")

    def run(self, command: Sequence[str], seconds: float = 60.0) -> subprocess.CompletedProcess[str]:
        """Run a command on it, as `docker compose exec` does."""
        (first,) = children(self.pid)
        inside = ["nsenter", "--target", str(first), "--net", "--uts", "--ipc", "--mount", "--pid"]
        return subprocess.run(
            [*inside, *command],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
            stdin=subprocess.DEVNULL,
        )

    def processes(self) -> list[int]:
        """All of its processes, as they are numbered outside."""
        (first,) = children(self.pid)
        namespace = _namespace(first)
        return [pid for pid in map(int, filter(str.isdigit, os.listdir("/proc"))) if _namespace(pid) == namespace]

    def log(self) -> str:
        """What its program printed."""
        with contextlib.suppress(FileNotFoundError):
            return (self.disk / "output.log").read_text(errors="replace")
        return ""

    def _expect(self, word: str) -> None:
        if (said := self._process.stdout.readline().strip()) != word:
            raise RuntimeError(f"{self.name} said {said!r} instead of {word!r}")


class Cluster:
    """The machines of the file.

    :param folder: for the machines' disks.
    :param replicas: how many machines a service has, where that is not one.
    :param environment: what differs from the file for every service.
    :param of_a_service: and what for one.
    :param mounted: what lies where the file mounts a folder of the checkout.
    :param only: the services to start; all, unless given.
    """

    def __init__(
        self,
        folder: Path,
        *,
        replicas: Mapping[str, int] | None = None,
        environment: Mapping[str, str] | None = None,
        of_a_service: Mapping[str, Mapping[str, str]] | None = None,
        mounted: Mapping[str, Path] | None = None,
        only: Collection[str] | None = None,
    ) -> None:
        self._folder = folder
        self._mounted = mounted or {}
        self.machines: dict[str, Machine] = {}
        for service in read().values():
            count = (replicas or {}).get(service.name, 1) if only is None or service.name in only else 0
            for number in range(1, count + 1):
                name = service.name if count == 1 else f"{service.name}-{number}"
                machine = self.machines[name] = Machine(name, service, len(self.machines) + 1, folder / "disks")
                machine.environment |= {**(environment or {}), **(of_a_service or {}).get(service.name, {})}
        self._switch: subprocess.Popen[str] | None = None
        self._published: dict[tuple[str, int], int] = {}
        self._cables = 0

    def __enter__(self) -> Self:
        check_this_machine()
        try:
            self._install()
            self._start_switch()
            for name in self.machines:
                self.start(name)
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        for machine in self.machines.values():
            if machine.is_on:
                machine.kill()
        if self._switch is not None:
            self._switch.kill()
            self._switch.communicate()

    def port(self, service: str, port: int) -> int:
        """Where a port that the file publishes is found on this machine's loopback."""
        return self._published[service, port]

    def start(self, name: str) -> None:
        """Switch a machine on when what it depends on is there; its disk is as it was left."""
        machine = self.machines[name]
        for of, condition in machine.service.depends_on.items():
            for other in [other for other in self.machines.values() if other.service.name == of]:
                if condition == "service_healthy":
                    self.wait_until_healthy(other.name)
                elif other.is_on:
                    other.wait_for_its_end()
        machine.power_on()
        self._plug_in(machine)
        machine.boot(self._folder / "hosts")

    def restart(self, name: str) -> None:
        """Kill a machine and start it again."""
        self.machines[name].kill()
        self.start(name)

    def is_healthy(self, name: str) -> bool:
        """What the health check of its service says."""
        machine = self.machines[name]
        return machine.run(machine.service.health_command).returncode == 0

    def wait_until_healthy(self, name: str, seconds: float = 60.0) -> None:
        self.wait_until(lambda: self.is_healthy(name), f"{name} is healthy", seconds)

    def wait_until(self, found: Callable[[], Found], what: str, seconds: float = 60.0) -> Found:
        """As everywhere; what went wrong is said with what the machines printed."""
        try:
            return wait_until(found, what, seconds)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.ends_of_logs()}") from None

    def ends_of_logs(self) -> str:
        logs = {name: machine.log().splitlines()[-SHOWN_LINES:] for name, machine in self.machines.items()}
        return "\n".join(line[:SHOWN_CHARACTERS] for name, log in logs.items() for line in (f"--- {name}", *log))

    def _install(self) -> None:
        """What lies on the machines' disks before they are started."""
        names = [f"{machine.address} {machine.name}" for machine in self.machines.values()]
        # A service of several machines has the name of each, and its own is the first's.
        aliases = {machine.service.name: machine.address for machine in reversed(self.machines.values())}
        text = "".join(f"{line}\n" for line in ["127.0.0.1 localhost", *names, *(f"{at} {name}" for name, at in aliases.items())])
        (self._folder / "hosts").write_text(text)
        for machine in self.machines.values():
            machine.disk.mkdir(parents=True)
            machine.disk.chmod(0o755)
            for source, target in machine.service.volumes:
                place = machine.disk / target.lstrip("/")
                place.mkdir(parents=True)
                if source.startswith("."):
                    shutil.copytree(self._mounted[source], place, dirs_exist_ok=True)
                elif user := image_of(machine.service).user:
                    shutil.chown(place, user, user)
            for name in ("home", "tmp"):
                (machine.disk / name).mkdir(exist_ok=True)
                (machine.disk / name).chmod(0o1777)

    def _start_switch(self) -> None:
        with contextlib.ExitStack() as stack:
            sockets = []
            for machine in self.machines.values():
                for port in machine.service.ports:
                    listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
                    self._published[machine.service.name, port] = listener.getsockname()[1]
                    sockets.append((listener.fileno(), f"{listener.fileno()}:{machine.address}:{port}"))
            program = [*ENDS_WITH_ITS_PARENT, "unshare", "--net", sys.executable, str(HERE / "switch.py"), SWITCH]
            self._switch = subprocess.Popen(
                [*program, *(said for _, said in sockets)], pass_fds=[one for one, _ in sockets], stdout=subprocess.PIPE, text=True
            )
        if self._switch.stdout.readline() != "ready\n":
            raise RuntimeError("the cluster's network could not be made: its error is above")

    def _plug_in(self, machine: Machine) -> None:
        self._cables += 1
        port = f"port{self._cables}"
        for command in (
            ["link", "add", port, "type", "veth", "peer", "name", "eth0", "address", machine.card, "netns", str(machine.pid)],
            ["link", "set", port, "master", "switch", "up"],
        ):
            subprocess.run(["nsenter", "--target", str(self._switch.pid), "--net", "ip", *command], check=True)


def check_this_machine() -> None:
    """Raise, with every reason, if no cluster can be started here."""
    faults = [f"there is no {program} on PATH" for program in PROGRAMS if not shutil.which(program, path=_programs())]
    faults += [] if _postgres() else ["there is no PostgreSQL in /usr/lib/postgresql"]
    faults += [] if AZURITE.exists() else [f"there is no {AZURITE}"]
    if faults:
        raise RuntimeError(f"No cluster can be started here: {'; '.join(faults)}. make test-services installs what is missing")
    tried = subprocess.run(
        ["unshare", *NAMESPACES, "ip", "link", "add", "port", "type", "veth"], capture_output=True, text=True, check=False
    )
    if tried.returncode:
        raise RuntimeError(
            f"No cluster can be started here, since namespaces cannot be made ({tried.stderr.strip()}): run the tests as root, "
            "in a container with --privileged"
        )


def _namespace(pid: int) -> str | None:
    with contextlib.suppress(OSError):
        return os.readlink(f"/proc/{pid}/ns/pid")
    return None


def _postgres() -> list[Path]:
    """The folders with PostgreSQL's programs, which Debian puts on no PATH, the newest last."""
    return sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda folder: int(folder.parent.name))


def _programs() -> str:
    """The PATH of every machine."""
    ours = [Path(sys.executable).parent, AZURITE.parent, *_postgres()[-1:]]
    return os.pathsep.join([*map(str, ours), os.environ.get("PATH", os.defpath)])
