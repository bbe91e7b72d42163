"""A config as a file: there and back, and as Azure ML wrote it."""

from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from airflow_batchinfer.environments.python_environment import PythonEnvironment
from airflow_batchinfer.errors import ConfigError, NotFoundError
from airflow_batchinfer.planning.compute_target import ComputeTarget
from airflow_batchinfer.planning.config import ParallelRunConfig

# As the original's save_to_yaml writes it, with the environment that it downloaded.
AZURE = """
parallel_run_config:
  mini_batch_size: '5'
  partition_keys:
  error_threshold: 10
  allowed_failed_count:
  allowed_failed_percent: 5
  output_action: append_row
  logging_level: DEBUG
  compute_target_name: gpu-cluster
  node_count: 2
  process_count_per_node: 4
  entry_script: digit_identification.py
  source_directory: Code
  description: MNIST, 28x28
  run_invocation_timeout: 600
  run_max_try: 3
  append_row_file_name: mnist_outputs.txt
  environment:
    name: batch-environment
    version:
    docker:
      baseImage: mcr.example/base:latest
    python:
      condaDependencies:
        dependencies:
        - python=3.6.2
        - pip:
          - tensorflow==1.15
  environment_variables:
    EXAMPLE_ENV_VAR: EXAMPLE_VALUE
"""
LEFT_OUT = "left out, since it is Azure ML's: compute_target_name, environment"


def written(folder: Path, text: str) -> Path:
    path = folder / "config.yml"
    path.write_text(text, "utf-8")
    return path


def stored(folder: Path, **instead: object) -> Path:
    """A file with the least that works, and what the test says."""
    return written(folder, yaml.safe_dump({"parallel_run_config": {"entry_script": "score.py", "error_threshold": 10, **instead}}))


def faults_of(path: Path, **instead: object) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as raised:
        ParallelRunConfig.from_yaml(path, **instead)
    return raised.value.faults


# Text that YAML 1.1 or 1.2 takes for something else.
AMBIGUOUS = ["on", "Off", "yes", "y", "010", "0o17", "0x1F", "1e3", "1_000", "12:30:45", "2026-11-21", ".5", "=", "<<", "~", "null", ""]
texts = st.text(min_size=1, max_size=20)
lines = texts.filter(lambda text: "\0" not in text)
names = lines.filter(lambda text: "=" not in text)
numbers = st.integers(1, 10**6)
targets = st.builds(ComputeTarget, pool=st.none() | texts, queue=st.none() | texts, pool_slots=st.none() | numbers)
templates = st.sampled_from(["{{ params.x }}", "{% if a %}1{% endif %}"])
environments = st.builds(PythonEnvironment, requirements=st.lists(st.sampled_from(["six", "numpy<2", "{{ x }}"]), max_size=3))
environments |= st.builds(PythonEnvironment, requirements=st.just("é.txt"), python=st.sampled_from(["3.11", ">=3.10, <4", "{{ x }}"]))
environments |= st.sampled_from(["/opt/python", "{{ x }}"]).map(PythonEnvironment.from_interpreter)
configs = st.builds(
    ParallelRunConfig,
    entry_script=lines,
    error_threshold=st.integers(-1, 10**6) | numbers.map(str) | templates,
    output_action=st.sampled_from(["append_row", "Summary_Only"]) | templates,
    source_directory=st.none() | lines,
    mini_batch_size=st.none() | numbers | numbers.map(str) | templates,
    node_count=numbers | numbers.map(str) | templates,
    process_count_per_node=st.none() | numbers | templates,
    run_invocation_timeout=st.floats(0.001, 1e6) | numbers | templates,
    run_max_try=numbers | templates,
    allowed_failed_count=st.none() | st.integers(-1, 10**6),
    allowed_failed_percent=st.none() | st.floats(0, 100),
    append_row_file_name=st.sampled_from(["rows.txt", "ümläut", "null", "1e3", "yes", " "]),
    logging_level=st.sampled_from(["WARNING", "debug"]),
    environment_variables=st.none() | st.dictionaries(names, st.sampled_from(AMBIGUOUS) | lines | st.just("") | templates, max_size=4),
    description=st.none() | st.text(max_size=50),
    environment=st.none() | environments,
    compute_target=st.none() | targets,
)


