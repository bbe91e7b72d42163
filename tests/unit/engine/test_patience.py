import pytest

from airflow_batchinfer.engine.ledger import Patience


def patience(run_timeout_seconds: float = 60, nodes: int = 2, processes: int = 2) -> Patience:
    return Patience(run_timeout_seconds, nodes, processes)


def test_the_first_mini_batch_has_ten_minutes():
    waits = patience()
    waits.waiting(1000)
    assert waits.stuck(1599.9) is None
    assert waits.stuck(1600) == "no mini-batch came to an end, and no worker got ready, for 600 s"


def test_later_ones_have_three_times_the_timeout_and_its_overhead():
    waits = patience(60)
    waits.waiting(0)
    waits.progressed(100)
    assert waits.stuck(339) is None
    assert "for 240 s" in str(waits.stuck(340))


def test_a_long_timeout_is_waited_for_from_the_beginning():
    waits = patience(1000)
    waits.waiting(0)
    assert waits.stuck(3059) is None
    assert waits.stuck(3060)


def test_progress_starts_the_wait_anew():
    waits = patience(60)
    for now in (0, 200, 400, 600):
        waits.progressed(now)
        assert waits.stuck(now + 239) is None


def test_waiting_longer_does_not_start_it_anew():
    waits = patience(60)
    waits.progressed(0)
    for now in range(0, 240, 10):
        waits.waiting(now)
        assert waits.stuck(now) is None
    assert waits.stuck(240)


def test_where_there_is_nothing_to_do_nothing_is_late():
    waits = patience()
    assert waits.stuck(1e9) is None
    waits.waiting(0)
    waits.resting()
    assert waits.stuck(1e9) is None
    waits.waiting(1e9)
    assert waits.stuck(1e9 + 599) is None


@pytest.mark.parametrize(("nodes", "processes", "failures"), [(1, 1, 2), (1, 4, 8), (2, 1, 3), (4, 2, 6)])
def test_a_node_gives_up_init_after_so_many_failures_of_its_own(nodes: int, processes: int, failures: int):
    waits = patience(60, nodes, processes)
    for _ in range(failures - 1):
        waits.init_failed()
        assert waits.lost_with(0) is None
    waits.init_failed()
    assert f"init() failed {failures} times" in str(waits.lost_with(0))


def test_the_failures_of_all_nodes_count_together():
    waits = patience(60, 3, 2)
    waits.init_failed()
    assert waits.lost_with(10) is None
    assert waits.lost_with(11) == "init() failed 12 times"
