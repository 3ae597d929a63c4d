"""Golden traces of API Priority and Fairness: the mechanisms that a trace may name, and their calls.

A request in a trace is its number in order of arrival. `changed` lists who was queued and has started or been rejected
since the call before: [request, at, state], with the Retry-After of a rejected one where the trace has levels.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from sim.apiserver.flowcontrol.control import FlowControl
from sim.apiserver.flowcontrol.demand import Observed
from sim.apiserver.flowcontrol.hands import deal, flow_hash
from sim.apiserver.flowcontrol.levels import DEFAULT_LEVELS
from sim.apiserver.flowcontrol.queues import QueueSet
from sim.apiserver.flowcontrol.request import Request
from sim.apiserver.flowcontrol.retry_after import DroppedRequests
from sim.apiserver.flowcontrol.widths import list_work, list_work_by_count, mutating_work
from sim.apiserver.flowcontrol.work import Work
from sim.conform.format import Answer, Config, Mechanism, Operation, Operations, read_flag, read_text, read_whole
from sim.units import SECOND, Nanoseconds


class _Requests:
    """The requests of a trace by number."""

    def __init__(self) -> None:
        self._known: list[Request] = []

    def add(self, number: int, request: Request) -> None:
        if number != len(self._known):
            raise ValueError(f"request {number} arrives; allowed: {len(self._known)}, the next in order")
        self._known.append(request)

    def __getitem__(self, number: int) -> Request:
        if not 0 <= number < len(self._known):
            raise ValueError(f"there is no request {number}; allowed: 0 to {len(self._known) - 1}")
        return self._known[number]


def _queueset(config: Config) -> Operations:
    queues = QueueSet(
        "level",
        config.take(read_whole, "limit"),
        config.take(read_whole, "queues"),
        config.take(read_whole, "hand_size", default=1),
        config.take(read_whole, "queue_length", default=0),
    )
    config.finish("limit", "queues", "hand_size", "queue_length")
    requests = _Requests()

    def state(changed: Iterable[Request]) -> Answer:
        return {
            "changed": [[request.tag, request.decided, request.state.value] for request in changed],
            "level": [queues.executing, queues.seats_in_use, queues.waiting, queues.seats_waiting],
        }

    def arrive(now: Nanoseconds, number: int, flow: str, initial: int, final: int, extra: int, wait: int) -> Answer:
        hand = queues.hand(flow_hash("schema", flow))
        request = queues.arrive(now, hand, Work(initial, final, extra), wait, number)
        requests.add(number, request)
        return {"state": request.state.value, **state(queues.advance(now))}

    def finish(now: Nanoseconds, number: int) -> Answer:
        return state(queues.finish(now, requests[number]))

    def cancel(now: Nanoseconds, number: int) -> Answer:
        queues.cancel(now, requests[number])
        return state(queues.advance(now))

    def adjust(now: Nanoseconds, limit: int) -> Answer:
        demand = _sums(queues.take_demand(now))
        queues.set_limit(now, limit)
        return {**demand, **state(queues.advance(now))}

    def busy(now: Nanoseconds) -> Answer:
        told = [
            [queue.index, len(queue.waiting), queue.executing, queue.next_r]
            for queue in queues.fair.queues
            if queue.waiting or queue.executing
        ]
        return {"queues": told}

    changes = ("changed", "level")
    sums = ("peak", "seats_seconds", "square_seconds")
    return {
        "arrive": Operation(
            arrive,
            (read_whole, read_text, read_whole, read_whole, read_whole, read_whole),
            ("state", *changes),
            ("state", *changes),
        ),
        "finish": Operation(finish, (read_whole,), changes, changes),
        "cancel": Operation(cancel, (read_whole,), changes, changes),
        "adjust": Operation(adjust, (read_whole,), (*sums, *changes), (*sums, *changes)),
        "advance": Operation(lambda now: state(queues.advance(now)), (), changes, changes),
        "queues": Operation(busy, (), ("queues",), ("queues",)),
    }


def _sums(observed: Observed) -> Answer:
    """Demand as sums over time, which rounding does not blur as it does a variance near 0."""
    elapsed = observed.duration / SECOND
    return {
        "peak": observed.peak,
        "seats_seconds": observed.average * elapsed,
        "square_seconds": (observed.average**2 + observed.deviation**2) * elapsed,
    }


def _flow_control(config: Config) -> Operations:
    control = FlowControl(DEFAULT_LEVELS, config.take(read_whole, "total"))
    config.finish("total")
    requests = _Requests()

    def told(request: Request) -> list[object]:
        rejected = [request.retry_after_seconds] if request.reason else []
        return [request.tag, request.decided, request.state.value, *rejected]

    def state(changed: Iterable[Request]) -> Answer:
        # The server adjusts its levels at one instant in random order; a trace has them by name.
        ordered = sorted(changed, key=lambda request: (request.decided, request.level.name))
        return {"changed": [told(request) for request in ordered]}

    def arrive(
        now: Nanoseconds, number: int, level: str, schema: str, flow: str, initial: int, final: int, extra: int, wait: int
    ) -> Answer:
        work = Work(initial, final, extra)
        if level not in control.levels:
            raise ValueError(f"there is no level {level!r}; allowed: {', '.join(control.levels)}")
        request = control.arrive(now, control.flow(level, schema, flow), True, work, wait, number)
        requests.add(number, request)
        return {
            "state": request.state.value,
            "retry_after_seconds": request.retry_after_seconds,
            **state(control.advance(now)),
        }

    def finish(now: Nanoseconds, number: int) -> Answer:
        return state(control.finish(now, requests[number]))

    def limits(now: Nanoseconds) -> Answer:
        control.advance(now)
        return {"limits": control.limits()}

    arguments = (read_whole, read_text, read_text, read_text, read_whole, read_whole, read_whole, read_whole)
    answers = ("state", "retry_after_seconds", "changed")
    return {
        "arrive": Operation(arrive, arguments, answers, answers),
        "finish": Operation(finish, (read_whole,), ("changed",), ("changed",)),
        "advance": Operation(lambda now: state(control.advance(now)), (), ("changed",), ("changed",)),
        "limits": Operation(limits, (), ("limits",), ("limits",)),
    }


def _shuffle_sharding(config: Config) -> Operations:
    deck_size, hand_size = config.take(read_whole, "deck_size"), config.take(read_whole, "hand_size")
    config.finish("deck_size", "hand_size")

    def dealt(now: Nanoseconds, hash_value: int) -> Answer:
        return {"hand": list(deal(hash_value, deck_size, hand_size))}

    return {"deal": Operation(dealt, (_hash,), ("hand",), ("hand",))}


def _dropped_requests(config: Config) -> Operations:
    config.finish()
    levels: dict[str, DroppedRequests] = {}

    def drop(now: Nanoseconds, level: str) -> Answer:
        return {"retry_after_seconds": levels.setdefault(level, DroppedRequests()).record(now)}

    return {"drop": Operation(drop, (read_text,), ("retry_after_seconds",), ("retry_after_seconds",))}


def _work_estimator(config: Config) -> Operations:
    by_size = config.take(read_flag, "by_size")
    config.finish("by_size")

    def listed(
        now: Nanoseconds, stored: int, size: int, limit: int, cached: bool, selector: bool, one: bool, max_seats: int
    ) -> Answer:
        known = None if stored < 0 else stored
        if by_size:
            return _estimate(
                list_work(known, size, limit=limit, from_cache=cached, selector=selector, one_name=one, max_seats=max_seats)
            )
        return _estimate(
            list_work_by_count(known, limit=limit, from_cache=cached, selector=selector, one_name=one, max_seats=max_seats)
        )

    def mutated(now: Nanoseconds, watchers: int, max_seats: int) -> Answer:
        return _estimate(mutating_work(watchers, max_seats))

    answers = ("seats", "final_seats", "extra_ns")
    return {
        "list": Operation(
            listed, (read_whole, read_whole, read_whole, read_flag, read_flag, read_flag, read_whole), answers, answers
        ),
        "mutate": Operation(mutated, (read_whole, read_whole), answers, answers),
    }


def _estimate(work: Work) -> Answer:
    return {"seats": work.initial_seats, "final_seats": work.final_seats, "extra_ns": work.extra}


def _hash(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**64:
        raise ValueError(f"{value!r} is not an unsigned number of 64 bits")
    return value


FLOW_MECHANISMS: Final[tuple[Mechanism, ...]] = (
    Mechanism("apiserver.queueset", _queueset),
    Mechanism("apiserver.shuffle_sharding", _shuffle_sharding),
    Mechanism("apiserver.flow_control", _flow_control),
    Mechanism("apiserver.dropped_requests", _dropped_requests),
    Mechanism("apiserver.work_estimator", _work_estimator),
)
"""What builds the calls of each mechanism from its config. Raises ValueError for a config that cannot be."""
