"""Elections: what the real elector did, replayed; what must never happen; and what the documentation says in numbers."""

from __future__ import annotations

import importlib.util
import inspect
import random
from heapq import heappop, heappush
from itertools import count, pairwise
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.clientgo import leader_election
from sim.clientgo.leader_election import (
    Answer,
    Create,
    Done,
    Get,
    LeaderElector,
    LeaseRecord,
    NewLeader,
    RecordEvent,
    Request,
    Sleep,
    StartedLeading,
    Step,
    StoppedLeading,
    Timing,
    Update,
    Verdict,
)
from sim.conform import election as conform_election
from sim.conform import replay as conform
from sim.streams import Stream
from sim.units import MILLISECOND, SECOND

GOLDEN = Path(__file__).parents[2] / "data" / "golden"
TRACES = sorted((GOLDEN / "leaderelection.elector").glob("*.jsonl"))
NEVER = 2**62


def test_ten_thousand_requests_were_recorded() -> None:
    steps = "".join(path.read_text() for path in TRACES)
    assert sum(steps.count(f'["{verb}",') for verb in ("get", "create", "update")) >= 10_000


WRONG = {
    "expiry by the time written in the lease": (
        "return self.observed_time + self",
        "return (self.observed.renew_time or 0) + self",
    ),
    "expiry by our own lease duration": (
        "self.observed.lease_duration_seconds * SECOND > at",
        "self.timing.lease_duration > at",
    ),
    "records compared to the microsecond": (
        "None if at is None else at // SECOND",
        "at",
    ),
    "our own writes enter the comparison": (
        "if answer.verdict is Verdict.OK:\n            self.observed, self.observed_time = record, self._now",
        "if answer.verdict is Verdict.OK:\n            self._observe(record)",
    ),
    "no jitter": (
        "backoff.step(stream)",
        "backoff.duration",
    ),
    "ticks counted from the end of a try": (
        "due = began + (tick + 1) * period",
        "due = self._now + period",
    ),
    "a tick that fires during a try is lost": (
        "due = began + (tick + 1) * period",
        "due = began + ((self._now - began) // period + 1) * period",
    ),
    "no fast path": (
        "if self.timing.fast_path and self.is_leader and self._valid(began):",
        "if False:",
    ),
    "fast path with an expired lease": (
        "if self.timing.fast_path and self.is_leader and self._valid(began):",
        "if self.is_leader:",
    ),
    "no fallback to the slow path": (
        "            # From here on",
        "            return False\n            # From here on",
    ),
    "transitions raised by every write": (
        "transitions=old.transitions)",
        "transitions=old.transitions + 1)",
    ),
    "a retaken lease keeps its acquire time": (
        "record = record._replace(transitions=old.transitions + 1)",
        "record = record._replace(transitions=old.transitions + 1, acquire_time=old.acquire_time)",
    ),
    "a released lease is waited for": (
        "if old.holder and self._valid",
        "if self._valid",
    ),
    "first renewal a period after acquiring": (
        "            yield StartedLeading()\n",
        "            yield StartedLeading()\n            yield Sleep(self._now + self.timing.retry_period)\n",
    ),
    "release without looking": (
        "            found = yield from self._get()\n            if found",
        "            found = Answer(Verdict.OK, 0, self.observed)\n            if found",
    ),
    "requests outlive the renew deadline": (
        "return expires if self._context_ends is None else min(expires, self._context_ends)",
        "return expires",
    ),
    "an update after a failed create": (
        "self._resource_version = answer.resource_version if answer.verdict is Verdict.OK else None",
        "self._resource_version = answer.resource_version or self._resource_version",
    ),
    "no report from a candidate": (
        "            yield from self._report_transition()\n            if acquired",
        "            if acquired",
    ),
    "silent when it never led": (
        '            yield RecordEvent("stopped leading")\n        yield StoppedLeading()',
        '            yield RecordEvent("stopped leading")\n            yield StoppedLeading()',
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_elector_is_caught(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = _changed(leader_election, *WRONG[name])
    for public in ("LeaderElector", "Sleep", "Get", "Create", "Update", "Done", "NewLeader", "RecordEvent", "StartedLeading",
                   "StoppedLeading", "Timing", "Verdict", "LeaseRecord"):  # fmt: skip
        monkeypatch.setattr(conform_election, public, getattr(wrong, public))
    monkeypatch.setattr(conform_election, "LeaseAnswer", wrong.Answer)
    assert any(conform.replay(path) is not None for path in TRACES)


def _changed(module: ModuleType, right: str, wrong: str) -> ModuleType:
    source = inspect.getsource(module)
    assert source.count(right) == 1, f"the line to break is there {source.count(right)} times"
    spec = importlib.util.spec_from_loader("broken", loader=None)
    assert spec is not None
    broken = importlib.util.module_from_spec(spec)
    monkey = pytest.MonkeyPatch()
    with monkey.context() as patch:  # dataclasses look their module up
        patch.setitem(__import__("sys").modules, "broken", broken)
        exec(compile(source.replace(right, wrong), "broken.py", "exec"), broken.__dict__)
    return broken


class World:
    """One lease, its API server, electors and the network between; everything by one clock.

    fate: (time, elector, request) -> (way there, way back) in nanoseconds, None where it does not arrive, Verdict.ERROR where
    it is refused a millisecond later; a way back of NEVER is an answer that does not come. Written down: who leads from
    when to when, and every request.
    """

    def __init__(self, fate, timing: Timing | None = None):
        self.fate, self.timing = fate, timing or Timing()
        self.record: LeaseRecord | None = None
        self.version = 0
        self.agenda: list[tuple] = []
        self.order = count()
        self.leads: list[list] = []  # [elector, from, to]
        self.sent: list[tuple[int, str, Step]] = []
        self.log: list[tuple[int, str, Step]] = []
        self.waiting: dict[LeaderElector, int] = {}  # the number of the wait that is under way

    def join(self, at: int, identity: str, seed: int = 0) -> LeaderElector:
        elector = LeaderElector(identity, Stream(seed, identity), self.timing)
        self._at(at, lambda now: self._take(now, elector, elector.start(now)))
        return elector

    def run(self, until: int) -> World:
        while self.agenda and self.agenda[0][0] <= until:
            now, _, what = heappop(self.agenda)
            what(now)
        for lead in self.leads:
            lead[2] = min(lead[2], until)
        return self

    def _at(self, at: int, what) -> None:
        heappush(self.agenda, (at, next(self.order), what))

    def _take(self, now: int, elector: LeaderElector, step: Step) -> None:
        while not isinstance(step, Request | Sleep | Done):
            self.log.append((now, elector.identity, step))
            match step:
                case StartedLeading():
                    self.leads.append([elector, now, NEVER])
                case StoppedLeading():
                    for lead in self.leads:
                        if lead[0] is elector:
                            lead[2] = min(lead[2], now)
            step = elector.proceed(now)
        self.log.append((now, elector.identity, step))
        self.waiting[elector] = wait = next(self.order)

        def go(at: int, answer: Answer | None = None) -> None:
            if self.waiting[elector] == wait:
                self.waiting[elector] = -1
                self._take(at, elector, elector.proceed(at, answer))

        if isinstance(step, Sleep):
            self._at(step.until, go)
        elif isinstance(step, Request):
            self._send(now, elector, step, go)

    def _send(self, now: int, elector: LeaderElector, request: Request, go) -> None:
        self.sent.append((now, elector.identity, request))
        fate = self.fate(now, elector.identity, request)
        self._at(request.expires, lambda at: go(at, Answer(Verdict.TIMEOUT)))
        if fate is Verdict.ERROR:
            self._at(now + MILLISECOND, lambda at: go(at, Answer(Verdict.ERROR)))
        elif fate is not None:
            there, back = fate

            def arrives(at: int) -> None:
                answer = self._serve(request)
                self._at(at + back, lambda then: go(then, answer))

            self._at(now + there, arrives)

    def _serve(self, request: Request) -> Answer:
        match request:
            case Get():
                return Answer(Verdict.NOT_FOUND) if self.record is None else Answer(Verdict.OK, self.version, self.record)
            case Create(record):
                if self.record is not None:
                    return Answer(Verdict.CONFLICT)
            case Update(record, version):
                if self.record is None or version != self.version:
                    return Answer(Verdict.CONFLICT if self.record else Verdict.NOT_FOUND)
        self.version += 1
        self.record = record
        return Answer(Verdict.OK, self.version)

    def overlaps(self) -> list[tuple[int, int]]:
        """Spans with two leaders."""
        spans = sorted((begin, end) for _, begin, end in self.leads)
        return [(b[0], min(a[1], b[1])) for a, b in pairwise(spans) if b[0] < a[1]]


def quick(now: int, who: str, request: Request) -> tuple[int, int]:
    return MILLISECOND, MILLISECOND


@settings(max_examples=150, deadline=None)
@given(seed=st.integers(0, 2**32), electors=st.integers(2, 4), trouble=st.floats(0.0, 0.9))
def test_never_two_leaders_while_answers_are_quick(seed: int, electors: int, trouble: float) -> None:
    """Whatever is lost, on the way there or back: as long as an answer that comes takes less than 2 s back.

    The leader is gone 12 s after its last successful answer; nobody takes the lease before 15 s after that write was seen,
    less the second that a comparison of whole seconds may miss.
    """
    chaos = random.Random(seed)
    bad_until: dict[str, int] = {}

    def fate(now: int, who: str, request: Request) -> tuple[int, int] | None:
        if now >= bad_until.get(who, 0):
            calm = chaos.random() > trouble
            bad_until[who] = now + chaos.randrange(1, 40 * SECOND) if not calm else 0
        there = chaos.choice([MILLISECOND, chaos.randrange(1, 8 * SECOND)])
        if bad_until.get(who, 0) > now:
            return chaos.choice([None, (there, NEVER)])
        return there, chaos.choice([MILLISECOND, chaos.randrange(1, 2 * SECOND - 1)])

    world = World(fate)
    for i in range(electors):
        world.join(chaos.randrange(1, 20 * SECOND), f"e{i}", seed)
        world.join(chaos.randrange(100 * SECOND, 300 * SECOND), f"again{i}", seed)
    world.run(900 * SECOND)
    assert world.overlaps() == []


def test_an_answer_that_is_long_on_its_way_makes_two_leaders() -> None:
    """The lease runs from the write, the leader counts from the answer: above 15 - 2 - 10 = 3 s both lead for a while."""

    def fate(now: int, who: str, request: Request) -> tuple[int, int] | None:
        if who == "a" and now > 60 * SECOND:
            return None
        return MILLISECOND, 4900 * MILLISECOND if who == "a" and isinstance(request, Update) else MILLISECOND

    world = World(fate)
    world.join(1, "a")
    for i in range(10):  # one of them looks soon after the last write
        world.join(SECOND + i, f"b{i}")
    world.run(200 * SECOND)
    ((begin, end),) = world.overlaps()
    assert 0 < end - begin < 2 * SECOND


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32), fails_at=st.integers(30 * SECOND, 130 * SECOND), refused=st.booleans())
def test_who_cannot_renew_stops_at_the_deadline(seed: int, fails_at: int, refused: bool) -> None:
    """12 s after its last successful answer: it sleeps 2 s, and its round ends after 10 s."""
    chaos = random.Random(seed)

    def fate(now: int, who: str, request: Request):
        if now >= fails_at:
            return Verdict.ERROR if refused else None
        return chaos.randrange(1, SECOND), chaos.randrange(1, SECOND)

    world = World(fate)
    world.join(1, "a", seed)
    world.run(400 * SECOND)
    ((_, _, stopped),) = world.leads
    failed = [now for now, _, step in world.sent if now >= fails_at]
    last_success = max(now for now, _, step in world.log if isinstance(step, Sleep) and now < failed[0])
    assert failed[0] == last_success + 2 * SECOND
    assert stopped == failed[0] + 10 * SECOND
    assert len(failed) == (10 if refused else 2)
    assert isinstance(world.log[-1][2], Done)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32), dies_at=st.integers(20 * SECOND, 60 * SECOND), candidates=st.integers(1, 5))
