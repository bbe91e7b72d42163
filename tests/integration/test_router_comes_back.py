"""A deployed service whose router dies: who comes meanwhile waits for the next one."""

import select
import socket
from collections.abc import Iterator

import pytest

from tests.integration.deployed import Deployer, waits
from tests.integration.lab import Lab
from tests.integration.leftovers import wait_for_the_end, wait_until


@pytest.fixture
def deployer(lab: Lab) -> Iterator[Deployer]:
    made = Deployer(lab)
    try:
        yield made
    finally:
        made.delete()


def test_who_comes_while_the_router_starts_again_waits_for_its_first_replica_however_little_patience_the_service_has(deployer: Deployer):
    gate = deployer.lab.root / "gate"
    gate.touch()
    deployer.deploy(waits(gate, 1), max_request_wait_time=1)
    port, key, router = deployer.folder().read("address.json")["port"], deployer.target.keys("scoring")[0], deployer.pids()["router"]
    gate.unlink()
    deployer.lab.kill(router)
    wait_for_the_end(router, 10)
    with socket.create_connection(("127.0.0.1", port), 30) as caller:
        caller.sendall(f"GET /score HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\nconnection: close\r\n\r\n".encode())
        wait_until(lambda: deployer.status().replicas_wanted == 1, "it starts its replica")
        assert select.select([caller], [], [], 0.5) == ([], [], [])
        gate.touch()
        assert caller.makefile("rb").readline() == b"HTTP/1.1 200 OK\r\n"
