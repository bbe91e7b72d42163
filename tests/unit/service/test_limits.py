"""What a machine cannot give a service or hold it to, and what it lets one use."""

import os
from pathlib import Path
from typing import Any

import pytest

from airflow_batchinfer.service.config import ServiceConfig
from airflow_batchinfer.service.limits import GB, faults_of
from airflow_batchinfer.service.machine import Machine, this_machine
from airflow_batchinfer.service.seats import Seats, seats_of

SMALL = Machine(cores=4.0, own_cores=(0, 1, 2, 3), memory_bytes=8 * GB, gpus=("a", "a"), tells_memory=True)
ELSEWHERE = Machine(cores=4.0, own_cores=(), memory_bytes=8 * GB, gpus=(), tells_memory=False)


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"num_replicas": 16, "cpu_cores": 0.25, "memory_gb": 0.5},
        {"cpu_cores": 4, "memory_gb": 8, "cpu_cores_limit": 4.0, "memory_gb_limit": 99},
        {"autoscale_max_replicas": 100, "cpu_cores": 1},
        {"num_replicas": 3, "gpu_cores": 1},
    ],
)
def test_what_fits_the_machine_has_no_fault_and_gpus_for_some_of_the_replicas_are_enough(given: dict[str, Any]):
    assert faults_of(ServiceConfig(**given), SMALL) == []


@pytest.mark.parametrize(
    ("given", "machine", "told"),
    [
        ({"cpu_cores": 4.5}, SMALL, "cpu_cores=4.5, and this machine has 4 cores: ask for less"),
        (
            {"cpu_cores": 1, "num_replicas": 5},
            SMALL,
            "cpu_cores=1 for each of 5 replicas is 5, and this machine has 4 cores: ask for less, or for fewer replicas",
        ),
        (
            {"memory_gb": 3, "autoscale_min_replicas": 3},
            SMALL,
            "memory_gb=3 for each of 3 replicas is 9, and this machine has 8 GB of memory: ask for less, or for fewer replicas",
        ),
        ({"gpu_cores": 2}, SMALL, "gpu_cores=2, and this machine has 1 GPUs: no replica could ever start; ask for fewer"),
        ({"cpu_cores_limit": 1.5}, SMALL, "cpu_cores_limit=1.5: on one machine a replica is held to whole cores; give 1 or 2"),
        ({"cpu_cores_limit": 0.5}, SMALL, "cpu_cores_limit=0.5: on one machine a replica is held to whole cores; give 1"),
        (
            {"cpu_cores": 1.2, "cpu_cores_limit": 1.5},
            SMALL,
            "cpu_cores_limit=1.5: on one machine a replica is held to whole cores; give 2",
        ),
        ({"cpu_cores_limit": 1.5}, ELSEWHERE, "cpu_cores_limit=1.5: this system cannot hold a process to some of its cores; leave it out"),
        ({"memory_gb_limit": 2}, ELSEWHERE, "memory_gb_limit=2: this system does not tell what processes hold; leave it out"),
    ],
)
def test_what_does_not_fit_is_told_with_what_there_is(given: dict[str, Any], machine: Machine, told: str):
    assert faults_of(ServiceConfig(**given), machine) == [told]


def test_all_faults_are_told_together():
    config = ServiceConfig(num_replicas=9, cpu_cores=9, cpu_cores_limit=9.5, memory_gb=9, memory_gb_limit=9, gpu_cores=9)
    assert len(faults_of(config, ELSEWHERE)) == 5


def test_cores_are_dealt_by_place_and_a_limit_that_is_no_limit_holds_nobody_to_any():
    seats = Seats(cores=(2, 3, 5), cores_each=2)
    assert [seats.take(place).cores for place in range(4)] == [(2, 3), (2, 5), (3, 5), (2, 3)]
    assert Seats(cores=(2, 3), cores_each=2).take(0).cores == ()
    assert Seats(cores=(2, 3)).take(0).cores == ()


def test_a_service_that_is_deployed_hides_gpus_it_did_not_ask_for_and_deals_as_many_cores_as_its_limit():
    seat = seats_of(ServiceConfig(cpu_cores_limit=3), SMALL).take(1)
    assert (seat.variables, seat.cores) == ({"CUDA_VISIBLE_DEVICES": ""}, (0, 1, 3))
    assert seats_of(ServiceConfig(), SMALL).take(0).cores == ()


def test_this_machine_s_cores_and_memory_are_those_that_this_process_may_use():
    here = this_machine(("a", "a"))
    assert here.own_cores == tuple(sorted(os.sched_getaffinity(0)))
    assert 0 < here.cores <= len(here.own_cores)
    assert 0 < here.memory_bytes <= os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert here.gpus == ("a", "a")


def put(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.mark.parametrize(
    "files",
    [
        {
            "proc/self/cgroup": "0::/some/pod\n",
            "sys/fs/cgroup/some/pod/cpu.max": "max 100000\n",
            "sys/fs/cgroup/some/cpu.max": "50000 100000\n",
            "sys/fs/cgroup/some/memory.max": "max\n",
            "sys/fs/cgroup/some/pod/memory.max": "1048576\n",
        },
        {
            "proc/self/cgroup": "4:memory:/not/shown/here\n3:cpuacct,cpu:/a\n1:name=systemd:/\n",
            "sys/fs/cgroup/memory/memory.limit_in_bytes": "1048576\n",
            "sys/fs/cgroup/cpu/a/cpu.cfs_quota_us": "50000\n",
            "sys/fs/cgroup/cpu/a/cpu.cfs_period_us": "100000\n",
            "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n",
            "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
        },
    ],
    ids=["version 2", "version 1"],
)
def test_control_groups_may_allow_less_than_there_is(tmp_path: Path, files: dict[str, str]):
    for name, text in files.items():
        put(tmp_path / name, text)
    found = this_machine((), tmp_path)
    assert (found.cores, found.memory_bytes) == (0.5, 1 << 20)


def test_where_there_are_no_control_groups_all_there_is_may_be_used(tmp_path: Path):
    found = this_machine((), tmp_path)
    assert found.cores == len(found.own_cores)
    assert found.memory_bytes > 1 << 20
