"""The mechanisms that decide when a client asks again, as golden traces know them: elections, retries, the event recorder.

These are state machines rather than functions: a trace says what set one going at an instant (`start`, `answer`, `wake`,
`cancel`, `record`), and `do` is the list of what the library did then, each step a list of its name and its values:

    ["get", expires]  ["create", record, expires]  ["update", record, version, expires]     an elector's requests
    ["new_leader", identity]  ["event", message]  ["started"]  ["stopped"]  ["done"]        and what it reported
    ["create", name, count, message]  ["patch", name, count, message]                       a recorder's writes

`until` is when it woke up by itself afterwards. What the library drew at random is an argument (`draw`), so that both
draw the same.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

from sim.clientgo.correlator import (
    DEFAULT_AGGREGATE_INTERVAL,
    DEFAULT_AGGREGATE_MAX_EVENTS,
    DEFAULT_SPAM_BURST,
    DEFAULT_SPAM_QPS,
    MAX_LRU_CACHE_ENTRIES,
    Event,
)
from sim.clientgo.leader_election import (
    Answer as LeaseAnswer,
)
from sim.clientgo.leader_election import (
    Create,
    Done,
    Get,
    LeaderElector,
    LeaseRecord,
    NewLeader,
    RecordEvent,
    Sleep,
    StartedLeading,
    Step,
    StoppedLeading,
    Timing,
    Update,
    Verdict,
)
from sim.clientgo.recorder import SLEEP_DURATION, EventBroadcaster, NamingCorrelator, Outcome, Write
from sim.clientgo.recorder import Patch as EventPatch
from sim.clientgo.recorder import Sleep as RecorderSleep
from sim.clientgo.retry import OnError, Settings
from sim.clientgo.with_retry import Broken, Mode, WithRetry
from sim.conform.format import (
    Answer,
    Config,
    Malformed,
    Mechanism,
    Operation,
    Operations,
    read_flag,
    read_rate,
    read_text,
    read_whole,
    silent,
)
from sim.conform.mechanisms import read_event
from sim.units import SECOND, Nanoseconds


class Drawn:
    """The uniform that the library drew: put in before the call that takes it.

    Where the library drew none and ours does, it is 0; what ours does then shows the difference.
    """

    def __init__(self) -> None:
        self.value: float | None = None

    def uniform(self) -> float:
        """The one that was put in; it can be taken once."""
        value, self.value = self.value, None
        return 0.0 if value is None else value


def _elector(config: Config) -> Operations:
    if config.release < (0, 34):
        raise Malformed("elections are known from v0.34 on: earlier ones renew and release in another way")
    timing = Timing(
        config.take(read_whole, "lease_duration_ns"),
        config.take(read_whole, "renew_deadline_ns"),
        config.take(read_whole, "retry_period_ns"),
        config.take(read_flag, "release_on_cancel", default=False),
        config.take(read_whole, "client_timeout_ns", default=None),
        release_again=config.release >= (0, 37),
    )
    config.finish("lease_duration_ns", "renew_deadline_ns", "retry_period_ns", "release_on_cancel", "client_timeout_ns")
    drawn = Drawn()
    electors: dict[int, LeaderElector] = {}

    def start(now: Nanoseconds, number: int, identity: str) -> Answer:
        electors[number] = elector = LeaderElector(identity, drawn, timing)
        return _done(now, elector, elector.start(now))

    def wake(now: Nanoseconds, number: int) -> Answer:
        return _done(now, electors[number], _refused(lambda: electors[number].proceed(now)))

    def cancel(now: Nanoseconds, number: int) -> Answer:
        before = electors[number].pending
        step = electors[number].cancel(now)
        return {"do": [], "until": None} if step is before else _done(now, electors[number], step)

    def answer(now: Nanoseconds, number: int, given: tuple[LeaseAnswer, float | None]) -> Answer:
        drawn.value = given[1]
        return _done(now, electors[number], _refused(lambda: electors[number].proceed(now, given[0])))

    def known(value: object) -> int:
        number: int = read_whole(value)
        if number not in electors:
            raise Malformed(f"elector {number} was not started")
        return number

    done = ("do", "until")
    return {
        "start": Operation(start, (read_whole, read_text), done, ("do",)),
        "answer": Operation(answer, (known, _lease_answer), done, ("do",)),
        "wake": Operation(wake, (known,), done, ("do",)),
        "cancel": Operation(cancel, (known,), done, ("do",)),
    }


def _done(now: Nanoseconds, elector: LeaderElector, step: Step) -> Answer:
    """What the elector does from `step` on until it waits for something."""
    does: list[list[object]] = []
    while not isinstance(step, Sleep):
        does.append(_told(step))
        if isinstance(step, Get | Create | Update | Done):
            return {"do": does, "until": None}
        step = elector.proceed(now)
    return {"do": does, "until": step.until}


def _told(step: Step) -> list[object]:
    match step:
        case Get(expires):
            return ["get", expires]
        case Create(record, expires):
            return ["create", list(record), expires]
        case Update(record, version, expires):
            return ["update", list(record), version, expires]
        case NewLeader(identity):
            return ["new_leader", identity]
        case RecordEvent(message):
            return ["event", message]
        case StartedLeading():
            return ["started"]
        case StoppedLeading():
            return ["stopped"]
        case _:
            return ["done"]


def _refused(call: Callable[[], Any]) -> Any:
    try:
        return call()
    except RuntimeError as problem:
        raise Malformed(str(problem)) from None


def _lease_answer(value: object) -> tuple[LeaseAnswer, float | None]:
    given = _object(value, "verdict", "rv", "record", "draw")
    verdict = _one_of(Verdict)(given.get("verdict"))
    version, record, draw = (given.get(name) for name in ("rv", "record", "draw"))
    return (
        LeaseAnswer(verdict, None if version is None else read_whole(version), None if record is None else _lease_record(record)),
        None if draw is None else _share(draw),
    )


def _lease_record(value: object) -> LeaseRecord:
    if not isinstance(value, list) or len(value) != 5:
        raise Malformed(f"{value!r} is not [holder, lease seconds, acquire time, renew time, transitions]")
    times = [None if at is None else read_whole(at) for at in value[2:4]]
    return LeaseRecord(read_text(value[0]), read_whole(value[1]), times[0], times[1], read_whole(value[4]))


def _on_conflict(config: Config) -> Operations:
    settings = Settings(
        config.take(read_whole, "steps"),
        config.take(read_whole, "duration_ns"),
        config.take(read_rate, "factor", default=0.0),
        config.take(read_rate, "jitter", default=0.0),
        config.take(read_whole, "cap_ns", default=0),
    )
    config.finish("steps", "duration_ns", "factor", "jitter", "cap_ns")
    drawn = Drawn()
    retrying: list[OnError] = []

    def call(now: Nanoseconds) -> Answer:
        retrying[:] = [OnError(settings, drawn)]
        return {"tries": retrying[0].tries}

    def failed(now: Nanoseconds, draw: float) -> Answer:
        if not retrying:
            raise Malformed('"failed" before the first "call"')
        drawn.value = draw
        then = _refused(lambda: retrying[0].failed())
        return {"again": then.again, "delay_ns": then.delay}

    return {
        "call": Operation(call, (), ("tries",), ("tries",)),
        "failed": Operation(failed, (_share,), ("again", "delay_ns"), ("again",)),
    }


def _with_retry(config: Config) -> Operations:
    config.finish()
    requests: list[WithRetry] = []

    def current() -> WithRetry:
        if not requests:
            raise Malformed('no "request" has been made')
        return requests[0]

    def request(made: WithRetry) -> None:
        requests[:] = [made]

    def answered(now: Nanoseconds, status: int, retry_after: int | None) -> Answer:
        return {"delay_ns": current().answered(status, retry_after)}

    def broke(now: Nanoseconds, how: Broken) -> Answer:
        delay = current().broke(how)
        return {"delay_ns": delay, "empty_watch": delay is None and current().ends_as_empty_watch(how)}

    return {
        "request": Operation(silent(lambda now, made: request(made)), (_request,)),
        "answered": Operation(answered, (read_whole, _retry_after), ("delay_ns",), ("delay_ns",)),
        "broke": Operation(broke, (_one_of(Broken),), ("delay_ns", "empty_watch"), ("delay_ns",)),
    }


def _request(value: object) -> WithRetry:
    given = _object(value, "get", "mode", "streamed_body", "max_retries")
    return WithRetry(
        read_flag(given.get("get", False)), _one_of(Mode)(given.get("mode", "do")), read_flag(given.get("streamed_body", False)),
        read_whole(given.get("max_retries", 10)),
    )  # fmt: skip


def _retry_after(value: object) -> int | None:
    """The header's text as Go reads it: a whole number, or none."""
    if value is None:
        return None
    text = read_text(value)
    return int(text) if re.fullmatch(r"[+-]?[0-9]+", text) else None


