"""The queue with replicas that are made of nothing: who gets what, and what becomes of it."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_batchinfer.service.dispatching import CALLER_LEFT, Dispatcher, Limits
from airflow_batchinfer.service.protocol import Question, Told
from airflow_batchinfer.service.wire import Answered, Failed, Failure, Outcome

QUESTION = Question(b"", "POST", "/score", b"", None, [])


class Puppet:
    """What a dispatcher knows of a replica."""

    def __init__(self) -> None:
        self.held: dict[int, None] = {}
        self.answered = 0
        self.killed_because = ""

    def give(self, number: int, question: Question) -> None:
        assert question is QUESTION
        self.held[number] = None

    def kill(self, because: str) -> None:
        self.killed_because = because


class Stage:
    """A dispatcher and its puppets, in one event loop."""

    def __init__(self, scoring_seconds: float = 60.0, most_wait_seconds: float = 60.0, at_once: int = 1) -> None:
        self.dispatcher = Dispatcher(Limits(scoring_seconds, most_wait_seconds, at_once))

    def puppet(self) -> Puppet:
        puppet = Puppet()
        self.dispatcher.add(puppet)
        return puppet

    async def ask(self, count: int = 1) -> list[asyncio.Task[Outcome]]:
        tasks = [asyncio.ensure_future(self.dispatcher.ask(QUESTION)) for _ in range(count)]
        await asyncio.sleep(0)
        return tasks

    def answer(self, puppet: Puppet, seconds: float = 1.0) -> int:
        number = next(iter(puppet.held))
        self.dispatcher.told(puppet, Told(number, Answered(200, b"%d" % number, seconds)))
        return number


def played(play: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(asyncio.wait_for(play(), 20))


def test_each_replica_has_as_many_as_it_may_and_the_rest_waits_in_one_queue():
    async def play() -> None:
        stage = Stage(at_once=2)
        puppets = [stage.puppet(), stage.puppet()]
        await stage.ask(6)
        assert [len(puppet.held) for puppet in puppets] == [2, 2]
        assert (stage.dispatcher.running, stage.dispatcher.waiting) == (4, 2)
        stage.answer(puppets[1])
        assert [len(puppet.held) for puppet in puppets] == [2, 2]
        assert stage.dispatcher.waiting == 1

    played(play)


def test_what_a_dead_replica_had_is_tried_once_more_before_all_that_waits():
    async def play() -> None:
        stage = Stage()
        first = stage.puppet()
        asked = await stage.ask(3)
        stage.dispatcher.lost(first)
        second = stage.puppet()
        stage.answer(second)
        assert isinstance(await asked[0], Answered)
        assert stage.dispatcher.retried == 1

    played(play)


def test_a_request_that_two_replicas_died_of_is_not_tried_a_third_time():
    async def play() -> None:
        stage = Stage()
        [asked] = await stage.ask()
        for _ in range(2):
            stage.dispatcher.lost(stage.puppet())
        assert await asked == Failed(Failure.DIED)
        assert stage.dispatcher.running == stage.dispatcher.waiting == 0

    played(play)


def test_fast_replicas_are_given_requests_ahead_and_a_death_costs_only_the_first_of_them_a_try():
    async def play() -> None:
        stage = Stage()
        puppet = stage.puppet()
        await stage.ask()
        stage.answer(puppet, 0.0001)
        asked = await stage.ask(4)
        assert len(puppet.held) == 4
        for _ in range(2):
            stage.dispatcher.lost(puppet)
            puppet = stage.puppet()
        assert len(puppet.held) == 3
        while puppet.held:
            stage.answer(puppet, 0.0001)
        outcomes = [await one for one in asked]
        assert outcomes[0] == Failed(Failure.DIED)
        assert all(isinstance(outcome, Answered) for outcome in outcomes[1:])

    played(play)


def test_when_a_replica_dies_with_several_at_work_each_has_the_next_one_to_itself_and_only_the_culprit_fails():
    async def play() -> None:
        stage = Stage(at_once=4)
        puppet = stage.puppet()
        asked = await stage.ask(6)
        stage.dispatcher.lost(puppet)
        assert stage.dispatcher.waiting == 6
        puppet = stage.puppet()
        for _ in range(2):
            assert len(puppet.held) == 1
            stage.answer(puppet)
        assert len(puppet.held) == 1
        stage.dispatcher.lost(puppet)
        puppet = stage.puppet()
        assert len(puppet.held) == 1
        stage.answer(puppet)
        assert len(puppet.held) == 2
        for _ in range(2):
            stage.answer(puppet)
        outcomes = [await one for one in asked]
        assert [number for number, outcome in enumerate(outcomes) if outcome == Failed(Failure.DIED)] == [2]
        assert all(isinstance(outcome, Answered) for number, outcome in enumerate(outcomes) if number != 2)
        assert stage.dispatcher.running == stage.dispatcher.waiting == 0

    played(play)


def test_while_suspects_are_tried_one_by_one_the_other_replicas_answer_who_else_comes():
    async def play() -> None:
        stage = Stage(at_once=3)
        dies, other = stage.puppet(), stage.puppet()
        await stage.ask(4)
        stage.dispatcher.lost(dies)
        assert (len(other.held), stage.dispatcher.waiting) == (2, 2)
        await stage.ask()  # the only replica is being emptied for a suspect
        assert (len(other.held), stage.dispatcher.waiting) == (2, 3)
        third = stage.puppet()
        assert len(third.held) == 1
        assert (len(other.held), stage.dispatcher.waiting) == (3, 1)
        await stage.ask()
        assert (len(third.held), len(other.held)) == (1, 3)
        stage.answer(third)
        assert (len(third.held), stage.dispatcher.waiting) == (1, 1)
        stage.answer(third)
        assert (len(third.held), stage.dispatcher.waiting) == (1, 0)

    played(play)


def test_what_has_hardly_any_time_left_when_its_replica_dies_costs_no_other_replica():
    async def play() -> None:
        stage = Stage(scoring_seconds=0.05, at_once=8)
        hangs, other = stage.puppet(), stage.puppet()
        stage.dispatcher.remove(other)
        asked = await stage.ask(8)
        stage.dispatcher.add(other)
        assert await asked[0] == Failed(Failure.TIMED_OUT)
        stage.dispatcher.lost(hangs)
        assert [await one for one in asked] == [Failed(Failure.TIMED_OUT)] * 8
        assert (other.held, other.killed_because) == ({}, "")

    played(play)


def test_a_request_that_takes_too_long_ends_its_replica_and_what_else_that_has_goes_on():
    async def play() -> None:
        stage = Stage(scoring_seconds=0.02, at_once=2)
        puppet = stage.puppet()
        [slow] = await stage.ask()
        assert await slow == Failed(Failure.TIMED_OUT)
        assert puppet.killed_because == "run() took longer than 0.02 s"
        assert puppet.held == {}

    played(play)


def test_an_answer_that_comes_late_or_was_never_asked_for_is_nothing():
    async def play() -> None:
        stage = Stage()
        puppet, other = stage.puppet(), stage.puppet()
        [asked] = await stage.ask()
        for told in (Told(99, Answered(200, b"", 0.1)), Told(1, Answered(200, b"forged", 0.1))):
            stage.dispatcher.told(other, told)
        assert not asked.done()
        stage.answer(puppet)
        stage.dispatcher.told(puppet, Told(1, Answered(200, b"again", 0.1)))
        assert (await asked) == Answered(200, b"1", 1.0)

    played(play)


@pytest.mark.parametrize("puppets", [0, 1])
def test_who_waits_too_long_is_told_so_and_leaves_the_queue(puppets: int):
    async def play() -> None:
        stage = Stage(most_wait_seconds=0.02)
        for _ in range(puppets):
            stage.puppet()
        asked = await stage.ask(1 + puppets)
        outcome = await asked[-1]
        assert outcome == Failed(Failure.OVERLOADED, 1)
        assert stage.dispatcher.waiting == 0

    played(play)


def test_who_would_wait_in_vain_is_refused_at_once_and_told_when_to_come_again():
    async def play() -> None:
        stage = Stage(most_wait_seconds=0.5)
        puppet = stage.puppet()
        await stage.ask()
        stage.answer(puppet, seconds=3.0)
        await stage.ask(2)  # one runs, one waits for the one that runs
        [third] = await stage.ask()
        assert third.done()
        assert await third == Failed(Failure.OVERLOADED, 3)

    played(play)


@pytest.mark.parametrize("is_suspect", [False, True])
def test_who_leaves_while_it_waits_is_not_scored(is_suspect: bool):
    async def play() -> None:
        stage = Stage()
        if is_suspect:
            stage.dispatcher.lost(await busy(stage))
        asked = await stage.ask(2)
        assert stage.dispatcher.waiting == 2 + is_suspect
        asked[0].cancel(CALLER_LEFT)
        with pytest.raises(asyncio.CancelledError):
            await asked[0]
        assert stage.dispatcher.waiting == 1 + is_suspect
        puppet = stage.puppet()
        for _ in range(1 + is_suspect):
            stage.answer(puppet)
        assert isinstance(await asked[1], Answered)

    played(play)


async def busy(stage: Stage) -> Puppet:
    puppet = stage.puppet()
    await stage.ask()
    return puppet


@pytest.mark.parametrize("meanwhile", [False, True])
def test_what_a_replica_has_when_its_caller_leaves_is_told_to_the_log_as_ever(meanwhile: bool):
    async def play() -> None:
        stage = Stage()
        puppet = stage.puppet()
        [asked] = await stage.ask()
        asked.cancel(CALLER_LEFT)
        if not meanwhile:
            await asyncio.sleep(0)
        stage.answer(puppet)
        assert await asked == Answered(200, b"1", 1.0)

    played(play)


def test_what_nobody_asks_for_any_more_is_not_tried_again_when_its_replica_dies_and_other_cancellations_are_obeyed():
    async def play() -> None:
        stage = Stage(at_once=2)
        puppet = stage.puppet()
        left, cancelled = await stage.ask(2)
        left.cancel(CALLER_LEFT)
        cancelled.cancel()
        with pytest.raises(asyncio.CancelledError):
            await cancelled
        stage.dispatcher.lost(puppet)
        assert await left == Failed(Failure.DIED)
        assert (stage.dispatcher.waiting, stage.dispatcher.running, stage.dispatcher.retried) == (0, 0, 0)

    played(play)


def test_when_the_service_stops_everybody_is_told():
    async def play() -> None:
        stage = Stage()
        puppet = stage.puppet()
        asked = await stage.ask(2)
        stage.dispatcher.stop()
        assert [await one for one in asked] == [Failed(Failure.STOPPING)] * 2
        assert puppet.killed_because == "the service was stopped"
        [late] = await stage.ask()
        assert isinstance(await late, Failed)

    played(play)


class Story:
    """Whatever may happen to a dispatcher; `left` are those who no more want to know."""

    def __init__(self, at_once: int, seconds: float) -> None:
        self.stage = Stage(most_wait_seconds=1e9, at_once=at_once)
        self.puppets = [self.stage.puppet()]
        self.asked: list[asyncio.Task[Outcome]] = []
        self.left: set[int] = set()
        self.seconds = seconds

    def ask(self, _: int) -> None:
        self.asked.append(asyncio.ensure_future(self.stage.dispatcher.ask(QUESTION)))

    def answer(self, which: int) -> None:
        if (puppet := self._puppet(which)).held:
            self.stage.answer(puppet, self.seconds)

    def die(self, which: int) -> None:
        self.stage.dispatcher.lost(self._puppet(which))

    def come(self, _: int) -> None:
        self.puppets.append(self.stage.puppet())

    def retire(self, which: int) -> None:
        self.stage.dispatcher.remove(self._puppet(which))

    def leave(self, which: int) -> None:
        if self.asked:
            self.left.add(which % len(self.asked))
            self.asked[which % len(self.asked)].cancel(CALLER_LEFT)

    def _puppet(self, which: int) -> Puppet:
        return self.puppets[which % len(self.puppets)]


STEPS = st.lists(
    st.tuples(st.sampled_from([Story.ask, Story.answer, Story.die, Story.come, Story.retire, Story.leave]), st.integers(0, 5)), max_size=60
)


@given(STEPS, st.integers(1, 3), st.sampled_from([0.0001, 1.0]))
def test_whatever_happens_everybody_gets_one_outcome(steps: list[tuple[Callable, int]], at_once: int, seconds: float):
    async def play() -> None:
        story = Story(at_once, seconds)
        for step, which in steps:
            step(story, which)
            await asyncio.sleep(0)
        story.come(0)
        while busy := [puppet for puppet in story.puppets if puppet.held]:
            story.stage.answer(busy[0], seconds)
        ended = await asyncio.gather(*story.asked, return_exceptions=True)
        assert (story.stage.dispatcher.running, story.stage.dispatcher.waiting) == (0, 0)
        for number, outcome in enumerate(ended):
            assert isinstance(outcome, Answered) or outcome == Failed(Failure.DIED) or number in story.left

    played(play)
