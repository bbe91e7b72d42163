"""What may be said of a service, and how each fault is told."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_batchinfer.errors import ConfigError
from airflow_batchinfer.service.config import InferenceConfig, Scale, ServiceConfig, check_service_name

POSITIVE = [
    "autoscale_min_replicas",
    "autoscale_max_replicas",
    "autoscale_refresh_seconds",
    "autoscale_target_utilization",
    "cpu_cores",
    "memory_gb",
    "cpu_cores_limit",
    "memory_gb_limit",
    "scoring_timeout_ms",
    "replica_max_concurrent_requests",
    "max_request_wait_time",
    "period_seconds",
    "initial_delay_seconds",
    "timeout_seconds",
    "success_threshold",
    "failure_threshold",
]
KEY = "0123456789abcdef"


def faults(**given: object) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        ServiceConfig(**given)
    return caught.value.faults


def test_the_defaults_are_those_of_azure_ml():
    config = ServiceConfig()
    assert (config.cpu_cores, config.memory_gb, config.gpu_cores) == (0.1, 0.5, 0)
    assert (config.scoring_timeout_ms, config.replica_max_concurrent_requests, config.max_request_wait_time) == (60_000, 1, 500)
    assert (config.period_seconds, config.initial_delay_seconds, config.timeout_seconds) == (10, 310, 2)
    assert (config.success_threshold, config.failure_threshold) == (1, 3)
    assert config.auth_enabled
    assert not config.token_auth_enabled
    assert config.scale == Scale(1, 10, 70, 1)


def test_a_number_of_replicas_turns_autoscaling_off():
    config = ServiceConfig(num_replicas=3)
    assert not config.autoscales
    assert config.scale == Scale(3, 3, 100, 1)


@pytest.mark.parametrize("value", [0, -1, "two", True, None])
@pytest.mark.parametrize("name", POSITIVE)
def test_what_is_no_number_greater_than_zero_is_refused(name: str, value: object):
    if value is None and ("limit" in name or "autoscale" in name):
        assert getattr(ServiceConfig(**{name: None}), name) is None
        return
    assert any(fault.startswith(f"{name}={value!r}") for fault in faults(**{name: value}))


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"gpu_cores": -1}, "gpu_cores=-1: give a number of at least 0"),
        ({"num_replicas": 0}, "num_replicas=0: give a number greater than 0"),
        ({"scoring_timeout_ms": 1.5}, "scoring_timeout_ms=1.5: give a whole number"),
        ({"cpu_cores": 2, "cpu_cores_limit": 1}, "cpu_cores_limit=1 is less than cpu_cores=2: give a limit that is not"),
        ({"memory_gb_limit": 0.25}, "memory_gb_limit=0.25 is less than memory_gb=0.5: give a limit that is not"),
        ({"autoscale_enabled": True, "num_replicas": 2}, "num_replicas=2 and autoscaling exclude each other: leave one of them out"),
        (
            {"autoscale_max_replicas": 4, "num_replicas": 2},
            "autoscale_max_replicas: without autoscaling there is nothing to scale; leave them out, or num_replicas",
        ),
        ({"autoscale_enabled": False}, "autoscale_enabled=False: say with num_replicas how many replicas there are"),
        ({"autoscale_min_replicas": 11}, "autoscale_min_replicas=11 is more than autoscale_max_replicas=10"),
        ({"autoscale_target_utilization": 101}, "autoscale_target_utilization=101: give percent, at most 100"),
        ({"token_auth_enabled": True}, "auth_enabled and token_auth_enabled exclude each other: set auth_enabled=False to use tokens"),
        (
            {"token_auth_enabled": True, "auth_enabled": False},
            "token_auth_enabled=True: there are no tokens here, only keys; leave it and auth_enabled out",
        ),
        ({"primary_key": KEY, "auth_enabled": False}, "primary_key: with auth_enabled=False no key is asked for; leave it out"),
        ({"primary_key": "short"}, "primary_key: a key has at least 16 characters; `openssl rand -hex 32` makes one"),
        ({"secondary_key": KEY + " "}, "secondary_key: a key is text of ASCII characters without spaces"),
        (
            {"namespace": "-a"},
            "namespace='-a': give 1 to 63 of a-z, 0-9 and '-', beginning and ending with a letter or digit",
        ),
        ({"status_profile": "gcp"}, "status_profile='gcp': give one of aks, inference-server"),
        (
            {"collect_model_data": True},
            "collect_model_data=True: nothing here keeps what callers send; let run() write it where it belongs",
        ),
        ({"tags": {"a": 1}}, "tags: 'a': 1 is not text"),
    ],
)
def test_each_rule_has_its_own_message(given: dict[str, Any], told: str):
    assert faults(**given) == (told,)


def test_one_error_lists_every_fault():
    found = faults(cpu_cores=0, gpu_cores=-1, num_replicas=1, autoscale_min_replicas=2, namespace="A", primary_key="x")
    assert len(found) == 5


def test_no_key_is_shown_in_an_error_or_in_the_config():
    short = "geheim"
    assert short not in str(faults(primary_key=short))
    assert KEY not in repr(ServiceConfig(primary_key=KEY))


@pytest.mark.parametrize("name", ["a", "ab", "1abc", "abc-", "Abc", "a_b", "a" * 33, "", None, "abc\n"])
def test_a_service_name_that_azure_refuses_is_refused(name: str):
    with pytest.raises(ConfigError, match="the service name"):
        check_service_name(name)


@given(st.from_regex(r"[a-z][a-z0-9-]{1,30}[a-z0-9]", fullmatch=True))
def test_every_good_service_name_is_taken(name: str):
    check_service_name(name)


@pytest.mark.parametrize(("given", "count"), [({"entry_script": ""}, 1), ({"entry_script": None, "source_directory": ""}, 2)])
def test_an_inference_config_without_paths_is_refused(given: dict[str, Any], count: int):
    with pytest.raises(ConfigError) as caught:
        InferenceConfig(**given)
    assert len(caught.value.faults) == count


def test_what_a_template_renders_to_is_read_as_what_it_says():
    config = ServiceConfig(num_replicas="2", memory_gb="1.5", auth_enabled="False", autoscale_enabled="None")
    assert (config.num_replicas, config.memory_gb, config.auth_enabled, config.autoscale_enabled) == (2, 1.5, False, None)


def test_a_template_is_looked_at_when_it_is_rendered():
    config = ServiceConfig(num_replicas="{{ params.replicas }}", primary_key="{{ conn.service.password }}", scoring_timeout_ms="{{ 5 }}")
    assert config.num_replicas == "{{ params.replicas }}"


def test_an_environment_is_a_python_environment():
    with pytest.raises(ConfigError, match="give a PythonEnvironment"):
        InferenceConfig(entry_script="score.py", environment="py311")
