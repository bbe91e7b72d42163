import numpy as np
import pandas as pd
import pytest

from airflow_batchinfer.worker.rows import BadResult, Rows, append_rows, count_rows


def text(result: object, **to_csv: object) -> bytes:
    return append_rows(result, to_csv).text


class Shown:
    """As torch's scalars do: str() says one thing, format() another."""

    def __str__(self) -> str:
        return "as str says"

    def __format__(self, _: str) -> str:
        return "as format says"


def test_each_element_is_its_str_and_a_newline():
    assert text(["a", 1, 2.5, None, True, ("x", 1), ["y"]]) == b"a\n1\n2.5\nNone\nTrue\n('x', 1)\n['y']\n"


def test_an_element_is_what_str_says_not_what_format_says():
    assert text([Shown()]) == b"as str says\n"


def test_rows_are_not_joined_and_not_lost():
    assert append_rows(["", " ", "a b"], {}).text == b"\n \na b\n"
    assert append_rows(["", " ", "a b"], {}).number == 3


@pytest.mark.parametrize(
    "result", [[], (), iter(()), np.array([]), pd.Series([], dtype=float)], ids=["list", "tuple", "iterator", "array", "series"]
)
def test_no_row_is_a_result(result: object):
    assert append_rows(result, {}) == Rows(0, b"")


def test_any_iterable_will_do():
    rows = b"a\nb\n"
    assert text(["a", "b"]) == text(("a", "b")) == text(dict.fromkeys("ab").keys()) == text(each for each in "ab") == rows
    assert text(np.array(["a", "b"])) == text(pd.Series(["a", "b"], index=[7, 3])) == text(pd.Index(["a", "b"])) == rows


def test_a_generator_that_raises_raises():
    def rows():
        yield "a"
        raise ValueError("poison")

    with pytest.raises(ValueError, match="poison"):
        text(rows())


def test_numpy_s_scalars_are_written_as_numbers():
    scalars = [np.float32(1.5), np.float64(0.1), np.int64(3), np.bool_(1), np.str_("s")]
    assert text(scalars) == b"1.5\n0.1\n3\nTrue\ns\n"


def test_an_array_of_rows_is_a_row_each():
    assert text(np.array([[1, 2], [3, 4]])) == b"[1 2]\n[3 4]\n"


def test_text_is_utf_8_and_what_came_as_bytes_goes_as_bytes():
    assert text(["日本", "caf\udce9"]) == "日本\n".encode() + b"caf\xe9\n"


def test_text_that_no_encoding_can_write_is_a_bad_result():
    with pytest.raises(BadResult, match="not valid Unicode"):
        text(["half a pair: \ud83d"])


def test_none_is_a_bad_result_with_its_own_message():
    with pytest.raises(BadResult, match=r"run\(\) returned None; return a list, an array or a DataFrame"):
        text(None)


@pytest.mark.parametrize("result", ["done", b"done", bytearray(b"x"), {"a": 1}], ids=["str", "bytes", "bytearray", "dict"])
def test_what_iterates_but_is_no_list_of_rows_is_a_bad_result(result: object):
    with pytest.raises(BadResult, match=f"returned a {type(result).__name__}; return a list"):
        text(result)


@pytest.mark.parametrize("result", [3, 2.5, object(), True, len], ids=["int", "float", "object", "bool", "function"])
def test_what_does_not_iterate_is_a_bad_result(result: object):
    with pytest.raises(BadResult, match="which is not a list, an array or a DataFrame"):
        text(result)


@pytest.mark.parametrize("result", [np.float32(1), np.array(3), np.int64(1)], ids=["float32", "array", "int64"])
def test_a_single_number_of_numpy_is_a_bad_result(result: object):
    with pytest.raises(BadResult, match="returned a single value"):
        text(result)


FRAME = pd.DataFrame({"text": ['the "best" one', "plain", "a,b"], "size": [1, 2, 3], "share": [0.5, None, 1.0]}, index=[7, 8, 9])


def test_a_frame_is_written_as_ever_without_header_or_index_separated_by_spaces():
    assert text(FRAME) == FRAME.to_csv(header=None, index=None, sep=" ").encode()
    assert text(FRAME) == b'"the ""best"" one" 1 0.5\nplain 2 ""\na,b 3 1.0\n'.replace(b'""\n', b"\n")


def test_a_frame_counts_its_rows_not_its_lines():
    assert append_rows(pd.DataFrame({"a": ["one\ntwo", "three"]}), {}).number == 2


def test_the_settings_change_how_a_frame_is_written():
    rows = append_rows(FRAME, {"sep": ",", "header": True, "index": True})
    assert rows.text == FRAME.to_csv().encode()
    assert rows.text[: rows.header_bytes] == b",text,size,share\n"


def test_without_a_header_there_are_no_bytes_of_one():
    assert append_rows(FRAME, {"sep": ","}).header_bytes == 0


def test_the_header_of_an_empty_frame_is_all_there_is():
    rows = append_rows(FRAME.iloc[:0], {"header": True})
    assert (rows.number, rows.text, rows.header_bytes) == (0, b"text size share\n", len(b"text size share\n"))


def test_headers_given_by_name_are_a_header_too():
    rows = append_rows(FRAME, {"header": ["a", "b", "c"]})
    assert rows.text[: rows.header_bytes] == b"a b c\n"


def test_a_frame_with_text_that_no_encoding_can_write_is_a_bad_result():
    with pytest.raises(BadResult, match="not valid Unicode"):
        text(pd.DataFrame({"a": pd.Series(["\ud83d"], dtype=object)}))


def test_under_summary_only_rows_are_counted_and_none_is_none():
    assert count_rows(None).number == 0
    assert count_rows(["a", "b"]).number == 2
    assert count_rows(FRAME).number == 3
    assert count_rows(np.zeros((4, 2))).number == 4
    assert count_rows(each for each in "abc").number == 3
    assert count_rows(["a"]).text == b""


@pytest.mark.parametrize("result", ["done", {"a": 1}, 3, np.float32(1)], ids=["str", "dict", "int", "float32"])
def test_under_summary_only_a_bad_result_is_one_too(result: object):
    with pytest.raises(BadResult):
        count_rows(result)
