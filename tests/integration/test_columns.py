"""Columns of a result that mini-batches, or parts of one, do not have alike: what is joined, and what costs only itself."""

from decimal import Decimal
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import parquet

from airflow_batchinfer.datasets import TabularDataset
from airflow_batchinfer.errors import ErrorBudgetSpent
from tests.integration.lab import Lab
from tests.integration.test_named_formats import rows, score

NUMBERED = {"isolate_failures": True, "run_max_try": 1, "error_threshold": 1}


@pytest.mark.parametrize("processes", [1, 2])
def test_one_bad_row_costs_one_row_also_where_the_parts_have_columns_of_several_types(lab: Lab, processes: int):
    pd.DataFrame({"a": range(40), "b": range(40)}).to_csv(lab.inputs / "t.csv", index=False)
    text = """
def run(mini_batch):
    if 13 in (a := mini_batch["a"].tolist()):
        raise ValueError(13)
    return [v / 7 if v < 20 else 1 for v in a]
"""
    dataset = TabularDataset.from_csv(str(lab.inputs))
    asked = {"inputs": [dataset], "mini_batch_size": "1MB", "process_count_per_node": processes, **NUMBERED}
    assert score(lab, lab.script(text), "r.parquet", **asked).items_failed == 1
    assert rows(lab, "r.parquet") == [{"result": v / 7 if v < 20 else 1.0} for v in range(40) if v != 13]
    assert lab.errors[0]["items"] == [f"{lab.inputs}/t.csv row 13"]


@pytest.mark.parametrize("processes", [1, 2])
def test_an_item_of_another_type_that_is_alone_with_it_in_its_part_fixes_nothing(lab: Lab, processes: int):
    lab.items(*(f"{number}.txt" for number in range(9)))
    text = """
def run(mini_batch):
    return ["no score" if item.endswith("/1.txt") else 0.5 for item in mini_batch]
"""
    asked = {"mini_batch_size": 3, "process_count_per_node": processes, **NUMBERED}
    assert score(lab, lab.script(text), "r.parquet", **asked).items_failed == 1
    assert rows(lab, "r.parquet") == [{"result": 0.5}] * 8
    (error,) = lab.errors
    assert (Path(error["items"][0]).name, error["key"]) == (
        "1.txt",
        "bad result: the column 'result' is string, not float64, as the mini-batch's other rows or earlier ones",
    )


def test_an_isolation_that_was_aborted_fixes_no_columns_for_those_that_resume_the_job(lab: Lab):
    lab.items("0-raises", "1-text", "2-raises", "3", "4", "5")
    text = """
def run(mini_batch):
    if any("raises" in item for item in mini_batch):
        raise ValueError("raises")
    return ["text" if "text" in item else 0.5 for item in mini_batch]
"""
    script = lab.script(text)
    asked = {"mini_batch_size": 6, "isolate_failures": True, "run_max_try": 1}
    with pytest.raises(ErrorBudgetSpent):
        score(lab, script, "r.parquet", error_threshold=1, **asked)
    assert score(lab, script, "r.parquet", error_threshold=3, **asked).items_failed == 3
    assert rows(lab, "r.parquet") == [{"result": 0.5}] * 3
    assert len(lab.jobs) == 1


def test_decimals_of_a_table_come_out_as_they_went_in(lab: Lab):
    amounts = [Decimal(text) for text in ("0.10", "12.50", "1234.00", "-0.01") for _ in range(50)]
    parquet.write_table(pa.table({"amount": amounts}), lab.inputs / "t.parquet", row_group_size=50)
    script = lab.script("def run(mini_batch):\n    return mini_batch\n")
    dataset = TabularDataset.from_parquet(str(lab.inputs))
    assert score(lab, script, "r.parquet", inputs=[dataset], mini_batch_size=1).mini_batches > 1
    assert [row["amount"] for row in rows(lab, "r.parquet")] == amounts


@pytest.mark.parametrize("name", ["r.csv", "r.parquet"])
def test_dicts_with_their_keys_in_another_order_are_no_other_columns(lab: Lab, name: str):
    lab.items(*(f"{number}" for number in range(8)))
    text = """
from pathlib import Path

def run(mini_batch):
    names = [Path(item).name for item in mini_batch]
    return [{"b": name, "a": "x"} if int(name) % 2 else {"a": "x", "b": name} for name in names]
"""
    score(lab, lab.script(text), name, mini_batch_size=1, process_count_per_node=2)
    assert rows(lab, name) == [{"a": "x", "b": str(number)} for number in range(8)]
    assert list(rows(lab, name)[0]) == ["a", "b"]
