"""S13g: a check of what diagnoses name. It counts, and a blind or overeager one is refuted."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from matplotlib.axes import Axes

from sim.diagnosis import rules
from sim.systems.picture import plot
from sim.systems.registry import chosen
from sim.systems.runs import run_all
from sim.systems.verdict import judge, verdict

if TYPE_CHECKING:
    from sim.systems.runs import Tested

(S13G,) = chosen(["S13g"])
CAUSES = S13G.checks["causes"].names
RULE = {"disk": rules.disk, "webhook": rules.webhook, "seats": rules.seats, "workers": rules.workers,
        "compaction": rules.compaction, "hot loop": rules.hot_loop}  # fmt: skip


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the runs are kept."""
    return tmp_path_factory.mktemp("named") / "runs"


def judged_anew(store: Path) -> Tested:
    """The system, judged anew; its runs are simulated once."""
    (one,) = run_all([S13G], store, quick=True, workers=1)
    return one


def test_every_cause_is_named_and_nothing_in_the_calm_run(store: Path) -> None:
    one = judged_anew(store)
    causes, calm = one.judged
    assert (causes.value, dict(causes.named)) == (len(CAUSES), CAUSES)
    assert len(set(CAUSES.values())) == len(CAUSES) >= 6
    assert calm.named == {"calm": "nothing"}
    assert one.verdict == "reproduced"


@pytest.mark.parametrize("station", RULE)
def test_a_diagnosis_that_is_blind_to_a_cause_is_refuted(station: str, store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    judged_anew(store)
    left = tuple(rule for rule in rules.RULES if rule is not RULE[station])
    monkeypatch.setattr("sim.diagnosis.diagnosis.RULES", left)
    one = judged_anew(store)
    assert one.judged[0].value == len(CAUSES) - 1
    assert one.judged[0].sides == ("", f"{len(CAUSES) - 1} of {len(CAUSES)}")
    assert one.verdict == "refuted"


def test_a_diagnosis_that_names_something_in_a_calm_run_is_refuted(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rules, "FSYNC_P99", 0.0005)
    one = judged_anew(store)
    assert one.judged[1].named == {"calm": "disk"}
    assert one.judged[1].verdict == one.verdict == "refuted"


def test_a_cause_that_is_not_injected_is_missed_and_a_missing_run_is_no_verdict(store: Path) -> None:
    one = judged_anew(store)
    without_cause = {**one.sides, "first": one.sides["calm"]}
    judged = judge(S13G, without_cause, quick=True)
    assert judged[0].value == len(CAUSES) - 1
    assert verdict(S13G, judged) == "refuted"
    lost = {name: side for name, side in one.sides.items() if name != "first"}
    causes, _ = judge(S13G, lost, quick=True)
    assert (causes.value, causes.verdict) == (None, "not comparable")
    assert judge(S13G, {**one.sides, "first": replace(one.sides["first"], station=None)}, quick=True)[0].value is None


def test_bars_stand_inside_the_picture_with_the_names_of_the_variants(store: Path) -> None:
    (axes,) = plot(judged_anew(store)).axes
    assert isinstance(axes, Axes)
    low, high = sorted(axes.get_ylim())
    assert all(low < bar.get_y() + bar.get_height() / 2 < high for bar in axes.patches)  # type: ignore[attr-defined]
    assert [label.get_text() for label in axes.get_yticklabels()] == S13G.variant_names()
