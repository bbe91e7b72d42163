"""Every lesson of `dags/` in a real Airflow, with real TensorFlow models, as someone who reads them would run it.

TensorFlow costs each worker seconds, so everything is started at once, and what must wait for that in a second wave; each
test waits for its own. The nightly lesson runs as a copy that begins a few days ago and scores without TensorFlow.
"""

import csv
import json
import os
import re
import shutil
import sys
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pandas as pd
import pytest

from airflow_batchinfer.deployment import deploying
from airflow_batchinfer.engine.jobs import all_jobs
from airflow_batchinfer.workspace import Workspace
from dags.demo.rest import wait_until
from tests.ageing import age_heartbeats, age_pins
from tests.integration.lab import Lab, open_lab
from tests.system.live import LiveAirflow
from tests.trained import DEMO

pytestmark = pytest.mark.services

PROJECT = Path(__file__).parents[2]
DAGS, CAST = PROJECT / "dags", PROJECT / "tests" / "entry_scripts"
LESSONS = sorted(DAGS.glob("[0-9]*.py"))
WORDS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
RUN_SECONDS = 120
Answered = TypeVar("Answered")
WATCH = """
import sys
from pathlib import Path
from rest import Rest
from watching import watch

url, user, password, workspace, dag, run = sys.argv[1:]
with Rest(url, user, password) as rest:
    watch(rest, dag, run, Path(workspace), 60, print)
"""
# What lesson 3 tells its reader to type.
ONE_IMAGE = json.loads(re.search("--conf '(.*)'", (DAGS / "03_rerun_with_new_data.py").read_text())[1])
# The DAG and its params, by a name.
FIRST_WAVE = {
    "score_images": ("mnist_batch_scoring", {"input": "digits/digit_00[0-3]?.png", "process_count": 1}),
    "one_image": ("score_again", ONE_IMAGE),
    "dataset": ("score_again", {"input": "dataset:ten", "process_count_per_node": 1}),
    "over_budget": ("error_budget", {"error_threshold": 1}),
    "announce": ("score_and_announce", {}),
}
SECOND_WAVE = {
    "one_image_again": ("score_again", ONE_IMAGE),
    "within_budget": ("error_budget", {}),
    "partitions": ("many_models", {}),
    "serve": ("serve_digits", {}),
    "try": ("try_a_service", {}),
}


@dataclass(frozen=True)
class Lessons:
    """The lessons at work in an Airflow, and what they find in its workspace."""

    airflow: LiveAirflow
    workspace: Path
    dags: Collection[str]
    runs: dict[str, tuple[str, str]] = field(default_factory=dict)

    @property
    def truth(self) -> dict[str, str]:
        """The word for each image."""
        with (self.workspace / "truth.csv").open(newline="") as file:
            return {row["file"]: WORDS[int(row["digit"])] for row in csv.DictReader(file)}

    def start(self, wave: Mapping[str, tuple[str, dict[str, Any]]]) -> None:
        for name, (dag, params) in wave.items():
            self.runs[name] = dag, self.airflow.rest.trigger(dag, params)

    def is_quiet(self) -> bool:
        return not any(self.airflow.rest.runs(dag, state=["queued", "running"]) for dag in self.dags)

    def ended(self, name: str, states: Collection[str] = ("success",)) -> tuple[str, str]:
        """The DAG and the run that were started under this name, once the run has ended so."""
        self.airflow.rest.wait_for(*self.runs[name], states, RUN_SECONDS)
        return self.runs[name]

    def summary(self, dag: str, run: str, step: str = "score") -> dict[str, Any]:
        return self.airflow.rest.xcom(dag, run, f"{step}.merge", "summary")

    def rows(self, dag: str, run: str, step: str = "score") -> list[str]:
        return Path(self.airflow.rest.xcom(dag, run, f"{step}.merge")).read_text().splitlines()


