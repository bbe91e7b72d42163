"""When two deployments ask for the same."""

import hashlib
import json
from dataclasses import fields, replace

import pytest

from airflow_batchinfer.deployment.spec import GivenKeys, Spec, digests_of, plain_config
from airflow_batchinfer.deployment.targets import LocalTarget, checked
from airflow_batchinfer.errors import ConfigError
from airflow_batchinfer.service.config import ServiceConfig

KEY = "a-key-that-nobody-must-see"
SPEC = Spec(entry_script="score.py", source="abc", models=(("shop:1", "d1"),), environment="{}", config=plain_config(ServiceConfig()))


def of(**config: object) -> Spec:
    return replace(SPEC, config=plain_config(ServiceConfig(**config)))


def test_the_same_has_the_same_hash_also_after_json():
    again = Spec.from_plain(json.loads(json.dumps(SPEC.as_plain())))
    assert again == SPEC
    assert again.hash == SPEC.hash == SPEC.as_plain()["hash"]


OTHERS = {
    "entry_script": "other.py",
    "source": "def",
    "models": (("shop:2", "d2"),),
    "environment": '{"python": "3.12"}',
    "keys": ("digest", None),
    "sample": "[]",
}


@pytest.mark.parametrize("name", OTHERS)
def test_what_changes_how_it_answers_changes_the_hash(name: str):
    assert replace(SPEC, **{name: OTHERS[name]}).hash != SPEC.hash


def test_every_field_of_a_spec_is_tried():
    assert {*OTHERS, "config"} == {field.name for field in fields(Spec)}


def test_how_it_runs_changes_the_hash_and_what_is_said_of_it_does_not():
    assert of(num_replicas=2).hash != SPEC.hash
    assert of(scoring_timeout_ms=1).hash != SPEC.hash
    assert of(tags={"a": "b"}, properties={"c": "d"}, description="shop").hash == SPEC.hash


def test_a_key_is_in_nothing_that_is_stored_or_shown():
    keys = GivenKeys(KEY, None)
    spec = replace(of(primary_key=KEY), keys=digests_of(keys))
    assert KEY not in repr(keys) + repr(spec) + json.dumps(spec.as_plain())
    assert digests_of(keys) != digests_of(GivenKeys(KEY + "x", None))


def test_what_is_stored_of_a_key_is_the_same_each_time_and_no_digest_that_is_quick_to_guess():
    assert digests_of(GivenKeys(KEY, KEY)) == (*digests_of(GivenKeys(KEY))[:1], *digests_of(GivenKeys(None, KEY))[1:])
    assert not {hashlib.new(name, KEY.encode()).hexdigest() for name in ("md5", "sha1", "sha256")} & set(digests_of(GivenKeys(KEY, KEY)))


def test_a_spec_gives_the_config_that_it_was_made_of():
    assert of(num_replicas=3, auth_enabled=False).service_config() == ServiceConfig(num_replicas=3, auth_enabled=False)


def test_a_target_is_named_or_given():
    assert checked("local") == LocalTarget()
    assert checked(LocalTarget(port=1)) == LocalTarget(port=1)
    assert LocalTarget.from_plain(LocalTarget(port=1).as_plain()) == LocalTarget(port=1)
    with pytest.raises(ConfigError, match="did you mean local"):
        checked("locale")


def test_one_error_lists_every_fault_of_a_target():
    with pytest.raises(ConfigError) as refused:
        LocalTarget(host="", port=70_000, tls_key="key.pem")
    assert [fault.split("=")[0] for fault in refused.value.faults] == [
        "LocalTarget: host",
        "LocalTarget: port",
        "LocalTarget: tls_certificate and tls_key go together: give both",
    ]
