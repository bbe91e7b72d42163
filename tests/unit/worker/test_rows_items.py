"""Which item each row is of, by the names that the items have in the plan."""

from airflow_batchinfer.worker.items import of_files, of_rows

EVERY = slice(None)


def test_files_are_named_as_planned_also_where_the_script_gets_a_copy():
    cells = [["/in/a", 1, 2], ["/tmp/1/b", None, None, "s3://bucket/b"], ["/in/lost", 1, 2]]
    assert of_files(cells, ["/in/a", "/tmp/1/b"]) == [("item", "string", ["/in/a", "s3://bucket/b"])]


def test_rows_of_a_slice_are_numbered_as_in_their_file():
    assert of_rows([["/in/t.csv", 9, 9, 100, 200, 40, 3]], 3, EVERY) == [
        ("item_file", "string", ["/in/t.csv"] * 3),
        ("item_row", "int64", [40, 41, 42]),
    ]


def test_rows_of_several_slices_are_told_apart():
    slices = [["/tmp/1/t", None, None, 0, 9, 5, 2, "s3://b/t.csv", None], ["/in/u.csv", 1, 1, 0, 9, 0, 1]]
    assert of_rows(slices, 3, EVERY) == [
        ("item_file", "string", ["s3://b/t.csv", "s3://b/t.csv", "/in/u.csv"]),
        ("item_row", "int64", [5, 6, 0]),
    ]


def test_a_part_has_its_own_rows():
    assert of_rows([["/in/t.csv", 9, 9, 0, 9, 10, 4]], 4, slice(1, 3)) == [
        ("item_file", "string", ["/in/t.csv"] * 2),
        ("item_row", "int64", [11, 12]),
    ]


def test_where_nobody_counted_the_rows_the_file_is_known_and_the_number_is_not():
    assert of_rows([["/in/t.csv", 9, 9, 0, 9, None, 50]], 2, EVERY) == [
        ("item_file", "string", ["/in/t.csv"] * 2),
        ("item_row", "int64", [None, None]),
    ]


def test_where_it_is_not_known_which_file_a_row_is_of_nothing_is_said():
    slices = [["/in/t.csv", 9, 9, 0, 9, None, 50], ["/in/u.csv", 9, 9, 0, 9, None, 50]]
    assert of_rows(slices, 2, EVERY) == [("item_file", "string", [None, None]), ("item_row", "int64", [None, None])]
