"""The cluster of the tests itself: nothing of it outlives whoever started it, and where it cannot be started it says why."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.leftovers import wait_for_the_end
from tests.services.cluster import cluster

pytestmark = pytest.mark.services
LAUNCHER = """
import sys
from pathlib import Path
from tests.services.cluster.cluster import Cluster

with Cluster(Path(sys.argv[1]), only=["redis", "azurite"]) as cluster:
    cluster.wait_until_healthy("redis")
    print(*(process for machine in cluster.machines.values() for process in machine.processes()), flush=True)
    sys.stdin.read()
"""


def network_cards() -> set[str]:
    return set(os.listdir("/sys/class/net"))


@pytest.mark.parametrize("end", [signal.SIGKILL, None], ids=["killed", "ended"])
def test_when_the_launcher_is_killed_or_ends_nothing_is_left(tmp_path: Path, end: signal.Signals | None):
    cards, mounts = network_cards(), Path("/proc/mounts").read_text()
    with subprocess.Popen(
        [sys.executable, "-c", LAUNCHER, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[3],
        env={**os.environ, "PYTHONPATH": "."},
    ) as launcher:
        processes = [int(pid) for pid in launcher.stdout.readline().split()]
        assert len(processes) >= 4  # of two machines: the first process and the program
        if end is None:
            launcher.stdin.close()
        else:
            launcher.send_signal(end)
    for pid in processes:
        wait_for_the_end(pid, 20)
    assert network_cards() == cards
    assert Path("/proc/mounts").read_text() == mounts


def test_a_program_that_ends_is_started_again_as_the_file_says_with_what_it_had_stored(tmp_path: Path):
    with cluster.Cluster(tmp_path, only=["redis"]) as one:
        redis = one.machines["redis"]
        one.wait_until_healthy("redis")
        assert redis.run(["redis-cli", "set", "kept", "yes"]).stdout == "OK\n"
        for ended in (lambda: redis.run(["redis-cli", "shutdown"]), lambda: one.restart("redis")):
            before = redis.log().count("Ready to accept connections")
            ended()
            one.wait_until(lambda before=before: redis.log().count("Ready to accept connections") > before, "Redis is there again")
            assert redis.run(["redis-cli", "get", "kept"]).stdout == "yes\n"


def test_where_no_cluster_can_be_started_one_error_says_everything_that_is_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setattr(cluster, "PROGRAMS", ("ip", "no-such-program", "nor-this"))
    monkeypatch.setattr(cluster, "AZURITE", tmp_path / "azurite")
    with pytest.raises(RuntimeError) as raised, cluster.Cluster(tmp_path, only=["redis"]):
        pass
    missing = f"there is no no-such-program on PATH; there is no nor-this on PATH; there is no {tmp_path}/azurite"
    assert str(raised.value) == f"No cluster can be started here: {missing}. make test-services installs what is missing"
