"""Tables on object storage and in other interpreters: the rows and types are those of the same table on disk."""

from pathlib import Path

import pandas as pd
import pytest

from tests.faults.proxy import Fault, faulty_proxy
from tests.integration.clouds import Cloud
from tests.integration.lab import Lab

TELLS = """
def run(mini_batch):
    kinds = ",".join(map(str, mini_batch.dtypes))
    return [f"{kinds} {row!r}" for row in mini_batch.itertuples(index=False, name=None)]
"""
WITHOUT_PYARROW = "import sys\nsys.modules['pyarrow'] = None\n" + TELLS


def make(path: Path) -> Path:
    numbers = range(3000)
    frame = pd.DataFrame(
        {"n": numbers, "gap": [n if n % 500 else None for n in numbers], "text": [f"{n * 7919 % 3000:04d}é" for n in numbers]}
    )
    if "parquet" in path.name:
        frame.to_parquet(path, row_group_size=1500, index=False)
    elif "json" in path.name:
        frame.to_json(path, orient="records", lines=True, force_ascii=False)
    else:
        frame.to_csv(path, index=False)
    return path


@pytest.mark.services
@pytest.mark.parametrize("ending", ["csv", "csv.gz", "jsonl", "jsonl.gz", "parquet"])
def test_a_table_on_object_storage_gives_the_rows_of_the_same_table_on_disk_also_where_storage_fails(lab: Lab, cloud: Cloud, ending: str):
    path = make(lab.inputs / f"table.{ending}")
    options = (lab.script(TELLS), "--table", "--mini-batch-size", "8KB", "--processes", 2)
    here = lab.run(*options, "--input", path).summary
    rows = lab.rows
    assert (len(rows), here["mini_batches"] > 3) == (3000, not ending.endswith(".gz"))
    cloud.put(f"table.{ending}", path.read_bytes())
    every = 3 if ending.endswith(".gz") else 7  # a packed file is asked for as a whole
    with faulty_proxy(cloud.port, every=every, kinds=(Fault.ERROR, Fault.THROTTLED), stall_seconds=0.1) as proxy:
        there = lab.run(*options, "--input", f"{cloud.url}/table.{ending}", environment=cloud.at(proxy.server_port)).summary
        assert proxy.faults
    assert (there["mini_batches"], there["items"]) == (here["mini_batches"], here["items"])
    assert lab.rows == rows


def test_a_script_whose_interpreter_has_no_pyarrow_is_told_that_parquet_needs_it(lab: Lab):
    path = make(lab.inputs / "table.parquet")
    ended = lab.run(lab.script(WITHOUT_PYARROW), "--table", "--input", path, "--error-threshold", -1, "--max-try", 1)
    assert ended.code == 1
    assert "the interpreter of the script has no pyarrow, which Parquet needs: add pyarrow to its environment" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("ending", ["csv", "jsonl"])
def test_a_script_whose_interpreter_has_no_pyarrow_reads_other_tables(lab: Lab, ending: str):
    lab.run(lab.script(WITHOUT_PYARROW), "--table", "--input", make(lab.inputs / f"table.{ending}"))
    assert lab.rows[1] == "int64,float64,str (1, 1.0, '1919é')"