@pytest.fixture(scope="module")
def days(trained: Path) -> list[str]:
    """The days before today for which there are images, the oldest first."""
    return sorted(folder.name for folder in (trained / "incoming").iterdir())


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with open_lab(tmp_path_factory.mktemp("lessons")) as lab:
        yield lab


@pytest.fixture(scope="module")
def lessons(airflow: LiveAirflow, lab: Lab, trained: Path, days: list[str]) -> Lessons:
    workspace = airflow.standalone.home / "batchinfer"
    shutil.copytree(trained, workspace, copy_function=os.link, dirs_exist_ok=True)
    shutil.rmtree(workspace / "incoming" / days[1])
    lab.batchinfer("datasets", "register", "ten", f"{workspace}/digits/digit_001?.png", "--workspace", workspace)
    dags = drop_all(airflow, days[1])
    airflow.rest.set_pool("gpu_pool", 2)
    lessons = Lessons(airflow, workspace, dags)
    lessons.start(FIRST_WAVE)
    for dag in dags:
        airflow.rest.unpause(dag)
    return lessons


@pytest.fixture(scope="module")
def first_nights(lessons: Lessons, days: list[str]) -> dict[str, dict[str, Any]]:
    """The summaries of the days since the nightly lesson's start."""
    return nightly_summaries(lessons, days[1:])


@pytest.fixture(scope="module")
def again(lessons: Lessons, days: list[str], first_nights: dict[str, dict[str, Any]]) -> Lessons:
    """The lessons with the second wave started: when the first has ended, since SQLite refuses who writes while many do."""
    wait_until(lessons.is_quiet, "the end of the first wave", RUN_SECONDS)
    late = lessons.workspace / "incoming" / days[1] / "digit_0000.png"
    late.parent.mkdir()
    late.hardlink_to(lessons.workspace / "digits" / late.name)
    interval = (f"{days[0]}T00:00:00Z", f"{days[-1]}T00:00:00Z")
    lessons.airflow.rest.backfill("score_nightly", *interval, reprocess_behavior="completed")
    lessons.start(SECOND_WAVE)
    return lessons


def drop_all(airflow: LiveAirflow, first_day: str) -> list[str]:
    """Drop the lessons, all at once, and give their DAGs."""
    folder = airflow.standalone.dags_folder / "lessons"
    shutil.copytree(DAGS / "entry_scripts", folder / "entry_scripts")
    shutil.copytree(CAST, folder / "cast")
    texts = {file.name: file.read_text() for file in LESSONS}
    texts["02_score_nightly.py"] = nightly(texts["02_score_nightly.py"], date.fromisoformat(first_day))
    with ThreadPoolExecutor() as threads:
        found = threads.map(lambda name: airflow.add_dag(f"lessons/{name}", texts[name], unpause=False), texts)
        return [dag for dags in found for dag in dags]


def nightly(lesson: str, first_day: date) -> str:
    """The lesson from another day on, with a script that needs no TensorFlow."""
    changes = {
        r"start_date=datetime\([^)]*\)": f"start_date=datetime({first_day:%Y, %-m, %-d}, tzinfo=UTC)",
        "max_active_runs=1": "max_active_runs=3",
        "entry_scripts/digit_identification.py": "cast/names.py",
    }
    for pattern, text in changes.items():
        lesson, times = re.subn(pattern, text, lesson)
        assert times == 1, f"{pattern} stands {times} times in the lesson"
    return lesson


def test_there_are_ten_lessons_of_at_most_sixty_lines_each():
    assert [file.name[:2] for file in LESSONS] == [f"{number:02}" for number in range(1, 11)]
    assert {file.name: lines for file in LESSONS if (lines := len(file.read_text().splitlines())) > 60} == {}


