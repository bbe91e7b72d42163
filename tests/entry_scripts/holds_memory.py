"""Takes as many MB as a request says, itself or in a process below it, and waits to be ended; or shares them with processes it forks."""

import json
import os
import sys
import threading

HELD = []
TAKE = "import sys, time; held = b'x' * int(sys.argv[1]); print('taken'); sys.stdout.flush(); time.sleep(3600)"


def init():
    pass


def wait_for_ever():
    threading.Event().wait()


def run(raw_data):
    asked = json.loads(raw_data)
    if isinstance(asked, dict):
        take(asked)
    return os.getpid()


def take(asked):
    size = asked["mb"] << 20
    if asked["where"] == "below":
        import subprocess

        subprocess.Popen([sys.executable, "-c", TAKE, str(size)], start_new_session=True)
    else:
        HELD.append(b"x" * size)
    if asked["where"] == "shared":
        for _ in range(asked["times"]):
            if not os.fork():
                wait_for_ever()
    else:
        wait_for_ever()
