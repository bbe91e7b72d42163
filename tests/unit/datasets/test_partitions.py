import pytest

from airflow_batchinfer.datasets.partitions import PartitionFormat, PathKeys, hive_values
from airflow_batchinfer.errors import ConfigError

DAYS = "{region}/{date:yyyy-MM-dd}/{name}.csv"


@pytest.mark.parametrize(
    ("text", "path", "values"),
    [
        (DAYS, "/data/eu/2026-11-21/sales.csv", {"region": "eu", "date": "2026-11-21", "name": "sales"}),
        (DAYS, "eu/2026-11-21/sales.csv", {"region": "eu", "date": "2026-11-21", "name": "sales"}),
        ("/" + DAYS, "s3://bucket/a b/2026-01-01/x.y.csv", {"region": "a b", "date": "2026-01-01", "name": "x.y"}),
        ("{when:yyyy/MM/dd/HH/mm/ss}/data.csv", "/in/2026/02/28/23/59/60/data.csv", {"when": "2026/02/28/23/59/60"}),
        ("{year:yyyy}{name}.csv", "/in/2026-rest.csv", {"year": "2026", "name": "-rest"}),
        ("day+{day:dd}(1)/{name}", "/in/day+07(1)/f.txt", {"day": "07", "name": "f.txt"}),
    ],
)
def test_a_format_finds_the_values_of_its_keys_at_the_end_of_a_path(text: str, path: str, values: dict[str, str]):
    assert PartitionFormat(text).values(path) == values


@pytest.mark.parametrize(
    "path", ["/data/eu/2026-13-21/sales.csv", "/data/eu/2026-11-21/sales.txt", "2026-11-21/sales.csv", "eu/2026-11-2/s.csv"]
)
def test_a_path_that_does_not_end_as_the_format_says_is_named_with_it(path: str):
    with pytest.raises(ConfigError) as raised:
        PartitionFormat(DAYS).values(path)
    assert path in str(raised.value)
    assert repr(DAYS) in str(raised.value)


@pytest.mark.parametrize(
    ("text", "value", "is_one"),
    [
        ("yyyy-MM-dd", "2024-02-29", True),
        ("yyyy-MM-dd", "2024-02-31", False),
        ("yyyy-MM-dd", "2023-02-29", False),
        ("yyyy-MM-dd", "0000-01-01", False),
        ("MMdd", "0229", True),
        ("MMdd", "0431", False),
        ("yyyy20dd", "20242031", True),
        ("HH", "23", True),
        ("HH", "29", False),
        ("ss", "60", True),
        ("ss", "61", False),
    ],
)
def test_a_date_in_a_path_is_one_that_there_is(text: str, value: str, is_one: bool):
    try:
        assert PartitionFormat(f"{{d:{text}}}/{{name}}").values(f"/in/{value}/f.csv") == {"d": value, "name": "f.csv"}
    except ConfigError:
        assert not is_one
    else:
        assert is_one


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("data.csv", "give a format with keys in braces"),
        (7, "give a format with keys in braces"),
        ("{a}/{a}.csv", "the key 'a' stands there twice"),
        ("{a b}.csv", "'a b' is no name of a key"),
        ("{day:tomorrow}.csv", "'tomorrow' holds none of yyyy, MM, dd, HH, mm, ss"),
        ("{a}{b}.csv", "nothing between {a} and {b} says where one ends"),
        ("{a}/{b.csv", "a brace is open or closed that does not belong to a key"),
    ],
)
def test_a_format_that_means_nothing_is_refused_with_the_reason(text: object, fault: str):
    with pytest.raises(ConfigError) as raised:
        PartitionFormat(text)
    assert any(fault in found for found in raised.value.faults)


def test_one_error_lists_every_fault_of_a_format():
    with pytest.raises(ConfigError) as raised:
        PartitionFormat("{1}/{day:x}/{a}/{a}.csv")
    assert len(raised.value.faults) == 3


def test_folders_called_key_and_value_are_hive_s_keys_and_a_file_is_none():
    assert hive_values("/in/region=eu/day=2026-11-21/x=y.csv") == {"region": "eu", "day": "2026-11-21"}
    assert hive_values("s3://b/name=a%20b%2Fc/=x/f.parquet") == {"name": "a b/c"}


def test_escapes_that_are_no_text_stay_apart_and_a_null_of_hive_is_nothing():
    values = [hive_values(f"/in/k={value}/f.csv")["k"] for value in ("%FF", "%FE", "%C3%BF", "%EF%BF%BD")]
    assert values == ["\udcff", "\udcfe", "ÿ", "\ufffd"]
    assert hive_values("/in/k=__HIVE_DEFAULT_PARTITION__/f.csv") == {"k": ""}


def test_of_a_path_only_the_keys_that_are_asked_for_count():
    assert PathKeys(None, ["day"]).of("/in/region=eu/day=7/f.csv") == {"day": "7"}
    assert PathKeys(DAYS, ["date", "other"]).of("/eu/2026-11-21/f.csv") == {"date": "2026-11-21"}


@pytest.mark.parametrize(("text", "told"), [(None, "no folder is called key=value"), ("{day}/{name}.csv", "has no such key")])
def test_a_key_that_a_path_does_not_hold_is_named(text: str | None, told: str):
    with pytest.raises(ConfigError) as raised:
        PathKeys(text, ["region"]).all_of("/in/7/f.csv")
    assert told in str(raised.value)
    assert "region" in str(raised.value)