def test_failover_takes_a_lease_and_a_jittered_period(seed: int, dies_at: int, candidates: int) -> None:
    """After a crash somebody leads between 15 s after the last write seen (its age when seen: up to 4.4 s) and 4.4 s later."""
    world = World(lambda now, who, request: None if who == "a" and now >= dies_at else (MILLISECOND, MILLISECOND))
    world.join(1, "a", seed)
    for i in range(candidates):
        world.join(SECOND + i, f"c{i}", seed)
    world.run(200 * SECOND)
    last_write = max(now for now, who, step in world.sent if who == "a" and now < dies_at)
    second = world.leads[1]
    assert 14 * SECOND < second[1] - last_write <= (15 + 4.4 + 4.4) * SECOND + 10 * MILLISECOND
    assert len(world.leads) == 2


def test_a_new_leader_writes_twice_at_once_and_then_every_two_seconds() -> None:
    world = World(quick)
    world.join(0, "a")
    world.run(20 * SECOND)
    assert [(now, type(step).__name__) for now, _, step in world.sent[:5]] == [
        (0, "Get"), (2 * MILLISECOND, "Create"), (4 * MILLISECOND, "Update"), (2006 * MILLISECOND, "Update"),
        (4008 * MILLISECOND, "Update"),
    ]  # fmt: skip
    reports = [type(step) for _, _, step in world.log if isinstance(step, NewLeader | RecordEvent | StartedLeading)]
    assert reports == [NewLeader, RecordEvent, StartedLeading]


