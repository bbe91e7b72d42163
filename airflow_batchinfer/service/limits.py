"""What a machine cannot give a service, or hold it to. Pure; whoever deploys a service asks, and nothing is given here."""

import math
from collections.abc import Iterator

from airflow_batchinfer.service.config import ServiceConfig
from airflow_batchinfer.service.machine import Machine

GB = 1 << 30


def faults_of(config: ServiceConfig, machine: Machine) -> list[str]:
    """Every reason why the replicas of this service cannot be what was asked for on this machine; none if they can."""
    return [*_faults_of_requests(config, machine), *_faults_of_limits(config, machine)]


def _faults_of_requests(config: ServiceConfig, machine: Machine) -> Iterator[str]:
    """What the least number of replicas needs; GPUs for fewer of them make the others unschedulable, and are no fault."""
    least = config.scale.least
    for name, wanted, there_is, unit in (
        ("cpu_cores", config.cpu_cores, machine.cores, "cores"),
        ("memory_gb", config.memory_gb, machine.memory_bytes / GB, "GB of memory"),
    ):
        if least * wanted > there_is:
            needed = f"{name}={wanted!r}" + (f" for each of {least} replicas is {least * wanted:g}" if least > 1 else "")
            yield f"{needed}, and this machine has {there_is:.4g} {unit}: ask for less{', or for fewer replicas' if least > 1 else ''}"
    gpus = len(set(machine.gpus))
    if config.gpu_cores > gpus:
        yield f"gpu_cores={config.gpu_cores}, and this machine has {gpus} GPUs: no replica could ever start; ask for fewer"


def _faults_of_limits(config: ServiceConfig, machine: Machine) -> Iterator[str]:
    cores, memory = config.cpu_cores_limit, config.memory_gb_limit
    if cores is not None and not machine.own_cores:
        yield f"cpu_cores_limit={cores!r}: this system cannot hold a process to some of its cores; leave it out"
    elif cores is not None and cores != int(cores):
        whole = [number for number in (math.floor(cores), math.ceil(cores)) if number >= max(1, config.cpu_cores)]
        yield f"cpu_cores_limit={cores!r}: on one machine a replica is held to whole cores; give {' or '.join(map(str, whole))}"
    if memory is not None and not machine.tells_memory:
        yield f"memory_gb_limit={memory!r}: this system does not tell what processes hold; leave it out"
