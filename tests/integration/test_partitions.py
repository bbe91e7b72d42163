"""One mini-batch for each combination of partition keys, of files and of tables, by path and by column."""

from pathlib import Path

import pytest

from airflow_batchinfer.datasets import FileDataset, TabularDataset
from airflow_batchinfer.errors import ConfigError
from tests.integration.lab import Lab

HIVE = ("region=eu/day=1/a", "region=eu/day=2/b", "region=us/day=1/c", "region=us/day=1/d")
SCRIPT = "tells_partition.py"


def table(folder: Path, **files: str) -> TabularDataset:
    for name, text in files.items():
        path = folder / name.replace("__", "/").replace("_is_", "=")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.with_suffix(".csv").write_text(text)
    return TabularDataset.from_csv(str(folder))


def test_files_of_hive_s_folders_are_one_mini_batch_for_each_combination_of_keys(lab: Lab):
    lab.items(*HIVE)
    ended = lab.run(SCRIPT, "--partition-key", "region", "--partition-key", "day")
    assert (ended.summary["mini_batches"], ended.summary["items"]) == (3, 4)
    assert lab.rows == ["region=eu day=1 1: a", "region=eu day=2 1: b", "region=us day=1 2: c", "region=us day=1 2: d"]


def test_a_partition_holds_all_files_that_share_its_keys_wherever_they_lie(lab: Lab):
    lab.items(*HIVE)
    assert lab.run(SCRIPT, "--partition-key", "day").summary["mini_batches"] == 2
    assert lab.rows == ["day=1 3: a", "day=1 3: c", "day=1 3: d", "day=2 1: b"]


def test_a_format_says_where_in_a_path_the_keys_are(lab: Lab):
    lab.items("eu/2026-11-20/x.txt", "eu/2026-11-21/x.txt", "us/2026-11-20/y.txt")
    ended = lab.run(SCRIPT, "--partition-key", "date", "--partition-format", "{region}/{date:yyyy-MM-dd}/{name}.txt")
    assert ended.summary["mini_batches"] == 2
    assert lab.rows == ["date=2026-11-20 2: x.txt", "date=2026-11-20 2: y.txt", "date=2026-11-21 1: x.txt"]


def test_a_partition_holds_the_files_of_all_inputs_that_share_its_keys(lab: Lab):
    lab.items(*HIVE)
    inputs = [part for region in ("us", "eu") for part in ("--input", lab.inputs / f"region={region}")]
    assert lab.run(SCRIPT, "--partition-key", "day", *inputs).summary["mini_batches"] == 2
    assert lab.rows == ["day=1 3: c", "day=1 3: d", "day=1 3: a", "day=2 1: b"]


def test_with_other_keys_it_is_another_job(lab: Lab):
    lab.items(*HIVE)
    jobs = {lab.run(SCRIPT, "--partition-key", key).summary["job"] for key in ("region", "day", "region")}
    assert len(jobs) == 2


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--partition-key", "year"], "partition_keys: the path {inputs}/region=eu/day=1/a holds no year: no folder is called key=value"),
        (
            ["--partition-key", "x", "--partition-format", "{x}.csv"],
            "{inputs}/region=eu/day=1/a does not end as partition_format='{{x}}.csv' says",
        ),
        (["--partition-key", "day", "--mini-batch-size", "3"], "partition_keys=['day'] with mini_batch_size='3': give one"),
    ],
)
def test_keys_that_cannot_be_had_are_an_error_before_anything_runs(lab: Lab, options: list[str], told: str):
    lab.items(*HIVE)
    ended = lab.run(SCRIPT, *options)
    assert ended.code == 2
    assert told.format(inputs=lab.inputs) in ended.stderr
    assert lab.published == set()


def test_rows_of_tables_are_one_mini_batch_for_each_combination_of_keys_of_their_paths(lab: Lab):
    dataset = table(lab.inputs, region_is_eu__one="name\na\nb\n", region_is_us__one="name\nc\n", region_is_us__two="name\nd\n")
    summary = lab.score(SCRIPT, inputs=[dataset], partition_keys=["region"], process_count_per_node=1)
    assert (summary.mini_batches, summary.items) == (2, 4)
    assert lab.rows == ["region=eu 2: a", "region=eu 2: b", "region=us 2: c", "region=us 2: d"]


def test_tables_that_several_inputs_name_are_one_and_so_are_their_partitions(lab: Lab):
    table(lab.inputs, p__store_is_n__a="name\n1\n", q__store_is_n__b="name\nx\n", q__store_is_s__b="name\ny\n")
    inputs = [part for name in ("q/*/*.csv", "p/*/*.csv") for part in ("--input", f"{lab.inputs}/{name}")]
    ended = lab.run(SCRIPT, "--table", "--partition-key", "store", *inputs)
    assert ended.summary["mini_batches"] == 2
    assert lab.rows == ["store=n 2: 1", "store=n 2: x", "store=s 1: y"]
    ended = lab.run(SCRIPT, "--table", *inputs, "--input", f"{lab.inputs}/r/*.csv", "--input", f"{lab.inputs}/*.csv")
    assert ended.code == 2
    assert f"{lab.inputs}/r" in ended.stderr
    assert f"the input '{lab.inputs}/*.csv' matches no files" in ended.stderr


