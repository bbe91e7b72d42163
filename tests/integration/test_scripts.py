"""What a script may rely on (reference, section 2): its functions, its arguments, its surroundings, and what it may return."""

import json
import os
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from airflow_batchinfer.errors import ConflictError
from tests.integration.lab import SCRIPTS, Lab
from tests.integration.leftovers import wait_until

SLOW_WITH_GPU = """
import os, time
def run(mini_batch):
    time.sleep(0.05)
    if any("poison" in item for item in mini_batch) and os.environ["CUDA_VISIBLE_DEVICES"] == "b":
        os.abort()
    return [f"{os.getpid()} {os.environ.get('CUDA_VISIBLE_DEVICES')} {os.environ.get('AZ_BATCHAI_GPU_COUNT_FOUND')}"] * len(mini_batch)
"""
WAITS_FOR_THE_OTHERS = """
import os, time
from pathlib import Path
state = Path(os.environ["STATE_DIR"])
def init():
    (state / str(os.getpid())).touch()
def run(mini_batch):
    while len(list(state.iterdir())) < int(os.environ["WORKERS"]):
        time.sleep(0.02)
    return mini_batch
"""
WRITES_ONE_NAME = """
import os, time
from pathlib import Path
def run(mini_batch):
    time.sleep(0.05)
    Path(os.environ["AZUREML_BI_OUTPUT_PATH"], "result.txt").write_text(os.environ["CONTENT"] or str(os.getpid()))
    return mini_batch
"""


# Functions.


def test_init_is_called_once_then_run_for_each_mini_batch_and_shutdown_at_the_end(lab: Lab):
    lab.many(12)
    lab.score("uses_shutdown.py", mini_batch_size=1, process_count_per_node=1)
    calls = [line.split() for line in (lab.state / "lifecycle").read_text().splitlines()]
    assert [what for what, _ in calls] == ["init", *["run"] * 12, "shutdown"]
    assert len({worker for _, worker in calls}) == 1


def test_a_replacement_runs_init_again(lab: Lab):
    lab.many(4, poison=(1,))
    script = lab.script(
        "import os, pathlib\nstate = pathlib.Path(os.environ['STATE_DIR'])\n"
        "def init():\n    (state / f'init-{os.getpid()}').touch()\n"
        "def run(items):\n    if 'poison' in items[0] and len(list(state.iterdir())) == 1:\n        os.abort()\n    return items\n"
    )
    lab.score(script, mini_batch_size=1, process_count_per_node=1)
    assert len(list(lab.state.glob("init-*"))) == 2
    assert len(lab.rows) == 4


def test_a_run_with_two_parameters_is_given_the_context(lab: Lab):
    lab.many(3)
    lab.score("uses_context.py")
    assert lab.rows == ["{}"] * 3


def test_a_run_that_was_decorated_and_replaced_is_called_as_it_is(lab: Lab):
    rows = lab.many(3)
    lab.score("replaces_run.py")
    assert lab.rows == [f"{row} decorated replaced" for row in rows]


def test_a_script_without_init_is_as_good(lab: Lab):
    rows = lab.many(3)
    lab.run(
        lab.script("from pathlib import Path\ndef run(items):\n    return [f'{f.name}: {f.stat().st_size}' for f in map(Path, items)]\n")
    )
    assert lab.rows == rows


# Arguments.


def test_a_script_gets_its_own_arguments_and_then_those_that_the_original_gave_to_all(lab: Lab):
    lab.many(1)
    lab.run("uses_argv.py", "--mini-batch-size", 7, "--", "--threshold", "0.5", "-v", "two words", "")
    arguments = json.loads(lab.rows[0])
    output = arguments.pop(8)
    assert arguments == ["--threshold", "0.5", "-v", "two words", "", "--logging_level", "INFO", "--output", "--mini_batch_size", "7"]
    assert Path(output).is_absolute()


def test_a_script_that_has_arguments_of_those_names_gets_only_its_own(lab: Lab):
    lab.many(1)
    lab.run("uses_argv.py", "--", "--output", "mine", "--logging_level=DEBUG", "--mini_batch_size", "3")
    assert json.loads(lab.rows[0]) == ["--output", "mine", "--logging_level=DEBUG", "--mini_batch_size", "3"]


def test_side_inputs_stand_in_the_arguments_as_local_paths_and_other_braces_stay(lab: Lab):
    lab.many(1)
    lab.items("a.txt", folder=lab.root / "labels")
    options = ("--side-input", "labels=labels", "--side-input", "one=labels/a.txt")
    lab.run("uses_argv.py", *options, "--", "--labels", "{labels}", "--one={one}", "{other}", "{labels}/x")
    labels = str(lab.root / "labels")
    assert json.loads(lab.rows[0])[:5] == ["--labels", labels, f"--one={labels}/a.txt", "{other}", f"{labels}/x"]