@given(configs)
def test_what_is_written_is_read_again_whatever_it_says(config: ParallelRunConfig):
    with TemporaryDirectory() as folder:
        path = Path(folder) / "config.yml"
        config.to_yaml(path)
        assert ParallelRunConfig.from_yaml(path) == config


@pytest.mark.parametrize("mark", ["\x85", "\u2028", "\u2029", "\r", "\n", "\t", "\ufeff", "\x00", "\x7f", "\U0001f600"], ids=ascii)
def test_rare_letters_come_back_as_they_are(tmp_path: Path, mark: str):
    config = ParallelRunConfig(entry_script="score.py", error_threshold=1, description=f"Ü{mark}{mark} x{mark}")
    config.to_yaml(tmp_path / "config.yml")
    assert ParallelRunConfig.from_yaml(tmp_path / "config.yml") == config


def test_a_path_may_be_text_and_so_may_the_script_s_be_a_path(tmp_path: Path):
    config = ParallelRunConfig(entry_script=Path("scripts/score.py"), error_threshold=1)  # type: ignore[arg-type]
    config.to_yaml(str(tmp_path / "config.yml"))
    assert ParallelRunConfig.from_yaml(str(tmp_path / "config.yml")).entry_script == "scripts/score.py"


def test_the_file_has_the_original_s_form_with_everything_under_one_key(tmp_path: Path):
    target = ComputeTarget(pool="gpu_pool", queue="gpu")
    ParallelRunConfig(entry_script="score.py", error_threshold=1, description="Ü", compute_target=target).to_yaml(tmp_path / "c.yml")
    text = (tmp_path / "c.yml").read_text("utf-8")
    found = yaml.safe_load(text)["parallel_run_config"]
    assert (found["entry_script"], found["error_threshold"], found["output_action"]) == ("score.py", 1, "append_row")
    assert found["compute_target_name"] == "gpu"
    assert "description: Ü" in text


def test_a_file_that_azure_wrote_is_read_with_one_warning_that_names_what_is_left_out(tmp_path: Path):
    with pytest.warns(UserWarning, match=LEFT_OUT) as warned:
        config = ParallelRunConfig.from_yaml(written(tmp_path, AZURE))
    assert len(warned) == 1
    assert warned[0].filename == __file__
    assert config == ParallelRunConfig(
        mini_batch_size="5",
        error_threshold=10,
        allowed_failed_percent=5,
        logging_level="DEBUG",
        node_count=2,
        process_count_per_node=4,
        entry_script="digit_identification.py",
        source_directory="Code",
        description="MNIST, 28x28",
        run_invocation_timeout=600,
        append_row_file_name="mnist_outputs.txt",
        environment_variables={"EXAMPLE_ENV_VAR": "EXAMPLE_VALUE"},
    )


def test_whoever_says_in_which_python_the_script_runs_is_not_warned_of_azure_s_environment(tmp_path: Path):
    environment = PythonEnvironment.from_conda_specification("myenv.yml")
    with pytest.warns(
        UserWarning, match=r"left out, since it is Azure ML's: compute_target_name; say where the nodes run with compute_target="
    ) as warned:
        config = ParallelRunConfig.from_yaml(written(tmp_path, AZURE), environment=environment)
    assert config.environment == environment
    assert "PythonEnvironment" not in str(warned[0].message)


def test_a_file_says_the_environment_as_a_dag_does_and_without_one_holds_no_word_of_it(tmp_path: Path):
    path = stored(tmp_path, environment={"requirements": ["six"], "python": "3.11"})
    assert ParallelRunConfig.from_yaml(path).environment == PythonEnvironment(requirements=["six"], python="3.11")
    ParallelRunConfig(entry_script="score.py", error_threshold=1).to_yaml(path)
    assert yaml.safe_load(path.read_text())["parallel_run_config"]["environment"] == {
        "name": "airflow",
        "python": {"userManagedDependencies": True},
    }


def test_an_environment_with_unknown_words_is_refused_with_what_there_is(tmp_path: Path):
    (fault,) = faults_of(stored(tmp_path, environment={"packages": ["six"]}))
    assert "some of requirements, python, conda_specification, interpreter" in fault