def _recorder(config: Config) -> Operations:
    drawn = Drawn()
    sleep = config.take(read_whole, "sleep_ns", default=SLEEP_DURATION)
    broadcaster = EventBroadcaster(
        NamingCorrelator(
            cache_size=config.take(read_whole, "lru_cache_size", default=0) or MAX_LRU_CACHE_ENTRIES,
            burst=config.take(read_whole, "burst", default=0) or DEFAULT_SPAM_BURST,
            qps=config.take(read_rate, "qps", default=0.0) or DEFAULT_SPAM_QPS,
            max_events=config.take(read_whole, "max_events", default=0) or DEFAULT_AGGREGATE_MAX_EVENTS,
            interval=config.take(read_whole, "max_interval_seconds", default=0) * SECOND or DEFAULT_AGGREGATE_INTERVAL,
        ),
        drawn,
        sleep=sleep,
    )
    config.finish("lru_cache_size", "burst", "qps", "max_events", "max_interval_seconds", "sleep_ns")
    names: dict[int, int] = {}  # ours to the trace's: in the order in which the sink sees them

    def acted(now: Nanoseconds) -> Answer:
        step = broadcaster.next(now)
        if isinstance(step, RecorderSleep):
            return {"do": [], "until": step.until}
        return wrote(step)

    def wrote(step: Write | None) -> Answer:
        does = []
        if step is not None:
            name = names.setdefault(step.name, len(names))
            does.append(["patch" if isinstance(step, EventPatch) else "create", name, step.event.count, step.event.message])
        return {"do": does, "until": None}

    def record(now: Nanoseconds, event: Event) -> Answer:
        broadcaster.record(now, event)
        return acted(now)

    def answer(now: Nanoseconds, given: tuple[Outcome, int | None, int | None]) -> Answer:
        outcome, count, slept = given
        drawn.value = None if slept is None else (slept + 0.5) / sleep
        fallback = _refused(lambda: broadcaster.answered(now, outcome, count))
        return acted(now) if fallback is None else wrote(fallback)

    done = ("do", "until")
    return {
        "record": Operation(record, (read_event,), done, ("do",)),
        "answer": Operation(answer, (_sink_answer,), done, ("do",)),
        "wake": Operation(acted, (), done, ("do",)),
    }