def test_a_silent_server_costs_one_update_and_one_get_and_then_the_lead() -> None:
    world = World(lambda now, who, request: None if now > 10 * SECOND else (MILLISECOND, MILLISECOND))
    world.join(0, "a")
    world.run(100 * SECOND)
    lost = [(now, step) for now, _, step in world.sent if now > 10 * SECOND]
    began = lost[0][0]
    assert [(now - began, type(step)) for now, step in lost] == [(0, Update), (5 * SECOND, Get)]
    assert world.leads[0][2] == began + 10 * SECOND


def test_a_fresh_candidate_waits_a_whole_lease_however_old_the_lease_is() -> None:
    world = World(quick)
    world.record, world.version = LeaseRecord("gone", 15, 0, 0, 7), 3
    world.join(3600 * SECOND, "a")
    world.run(3700 * SECOND)
    (lead,) = world.leads
    assert 15 * SECOND < lead[1] - 3600 * SECOND < 19.5 * SECOND
    assert world.record is not None
    assert world.record.transitions == 8


def test_a_released_lease_is_taken_at_the_next_try() -> None:
    world = World(quick, Timing(release_on_cancel=True))
    first = world.join(0, "a")
    world.join(SECOND, "b")
    world.run(30 * SECOND)
    world._take(30 * SECOND + 1, first, first.cancel(30 * SECOND + 1))
    world.run(40 * SECOND)
    released = [step.record for _, who, step in world.sent if who == "a" and isinstance(step, Update)][-1]
    assert (released.holder, released.lease_duration_seconds) == ("", 1)
    assert world.leads[1][1] - 30 * SECOND < 4.5 * SECOND
    assert world.overlaps() == []


