"""Retries after a conflict and of a request: what the real client did, replayed, and what its documentation says in numbers."""

from __future__ import annotations

import importlib.util
import inspect
import sys
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.clientgo import retry, with_retry
from sim.clientgo.retry import DEFAULT_BACKOFF, DEFAULT_RETRY, OnError, Settings
from sim.clientgo.with_retry import Broken, Mode, WithRetry
from sim.conform import election as conform_election
from sim.conform import replay as conform
from sim.streams import Stream
from sim.units import MILLISECOND, SECOND

GOLDEN = Path(__file__).parents[2] / "data" / "golden"
TRACES = {name: sorted((GOLDEN / name).glob("*.jsonl")) for name in ("retry.on_conflict", "rest.with_retry")}


WRONG_RETRIES = {
    "steps counts the sleeps": ("if backoff.steps == 1:", "if backoff.steps == 0:"),
    "a cap ends it without a sleep": ("return Next(backoff.steps > 0, max(delay, 0))",
        "return Next(backoff.steps > 0, delay if backoff.steps > 0 else 0)"),
    "a cap does not end it": ("return Next(backoff.steps > 0, max(delay, 0))", "return Next(True, max(delay, 0))"),
    "no jitter": ("backoff.step(self._stream)", "backoff.step(None)"),
    "without steps it tries once": ("self.tries = settings.steps > 0", "self.tries = True"),
}  # fmt: skip

WRONG_REQUESTS = {
    "ten requests in all": ("self.attempts > self._max_retries", "self.attempts >= self._max_retries"),
    "503 always": ("max(retry_after, 0) * SECOND if overloaded and retry_after is not None",
        "max(retry_after or 0, 0) * SECOND if overloaded"),
    "any status with Retry-After": ("SECOND if overloaded and", "SECOND if"),
    "a write is repeated": ("if get or mode is not Mode.DO", "if True"),
    "a refused connection is repeated": ("Broken.ENDED, Broken.LOST}", "Broken.ENDED, Broken.LOST, Broken.REFUSED}"),
    "a lost connection is not": ("Broken.ENDED, Broken.LOST}", "Broken.ENDED}"),
    "a watch is like a get": ("Broken.ENDED, Broken.TIMEOUT}", "Broken.ENDED, Broken.LOST}"),
    "a stream is like a get": ("Mode.STREAM: frozenset[Broken]()", "Mode.STREAM: frozenset({Broken.RESET})"),
    "at once after a broken connection": ("_BROKEN_CONNECTION_WAIT if how", "0 if how"),
    "a streamed body is sent twice": ("if self._streamed_body or self", "if self"),
    "the watch fails in the end": ("return self._mode is Mode.WATCH and", "return False and"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG_RETRIES)
def test_a_wrong_retry_is_caught(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = _changed(retry, *WRONG_RETRIES[name])
    monkeypatch.setattr(conform_election, "OnError", wrong.OnError)
    assert any(conform.replay(path) is not None for path in TRACES["retry.on_conflict"])


@pytest.mark.parametrize("name", WRONG_REQUESTS)
def test_a_wrong_request_is_caught(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = _changed(with_retry, *WRONG_REQUESTS[name])
    for public in ("Broken", "Mode", "WithRetry"):
        monkeypatch.setattr(conform_election, public, getattr(wrong, public))
    assert any(conform.replay(path) is not None for path in TRACES["rest.with_retry"])


def _changed(module: ModuleType, right: str, wrong: str) -> ModuleType:
    source = inspect.getsource(module)
    assert source.count(right) == 1, f"the line to break is there {source.count(right)} times"
    broken = importlib.util.module_from_spec(importlib.util.spec_from_loader("broken", loader=None))  # type: ignore[arg-type]
    with pytest.MonkeyPatch.context() as patch:  # dataclasses look their module up
        patch.setitem(sys.modules, "broken", broken)
        exec(compile(source.replace(right, wrong), "broken.py", "exec"), broken.__dict__)
    return broken


@given(seed=st.integers(0, 2**32))
def test_the_documented_sleeps(seed: int) -> None:
    """Tries at 0, 10-11, 20-22, 30-33, 40-44 ms; with DEFAULT_BACKOFF sleeps of 10, 50, 250 ms and up to a tenth more."""
    for settings, sleeps in ((DEFAULT_RETRY, [10, 10, 10, 10]), (DEFAULT_BACKOFF, [10, 50, 250])):
        call = OnError(settings, Stream(seed, "retry"))
        assert call.tries
        for sleep in sleeps:
            then = call.failed()
            assert then.again
            assert sleep * MILLISECOND <= then.delay <= 1.1 * sleep * MILLISECOND
        assert call.failed() == (False, 0)
        with pytest.raises(RuntimeError):
            call.failed()


def test_a_cap_that_is_reached_sleeps_and_gives_up() -> None:
    call = OnError(Settings(steps=5, duration=SECOND, factor=10.0, jitter=0.0, cap=5 * SECOND))
    assert call.failed() == (False, SECOND)


def test_eleven_requests_and_no_more() -> None:
    request = WithRetry(get=True)
    waits = [request.answered(429, 1) for _ in range(5)] + [request.broke(Broken.RESET) for _ in range(6)]
    assert waits == [SECOND] * 10 + [None]
    assert request.attempts == 11


@pytest.mark.parametrize(
    ("status", "retry_after", "wait"),
    [
        (429, 1, SECOND), (429, None, None), (503, 30, 30 * SECOND), (500, 0, 0), (504, None, None), (409, 1, None), (404, 1, None),
        (200, 1, None), (499, 1, None), (500, -3, 0),
    ],
)  # fmt: skip
def test_which_answers_are_retried(status: int, retry_after: int | None, wait: int | None) -> None:
    assert WithRetry(get=False).answered(status, retry_after) == wait


def test_which_broken_connections_are_retried() -> None:
    def repeated(**request: object) -> set[Broken]:
        return {how for how in Broken if WithRetry(**request).broke(how) == SECOND}  # type: ignore[arg-type]

    assert repeated(get=True) == {Broken.RESET, Broken.ENDED, Broken.LOST}
    assert repeated(get=False) == set()
    assert repeated(get=True, mode=Mode.WATCH) == {Broken.RESET, Broken.ENDED, Broken.TIMEOUT}
    assert repeated(get=True, mode=Mode.STREAM) == set()
    assert repeated(get=True, streamed_body=True) == set()