def test_a_side_input_that_changed_makes_another_job(lab: Lab):
    lab.many(1)
    lab.items("a.txt", folder=lab.root / "labels")
    options = ("uses_argv.py", "--side-input", "labels=labels", "--", "{labels}")
    first = lab.run(*options).summary["job"]
    lab.items("a.txt", "b.txt", folder=lab.root / "labels")
    assert lab.run(*options).summary["job"] != first


# Surroundings.


def test_a_script_imports_its_sibling_and_finds_it_by_file(lab: Lab):
    lab.many(2)
    lab.score("uses_sibling.py")
    lines = len((SCRIPTS / "sibling.py").read_text().splitlines())
    assert lab.rows == [f"0000{number}: greeted by a sibling of {lines} lines" for number in range(2)]


def test_a_source_directory_is_shipped_whole_and_first_on_the_path(lab: Lab):
    lab.many(1)
    source = lab.root / "scripts"
    lab.script("", "package/__init__.py")
    lab.script("VALUE = 'from the package'\n", "package/json.py")
    lab.script("labels\n", "labels.txt")
    lab.script(
        "import os\nfrom pathlib import Path\nfrom package.json import VALUE\nimport beside\n"
        "def run(items):\n    return [VALUE + beside.VALUE + (Path(__file__).parent.parent / 'labels.txt').read_text()]\n",
        "deep/entry.py",
    )
    lab.script("VALUE = ', beside, '\n", "deep/beside.py")
    lab.run(source / "deep" / "entry.py", "--source-directory", source)
    assert lab.result == b"from the package, beside, labels\n\n"


def test_no_module_of_ours_stands_in_the_way_of_one_of_the_scripts(lab: Lab):
    lab.many(1)
    for name in ("rows", "script", "serving", "framing", "keeper"):
        lab.script(f"VALUE = '{name}'\n", f"{name}.py")
    entry = lab.script(
        "import rows, serving, framing, keeper, sys\n"
        "def run(items):\n    return [rows.VALUE + serving.VALUE + framing.VALUE + keeper.VALUE + __name__]\n",
        "main_script.py",
    )
    lab.score(entry)
    assert lab.rows == ["rowsservingframingkeepermain_script"]


def test_environment_variables_reach_the_script_and_are_stored_nowhere(lab: Lab):
    lab.many(1)
    secret = "a=b, two\nlines and 'quotes' 5ecr3t"
    lab.variables |= {"SHOW": "AZUREML_NODE_COUNT,CUDA_VISIBLE_DEVICES,LENGTH", "LENGTH": "", "SECRET": secret}
    script = lab.script(
        (SCRIPTS / "uses_environment.py").read_text() + "\ndef init():\n    os.environ['LENGTH'] = str(len(os.environ['SECRET']))\n"
    )
    lab.run(script, environment={"CUDA_VISIBLE_DEVICES": ""})
    assert json.loads(lab.rows[0]) == {"AZUREML_NODE_COUNT": "1", "CUDA_VISIBLE_DEVICES": "", "LENGTH": str(len(secret))}
    for folder in (lab.workspace_url, lab.output):
        assert subprocess.run(["grep", "-r", "5ecr3t", folder], capture_output=True, check=False, timeout=30).stdout == b""


def test_what_is_printed_and_logged_is_shown_and_kept_by_worker_in_the_job(lab: Lab):
    lab.many(2)
    script = lab.script(
        "import logging, os, sys, time\n"
        "def init():\n    print('init of a worker')\n"
        "def run(items):\n"
        "    print('caf\\udce9 \\U0001f389'); print('to stderr', file=sys.stderr); logging.getLogger('mine').info('logged')\n"
        "    logging.debug('not at this level'); os.system('echo from a child'); time.sleep(0.3)\n"
        "    sys.stdout.write('without an end'); return items\n"
    )
    ended = lab.run(script, "--mini-batch-size", 1, "--processes", 2)
    printed = lab.printed()
    assert sorted(printed) == ["worker-0.log", "worker-1.log"]
    for worker, text in printed.items():
        lines = text.splitlines()
        assert {"init of a worker", "caf\\udce9 🎉", "to stderr", "from a child", "without an end"} <= set(lines), worker
        assert any(line.endswith("INFO mine: logged") for line in lines)
        assert "not at this level" not in text
    assert "worker 0 | from a child" in ended.stderr
    assert "worker 1 | to stderr" in ended.stderr