def _sink_answer(value: object) -> tuple[Outcome, int | None, int | None]:
    given = _object(value, "outcome", "count", "slept_ns")
    numbers = [None if given.get(name) is None else read_whole(given[name]) for name in ("count", "slept_ns")]
    return _one_of(Outcome)(given.get("outcome")), numbers[0], numbers[1]


def _one_of(kind: Callable[[object], Any]) -> Callable[[object], Any]:
    def read(value: object) -> Any:
        try:
            return kind(value)
        except ValueError:
            allowed = ", ".join(member.value for member in kind)  # type: ignore[attr-defined]
            raise Malformed(f"{value!r} is not one of {allowed}") from None

    return read


def _share(value: object) -> float:
    share: float = read_rate(value)
    if not 0.0 <= share < 1.0:
        raise Malformed(f"{value!r} is not a uniform in [0, 1)")
    return share


def _object(value: object, *allowed: str) -> dict[str, object]:
    if not isinstance(value, dict):
        raise Malformed(f"{value!r} is not an object {{{', '.join(allowed)}}}")
    for name in value:
        if name not in allowed:
            raise Malformed(f'unknown field "{name}"; allowed: {", ".join(allowed)}')
    return value


ELECTION_MECHANISMS: Final = (
    Mechanism("leaderelection.elector", _elector),
    Mechanism("retry.on_conflict", _on_conflict),
    Mechanism("rest.with_retry", _with_retry),
    Mechanism("events.recorder", _recorder),
)
"""For the registry in `registry.py`."""
