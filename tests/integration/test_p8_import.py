"""P8: importing a DAG with our operators costs under 100 ms more than Airflow alone, and loads no pandas, pyarrow or TensorFlow.

What else is loaded is asked in contract/test_import_is_cheap.py. The figures are in docs/benchmarks.md.
"""

from benchmarks.dag_import import MOST_MS, parse

# A busy machine can spoil a look at any; code that got slow spoils every one of ours.
LOOKS = 8
OURS = ("our_operators.py", "services.py")


def test_p8_a_dag_file_of_ours_costs_under_100_ms_more_than_airflow_s_own_and_loads_nothing_heavy() -> None:
    took: dict[str, list[float]] = {file: [] for file in (*OURS, "airflow_alone.py")}
    for _ in range(LOOKS):
        for file, looks in took.items():
            look = parse(file)
            assert look.heavy == ()
            looks.append(look.import_ms)
        if all(min(took[file]) - min(took["airflow_alone.py"]) < MOST_MS for file in OURS):
            return
    raise AssertionError(f"ms to import: {took}")
