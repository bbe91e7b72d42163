from dataclasses import replace

import pytest

from airflow_batchinfer.planning.config import Rules
from airflow_batchinfer.planning.pin import Pin
from airflow_batchinfer.planning.thresholds import Thresholds
from airflow_batchinfer.workspace import pin_file

PIN = Pin(
    "pins/a/b/c.json", "job-1", 2, "/out", Rules(Thresholds(1, 2, 3.5), 3, 60.0, 2, None, "INFO"), reused=False, resumed=7, pinned_at=1.5
)


@pytest.mark.parametrize("pin", [PIN, replace(PIN, complete=True), replace(PIN, output_dir="/caf\udce9"), replace(PIN, reused=True)])
def test_a_pin_comes_back_from_its_stored_form(pin: Pin):
    assert Pin.from_json(pin.to_json()) == pin


def test_a_run_s_name_becomes_one_folder_whatever_it_holds():
    assert pin_file("my dag", "scheduled__2026-11-21T03:00:00+00:00", "score/../x") == (
        "pins/my%20dag/scheduled__2026-11-21T03%3A00%3A00%2B00%3A00/score%2F..%2Fx.json"
    )


def test_two_runs_never_share_a_pin():
    assert pin_file("a/b", "c", "d") != pin_file("a", "b/c", "d")


@pytest.mark.parametrize("name", [".", ".."])
def test_a_name_of_dots_does_not_leave_the_folder_of_pins(name: str):
    assert ".." not in pin_file(name, name, "step").split("/")
    assert "." not in pin_file(name, name, "step").split("/")