def test_a_script_finds_its_one_model_in_the_model_folder(lab: Lab):
    lab.many(2)
    (lab.root / "model.txt").write_text("seven layers")
    assert lab.batchinfer("models", "register", "mnist", "model.txt", "--workspace", lab.workspace_url).stdout == "mnist:1\n"
    lab.run("uses_model.py", "--model", "mnist")
    assert lab.rows == ["00000: seven layers", "00001: seven layers"]


def test_a_script_with_several_models_finds_each_by_name_and_version(lab: Lab):
    lab.many(1)
    for name, text in (("small", "s1"), ("small", "s2"), ("big", "b1")):
        (lab.root / name).mkdir(exist_ok=True)
        (lab.root / name / "weights").write_text(text)
        lab.batchinfer("models", "register", name, name, "--workspace", lab.workspace_url)
    script = lab.script(
        "import os\nfrom pathlib import Path\n"
        "def run(items):\n    top = Path(os.environ['AZUREML_MODEL_DIR'])\n"
        "    return [f'{f.relative_to(top)}={f.read_text()}' for f in sorted(top.glob('*/*/*/*'))]\n"
    )
    lab.run(script, "--model", "small:2", "--model", "big:latest")
    assert lab.rows == ["big/1/big/weights=b1", "small/2/small/weights=s2"]


# What it returns.


@pytest.mark.parametrize("script", ["names.py", "returns_generator.py", "returns_series.py"])
def test_whatever_can_be_iterated_gives_a_row_for_each_element(lab: Lab, script: str):
    rows = lab.many(7)
    lab.score(script, mini_batch_size=3)
    assert lab.rows == rows


@pytest.mark.parametrize(
    ("script", "rows"),
    [
        ("returns_numpy.py", ["1", "2", "3"]),
        ("returns_numpy_scalars.py", ["0.5", "1.0", "1.5"]),
        ("returns_frame.py", ['"the ""00000"" of today" 1', '"the ""00001"" of today" 2', '"the ""00002"" of today" 3']),
    ],
)
def test_arrays_and_frames_are_written_as_the_original_wrote_them(lab: Lab, script: str, rows: list[str]):
    lab.many(3)
    lab.score(script, mini_batch_size=2)
    assert lab.rows == rows


def test_a_settings_file_beside_the_script_changes_how_frames_are_written_and_the_header_comes_once(lab: Lab):
    lab.many(5)
    script = lab.script((SCRIPTS / "returns_frame.py").read_text())
    settings = {"append_row": {"pandas.DataFrame.to_csv": {"sep": ";", "header": True, "index": True}}}
    lab.script(json.dumps(settings), "parallel_run_step.settings.json")
    lab.score(script, mini_batch_size=2, process_count_per_node=2)
    texts = [f'"the ""0000{number}"" of today"' for number in range(5)]
    assert lab.rows == [";text;size", *(f"{number % 2};{text};{number + 1}" for number, text in enumerate(texts))]


@pytest.mark.parametrize(("script", "rows"), [("returns_none.py", 0), ("returns_too_many.py", 5), ("names.py", 4)])
def test_under_summary_only_rows_are_counted_and_not_written(lab: Lab, script: str, rows: int):
    lab.many(4, poison=(1,))
    ended = lab.run(script, "--output-action", "summary_only", "--mini-batch-size", 4, "--error-threshold", -1)
    if rows:
        assert ended.summary["rows"] == rows
        assert {path.name for path in lab.output.iterdir()} == {"_errors.jsonl", "_summary.json"}
    else:
        assert "not one of 4 items succeeded" in ended.stderr


# Files it writes.


def test_files_that_a_script_writes_under_summary_only_come_into_the_output(lab: Lab):
    lab.many(6)
    summary = lab.run("writes_files.py", "--output-action", "summary_only", "--mini-batch-size", 2, "--processes", 2).summary
    assert summary["rows"] == summary["items_succeeded"] == 6
    written = {path.name: path.read_text() for path in lab.output.glob("*.scored")}
    assert written == {f"{number:05d}.scored": f"{number:05d}: {number + 1}\n" for number in range(6)}


def test_with_one_node_all_workers_share_a_folder_and_the_last_writer_of_a_name_wins(lab: Lab):
    lab.many(6)
    summary = lab.run("writes_one_name.py", "--output-action", "summary_only", "--mini-batch-size", 1, "--processes", 2).summary
    assert summary["items_succeeded"] == 6
    assert (lab.output / "result.txt").read_text().strip().isdigit()