def test_lesson_1_scores_images_with_a_tensorflow_1_checkpoint_and_counts_the_digits(lessons: Lessons):
    dag, run = lessons.ended("score_images")
    assert lessons.airflow.rest.xcom(dag, run, "register_model") == "mnist:1"
    read = dict(row.split(": ") for row in lessons.rows(dag, run, "predict-digits-mnist"))
    assert list(read) == [f"digit_{number:04}.png" for number in range(40)]
    assert sum(lessons.truth[name] == word for name, word in read.items()) >= 36
    assert lessons.airflow.rest.xcom(dag, run, "count_digits") == Counter(read.values())
    tasks = lessons.airflow.rest.task_instances(dag, run)
    assert [task["pool"] for task in tasks if task["task_id"] == "predict-digits-mnist.run"] == ["gpu_pool"] * 2


def test_lesson_2_scores_each_day_since_its_start_once_and_by_a_backfill_earlier_days_and_those_that_changed(
    again: Lessons, days: list[str], first_nights: dict[str, dict[str, Any]]
):
    earlier, empty, full = days
    assert earlier not in first_nights
    assert (first_nights[empty]["items"], first_nights[empty]["rows"], first_nights[full]["items"]) == (0, 0, 20)
    second = nightly_summaries(again, days)
    assert [(second[day]["items"], second[day]["reused"]) for day in days] == [(20, False), (1, False), (20, True)]
    assert second[full]["job"] == first_nights[full]["job"]
    for day in days:
        result = Path(second[day]["output"])
        assert result.is_relative_to(again.workspace / "scored" / day)
        came_in = sorted(file.name for file in (again.workspace / "incoming" / day).iterdir())
        assert [row.split(": ")[0] for row in result.read_text().splitlines()] == came_in


def nightly_summaries(lessons: Lessons, days: list[str]) -> dict[str, dict[str, Any]]:
    """By day, once these days have succeeded; each has one run, whoever has asked for it."""

    def found() -> dict[str, str]:
        runs = lessons.airflow.rest.runs("score_nightly")
        by_day = {run["data_interval_start"][:10]: run for run in runs}
        assert len(by_day) == len(runs)
        assert "failed" not in {run["state"] for run in runs}
        scored = {day: run["dag_run_id"] for day, run in by_day.items() if run["state"] == "success"}
        return scored if scored.keys() >= set(days) else {}

    runs = wait_until(found, f"score_nightly has scored {days}", RUN_SECONDS)
    return {day: lessons.summary("score_nightly", run) for day, run in runs.items()}


def test_lesson_3_scores_other_images_with_other_settings_and_the_same_again_at_once(again: Lessons):
    [row] = again.rows(*again.ended("one_image"))
    name, digit, probability = row.split(" ")
    assert (name, WORDS[int(digit)]) == ("digit_0001.png", again.truth["digit_0001.png"])
    assert 0 < float(probability) <= 1
    dag, run = again.ended("one_image_again")
    assert again.summary(dag, run)["reused"]
    assert again.rows(dag, run) == [row]


def test_lesson_3_scores_a_registered_dataset_that_was_typed_into_the_form(lessons: Lessons):
    dag, run = lessons.ended("dataset")
    assert [row.split(" ")[0] for row in lessons.rows(dag, run)] == [f"digit_{number:04}.png" for number in range(10, 20)]


def test_lesson_3_has_a_form_that_says_of_each_setting_what_it_is_and_what_it_may_be(lessons: Lessons):
    form = lessons.airflow.rest.dag("score_again")["params"]
    assert {name: (field["value"], field["schema"]["type"]) for name, field in form.items()} == {
        "input": ("digits/*.png", "string"),
        "mini_batch_size": ("20", "string"),
        "node_count": (1, "integer"),
        "process_count_per_node": (1, ["integer", "null"]),
        "logging_level": ("INFO", "string"),
        "run_invocation_timeout": (120, "number"),
        "run_max_try": (3, "integer"),
    }
    limits = {"minLength", "pattern", "minimum", "exclusiveMinimum", "enum"}
    assert all(field["schema"]["title"] and limits & set(field["schema"]) for field in form.values())
    assert all(field["description"] or field["schema"]["description_md"] for field in form.values())


