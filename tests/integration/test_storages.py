"""The same job on every storage, also on one that fails every third call: the same rows, each once."""

import json
import signal
from collections.abc import Iterator
from uuid import uuid4

import fsspec
import pytest

from airflow_batchinfer.engine.node import NodeOptions
from airflow_batchinfer.engine.scoring import begin, score
from tests.faults.proxy import Fault, faulty_proxy
from tests.integration.clouds import BUCKET, Cloud
from tests.integration.lab import Lab
from tests.integration.leftovers import wait_until

pytestmark = pytest.mark.services


def put_many(cloud: Cloud, count: int) -> list[str]:
    rows = []
    for number in range(count):
        cloud.put(f"inputs/{number:05d}", b"x" * (number + 1))
        rows.append(f"{number:05d}: {number + 1}")
    return rows


@pytest.fixture
def memory() -> Iterator[str]:
    """A folder in this process's memory."""
    url = f"memory://{uuid4().hex}"
    yield url
    fs = fsspec.filesystem("memory")
    if fs.exists(url):
        fs.rm(url, recursive=True)


# In memory.


def test_a_workspace_an_input_and_an_output_in_memory_give_the_same_bytes_as_on_disk(lab: Lab, memory: str):
    rows = lab.many(30, poison=(4,))
    options = NodeOptions(environment_variables=lab.variables)
    lab.score("raises.py", mini_batch_size=2, process_count_per_node=2, error_threshold=2)
    on_disk = lab.result
    for path in lab.inputs.iterdir():
        fsspec.filesystem("memory").pipe_file(f"{memory}/inputs/{path.name}", path.read_bytes())
    lab.workspace_url = f"{memory}/workspace"
    request = lab.request(
        "raises.py", inputs=[f"{memory}/inputs"], output=f"{memory}/output", mini_batch_size=2, process_count_per_node=2, error_threshold=2
    )
    workspace = lab.workspace
    pin = begin(workspace, request)
    summary = score(workspace, pin, options)
    assert fsspec.filesystem("memory").cat_file(f"{memory}/output/parallel_run_step.txt") == on_disk
    assert on_disk.decode().splitlines() == rows[:4] + rows[6:]
    assert summary.items_failed == 2
    again = begin(workspace, request)
    assert again.reused
    assert score(workspace, again, options).output_sha256 == summary.output_sha256


def test_what_workers_print_is_kept_in_a_workspace_that_is_not_local(lab: Lab, memory: str):
    lab.many(2)
    lab.workspace_url = f"{memory}/workspace"
    workspace = lab.workspace
    script = lab.script("def run(items):\n    print('seen')\n    return items\n")
    score(workspace, begin(workspace, lab.request(script, process_count_per_node=1)), NodeOptions(environment_variables=lab.variables))
    (path,) = (path for path in workspace.store.find("jobs") if path.endswith("/logs/worker-0.log"))
    assert workspace.store.read(path) == b"seen\n"


def test_files_that_scripts_write_reach_an_output_that_is_not_local(lab: Lab, memory: str):
    lab.many(5)
    lab.workspace_url = f"{memory}/workspace"
    workspace = lab.workspace
    request = lab.request("writes_files.py", output=f"{memory}/output", output_action="summary_only", mini_batch_size=2)
    score(workspace, begin(workspace, request), NodeOptions(environment_variables=lab.variables))
    fs = fsspec.filesystem("memory")
    written = {path.rpartition("/")[2]: fs.cat_file(path) for path in fs.find(f"{memory}/output") if path.endswith(".scored")}
    assert written == {f"{number:05d}.scored": f"{number:05d}: {number + 1}\n".encode() for number in range(5)}


@pytest.mark.parametrize("how", ["deleted", "grew", "rewritten"])
def test_a_remote_item_that_changed_between_plan_and_run_fails_alone(lab: Lab, memory: str, how: str):
    fs = fsspec.filesystem("memory")
    for number in range(6):
        fs.pipe_file(f"{memory}/inputs/{number}", b"x" * (number + 1))
    workspace = lab.workspace
    pin = begin(workspace, lab.request("names.py", inputs=[f"{memory}/inputs"], mini_batch_size=3, error_threshold=1))
    if how == "deleted":
        fs.rm_file(f"{memory}/inputs/2")
    else:
        fs.pipe_file(f"{memory}/inputs/2", b"y" * (3 if how == "rewritten" else 9))
    summary = score(workspace, pin, NodeOptions(environment_variables=lab.variables))
    assert lab.rows == [f"{number}: {number + 1}" for number in (0, 1, 3, 4, 5)]
    assert (summary.items_failed, summary.mini_batches_failed) == (1, 0)
    assert lab.errors[0]["reason"] == ("cannot be read: it does not exist any more" if how == "deleted" else "changed since planned")


