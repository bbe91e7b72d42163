"""Which revision of a service answers, and which one comes up: the part of the router that changes them.

    comes up ──ready, the sample answered──> serves ──another does──> finishes what it has, and ends
        └──────not──> failed: its processes end, and what served before goes on

Invariant: a revision that serves is given requests until another has been ready in its stead, whatever becomes of that one.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial

from airflow_batchinfer.deployment.local import key_file, material
from airflow_batchinfer.deployment.local.folder import Course, ServiceFolder
from airflow_batchinfer.deployment.states import Failure
from airflow_batchinfer.errors import BatchInferError, ConflictError, ScriptError, UserError
from airflow_batchinfer.processes import Show
from airflow_batchinfer.service.pool import Pool
from airflow_batchinfer.service.protocol import Question
from airflow_batchinfer.service.restarts import Restarts
from airflow_batchinfer.service.server import SERVER, Front
from airflow_batchinfer.service.serving import Serving
from airflow_batchinfer.service.wire import Answered, Failed

OK_BELOW = 400
SHOWN_OF_AN_ANSWER = 500
# Connections wait so long in the socket for the first replica of a router that has just started.
FIRST_SECONDS = 30.0
FIRST_LOOK_SECONDS = 0.02
LOOK_SECONDS = 3.0  # longer than a pool takes to look for a free GPU again
_EXPECTED = (BatchInferError, OSError, ValueError, KeyError)


class Revisions:
    """See above. `may_listen` is set when there is somebody to give requests to."""

    def __init__(self, folder: ServiceFolder, front: Front, show: Callable[[str], None]) -> None:
        self.course = folder.course
        self.serving: Serving | None = None
        self.may_listen = asyncio.Event()
        self._folder = folder
        self._front = front
        self._show = show
        self._coming: Serving | None = None
        self.coming_number: int | None = None
        self._change: asyncio.Task[None] | None = None
        self._has_ended = False
        self._finishing: set[asyncio.Task[None]] = set()
        self.trouble = ""

    @property
    def is_changing(self) -> bool:
        """Whether a revision comes up."""
        return self._change is not None and not self._change.done()

    @property
    def looked_at(self) -> Serving | None:
        """Whose replicas a status counts: those that serve, or those of the very first revision."""
        return self.serving or self._coming

    @property
    def comes_up(self) -> Serving | None:
        """The one that is to serve next."""
        return self._coming

    def begin(self) -> None:
        """Go on where another router ended."""
        self._change = asyncio.create_task(self._go_on())

    def apply(self, number: int) -> None:
        """Bring up another revision."""
        if self._change and self.is_changing:
            if not self.trouble:
                raise ConflictError(f"the service {self._folder.name!r} is just being changed to revision {self.course.wanted}")
            self._change.cancel()  # it only tries again and again to start what served before
            self.trouble = ""
        self._keep(replace(self.course, wanted=number, failure=None))
        self._change = asyncio.create_task(self._change_to(number))

    def rollback(self) -> None:
        """Give up the one that comes up, or go back to the one before."""
        number, good, before = self.course.wanted, self.course.good, self.course.before
        is_failed = self.course.failure is not None and self.course.failure.revision == number
        if number is not None and number != good and (is_failed or not self.is_changing):
            self._keep(replace(self.course, wanted=good))
        elif self._change and self.is_changing and number is not None and number != good:
            self._change.cancel()
            self._note_failure(number, ScriptError("it was taken back before it was ready"), takes_back=True)
            self.begin()  # what served before may itself have been starting again
        elif before is not None and not self.is_changing:
            self.apply(before)
        elif self.is_changing:
            raise ConflictError(f"the service {self._folder.name!r} is just being changed to revision {number}")
        else:
            raise ConflictError(f"the service {self._folder.name!r} has no revision to go back to")

    def read_keys(self) -> None:
        """Let what the key file holds count at once."""
        for serving in (self.serving, self._coming):
            if serving and serving.service.keys:
                serving.service.keys.read()

    def end(self) -> None:
        """The service is to be no more, whatever comes up just now."""
        try:
            self._keep(replace(self.course, wanted=None))
        except _EXPECTED as error:  # whoever deletes it sees to that
            self._show(str(error))
        self.abandon()

    def abandon(self) -> None:
        """Keep nothing any more: the folder is somebody else's, or nobody's."""
        self._has_ended = True

    async def close(self) -> None:
        """End all that runs."""
        tasks = [task for task in (self._change, *self._finishing) if task and not task.done()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self.serving:
            await self.serving.close()

    async def _go_on(self) -> None:
        if self.serving is None and self.course.good is not None:
            await self._restore(self.course.good)
        wanted = self.course.wanted
        if wanted is not None and wanted != self.course.good and self.course.failure is None:
            await self._change_to(wanted)

    async def _change_to(self, number: int) -> None:
        """If it fails and nothing serves, it took the place of a revision that could not be started again: that is tried again."""
        await self._bring_up(number)
        if self.serving is None and self.course.good is not None:
            await self._restore(self.course.good)

    async def _restore(self, number: int) -> None:
        """It has served before, so what keeps it from that now will pass."""
        restarts = Restarts()
        while True:
            try:
                await self._start(number)
                self._take_its_keys(number)  # whoever served with it before may have been killed before that
            except _EXPECTED as error:
                self.trouble = f"revision {number} cannot be started again: {error}"
                self._show(self.trouble)
                await asyncio.sleep(restarts.pause_seconds(0, 0))
            else:
                self.trouble = ""
                self._show(f"revision {number} serves again")
                return

    async def _bring_up(self, number: int) -> None:
        old, good = self.serving, self.course.good
        before = good if good != number else self.course.before
        try:
            await self._start(number, Course(wanted=number, good=number, before=before))
        except _EXPECTED as error:
            await self._prune(number, good, self.course.before)  # first: who is told of the failure may deploy again at once
            self._note_failure(number, error, takes_back=material.rolls_back(self._folder, number))
            return
        self._take_its_keys(number)
        if old:
            self._finish(old)
        self._show(f"revision {number} serves")
        await self._prune(number, before)

    async def _start(self, number: int, course: Course | None = None) -> None:
        """Serve with a revision, and keep that before it counts, or raise why that cannot be.

        What may take long is done in a thread: meanwhile others are answered.
        """
        spec = material.spec_of(self._folder, number)
        service = await asyncio.to_thread(material.service_of, self._folder, number)
        serving = Serving(service, self._shower(number), self._teller(number))
        self._coming, self.coming_number = serving, number
        letting_in = asyncio.create_task(self._let_in(serving)) if self.serving is None else None
        try:
            serving.open(self.serving)
            await self._until_started(serving)
            if spec.sample is not None:
                await _ask_for(spec.sample, serving)
            if course:
                self._keep(course)
            self.serving = serving
            self._give_requests_to(serving)
        finally:
            if letting_in:
                letting_in.cancel()
            if self._coming is serving:
                self._coming = None
                if self.serving is None:  # whoever waits is told that nobody serves
                    self._give_requests_to(serving)
            if self.serving is not serving:
                await serving.close()
                if self.serving is not None:
                    self.serving.pool.cap(None)

    async def _let_in(self, serving: Serving) -> None:
        """Before anybody serves: whoever is ready first may answer. Who comes earlier waits, and is refused only if that takes long."""
        with suppress(TimeoutError):
            async with asyncio.timeout(FIRST_SECONDS):
                while not serving.pool.ready:  # noqa: ASYNC110 - once in the life of a router
                    await asyncio.sleep(FIRST_LOOK_SECONDS)
        self._give_requests_to(serving)

    async def _prune(self, *kept: int | None) -> None:
        """While this runs, the service is changing: nobody brings what nobody has yet."""
        try:
            await asyncio.to_thread(material.prune, self._folder, set(kept))
        except _EXPECTED as error:
            self._show(f"old revisions cannot be removed: {error}")

    async def _until_started(self, serving: Serving) -> None:
        making_room = asyncio.create_task(_make_room(serving.pool, self.serving.pool)) if self.serving is not None else None
        try:
            await serving.pool.started
        finally:
            if making_room:
                making_room.cancel()

    def _take_its_keys(self, number: int) -> None:
        try:
            if key_file.take(self._folder.keys_of(number), self._folder.keys):
                self.read_keys()
        except _EXPECTED as error:
            self._show(f"the keys that revision {number} sets do not count yet: {error}")

    def _give_requests_to(self, serving: Serving) -> None:
        self._front.serving = serving
        self.may_listen.set()

    def _finish(self, old: Serving) -> None:
        task = asyncio.create_task(old.finish())
        self._finishing.add(task)
        task.add_done_callback(self._finishing.discard)

    def _note_failure(self, number: int, error: Exception, *, takes_back: bool) -> None:
        told = error.told if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
        of_the_script = error.of_the_script if isinstance(error, UserError) else ""
        failure = Failure(number, material.spec_of(self._folder, number).hash, told, of_the_script)
        wanted = self.course.good if takes_back and self.course.good is not None else number
        failed = replace(self.course, wanted=wanted, failure=failure)
        try:
            self._keep(failed)
        except _EXPECTED as unkept:  # who waits is told all the same; another router would try this revision again
            self.course = failed
            self._show(str(unkept))
        goes_on = f"; revision {self.course.good} goes on serving" if self.serving else ""
        self._show(f"revision {number} failed: {told}{goes_on}\n{of_the_script}".rstrip())

    def _keep(self, course: Course) -> None:
        if self._has_ended:
            return
        self._folder.keep(course)  # first, so that nothing counts here that the next router would not know
        self.course = course

    def _shower(self, number: int) -> Show:
        return lambda place, line: self._show(
            f"revision {number} | {line}" if place == SERVER else f"revision {number} replica {place} | {line}"
        )

    def _teller(self, number: int) -> Callable[[str], None]:
        return partial(self._shower(number), SERVER)


async def _make_room(new: Pool, old: Pool) -> None:
    """One replica after the other gives its GPUs up while the new revision has none at all, if that can be enough for it."""
    while new.gpus_each and new.gpus_each <= old.gpus_each * old.wanted:
        if new.unschedulable == new.wanted and not old.leaving:
            old.cap(old.wanted - 1)
        await asyncio.sleep(LOOK_SECONDS)


async def _ask_for(sample: str, serving: Serving) -> None:
    """The sample must be answered before callers are."""
    body = sample.encode()
    head = (b"content-type", b"application/json")
    outcome = await serving.dispatcher.ask(Question(body, "POST", "/score", b"", head[1], [head]))
    match outcome:
        case Answered(status=status) if status < OK_BELOW:
            return
        case Answered(status=status, body=answer):
            said = answer[:SHOWN_OF_AN_ANSWER].decode("utf-8", "replace")
            raise ScriptError(f"the sample input was answered with status {status}: {said}")
        case Failed(failure=failure, of_the_script=of_the_script):
            last = of_the_script.rstrip().rpartition("\n")[2] or failure.value.rstrip(".")
            raise ScriptError(f"the sample input got no answer: {last}", of_the_script)
