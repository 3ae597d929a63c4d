"""The rule that makes verdicts: each branch, and that a verdict follows the figures and nothing else."""

from __future__ import annotations

from typing import Any

import pytest

from sim.systems.registry import from_dict, systems
from sim.systems.verdict import Side, judge, verdict


def system(**check: Any) -> Any:
    """A system with one check."""
    told = {"shows": "keys", "figure": "etcd.keys_created", **check}
    return from_dict(
        {
            "id": "S1", "name": "n", "claim": "c", "source": "s", "scenario": "zero-value-leak", "without": "leaking",
            "with": "fixed", "checks": {"keys": told},
        },
        "test",
    )  # fmt: skip


def judged(without: float | None, with_: float | None, never: tuple[str, ...] = (), **check: Any) -> str:
    figure = check.get("figure", "etcd.keys_created")
    sides = {"leaking": Side({figure: without}), "fixed": Side({figure: with_}, frozenset(never))}
    one = system(**check)
    return verdict(one, judge(one, sides, quick=check.get("quick") is not None))


@pytest.mark.parametrize(
    ("without", "with_", "check", "expected"),
    [
        (520, 1, {"article": 522, "within": 0.1}, "reproduced"),
        (460, 1, {"article": 522, "within": 0.1}, "refuted"),
        (600, 1, {"article": 522, "within": 0.1}, "refuted"),
        (520, 1, {"at_least": 2}, "reproduced"),
        (1, 520, {"at_least": 2}, "refuted"),
        (1, 520, {"at_least": 2, "compare": "gain"}, "reproduced"),
        (100, 30, {"at_least": 0.65, "compare": "saved"}, "reproduced"),
        (100, 40, {"at_least": 0.65, "compare": "saved"}, "refuted"),
        (5, 0, {"at_most": 4, "compare": "without"}, "refuted"),
        (5, 4, {"at_most": 4, "compare": "with"}, "reproduced"),
        (5, 0, {"at_least": 1000}, "reproduced"),  # nothing is left of it: beyond any factor
        (0, 0, {"at_least": 1}, "not comparable"),
        (None, 1, {"at_least": 1}, "not comparable"),
        (5, 1, {}, "not comparable"),
        (520, 1, {"article": 522, "within": 0.1, "quick": {"at_most": 3, "why": "smaller"}}, "refuted"),
    ],
)
def test_verdicts(without: float | None, with_: float | None, check: dict[str, Any], expected: str) -> None:
    assert judged(without, with_, **check) == expected


def test_what_never_comes_passes_every_minimum() -> None:
    figure = "etcd.seconds_to_quota"
    told = {"figure": figure, "compare": "with", "at_least": "30d"}
    assert judged(90_000, None, (figure,), **told) == "reproduced"
    assert judged(90_000, None, (), **told) == "not comparable"
    assert judged(90_000, 2_000_000, (), **told) == "refuted"


def test_a_refuted_check_decides_and_one_beside_does_not() -> None:
    one = system(at_least=2)
    second = {**one.model_dump(by_alias=True), "figure": "etcd.puts"}
    given = one.model_dump(by_alias=True, exclude_none=True)
    beside = {"shows": "puts", "figure": "etcd.puts", "at_least": 2}
    del second
    for decides, expected in ((False, "reproduced"), (True, "refuted")):
        checks = {"keys": {**given["checks"]["keys"], "decides": True}, "puts": {**beside, "decides": decides}}
        two = from_dict({**given, "checks": checks}, "test")
        sides = {"leaking": Side({"etcd.keys_created": 9, "etcd.puts": 1}), "fixed": Side({"etcd.keys_created": 1, "etcd.puts": 9})}
        assert verdict(two, judge(two, sides, quick=False)) == expected


def test_every_system_says_what_it_claims_and_can_be_refuted() -> None:
    """A rule that no figure could break, or one without words, is no test of a claim."""
    for one in systems():
        for name in one.deciding():
            check = one.checks[name]
            if check.comparable:
                assert check.says, f"{one.id}.{name}: says nothing of the article"
        assert one.without != one.with_, one.id