# On S3 and on Azure.


def test_a_workspace_inputs_and_an_output_on_object_storage_give_the_same_bytes_as_on_disk(lab: Lab, cloud: Cloud):
    rows = put_many(cloud, 24)
    lab.workspace_url = f"{cloud.url}/workspace"
    options = ("--input", f"{cloud.url}/inputs", "--output", f"{cloud.url}/output", "--mini-batch-size", 3, "--processes", 2)
    summary = lab.run("names.py", *options, environment=cloud.environment).summary
    assert cloud.get("output/parallel_run_step.txt").decode().splitlines() == rows
    assert summary["output"] == f"{cloud.url}/output/parallel_run_step.txt"
    again = lab.run("names.py", *options, environment=cloud.environment).summary
    assert again["reused"]
    assert again["output_sha256"] == summary["output_sha256"]


def test_a_glob_and_awkward_keys_on_object_storage_come_out_as_they_are(lab: Lab, cloud: Cloud):
    names = ["a b.txt", "c+d&e=f.txt", "p%20q.txt", "umläut-日本.txt", "x#y?z.txt", "{braces}'quote.txt"]
    for name in [*names, "other.png"]:
        cloud.put(f"inputs/sub/{name}", name.encode())
    lab.run("names.py", "--input", f"{cloud.url}/inputs/**/*.txt", "--mini-batch-size", 4, environment=cloud.environment)
    assert lab.rows == [f"{name}: {len(name.encode())}" for name in sorted(names, key=str.encode)]


def test_models_and_side_inputs_come_from_object_storage_to_local_paths(lab: Lab, cloud: Cloud):
    lab.many(1)
    lab.workspace_url = f"{cloud.url}/workspace"
    environment = cloud.environment
    cloud.put("labels/deep/a.txt", b"label")
    (lab.root / "weights").write_text("learned")
    registered = lab.batchinfer("models", "register", "m", "weights", "--workspace", lab.workspace_url, environment=environment)
    assert registered.code == 0, registered.stderr
    script = lab.script(
        "import os, sys\nfrom pathlib import Path\ndef run(items):\n"
        "    return [Path(sys.argv[2], 'deep', 'a.txt').read_text() + Path(os.environ['AZUREML_MODEL_DIR'], 'weights').read_text()]\n"
    )
    options = ("--model", "m", "--side-input", f"labels={cloud.url}/labels", "--", "--labels", "{labels}")
    lab.run(script, *options, environment=environment)
    assert lab.rows == ["labellearned"]


def test_two_runs_of_one_job_on_object_storage_share_its_work_and_do_each_mini_batch_once(lab: Lab, cloud: Cloud):
    rows = put_many(cloud, 40)
    lab.workspace_url = f"{cloud.url}/workspace"
    lab.variables["SECONDS"] = "0.1"
    options = ("--input", f"{cloud.url}/inputs", "--mini-batch-size", 1, "--processes", 1)
    outputs = [f"{cloud.url}/one", f"{cloud.url}/two"]
    runs = [lab.start("notes_calls.py", "--output", output, *options, environment=cloud.environment) for output in outputs]
    summaries = [run.wait().summary for run in runs]
    assert [(summary["nodes"], summary["attempts"]) for summary in summaries] == [(2, 40), (2, 40)]
    assert cloud.get("one/parallel_run_step.txt").decode().splitlines() == rows
    assert cloud.get("two/parallel_run_step.txt").decode().splitlines() == rows
    assert sorted(line.split()[0] for line in lab.calls) == [row.split(":")[0] for row in rows]


@pytest.mark.slow
def test_an_object_storage_that_does_not_answer_is_told_with_its_address(lab: Lab, cloud: Cloud):
    lab.many(1)
    ended = lab.run("names.py", "--workspace", f"{cloud.url}/workspace", environment=cloud.at(9))
    assert ended.code in (1, 2)
    assert cloud.url in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_bucket_that_does_not_exist_is_told_with_its_name(lab: Lab, cloud: Cloud):
    lab.many(1)
    ended = lab.run("names.py", "--workspace", cloud.url.replace(BUCKET, "no-such-bucket"), environment=cloud.environment)
    assert ended.code in (1, 2)
    assert "no-such-bucket" in ended.stderr
    assert "Traceback" not in ended.stderr


