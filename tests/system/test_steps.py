"""Steps that run in a real Airflow as users write them: what comes out, what is told, what stays secret.

All runs of this file are started together, and each test looks at its own.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from airflow_batchinfer import ComputeTarget, FileDataset
from airflow_batchinfer.registry import DatasetRegistry, ModelRegistry
from airflow_batchinfer.workspace import Workspace
from tests.integration.lab import Ended, open_lab
from tests.system.live import LiveAirflow
from tests.system.steps import Step, StepRun, add_steps, patient

pytestmark = pytest.mark.services

VARIABLE = "batchinfer_test_api_key"
API_KEY = "k3y-0f-the-p4rtner"
TOKEN = "t0ken-in-the-d4g-file"
READ_BY_PANDAS = """
    @task
    def count_rows(path, summary):
        import pandas
        return {"rows": len(pandas.read_csv(path, sep=": ", header=None, engine="python")), "items": summary["items"]}

    count_rows(score.output, score.output["summary"])
"""
NOT_TODAY = """
    @task.short_circuit
    def is_there_work():
        return False

    @task
    def use(path):
        return path

    is_there_work() >> score
    use(score.output)
"""
STEPS = [
    Step(
        "reads",
        "names.py",
        12,
        config={"mini_batch_size": "{{ params.mini_batch_size }}", "node_count": "{{ params.node_count }}"},
        operator={"models": ["weights"], "asset": "what_reads_scored"},
        params={"mini_batch_size": 10, "node_count": 1},
        further=READ_BY_PANDAS,
    ),
    Step(
        "secretive",
        "tells_secret.py",
        ["1", "2-poison"],
        config={"run_max_try": 1, "environment_variables": {"API_KEY": f"{{{{ var.value.{VARIABLE} }}}}", "TOKEN": TOKEN}},
    ),
    Step("nothing_allowed", "names.py", 0, operator={"allow_empty": True}),
    Step("nothing", "names.py", 0, operator={"retries": 2}),
    Step(
        "wrong",
        "names.py",
        config={"node_count": "{{ params.node_count }}", "run_max_try": "{{ params.tries }}"},
        operator={"retries": 2},
        params={"node_count": 1, "tries": 3},
    ),
    Step(
        "typed",
        "names.py",
        config={"process_count_per_node": "{{ params.processes }}"},
        operator={"inputs": "{{ params.input }}"},
        params={"input": "", "processes": None},
    ),
    Step("skipped", "names.py", further=NOT_TODAY),
    Step("one_slot", "counts_calls.py", 6, config={"node_count": 4, "compute_target": ComputeTarget(pool="one_slot")}),
    Step("connected", "names.py", operator={"workspace_conn_id": "shared_folder"}),
]


@pytest.fixture(scope="module")
def steps(airflow: LiveAirflow, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Step]]:
    """All of them, with what they need: a model, a dataset, a variable, a pool and a connection."""
    folder = tmp_path_factory.mktemp("steps")
    (folder / "weights.bin").write_bytes(b"weights")
    workspace = Workspace.at(str(airflow.standalone.home / "batchinfer"))
    ModelRegistry(workspace).register("weights", str(folder / "weights.bin"))
    with patient(airflow) as live:
        live.rest.set_pool("one_slot", 1)
        live.rest.request("POST", "/api/v2/variables", json={"key": VARIABLE, "value": API_KEY})
        live.rest.add_connection("shared_folder", "batchinfer", extra=json.dumps({"root": str(folder / "shared")}))
        found = add_steps(live, folder, "steps.py", STEPS)
        DatasetRegistry(workspace).register("typed", FileDataset.from_files(str(found["typed"].inputs)))
        yield found


@pytest.fixture(scope="module", autouse=True)
def runs(steps: dict[str, Step]) -> dict[str, StepRun]:
    """One of each step, those with params apart."""
    confs = {
        "reads": {"mini_batch_size": 2, "node_count": 3},
        "typed": {"input": "dataset:typed"},
        "wrong": {"node_count": 0, "tries": "x"},
    }
    found = {name: step.trigger(confs.get(name)) for name, step in steps.items()}
    further = {
        "typed as a path": steps["typed"].trigger({"input": str(steps["typed"].inputs), "processes": ""}),
        "too many nodes": steps["wrong"].trigger({"node_count": 2000}),
    }
    return found | further


@pytest.fixture(scope="module")
def by_command(steps: dict[str, Step], tmp_path_factory: pytest.TempPathFactory) -> tuple[Ended, bytes]:
    """What `batchinfer run` makes of the items of `reads`, and its result."""
    with open_lab(tmp_path_factory.mktemp("lab")) as lab:
        return lab.run("names.py", "--input", steps["reads"].inputs), lab.result


def test_a_run_with_params_scores_on_as_many_nodes_as_asked_and_its_counts_are_with_its_result(runs: dict[str, StepRun]):
    run = runs["reads"].wait()
    nodes = {f"run[{node}]": "success" for node in range(3)}
    assert run.states == {"plan": "success", **nodes, "merge": "success", "count_rows": "success"}
    counts = {"mini_batches": 6, "items": 12, "items_succeeded": 12, "items_failed": 0, "rows": 12, "reused": False, "resumed": 0}
    assert counts.items() <= run.summary.items()
    assert run.summary["output"] == str(run.output)
    assert run.output == Path(run.workspace.url, "outputs", "reads", run.run_id, "score", "parallel_run_step.txt")


def test_its_result_has_the_same_bytes_as_that_of_the_command_line(runs: dict[str, StepRun], by_command: tuple[Ended, bytes]):
    ended, result = by_command
    assert ended.code == 0, ended.stderr
    assert runs["reads"].wait().result == result == runs["reads"].step.rows


def test_a_task_downstream_reads_the_result_with_pandas_and_the_summary(airflow: LiveAirflow, runs: dict[str, StepRun]):
    run = runs["reads"].wait()
    assert airflow.rest.xcom("reads", run.run_id, "count_rows") == {"rows": 12, "items": 12}


def test_the_asset_event_of_a_result_says_what_came_of_it(airflow: LiveAirflow, runs: dict[str, StepRun]):
    run = runs["reads"].wait()
    (event,) = airflow.rest.asset_events(source_dag_id="reads", source_run_id=run.run_id)
    assert (event["uri"], event["source_task_id"]) == ("what_reads_scored", "score.merge")
    told = {"items": 12, "items_failed": 0, "rows": 12, "reused": False, "models": ["weights:1"]}
    assert event["extra"] == {**told, "output": str(run.output), "job": run.pin.job}


def test_each_node_is_labelled_by_its_number(airflow: LiveAirflow, runs: dict[str, StepRun]):
    tasks = airflow.rest.task_instances("reads", runs["reads"].wait().run_id)
    assert [task["rendered_map_index"] for task in tasks if task["map_index"] >= 0] == ["node 0", "node 1", "node 2"]


def test_the_log_of_a_node_tells_its_job_its_progress_and_where_each_worker_s_log_is(runs: dict[str, StepRun]):
    run = runs["reads"].wait()
    logs = [run.log("run", node) for node in range(3)]
    working = f"Working on the job {run.pin.job}; what each worker prints is also kept in {run.job_folder}/nodes/"
    assert all(working in log for log in logs)
    assert any("12 of 12 items (100 %)" in log for log in logs)
    assert "::group::What this run asks\n" in run.log("plan")
    assert "12 items in 6 mini-batches, 12 rows" in run.log("merge")


def test_values_of_environment_variables_are_masked_in_every_log(runs: dict[str, StepRun]):
    run = runs["secretive"].wait("failed")
    logs = {task: run.log(*task) for task in (("plan",), ("run", 0), ("merge",))}
    assert not [task for task, log in logs.items() if API_KEY in log or TOKEN in log]
    assert "::group::What the workers printed: 2 lines\nworker 0 | the key is *** and the token ***\n" in logs["run", 0]
    assert "ValueError: the key is *** and the token ***" in logs["merge",]
    assert "environment_variables: ['API_KEY', " in logs["plan",]


def test_no_value_of_an_environment_variable_is_shown_with_the_dag_or_its_tasks(airflow: LiveAirflow, runs: dict[str, StepRun]):
    run = runs["secretive"].wait("failed")
    shown = [airflow.rest.request("GET", "/api/v2/dags/secretive/tasks"), airflow.rest.dag("secretive")]
    shown += airflow.rest.task_instances("secretive", run.run_id)
    assert not [each for each in map(json.dumps, shown) if API_KEY in each or TOKEN in each]


def test_a_value_that_the_nodes_render_is_stored_nowhere_but_in_what_the_script_itself_told(airflow: LiveAirflow, runs: dict[str, StepRun]):
    run = runs["secretive"].wait("failed")
    # LocalExecutor also copies what tasks log to the scheduler's output, and Airflow masks nothing there.
    files = [file for file in airflow.standalone.home.rglob("*") if file.is_file() and file.name != "scheduler.log"]
    holding = {file for file in files if API_KEY.encode() in file.read_bytes()}
    by_the_script = {
        *run.job_folder.glob("nodes/*/logs/*"),
        *run.job_folder.glob("segments/**/*"),
        *run.job_folder.glob("nodes/*/heartbeat.json"),
    }
    assert holding <= by_the_script


def test_an_empty_input_gives_an_empty_result_where_that_is_allowed(runs: dict[str, StepRun]):
    run = runs["nothing_allowed"].wait()
    assert run.states == {"plan": "success", "run[0]": "success", "merge": "success"}
    assert (run.result, run.summary["items"]) == (b"", 0)


def test_an_input_that_matches_nothing_fails_at_once_and_nothing_follows(runs: dict[str, StepRun]):
    run = runs["nothing"].wait("failed")
    assert run.states == {"plan": "failed", "run": "upstream_failed", "merge": "upstream_failed"}
    assert run.tries["plan"] == 1
    assert f"the input '{run.step.inputs}' matches no files" in run.log("plan")


def test_every_fault_of_the_params_is_told_at_once(runs: dict[str, StepRun]):
    run = runs["wrong"].wait("failed")
    told = "2 things are wrong:\n- node_count='0': give a whole number, 1 or more\n- run_max_try='x': give a whole number, 1 or more"
    assert told in run.log("plan")
    assert run.tries["plan"] == 1


def test_more_nodes_than_airflow_maps_are_refused_with_the_limit(runs: dict[str, StepRun]):
    run = runs["too many nodes"].wait("failed")
    assert "node_count=2000: Airflow maps at most 1024 tasks" in run.log("plan")
    assert run.tries["plan"] == 1


def test_a_registered_dataset_typed_as_a_param_is_scored_as_its_paths_would_be(runs: dict[str, StepRun]):
    typed, as_a_path = runs["typed"].wait(), runs["typed as a path"].wait()
    assert typed.result == as_a_path.result == typed.step.rows
    assert typed.pin.job == as_a_path.pin.job


def test_a_template_that_gives_nothing_means_the_default(runs: dict[str, StepRun]):
    assert [runs[name].wait().pin.rules.processes for name in ("typed", "typed as a path")] == [None, None]


def test_a_step_skipped_by_a_short_circuit_is_skipped_whole_and_the_run_does_not_fail(runs: dict[str, StepRun]):
    run = runs["skipped"].wait()
    skipped = dict.fromkeys(["plan", "run", "merge", "use"], "skipped")
    assert run.states == {"is_there_work": "success", **skipped}


def test_in_a_pool_with_one_slot_one_node_does_everything_and_the_others_find_nothing(runs: dict[str, StepRun]):
    run = runs["one_slot"].wait()
    assert [state for name, state in run.states.items() if name.startswith("run")] == ["success"] * 4
    assert run.summary["nodes"] == 1
    assert run.step.calls == run.step.names


def test_a_connection_of_our_type_is_tried_from_its_form(airflow: LiveAirflow, tmp_path: Path):
    (tmp_path / "file").touch()
    good, said = airflow.rest.check_connection("tried", "batchinfer", extra=json.dumps({"root": str(tmp_path / "shared")}))
    assert good, said
    assert said == f"{tmp_path}/shared can hold a workspace"
    good, said = airflow.rest.check_connection("tried", "batchinfer", extra=json.dumps({"root": str(tmp_path / "file")}))
    assert not good
    assert f"{tmp_path}/file" in said
    good, said = airflow.rest.check_connection("tried", "batchinfer", extra="{}")
    assert not good
    assert "its workspace root" in said


def test_a_step_works_in_the_workspace_that_a_connection_names(runs: dict[str, StepRun]):
    run = runs["connected"].wait()
    assert run.output == run.step.root.parent / "shared" / "outputs" / "connected" / run.run_id / "score" / "parallel_run_step.txt"
    assert run.result == run.step.rows
