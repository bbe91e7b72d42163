"""The first process of a machine: it makes the machine of the namespaces that it was started in, and runs one program.

It is process 1 of a process namespace, with a network, a host name and mounts of its own: when it ends, the kernel ends
all that it started. Its standard input is one line of JSON, which comes when its network card is there; on its standard
output it says "ready", then "up", then whenever the program has ended. The machine's disk is /srv, where nothing else is,
and the folder with the disks of all machines is hidden.
"""

import json
import os
import socket
import subprocess
import sys
import time

FIRST_PAUSE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 2.0
DISK = "/srv"


def main() -> int:
    say("ready")
    told = json.loads(sys.stdin.readline())
    socket.sethostname(told["name"])
    for command in [*network(told["address"]), *mounts(told)]:
        subprocess.run(command, check=True)
    say("up")
    command, user = told["command"], told["user"]
    pause_seconds = FIRST_PAUSE_SECONDS
    while True:
        status = run(command, told["environment"], user)
        say(f"ended {status}")
        if not told["is_restarted"]:
            return status
        time.sleep(pause_seconds)
        pause_seconds = min(2 * pause_seconds, LONGEST_PAUSE_SECONDS)


def network(address: str) -> list[list[str]]:
    return [
        ["ip", "link", "set", "lo", "up"],
        ["ip", "address", "add", f"{address}/24", "dev", "eth0"],
        ["ip", "link", "set", "eth0", "up"],
    ]


def mounts(told: dict[str, str]) -> list[list[str]]:
    return [
        ["mount", "--bind", told["hosts"], "/etc/hosts"],
        ["mount", "--bind", "/dev/null", "/etc/resolv.conf"],
        ["mount", "--bind", told["disk"], DISK],
        ["mount", "-t", "tmpfs", "none", told["disks"]],
    ]


def run(command: list[str], environment: dict[str, str], user: str | None) -> int:
    """Run the program to its end; orphans come to process 1, and end here as well."""
    with open(f"{DISK}/output.log", "ab") as output:
        program = subprocess.Popen(
            command, env=environment, cwd=DISK, stdin=subprocess.DEVNULL, stdout=output, stderr=output, user=user, group=user
        )
    while True:
        ended, status = os.wait()
        if ended == program.pid:
            program.returncode = os.waitstatus_to_exitcode(status)
            return program.returncode


def say(what: str) -> None:
    sys.stdout.write(f"{what}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