def test_a_partition_of_two_tables_is_refused_with_a_remedy(lab: Lab):
    table(lab.inputs, p__store_is_n__a="name\na\n", q__store_is_n__b="name\nb\n", q__store_is_s__b="name\nc\n")
    one, other = (TabularDataset.from_csv(str(lab.inputs / name)) for name in "pq")
    told = rf"rows with store='n' are in several tables, {one} and {other}, .* give their paths to one dataset"
    with pytest.raises(ConfigError, match=told):
        lab.score(SCRIPT, inputs=[one, other], partition_keys=["store"])
    apart = TabularDataset.from_csv(str(lab.inputs / "q" / "store=s"))
    assert lab.score(SCRIPT, inputs=[one, apart], partition_keys=["store"]).mini_batches == 2
    assert lab.rows == ["store=n 1: a", "store=s 1: c"]


def test_a_key_that_only_some_paths_hold_is_named_with_one_that_does_and_one_that_does_not(lab: Lab):
    dataset = table(lab.inputs, a__one="name,store\na,n\n", b__store_is_n__one="name\nb\n")
    with pytest.raises(ConfigError) as raised:
        lab.score(SCRIPT, inputs=[dataset], partition_keys=["store"])
    assert str(raised.value).startswith(
        f"partition_keys: the path {lab.inputs}/b/store=n/one.csv holds store, and the path {lab.inputs}/a/one.csv does not: "
        "a key is in the path of every file, or a column of every file; "
    )


def test_a_path_that_is_not_text_is_a_partition_of_its_own_also_as_a_column(lab: Lab):
    dataset = table(lab.inputs, **{"k_is_%FF__one": "name\na\n", "k_is_%FE__one": "name\nb\n"})
    script = lab.script("def run(mini_batch):\n    return (mini_batch['name'] + mini_batch['k'].map(ascii)).tolist()\n")
    assert lab.score(script, inputs=[dataset], partition_keys=["k"], process_count_per_node=1).mini_batches == 2
    assert lab.rows == ["b'\\udcfe'", "a'\\udcff'"]


def test_a_key_of_the_path_is_a_column_of_the_table(lab: Lab):
    dataset = table(lab.inputs, region_is_eu__one="name\na\n", region_is_us__one="name\nc\n")
    script = lab.script("def run(mini_batch):\n    return (mini_batch['region'] + ' ' + mini_batch['name']).tolist()\n")
    lab.score(script, inputs=[dataset], partition_keys=["region"], process_count_per_node=1)
    assert lab.rows == ["eu a", "us c"]


def test_by_a_column_a_table_that_is_grouped_by_it_is_one_mini_batch_for_each_value_also_across_files(lab: Lab):
    dataset = table(lab.inputs, one="name,store\na,north\nb,north\nc,east\n", two="name,store\nd,east\ne,west\n")
    summary = lab.score(SCRIPT, inputs=[dataset], partition_keys=["store"], process_count_per_node=1)
    assert summary.mini_batches == 3
    assert lab.rows == ["store=north 2: a", "store=north 2: b", "store=east 2: c", "store=east 2: d", "store=west 1: e"]


def test_by_a_column_a_table_that_is_not_grouped_by_it_is_an_error_that_says_to_sort_it(lab: Lab):
    dataset = table(lab.inputs, one="name,store\na,north\nb,east\nc,north\n")
    with pytest.raises(ConfigError, match=r"one\.csv.*north.*sort") as raised:
        lab.score(SCRIPT, inputs=[dataset], partition_keys=["store"], process_count_per_node=1)
    assert len(raised.value.faults) == 1


def test_a_key_that_is_neither_in_the_paths_nor_a_column_is_named(lab: Lab):
    dataset = table(lab.inputs, one="name,store\na,north\n")
    with pytest.raises(ConfigError, match="year"):
        lab.score(SCRIPT, inputs=[dataset], partition_keys=["year"], process_count_per_node=1)


def test_many_partitions_are_grouped_without_holding_them(lab: Lab):
    dataset = FileDataset.from_files(str(lab.inputs), partition_format="{key}/{name}")
    lab.items(*(f"{number % 10}/{number:03d}" for number in range(100)))
    assert lab.score(SCRIPT, inputs=[dataset], partition_keys=["key"], process_count_per_node=1).mini_batches == 10
    assert lab.rows[0] == "key=0 10: 000"
    assert lab.rows[-1] == "key=9 10: 099"
