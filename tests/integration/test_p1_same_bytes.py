"""P1: every row of a successful mini-batch appears exactly once, in input order; two runs give the same bytes."""

import hashlib

import pytest

from airflow_batchinfer.engine.merge import Summary
from tests.integration.lab import Lab

KINDS = {7: "flaky", 20: "more", 33: "fewer", 46: "poison", 59: "dies"}
COUNTS = ((1, 1), (1, 4), (3, 1))


def score_with_nodes(lab: Lab, script: str, nodes: int, processes: int, **asked: object) -> tuple[bytes, Summary]:
    """Score anew, with as many nodes as the run asks for."""
    # Scripts that remember in STATE_DIR start afresh.
    lab.variables = {**lab.variables, "STATE_DIR": str(lab.root / f"state-{nodes}-{processes}")}
    (lab.root / f"state-{nodes}-{processes}").mkdir()
    lab.output = lab.root / f"output-{nodes}-{processes}"
    pin = lab.begin(script, node_count=nodes, process_count_per_node=processes, allow_reuse=False, **asked)
    programs = [lab.start_node(pin, map_index=index) for index in range(nodes)]
    for program in programs:
        assert program.wait().code == 0, program.stderr
    summary = lab.merge(pin)
    return lab.result, summary


def test_the_result_is_the_same_bytes_in_input_order_whatever_the_node_and_process_counts(lab: Lab):
    expected = lab.many(90)
    lab.variables["SECONDS"] = "0.02"
    results = {counts: score_with_nodes(lab, "slow.py", *counts, mini_batch_size=1) for counts in COUNTS}
    for counts, (result, summary) in results.items():
        assert result.decode().splitlines() == expected, counts
        assert (summary.mini_batches, summary.items_succeeded, summary.rows, summary.attempts) == (90, 90, 90, 90)
        assert summary.output_sha256 == hashlib.sha256(result).hexdigest()
        assert summary.output_bytes == len(result)
    assert results[1, 1][1].nodes == 1
    assert results[3, 1][1].nodes == 3


def test_retries_failures_deaths_and_more_or_fewer_rows_change_no_other_row_and_no_order(lab: Lab):
    names = [f"{number:03d}-{KINDS.get(number, '')}" for number in range(80)]
    good = lab.items(*names)
    expected = []
    for number, row in enumerate(good):
        times = {"more": 2, "fewer": 0}.get(KINDS.get(number, ""), 1)
        # 46 and 47 are a mini-batch, which fails as a whole.
        expected += [row] * (0 if number in (46, 47) else times)
    lab.variables["SECONDS"] = "0.01"
    for counts in COUNTS:
        result, summary = score_with_nodes(lab, "goes_by_name.py", *counts, mini_batch_size=2, error_threshold=3, run_max_try=2)
        assert result.decode().splitlines() == expected, counts
        assert summary.items_failed == 3
        assert summary.mini_batches_failed == 1
        assert summary.rows == len(expected)
        assert (summary.mini_batches_with_more_rows, summary.mini_batches_with_fewer_rows) == (1, 1)
        assert summary.attempts == 40 + 3
        failed = [(error["mini_batch"], len(error["items"]), error["attempts"]) for error in lab.errors if "poison" in error["reason"]]
        assert failed == [(23, 2, 2)]


def test_rows_of_many_megabytes_come_out_whole_and_in_order(lab: Lab):
    lab.many(40)
    lab.variables["ROW_BYTES"] = "1000000"
    lab.score("big_rows.py", mini_batch_size=3, process_count_per_node=2)
    assert [row.rstrip("x") for row in lab.rows] == [f"{number:05d}" for number in range(40)]
    assert {len(row) for row in lab.rows} == {1_000_000}


@pytest.mark.parametrize("mini_batch_size", [1, 7, 100])
def test_the_mini_batch_size_does_not_change_the_rows(lab: Lab, mini_batch_size: int):
    expected = lab.many(50)
    lab.score("names.py", mini_batch_size=mini_batch_size)
    assert lab.rows == expected


def test_inputs_come_out_one_after_the_other_and_no_mini_batch_mixes_them(lab: Lab):
    first, second = lab.root / "b", lab.root / "a"
    rows = lab.items(*(f"b{number}" for number in range(5)), folder=first)
    rows += lab.items(*(f"a{number}" for number in range(5)), folder=second)
    summary = lab.run("names.py", "--input", first, "--input", second, "--mini-batch-size", 3).summary
    assert lab.rows == rows
    assert summary["mini_batches"] == 4