def test_whoever_says_where_the_nodes_run_is_not_warned_of_the_cluster(tmp_path: Path):
    with pytest.warns(UserWarning, match="left out, since it is Azure ML's: environment;") as warned:
        config = ParallelRunConfig.from_yaml(written(tmp_path, AZURE), compute_target=ComputeTarget(queue="gpu"))
    assert "compute_target_name" not in str(warned[0].message)
    assert config.compute_target == ComputeTarget(queue="gpu")


def test_plain_words_of_azure_s_yaml_are_text_as_in_version_1_2(tmp_path: Path):
    azure = AZURE.replace("EXAMPLE_ENV_VAR: EXAMPLE_VALUE", "FLAG: on\n    TIME: 12:30:45\n    no: Off\n    DAY: 2026-11-21")
    with pytest.warns(UserWarning, match=LEFT_OUT):
        config = ParallelRunConfig.from_yaml(written(tmp_path, azure))
    assert config.environment_variables == {"FLAG": "on", "TIME": "12:30:45", "no": "Off", "DAY": "2026-11-21"}


def test_numbers_of_azure_s_yaml_are_those_of_version_1_2(tmp_path: Path):
    text = "parallel_run_config: {entry_script: a, error_threshold: 010, node_count: 0o17, run_max_try: 0x1F, run_invocation_timeout: 1e3}"
    config = ParallelRunConfig.from_yaml(written(tmp_path, text))
    assert (config.error_threshold, config.node_count, config.run_max_try, config.run_invocation_timeout) == (10, 15, 31, 1000.0)


@pytest.mark.parametrize("text", [text for text in AMBIGUOUS if text != "y"])
def test_text_that_either_version_takes_for_something_else_is_quoted(tmp_path: Path, text: str):
    ParallelRunConfig(entry_script="score.py", error_threshold=1, description=text).to_yaml(tmp_path / "c.yml")
    assert f"description: '{text}'" in (tmp_path / "c.yml").read_text()


def test_the_original_finds_a_cluster_and_an_environment_in_every_file_and_we_say_nothing_of_them(tmp_path: Path):
    ParallelRunConfig(entry_script="score.py", error_threshold=1).to_yaml(tmp_path / "c.yml")
    found = yaml.safe_load((tmp_path / "c.yml").read_text())["parallel_run_config"]
    assert found["compute_target_name"] == "default_pool"
    assert found["environment"]["name"] == "airflow"
    assert ParallelRunConfig.from_yaml(tmp_path / "c.yml").compute_target is None


def test_what_is_said_beside_the_file_counts_instead_of_it(tmp_path: Path):
    path = stored(tmp_path, node_count=2, description="of the file")
    config = ParallelRunConfig.from_yaml(path, node_count="{{ params.nodes }}", description=None)
    assert (config.node_count, config.description, config.error_threshold) == ("{{ params.nodes }}", None, 10)


def test_what_is_said_beside_the_file_may_be_what_the_file_lacks(tmp_path: Path):
    path = written(tmp_path, "parallel_run_config: {error_threshold: 3}")
    assert ParallelRunConfig.from_yaml(path, entry_script="score.py").error_threshold == 3


def test_nulls_mean_what_is_left_out(tmp_path: Path):
    config = ParallelRunConfig.from_yaml(stored(tmp_path, node_count=None, logging_level=None, environment_variables=None))
    assert config == ParallelRunConfig(entry_script="score.py", error_threshold=10)


def test_unknown_names_are_refused_all_at_once(tmp_path: Path):
    path = stored(tmp_path, node_cuont=2, **{"1": 2})
    assert faults_of(path) == (
        f"{path}: '1' under parallel_run_config is no argument of ParallelRunConfig",
        f"{path}: 'node_cuont' under parallel_run_config is no argument of ParallelRunConfig; did you mean node_count?",
    )
    assert len(faults_of(written(tmp_path, "parallel_run_config: {1: 2, x: 3, null: 4, entry_script: a, error_threshold: 1}"))) == 3


def test_an_unknown_argument_beside_the_file_is_a_type_error(tmp_path: Path):
    with pytest.raises(TypeError, match="nodes"):
        ParallelRunConfig.from_yaml(stored(tmp_path), nodes=2)


