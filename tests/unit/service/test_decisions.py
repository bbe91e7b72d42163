"""The pure decisions: how many replicas, when again, who may wait, who may ask, what a caller is told."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_batchinfer.errors import ConfigError
from airflow_batchinfer.service import interface
from airflow_batchinfer.service.admission import MOST_AHEAD, MOST_WAITING, Admission
from airflow_batchinfer.service.autoscaling import Autoscaler
from airflow_batchinfer.service.config import Scale
from airflow_batchinfer.service.keys import KeyFile, Keys, make_key_file
from airflow_batchinfer.service.metrics import Metrics
from airflow_batchinfer.service.restarts import MOST_PAUSE_SECONDS, Restarts
from airflow_batchinfer.service.wire import PROFILES, Failure, blames_the_script, status_of

PRIMARY, SECONDARY = "p" * 32, "s" * 32


def bearer(key: str) -> bytes:
    return f"Bearer {key}".encode()


def test_the_service_grows_at_once_and_shrinks_after_a_minute_of_little_to_do():
    autoscaler = Autoscaler(Scale(1, 10, 50, 1), 1)
    assert autoscaler.decide(0, 0) == 1
    assert autoscaler.decide(1, 3) == 6
    assert [autoscaler.decide(now, 1) for now in (2, 30, 60.9)] == [6, 6, 6]
    assert autoscaler.decide(61, 1) == 2
    assert autoscaler.decide(200, 0) == 1


def test_what_a_service_had_before_an_update_it_has_for_a_minute_though_nobody_asks():
    autoscaler = Autoscaler(Scale(1, 10, 50, 1), 1)
    autoscaler.remember(100, 4)
    assert [autoscaler.decide(now, 0) for now in (101, 159, 161)] == [4, 4, 1]


def test_the_busy_share_counts_what_a_replica_may_have_at_once():
    assert Autoscaler(Scale(1, 10, 100, 1), 4).decide(0, 8) == 2
    assert Autoscaler(Scale(1, 10, 100, 1), 4).decide(0, 9) == 3


@given(st.lists(st.tuples(st.floats(0, 50), st.integers(0, 100)), min_size=1, max_size=40))
def test_there_are_never_more_or_fewer_replicas_than_the_limits_and_never_fewer_than_the_load_needs(steps: list[tuple[float, int]]):
    scale = Scale(2, 8, 70, 1)
    autoscaler = Autoscaler(scale, 2)
    now = 0.0
    for pause, requests in steps:
        now += pause
        decided = autoscaler.decide(now, requests)
        assert scale.least <= decided <= scale.most
        assert decided >= min(scale.most, requests / (2 * 0.7))


def test_a_replica_that_keeps_dying_is_started_less_and_less_often():
    restarts = Restarts()
    assert [restarts.pause_seconds(0, 0) for _ in range(5)] == [0, 0.5, 1, 2, 4]
    assert [restarts.pause_seconds(0, 0) for _ in range(40)][-1] == MOST_PAUSE_SECONDS


@pytest.mark.parametrize(("answered", "ready_seconds"), [(1, 0.0), (0, 10.0)])
def test_one_that_answered_or_lived_a_while_is_replaced_at_once(answered: int, ready_seconds: float):
    restarts = Restarts()
    for _ in range(5):
        restarts.pause_seconds(0, 0)
    assert restarts.pause_seconds(answered, ready_seconds) == 0


def test_who_would_wait_in_vain_is_refused_at_once():
    admission = Admission(0.5)
    assert admission.may_wait(5, 1)  # nothing is known yet
    admission.note(0.2)
    assert admission.may_wait(2, 1)
    assert not admission.may_wait(3, 1)
    assert admission.may_wait(3, 2)
    assert admission.retry_after_seconds(30, 2) == 3


def test_one_slow_answer_among_many_fast_ones_has_hardly_anybody_refused():
    admission = Admission(0.5)
    for _ in range(100):
        admission.note(0.001)
    admission.note(0.5)
    assert admission.may_wait(40, 1)
    for _ in range(20):
        admission.note(0.5)
    assert not admission.may_wait(4, 1)  # they are not few any more


def test_there_is_a_bound_also_while_nothing_is_known():
    assert not Admission(0.5).may_wait(MOST_WAITING, 0)
    assert Admission(0.5).retry_after_seconds(MOST_WAITING, 0) == 1


def test_a_replica_is_given_requests_ahead_only_while_all_answers_of_late_were_fast():
    admission = Admission(0.5)
    assert admission.ahead == 0
    admission.note(0.0001)
    assert admission.ahead == MOST_AHEAD
    admission.note(0.001)
    assert 0 < admission.ahead < MOST_AHEAD
    admission.note(1.0)
    assert admission.ahead == 0
    for _ in range(100):
        admission.note(0.0001)
    assert admission.ahead == 0


def test_either_key_is_good_and_nothing_else_is():
    keys = Keys([PRIMARY, SECONDARY])
    assert keys.accept(bearer(PRIMARY))
    assert keys.accept(bearer(SECONDARY))
    assert keys.accept(b"bearer  " + PRIMARY.encode() + b" ")
    for given_ in (None, b"", b"Bearer ", b"Bearer", PRIMARY.encode(), b"Basic " + PRIMARY.encode(), bearer(PRIMARY[:-1]), b"Bearer \xff"):
        assert not keys.accept(given_)


def test_no_keys_let_nobody_in():
    assert not Keys([]).accept(bearer(""))


def test_only_digests_of_keys_are_kept():
    assert PRIMARY not in repr(vars(Keys([PRIMARY])))


def test_a_key_file_that_is_written_anew_counts_within_a_second_and_the_other_key_is_good_all_the_time(tmp_path: Path):
    path = tmp_path / "keys"
    path.write_text(f"{PRIMARY}\n{SECONDARY}\n")
    file = KeyFile(str(path))
    assert file.at(0).accept(bearer(PRIMARY))
    path.write_text(f"{'n' * 33}\n{SECONDARY}\n")
    assert file.at(0.9).accept(bearer(PRIMARY))
    assert not file.at(1.0).accept(bearer(PRIMARY))
    assert file.at(1.0).accept(bearer("n" * 33))
    assert file.at(1.0).accept(bearer(SECONDARY))


@pytest.mark.parametrize("content", ["", "short\n", "a b" * 10, f"{'a' * 20}\n{'b' * 20}\n{'c' * 20}", "\xe4" * 20])
def test_a_key_file_without_good_keys_is_refused_and_one_that_becomes_so_changes_nothing(tmp_path: Path, content: str):
    path = tmp_path / "keys"
    path.write_text(content)
    with pytest.raises(ConfigError, match="the key file"):
        KeyFile(str(path))
    path.write_text(PRIMARY)
    file = KeyFile(str(path))
    path.write_text(content)
    assert file.at(5).accept(bearer(PRIMARY))
    path.unlink()
    assert file.at(10).accept(bearer(PRIMARY))


def test_a_key_that_is_made_can_be_read_by_its_owner_alone(tmp_path: Path):
    path = Path(make_key_file(tmp_path))
    assert path.stat().st_mode & 0o777 == 0o600
    assert KeyFile(str(path)).at(0).accept(bearer(path.read_text().strip()))


def test_each_profile_has_a_status_for_each_failure():
    assert [status_of("aks", failure) for failure in Failure] == [502, 502, 504, 503, 503]
    assert [status_of("inference-server", failure) for failure in Failure] == [500, 500, 500, 503, 503]
    assert set(PROFILES) == {"aks", "inference-server"}
    assert [blames_the_script(failure) for failure in Failure] == [True, True, True, False, False]


@pytest.mark.parametrize(
    ("version", "key"), [("2", "swagger"), ("2.0", "swagger"), ("3", "openapi"), ("3.0", "openapi"), ("3.1", "openapi")]
)
def test_the_interface_has_two_forms_in_three_versions(version: str, key: str):
    document = interface.document(version, "digits", {"input": {"type": "array"}, "output": {}})
    assert document
    assert document[key].startswith(version)
    assert set(document["paths"]) == {"/", "/score", "/swagger.json"}
    assert "'type': 'array'" in str(document)


def test_there_is_no_other_form_and_none_that_cannot_describe_the_samples():
    assert interface.document("4", "digits", {}) is None
    assert interface.document("2", "digits", {"versions": ["3.0", "3.1"]}) is None
    assert interface.document("3", "digits", {"versions": ["3.0", "3.1"]})


def test_metrics_are_what_prometheus_reads():
    metrics = Metrics()
    for status in (200, 200, 503):
        metrics.answered(status)
    metrics.ran(0.003)
    metrics.ran(100.0)
    lines = metrics.text({"a_gauge": ("A gauge.", 2)}, {"a_total": ("A counter.", 3)}).decode().splitlines()
    assert 'batchinfer_requests_total{status="200"} 2' in lines
    assert 'batchinfer_run_seconds_bucket{le="0.0025"} 0' in lines
    assert 'batchinfer_run_seconds_bucket{le="0.005"} 1' in lines
    assert 'batchinfer_run_seconds_bucket{le="+Inf"} 2' in lines
    assert "batchinfer_run_seconds_count 2" in lines
    assert "a_gauge 2" in lines
    assert "# TYPE a_total counter" in lines