# On a bad day.


@pytest.mark.parametrize(
    ("every", "kinds"), [(3, (Fault.ERROR, Fault.DONE_BUT_ERROR, Fault.THROTTLED, Fault.DONE_BUT_CLOSED)), (12, (Fault.STALLED,))]
)
def test_storage_that_fails_every_third_call_changes_no_row(lab: Lab, cloud: Cloud, every: int, kinds: tuple[Fault, ...]):
    rows = put_many(cloud, 4)
    lab.workspace_url = f"{cloud.url}/workspace"
    options = ("--input", f"{cloud.url}/inputs", "--output", f"{cloud.url}/output", "--mini-batch-size", 2, "--processes", 2)
    with faulty_proxy(cloud.port, every=every, kinds=kinds, stall_seconds=0.3) as proxy:
        summary = lab.run("counts_calls.py", *options, environment=cloud.at(proxy.server_port)).summary
    assert set(proxy.faults) == set(kinds)
    assert cloud.get("output/parallel_run_step.txt").decode().splitlines() == rows
    assert (summary["attempts"], summary["items_succeeded"]) == (2, 4)
    assert sorted(lab.calls) == [row.split(":")[0] for row in rows]
    assert json.loads(cloud.get("output/_summary.json")) == summary


# Killed and large.


def test_a_node_killed_while_its_workspace_is_on_object_storage_is_resumed_with_the_same_rows(lab: Lab, cloud: Cloud):
    rows = put_many(cloud, 12)
    lab.workspace_url = f"{cloud.url}/workspace"
    lab.variables["SECONDS"] = "0.2"
    options = ("--input", f"{cloud.url}/inputs", "--output", f"{cloud.url}/output", "--mini-batch-size", 1, "--processes", 2)
    run = lab.start("notes_calls.py", *options, environment=cloud.environment)
    wait_until(lambda: any(name.endswith("/00001.json") for name in cloud.names()), "a block is committed", 60)
    run.send(signal.SIGKILL)
    run.wait()
    summary = lab.run("notes_calls.py", *options, environment=cloud.environment).summary
    assert cloud.get("output/parallel_run_step.txt").decode().splitlines() == rows
    assert summary["items_succeeded"] == 12
    assert 0 < summary["resumed"] < 12
    assert len(lab.calls) < 24


def test_a_result_and_an_item_of_more_than_is_kept_in_memory_go_up_and_down_in_parts(lab: Lab, cloud: Cloud):
    cloud.put("inputs/large", bytes(40 << 20))
    script = lab.script("import os\ndef run(items):\n    return ['x' * (1 << 20)] * (os.path.getsize(items[0]) >> 20)\n")
    lab.workspace_url = f"{cloud.url}/workspace"
    options = ("--input", f"{cloud.url}/inputs", "--output", f"{cloud.url}/output", "--processes", 1)
    lab.run(script, *options, environment=cloud.environment)
    assert cloud.get("output/parallel_run_step.txt") == (b"x" * (1 << 20) + b"\n") * 40


def test_tables_and_registered_datasets_on_object_storage_give_the_rows_of_the_same_table_on_disk(lab: Lab, cloud: Cloud):
    table = "a,b\n" + "".join(f"{number},{number % 7}\n" for number in range(500))
    cloud.put("tables/one.csv", table.encode())
    cloud.put("tables/two.csv", table.encode())
    lab.workspace_url = f"{cloud.url}/workspace"
    told = (f"{cloud.url}/tables", "--table", "--table-option", "format=csv", "--workspace", lab.workspace_url)
    registered = lab.batchinfer("datasets", "register", "rows", *told, environment=cloud.environment)
    assert registered.code == 0, registered.stderr
    script = lab.script("def run(table):\n    return [a + b for a, b in zip(table['a'], table['b'])]\n")
    lab.run(script, "--input", "dataset:rows", "--mini-batch-size", 512, "--processes", 2, environment=cloud.environment)
    assert lab.rows == [str(number + number % 7) for number in range(500)] * 2
