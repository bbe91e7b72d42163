from hypothesis import given
from hypothesis import strategies as st

from airflow_batchinfer.planning.cutting import BLOCK_MINI_BATCHES, SEGMENT_MINI_BATCHES, block_of, cut_blocks, split_by_segment

mini_batches = st.integers(0, 60_000)
nodes = st.integers(1, 40)
processes = st.integers(1, 64)


@given(mini_batches, nodes, processes)
def test_the_blocks_cover_every_mini_batch_once_and_in_order(count: int, nodes: int, processes: int):
    blocks = cut_blocks(count, nodes, processes)
    assert [block.start for block in blocks] == [0, *(block.stop for block in blocks)][: len(blocks)]
    assert not count or blocks[-1].stop == count
    assert all(blocks)


@given(mini_batches, nodes, processes)
def test_the_blocks_shrink_towards_the_end(count: int, nodes: int, processes: int):
    sizes = [len(block) for block in cut_blocks(count, nodes, processes)]
    assert sizes == sorted(sizes, reverse=True)


@given(mini_batches, nodes, processes)
def test_a_block_feeds_every_process_of_a_node_but_is_never_too_big_to_lose(count: int, nodes: int, processes: int):
    sizes = [len(block) for block in cut_blocks(count, nodes, processes)]
    assert all(size >= processes for size in sizes[:-1])
    assert all(size <= BLOCK_MINI_BATCHES for size in sizes)


@given(st.integers(1, 100_000), nodes, processes)
def test_there_are_blocks_enough_for_all_nodes_to_finish_together(count: int, nodes: int, processes: int):
    blocks = cut_blocks(count, nodes, processes)
    assert len(blocks) >= min(nodes, -(-count // processes))
    assert len(blocks) <= count // BLOCK_MINI_BATCHES + 2 * nodes * processes * 12


def test_no_mini_batch_makes_no_block():
    assert cut_blocks(0, 2, 2) == []


def test_a_small_job_is_one_block_per_handful():
    assert cut_blocks(5, 1, 2) == [range(2), range(2, 4), range(4, 5)]


@given(st.integers(1, 60_000), nodes, processes, st.randoms(use_true_random=False))
def test_the_block_of_a_mini_batch_holds_it(count: int, nodes: int, processes: int, random: object):
    blocks = cut_blocks(count, nodes, processes)
    number = random.randrange(count)  # type: ignore[attr-defined]
    assert number in blocks[block_of(blocks, number)]


@given(st.integers(0, 50_000), st.integers(0, 30_000))
def test_a_stretch_of_the_plan_is_split_where_segments_end(start: int, length: int):
    parts = split_by_segment(range(start, start + length))
    whole = [segment * SEGMENT_MINI_BATCHES + position for segment, positions in parts for position in positions]
    assert whole == list(range(start, start + length))
    assert all(0 <= positions.start < positions.stop <= SEGMENT_MINI_BATCHES for _, positions in parts)
    assert len({segment for segment, _ in parts}) == len(parts)


def test_a_stretch_over_a_segment_s_border_is_two_parts():
    border = SEGMENT_MINI_BATCHES
    assert split_by_segment(range(border - 1, border + 2)) == [(0, range(border - 1, border)), (1, range(2))]