def test_lesson_4_fails_at_once_over_its_budget_and_within_it_names_the_broken_images(again: Lessons):
    rest = again.airflow.rest
    dag, run = again.ended("over_budget", ["failed"])
    node = next(task for task in rest.task_instances(dag, run) if task["task_id"] == "score.run")
    assert (node["state"], node["try_number"], node["max_tries"]) == ("failed", 1, 2)
    for task, index in (("score.run", 0), ("score.merge", -1)):
        why = rest.log(dag, run, task, map_index=index)
        assert "2 items failed, more than error_threshold=1 allows" in why
        assert "digit_0004_broken.png" in why

    dag, run = again.ended("within_budget")
    summary = again.summary(dag, run)
    assert (summary["items"], summary["items_failed"]) == (22, 2)
    assert summary["resumed"] > 0
    broken = [str(again.workspace / "some_broken" / f"digit_{number:04}_broken.png") for number in (4, 14)]
    assert rest.xcom(dag, run, "tell_what_failed") == [f"{image}: OSError: image file is truncated" for image in broken]


def test_lesson_5_reports_as_soon_as_the_other_dag_has_scored(lessons: Lessons):
    rest = lessons.airflow.rest
    dag, run = lessons.ended("announce")
    [report] = wait_until(lambda: rest.runs("report_on_digits"), "the asset starts the report", 30)
    rest.wait_for("report_on_digits", report["dag_run_id"])
    assert rest.xcom("report_on_digits", report["dag_run_id"], "report") == Counter(row.split(": ")[1] for row in lessons.rows(dag, run))
    assert "10 rows by mnist:1" in rest.log("report_on_digits", report["dag_run_id"], "report")


def test_lesson_7_scores_the_rows_of_yesterday_and_leaves_a_parquet_file_that_says_of_each_where_it_stood(
    lessons: Lessons, days: list[str]
):
    # Without catchup Airflow makes one run by itself, of the last whole interval.
    rest, dag = lessons.airflow.rest, "score_a_table"
    [scheduled] = wait_until(lambda: rest.runs(dag), "the night's run is there", RUN_SECONDS)
    run = rest.wait_for(dag, scheduled["dag_run_id"], ["success"], RUN_SECONDS)["dag_run_id"]
    day = scheduled["data_interval_start"][:10]
    assert day in days
    result = Path(lessons.airflow.rest.xcom(dag, run, "score.merge"))
    assert result == lessons.workspace / "digits_by_day" / day / "digits.parquet"
    frame = pd.read_parquet(result)
    scans = pd.read_csv(lessons.workspace / "scans_by_day" / day / "scans.csv")
    assert list(frame.columns) == ["item_file", "item_row", "scan", "digit", "distance"]
    assert frame["scan"].tolist() == scans["scan"].tolist() == scans.iloc[frame["item_row"]]["scan"].tolist()
    assert str(frame.dtypes["digit"]) == "int64"
    assert right_digits(lessons, frame) >= 15
    assert lessons.summary(dag, run)["mini_batches"] > 1
    seen = lessons.airflow.rest.xcom(dag, run, "count_digits")
    assert seen == {str(digit): count for digit, count in Counter(frame["digit"]).items()}


def test_lesson_8_scores_each_partition_with_a_model_of_its_own(again: Lessons):
    dag, run = again.ended("partitions")
    summary = again.summary(dag, run)
    assert (summary["mini_batches"], summary["items"]) == (3, 360)
    frame = pd.read_csv(again.airflow.rest.xcom(dag, run, "score.merge"))
    by_scanner = [frame.iloc[start : start + 120] for start in (0, 120, 240)]
    # With another scanner's model, half as bright, hardly a digit would be read.
    assert all(right_digits(again, each) >= 96 for each in by_scanner)


