from hypothesis import given
from hypothesis import strategies as st

from airflow_batchinfer.engine.records import BlockState, Piece, Record, binds, final_pieces
from airflow_batchinfer.planning.thresholds import Counts

SIZE = 4
counts = st.builds(Counts, *[st.integers(0, 9)] * 8)
pieces = st.builds(Piece, st.integers(0, SIZE - 1), st.booleans(), counts, *[st.integers(0, 99)] * 6)
records = st.builds(
    Record,
    st.uuids().map(str),
    st.sampled_from(["a", "b"]),
    st.integers(0, 3),
    st.none() | st.text(max_size=5),
    st.none() | st.lists(pieces, max_size=4, unique_by=lambda piece: piece.mini_batch).map(tuple),
)
claim_or_commit = records.filter(lambda record: record.pieces is not None or record.segment is None)


def piece(mini_batch: int, *, succeeded: bool = True, attempts: int = 1) -> Piece:
    failed = 0 if succeeded else 1
    return Piece(mini_batch, succeeded, Counts(1, failed, 1, failed, 1 - failed, attempts))


def commit(*pieces: Piece, generation: int = 0, segment: str = "s", node: str = "a") -> Record:
    return Record("id", node, generation, segment, pieces)


@given(claim_or_commit)
def test_a_record_comes_back_from_its_stored_form(record: Record):
    assert Record.from_json(record.to_json()) == record


def test_a_commit_of_nothing_is_no_claim():
    empty = Record("id", "a", 0, None, ())
    assert Record.from_json(empty.to_json()) == empty
    assert Record.from_json(Record("id", "a", 0).to_json()).pieces is None


def test_success_binds_for_ever_and_failure_in_its_generation_and_those_before_it():
    assert all(binds(piece(0), generation, view) for generation in range(4) for view in range(4))
    failure = piece(0, succeeded=False)
    assert [binds(failure, 1, view) for view in range(4)] == [True, True, False, False]


def test_what_succeeded_is_never_replaced():
    log = [commit(piece(0), segment="first"), commit(piece(0, attempts=9), segment="second", generation=1)]
    assert final_pieces(log, 0) == {0: (piece(0), "first")}
    assert final_pieces(log, 1) == {0: (piece(0), "first")}


def test_a_failure_gives_way_to_a_success():
    log = [commit(piece(0, succeeded=False), segment="first"), commit(piece(0), segment="second", generation=1)]
    assert final_pieces(log, 0) == {0: (piece(0), "second")}
    assert final_pieces(log[:1], 1) == {}


def test_of_failures_the_last_one_counts():
    log = [commit(piece(0, succeeded=False)), commit(piece(0, succeeded=False, attempts=5), segment="second", generation=1)]
    assert final_pieces(log, 0)[0][0].counts.attempts == 5
    assert final_pieces(log, 2) == {}


@given(st.lists(claim_or_commit, max_size=8), st.integers(0, 3))
def test_a_block_s_state_says_what_its_whole_log_says(log: list[Record], view: int):
    state = BlockState(SIZE, view)
    for record in log:
        state.add(record)
    final = final_pieces(log, view)
    assert state.outcomes == {number: piece for number, (piece, _) in final.items()}
    assert tuple(state.counts) == tuple(map(sum, zip(Counts(), *(piece.counts for piece, _ in final.values()), strict=True)))
    assert state.finished == (len(final) == SIZE)
    assert state.length == len(log)
    assert state.owner == (log[-1].node if log else None)


@given(st.lists(claim_or_commit, max_size=8))
def test_whoever_comes_later_sees_no_more_outcomes_than_those_before(log: list[Record]):
    for view in range(4):
        assert set(final_pieces(log, view + 1)) <= set(final_pieces(log, view))


@given(st.lists(claim_or_commit, max_size=8), st.integers(0, 3))
def test_the_first_success_counts_in_every_view(log: list[Record], view: int):
    firsts: dict[int, Piece] = {}
    for record in log:
        for each in record.pieces or ():
            if each.succeeded:
                firsts.setdefault(each.mini_batch, each)
    assert {number: each for number, (each, _) in final_pieces(log, view).items() if each.succeeded} == firsts
