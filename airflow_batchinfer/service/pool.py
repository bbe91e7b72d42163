"""The replicas of a service: as many as there should be, each replaced when it ends, more or fewer as the load asks.

How many and how soon is decided by `autoscaling` and `restarts`; this does it. A script that cannot be loaded, or whose `init()`
raises, before the service was ever ready ends the service; later it is only tried again.
"""

import asyncio
import time
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress

from airflow_batchinfer.errors import ScriptError
from airflow_batchinfer.service.autoscaling import DOWN_SECONDS, Autoscaler
from airflow_batchinfer.service.config import Scale
from airflow_batchinfer.service.dispatching import Dispatcher
from airflow_batchinfer.service.protocol import Ready, Said, Told, Unusable
from airflow_batchinfer.service.replica import END_SECONDS, Replica, Role
from airflow_batchinfer.service.restarts import Restarts
from airflow_batchinfer.service.seats import Seat, Seats
from airflow_batchinfer.service.watching import watch_memory

DEATHS_BEFORE_THE_FIRST_ANSWER = 3
SEAT_AGAIN_SECONDS = 2.0


class Pool:
    """See above. `started` is done when all replicas that there should be, and for which there are seats, are ready, and at least one
    is; or holds why that cannot be.
    """

    def __init__(
        self,
        role: Role,
        dispatcher: Dispatcher,
        scale: Scale,
        *,
        init_seconds: float,
        seats: Seats | None = None,
        most_memory_gb: float | None = None,
        down_seconds: float = DOWN_SECONDS,
    ) -> None:
        self.started: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.wanted = scale.least
        self.restarted = 0
        self.interface: Mapping[str, object] | None = None
        self.tell: Callable[[str], None] = lambda _: None
        self._role = role
        self._dispatcher = dispatcher
        self._scale = scale
        self._init_seconds = init_seconds
        self._most_memory_gb = most_memory_gb
        self._down_seconds = down_seconds
        self._seats = seats or Seats()
        self._seated: dict[Replica, Seat] = {}
        self._vacant: dict[int, Seat] = {}
        self._unseated: set[int] = set()
        self._asks_again = False
        self._cap: int | None = None
        self._asked_for = scale.least
        self._replicas: dict[int, Replica] = {}
        self._leaving: set[Replica] = set()
        self._restarts: dict[int, Restarts] = {}
        self._pausing: set[int] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._timers: set[asyncio.TimerHandle] = set()
        self._closing = False

    @property
    def ready(self) -> int:
        """Replicas that answer now."""
        return len(self._dispatcher.ready)

    @property
    def gpus_each(self) -> int:
        """How many GPUs a replica has to itself."""
        return self._seats.gpus_each

    @property
    def leaving(self) -> int:
        """Replicas that are to end, and have not."""
        return len(self._leaving)

    @property
    def unschedulable(self) -> int:
        """Replicas that there should be, and for which the machine has no free GPUs now."""
        return len(self._unseated)

    @property
    def asked_for(self) -> int:
        """Replicas that the load asks for, whether or not a cap forbids some."""
        return self._asked_for

    def open(self, at_once: int, first: int = 0) -> None:
        """Start the first replicas, so many if there may be, and follow the load if there may be more."""
        self.wanted = self._asked_for = min(self._scale.most, max(self._scale.least, first))
        for place in range(self.wanted):
            self._start(place)
        if self._scale.least != self._scale.most:
            autoscaler = Autoscaler(self._scale, at_once, self._down_seconds)
            autoscaler.remember(time.monotonic(), self.wanted)
            self._keep(self._follow(autoscaler))
        if self._most_memory_gb is not None:
            self._keep(watch_memory(self._most_memory_gb, lambda: [*self._replicas.values(), *self._leaving]))

    async def close(self) -> None:
        """End all replicas: those that have nothing to do call `shutdown()`."""
        self._closing = True
        for timer in self._timers:
            timer.cancel()
        for task in self._tasks:
            task.cancel()
        self._leave_seats(0)
        replicas = [*self._replicas.values(), *self._leaving]
        for replica in replicas:
            if replica.ready:
                replica.ask_to_end()
            else:
                replica.kill("the service was stopped")
        with suppress(TimeoutError):
            async with asyncio.timeout(2 * END_SECONDS):
                await asyncio.gather(*(replica.is_gone.wait() for replica in replicas))

    def said(self, replica: Replica, said: Said) -> None:
        """An answer, or what came of `init()`."""
        match said:
            case Told():
                self._dispatcher.told(replica, said)
                if replica.retired and not replica.held:
                    replica.ask_to_end()
            case Ready():
                self._is_ready(replica, said)
            case Unusable():
                self._is_unusable(replica, said)

    def closed(self, replica: Replica) -> None:
        """What it had, others get."""
        self._dispatcher.lost(replica)

    def gone(self, replica: Replica, how: str) -> None:
        """Start another in its place, if there should be one: it gets the same seat."""
        seat = self._seated.pop(replica)
        self._leaving.discard(replica)
        is_of_the_place = self._replicas.get(replica.place) is replica
        if is_of_the_place:
            del self._replicas[replica.place]
        if not is_of_the_place or self._closing or replica.place >= self.wanted:
            seat.release()
            self._seat_the_unseated()
            return
        self._vacant[replica.place] = seat
        restarts = self._restarts.setdefault(replica.place, Restarts())
        pause = restarts.pause_seconds(replica.answered, replica.ready_seconds)
        if not self.started.done() and restarts.in_a_row >= DEATHS_BEFORE_THE_FIRST_ANSWER:
            self.started.set_exception(ScriptError(f"the script never became ready; {restarts.in_a_row} times in a row: {how}"))
            return
        self.restarted += 1
        self.tell(f"replica {replica.place} ended: {how}; another is started{f' in {pause:g} s' if pause else ''}")
        self._start_after(pause, replica.place)

    def resize(self, wanted: int) -> None:
        """Have so many replicas from now on, if no cap forbids it."""
        self._asked_for = wanted
        self._have(wanted if self._cap is None else min(wanted, self._cap))

    def cap(self, most: int | None) -> None:
        """Have no more than so many, whatever the load asks for; None ends that. Seats are free once who had them is gone."""
        self._cap = most
        self.resize(self._asked_for)

    def _have(self, wanted: int) -> None:
        if wanted == self.wanted:
            return
        self.tell(f"{wanted} replicas instead of {self.wanted}")
        self.wanted = wanted
        for place in [place for place in self._replicas if place >= wanted]:
            self._retire(self._replicas.pop(place))
        self._leave_seats(wanted)
        for place in range(wanted):
            if place not in self._pausing:
                self._start(place)
        self._note_start()

    def _leave_seats(self, wanted: int) -> None:
        """Of places that there should not be any more."""
        self._unseated = {place for place in self._unseated if place < wanted}
        for place in [place for place in self._vacant if place >= wanted]:
            self._vacant.pop(place).release()

    def _start_after(self, pause: float, place: int) -> None:
        def due() -> None:
            self._pausing.discard(place)
            self._start(place)

        self._pausing.add(place)
        self._later(pause, due)

    def _start(self, place: int) -> None:
        if place in self._replicas or place >= self.wanted or self._closing:
            return
        try:
            seat = self._vacant.pop(place, None) or self._seats.take(place)
            if seat is None:
                self._wait_for_a_seat(place)
                return
            self._unseated.discard(place)
            replica = self._seat(place, seat)
        except OSError as error:
            self._could_not_start(place, error)
            return
        self._replicas[place] = replica
        self._keep(replica.begin())
        self._later(self._init_seconds, lambda: self._overran_init(replica))

    def _seat(self, place: int, seat: Seat) -> Replica:
        try:
            replica = Replica(place, self._role, seat, self)
        except OSError:
            seat.release()
            raise
        self._seated[replica] = seat
        return replica

    def _wait_for_a_seat(self, place: int) -> None:
        """Nodes of jobs hold the same locks, and free them."""
        if place not in self._unseated:
            self._unseated.add(place)
            self.tell(f"replica {place} waits for {self._seats.wants}, too few are free now")
        if not self._asks_again:
            self._asks_again = True
            self._later(SEAT_AGAIN_SECONDS, self._ask_again)

    def _ask_again(self) -> None:
        self._asks_again = False
        self._seat_the_unseated()

    def _seat_the_unseated(self) -> None:
        for place in sorted(self._unseated):
            self._start(place)
        self._note_start()

    def _could_not_start(self, place: int, error: OSError) -> None:
        told = f"replica {place} cannot be started: {error}"
        if self.started.done():
            self.tell(told)
            self._start_after(self._restarts.setdefault(place, Restarts()).pause_seconds(0, 0), place)
        else:
            self.started.set_exception(ScriptError(told))

    def _is_ready(self, replica: Replica, said: Ready) -> None:
        self.interface = said.interface
        if replica.retired:
            replica.ask_to_end()
            return
        self._dispatcher.add(replica)
        self._note_start()

    def _note_start(self) -> None:
        if not self.started.done() and self.ready and self.ready >= self.wanted - self.unschedulable:
            self.started.set_result(None)

    def _is_unusable(self, replica: Replica, said: Unusable) -> None:
        if self.started.done():
            self.tell(f"replica {replica.place} cannot answer: {said.reason}\n{said.of_the_script}".rstrip())
        else:
            self.started.set_exception(ScriptError(f"the script cannot be served: {said.reason}", said.of_the_script))

    def _overran_init(self, replica: Replica) -> None:
        if not replica.ready and not replica.is_closed:
            replica.kill(f"init() took longer than {self._init_seconds:g} s")

    def _retire(self, replica: Replica) -> None:
        replica.retired = True
        self._leaving.add(replica)
        self._dispatcher.remove(replica)
        if not replica.ready:
            replica.kill("it is not needed any more")
        elif not replica.held:
            replica.ask_to_end()

    async def _follow(self, autoscaler: Autoscaler) -> None:
        while True:
            await asyncio.sleep(self._scale.refresh_seconds)
            self.resize(autoscaler.decide(time.monotonic(), self._dispatcher.running + self._dispatcher.waiting))

    def _keep(self, coroutine: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _later(self, seconds: float, do: Callable[[], None]) -> None:
        def due() -> None:
            self._timers.discard(timer)
            do()

        timer = asyncio.get_running_loop().call_later(seconds, due)
        self._timers.add(timer)