def test_lesson_9_deploys_what_has_scored_and_the_service_says_the_same_and_goes_on(again: Lessons, monkeypatch: pytest.MonkeyPatch):
    dag, run = again.ended("serve")
    deployed = again.airflow.rest.xcom(dag, run, "deploy")
    assert {"name": "digit-reader", "state": "Healthy", "revision": 1}.items() <= deployed.items()
    assert again.airflow.rest.xcom(dag, run, "compare") == 5
    monkeypatch.setenv("BATCHINFER_CACHE", again.airflow.standalone.environment["BATCHINFER_CACHE"])
    workspace = Workspace.at(str(again.workspace))
    [primary, _] = deploying.opened(workspace, "digit-reader").keys("digit-reader")
    answer = httpx.post(
        deployed["scoring_uri"], json={"data": [[0] * 784]}, headers={"Authorization": f"Bearer {primary}"}, trust_env=False
    )
    assert answer.json()[0] in range(10)
    assert deploying.delete(workspace, "digit-reader")


def test_lesson_10_measures_a_service_and_leaves_nothing_of_it(again: Lessons, monkeypatch: pytest.MonkeyPatch):
    dag, run = again.ended("try")
    assert again.airflow.rest.states(dag, run) == dict.fromkeys(["deploy", "measure", "delete"], "success")
    measured = again.airflow.rest.xcom(dag, run, "measure")
    assert 0 < measured["median"] <= measured["slowest"]
    monkeypatch.setenv("BATCHINFER_CACHE", again.airflow.standalone.environment["BATCHINFER_CACHE"])
    assert deploying.find(Workspace.at(str(again.workspace)), "digit-reader-on-trial") is None


def right_digits(lessons: Lessons, frame: pd.DataFrame) -> int:
    return sum(WORDS[digit] == lessons.truth[f"{scan}.png"] for scan, digit in zip(frame["scan"], frame["digit"], strict=True))


def test_the_demo_shows_a_run_task_by_task_and_item_by_item_and_of_one_that_failed_the_reason(lessons: Lessons, lab: Lab):
    asked = lessons.airflow.standalone.url, *vars(lessons.airflow.standalone.login).values(), str(lessons.workspace)
    good, bad = (
        lab.start_program([sys.executable, "-c", WATCH, *asked, *run], environment={"PYTHONPATH": f"{DEMO}{os.pathsep}{PROJECT}"})
        for run in (lessons.ended("score_images"), lessons.ended("over_budget", ["failed"]))
    )
    shown = good.wait().stdout.splitlines()
    assert {f"predict-digits-mnist.{task}: success" for task in ("plan", "run[0]", "run[1]", "merge")} < set(shown)
    assert any(re.fullmatch(r"job \w+-1: 40 of 40 items are done", line) for line in shown)
    failed = bad.wait()
    assert failed.code == 1
    assert failed.stderr.startswith("error_budget failed.\nscore.merge is failed.")
    assert "2 items failed, more than error_threshold=1 allows" in failed.stderr


def test_lesson_6_removes_the_jobs_that_nobody_has_worked_on_for_a_month_or_for_any_time(again: Lessons, lab: Lab):
    lessons, rest, dag = again, again.airflow.rest, "batchinfer_maintenance"
    wait_until(lessons.is_quiet, "the end of both waves, whose jobs are removed as well", RUN_SECONDS)
    lab.many(2)
    old, young = (lab.run("names.py", "--workspace", lessons.workspace, "--mini-batch-size", size).summary["job"] for size in (1, 2))
    age_heartbeats(lessons.workspace, old, timedelta(days=31))
    age_pins(lessons.workspace, old, timedelta(days=31))
    lessons.start({"month": (dag, {})})
    assert rest.xcom(*lessons.ended("month"), "remove_old_jobs") == [old]
    left = jobs(lessons.workspace)
    assert young in left
    lessons.start({"everything": (dag, {"older_than_days": 0})})
    assert set(rest.xcom(*lessons.ended("everything"), "remove_old_jobs")) == left
    assert jobs(lessons.workspace) == set()


def jobs(workspace: Path) -> set[str]:
    return {status.job.name for status in all_jobs(Workspace.at(str(workspace), to_read=True))[0]}