@pytest.mark.parametrize("content", ["the same", ""])
def test_with_two_nodes_one_name_with_two_contents_is_an_error_that_names_both_workers(lab: Lab, content: str):
    lab.many(40)
    lab.variables["CONTENT"] = content
    script = lab.script(WRITES_ONE_NAME)
    pin = lab.begin(script, output_action="summary_only", mini_batch_size=1, node_count=2, process_count_per_node=1)
    for node in [lab.start_node(pin, map_index=index, name=name) for index, name in enumerate("AB")]:
        assert node.wait().code == 0, node.stderr
    if content:
        assert lab.merge(pin).nodes == 2
        assert (lab.output / "result.txt").read_text() == content
    else:
        with pytest.raises(ConflictError, match=r"two workers, A-0 and B-0, wrote different files named 'result.txt'"):
            lab.merge(pin)
        assert not (lab.output / "result.txt").exists()


# GPUs.


def gpus_by_worker(lab: Lab) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for row in lab.rows:
        worker, gpu, _ = row.split()
        found.setdefault(worker, set()).add(gpu)
    return found


def test_each_worker_sees_a_gpu_of_its_own_and_there_is_one_worker_for_each(lab: Lab):
    lab.many(30)
    lab.run(lab.script(SLOW_WITH_GPU), "--mini-batch-size", 1, environment={"BATCHINFER_GPUS": "a,b"})
    assert sorted(map(sorted, gpus_by_worker(lab).values())) == [["a"], ["b"]]
    assert {row.split()[2] for row in lab.rows} == {"2"}


@pytest.mark.parametrize("mini_batches", [1, 3 * (os.cpu_count() or 1)])
def test_without_gpus_there_is_one_worker_for_each_core_and_never_more_than_mini_batches(lab: Lab, mini_batches: int):
    lab.many(mini_batches)
    workers = min(mini_batches, os.cpu_count() or 1)
    lab.variables["WORKERS"] = str(workers)
    lab.score(lab.script(WAITS_FOR_THE_OTHERS), mini_batch_size=1)
    assert len(list(lab.state.iterdir())) == workers


def test_with_fewer_gpus_than_processes_there_are_as_many_workers_as_gpus(lab: Lab):
    lab.many(30)
    lab.run(lab.script(SLOW_WITH_GPU), "--mini-batch-size", 1, "--processes", 4, environment={"BATCHINFER_GPUS": "a,b"})
    assert sorted(map(sorted, gpus_by_worker(lab).values())) == [["a"], ["b"]]


def test_a_gpu_that_is_given_twice_is_shared_by_two_workers(lab: Lab):
    lab.many(30)
    lab.run(lab.script(SLOW_WITH_GPU), "--mini-batch-size", 1, environment={"BATCHINFER_GPUS": "a,a"})
    assert list(gpus_by_worker(lab).values()) == [{"a"}, {"a"}]


def test_the_gpu_of_a_dead_worker_goes_to_its_replacement(lab: Lab):
    lab.many(40, poison=(3, 4, 5, 6))
    options = ("--mini-batch-size", 1, "--max-try", 20)
    lab.run(lab.script(SLOW_WITH_GPU), *options, environment={"BATCHINFER_GPUS": "a,b"})
    by_gpu = Counter(gpu for gpus in gpus_by_worker(lab).values() for gpu in gpus)
    assert set(by_gpu) == {"a", "b"}
    assert by_gpu["a"] == 1
    assert len(lab.rows) == 40


def test_a_command_waits_for_a_gpu_that_another_one_uses_and_says_so(lab: Lab):
    lab.many(4)
    lab.variables |= {"GATE": str(lab.root / "gate"), "MARK": "."}
    lab.items("gate", folder=lab.root / "gated")
    gpu = {"BATCHINFER_GPUS": "a"}
    first = lab.start("waits_for_gate.py", "--input", lab.root / "gated", "--output", lab.root / "first", environment=gpu)
    wait_until(first.workers, "the first has the GPU")
    second = lab.start("shows_gpu.py", environment=gpu)
    wait_until(lambda: "waiting for one" in second.stderr, "the second says that it waits", 5)
    assert not second.workers()
    Path(lab.variables["GATE"]).touch()
    assert first.wait().code == 0
    assert second.wait().code == 0
    assert {row.split(": ")[1] for row in lab.rows} == {"a"}


def test_two_nodes_of_one_job_share_a_host_with_one_gpu_one_after_the_other(lab: Lab):
    lab.many(20)
    pin = lab.begin(lab.script(SLOW_WITH_GPU), mini_batch_size=1, node_count=2, process_count_per_node=1)
    nodes = [lab.start_node(pin, map_index=index, environment={"BATCHINFER_GPUS": "a"}) for index in range(2)]
    for node in nodes:
        assert node.wait().code == 0, node.stderr
    assert lab.merge(pin).items_succeeded == 20
    assert {row.split()[1] for row in lab.rows} == {"a"}