@pytest.mark.parametrize("again", [False, True])
def test_a_release_that_meets_a_conflict(again: bool) -> None:
    """Up to v0.36 it is given up; from v0.37 on it starts over."""
    elector = LeaderElector("a", Stream(0, "a"), Timing(release_on_cancel=True, release_again=again))
    elector.start(0)
    elector.proceed(1, Answer(Verdict.NOT_FOUND))
    while not isinstance(elector.pending, Update):
        elector.proceed(2, Answer(Verdict.OK, 1) if isinstance(elector.pending, Request) else None)
    assert isinstance(elector.cancel(3), Get)
    assert isinstance(elector.cancel(3), Get)  # a second cancel changes nothing
    assert isinstance(elector.proceed(4, Answer(Verdict.OK, 1, elector.observed)), Update)
    after = elector.proceed(5, Answer(Verdict.CONFLICT))
    assert after == (Get(5 + 5 * SECOND) if again else RecordEvent("stopped leading"))


@pytest.mark.parametrize(
    ("timing", "message"),
    [
        ({"lease_duration": 10 * SECOND}, "lease_duration must be greater than renew_deadline"),
        ({"renew_deadline": 2400 * MILLISECOND}, r"renew_deadline must be greater than retry_period \* 1.2"),
        ({"retry_period": 0}, "retry_period must be greater than zero"),
    ],
)
def test_timings_that_the_real_one_refuses(timing: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Timing(**timing)


def test_the_client_gives_up_after_half_the_renew_deadline_but_not_below_a_second() -> None:
    assert Timing().timeout == 5 * SECOND
    assert Timing(3 * SECOND, SECOND, 300 * MILLISECOND).timeout == SECOND


def test_before_v030_a_renewal_reads_first() -> None:
    world = World(quick, Timing(fast_path=False))
    world.join(0, "a")
    world.run(20 * SECOND)
    assert [type(step).__name__ for _, _, step in world.sent[:6]] == ["Get", "Create", "Get", "Update", "Get", "Update"]


def test_misuse_is_refused() -> None:
    elector = LeaderElector("a", Stream(0, "a"))
    with pytest.raises(RuntimeError, match="not running"):
        elector.proceed(0)
    elector.start(0)
    with pytest.raises(RuntimeError, match="takes an answer"):
        elector.proceed(0)
    with pytest.raises(RuntimeError, match="started before"):
        elector.start(0)
    with pytest.raises(ValueError, match="identity"):
        LeaderElector("", Stream(0, "a"))


def test_health_ends_when_the_lease_is_long_over() -> None:
    elector = LeaderElector("a", Stream(0, "a"))
    elector.start(0)
    elector.proceed(0, Answer(Verdict.NOT_FOUND))
    elector.proceed(0, Answer(Verdict.OK, 1))
    assert elector.is_leader
    assert elector.healthy(35 * SECOND, 20 * SECOND)
    assert not elector.healthy(35 * SECOND + 1, 20 * SECOND)