def test_what_a_file_must_hold_and_does_not_is_named(tmp_path: Path):
    path = written(tmp_path, "parallel_run_config: {node_count: 2}")
    assert faults_of(path) == (
        f"{path}: there is no entry_script under parallel_run_config:",
        f"{path}: there is no error_threshold under parallel_run_config:",
    )


def test_partition_keys_come_from_a_file_also_where_there_are_none(tmp_path: Path):
    assert ParallelRunConfig.from_yaml(stored(tmp_path, partition_keys=["day"])).cut(of_tables=False).keys == ("day",)
    assert ParallelRunConfig.from_yaml(stored(tmp_path, partition_keys=[])).cut(of_tables=False).keys == ()


@pytest.mark.parametrize("target", [{"cluster": "gpu"}, {"pool": "a", "nodes": 3}, {1: 2}], ids=str)
def test_a_compute_target_with_unknown_words_is_refused_with_the_file_s_name(tmp_path: Path, target: dict[str, Any]):
    path = stored(tmp_path, compute_target=target)
    (fault,) = faults_of(path)
    assert fault.startswith(f"{path}: compute_target")


def test_a_compute_target_that_is_a_name_is_a_cluster_of_azure_s_and_left_out(tmp_path: Path):
    with pytest.warns(UserWarning, match="left out, since it is Azure ML's: compute_target_name"):
        assert ParallelRunConfig.from_yaml(stored(tmp_path, compute_target="gpu-cluster")).compute_target is None


def test_values_that_do_not_fit_are_refused_as_anywhere(tmp_path: Path):
    assert [fault.partition("=")[0] for fault in faults_of(stored(tmp_path, node_count=0, run_max_try="often", logging_level=True))] == [
        "node_count",
        "run_max_try",
        "logging_level",
    ]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "just text",
        "- a\n- list\n",
        "parallel_run_config:",
        "parallel_run_config: text",
        "parallel_run_config: [entry_script]",
        "other: {entry_script: a}",
        "entry_script: a\nerror_threshold: 1\n",
    ],
)
def test_a_file_of_another_form_is_refused_with_what_it_should_hold(tmp_path: Path, text: str):
    path = written(tmp_path, text)
    assert faults_of(path) == (f"{path} holds no parallel_run_config: with arguments below it, as ParallelRunConfig.to_yaml writes it",)


@pytest.mark.parametrize("content", [b"{unclosed", b"a: b: c", b"\xff\xfe\x00", b"a: \x00", b"\t- x", b"*nowhere", b"--- 1\n--- 2\n"])
def test_what_is_not_yaml_is_refused_with_the_file_s_name(tmp_path: Path, content: bytes):
    path = tmp_path / "config.yml"
    path.write_bytes(content)
    assert faults_of(path)[0].startswith(f"{path} is not YAML")


def test_a_file_that_asks_for_python_objects_gets_none_and_runs_nothing(tmp_path: Path):
    sign = tmp_path / "it ran"
    for value in (
        f'!!python/object/apply:os.system ["touch {sign}"]',
        f'!!python/object/new:os.system ["touch {sign}"]',
        "!!python/name:os.system",
        "!!python/module:os",
        "!!python/tuple [1, 2]",
        "!other {a: b}",
    ):
        path = written(tmp_path, f"parallel_run_config:\n  entry_script: {value}\n  error_threshold: 1\n")
        assert "is not YAML: could not determine a constructor" in faults_of(path)[0]
    assert not sign.exists()


def test_a_file_that_is_not_there_is_not_found_with_its_whole_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(NotFoundError, match=f"there is no file {tmp_path}/nowhere.yml"):
        ParallelRunConfig.from_yaml("nowhere.yml")


def test_a_folder_in_a_file_s_place_is_an_error_of_ours(tmp_path: Path):
    assert "cannot be read" in faults_of(tmp_path)[0]


class Later:
    """The output of a task."""

    def iter_references(self) -> Iterable[Any]:
        return ()


def test_what_only_a_run_knows_cannot_be_written_and_leaves_the_file_that_was_there(tmp_path: Path):
    path = written(tmp_path, "of yesterday")
    config = ParallelRunConfig(entry_script="score.py", error_threshold=1, description=Later())  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="can only hold text and numbers"):
        config.to_yaml(path)
    assert path.read_text() == "of yesterday"
