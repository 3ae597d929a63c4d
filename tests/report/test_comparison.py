"""Two saved results side by side."""

from __future__ import annotations

import io
import re
from dataclasses import replace
from pathlib import Path

import pytest
from report_sample import run, runs, scenario

from sim.errors import InputError
from sim.report.comparison import Comparison
from sim.report.terminal import ResultConsole
from sim.result import Runs


def printed(comparison: Comparison) -> str:
    console = ResultConsole()
    console.file = io.StringIO()
    comparison.print_to(console)
    return console.file.getvalue()


@pytest.fixture
def results(tmp_path: Path) -> tuple[Path, Path]:
    """The second has another quota and half the leak."""
    first = runs()
    other = {"leaking": run("leaking", keys_per_s2=1.58e-4, keys_per_s=0.05), "fixed": first["fixed"]}
    changed = scenario(etcd={"version": "3.5.33", "members": {"a": {}, "b": {}, "c": {}}, "quota": "8GiB"}, about="another text")
    return first.save(tmp_path / "one"), Runs(changed, 8, other, version="0.1.0").save(tmp_path / "two")


def test_figures_and_what_differs(results: tuple[Path, Path]) -> None:
    text = printed(Comparison.of(*results))
    assert max(map(len, text.splitlines())) <= 100
    assert re.search(r"^seed +7 +8", text, flags=re.MULTILINE)
    assert re.search(r"^etcd\.quota +2GiB +8GiB", text, flags=re.MULTILINE)
    assert re.search(r"etcd\.keys_live +2\.36 M +1\.18 M +x2\.00", text)
    assert re.search(r"etcd\.keys_live +4,350 +4,350 +same", text)
    assert "another text" not in text, "no figure depends on it"


def test_the_json(results: tuple[Path, Path]) -> None:
    found = Comparison.of(*results).to_json()
    assert found["differences"] == [{"path": "etcd.quota", "first": "2GiB", "second": "8GiB"}]
    assert (found["first"]["seed"], found["second"]["seed"]) == (7, 8)
    keys = found["variants"]["leaking"]["metrics"]["etcd.keys_live"]
    assert keys["ratio"] == pytest.approx(keys["first"] / keys["second"])
    assert found["variants"]["fixed"]["metrics"]["etcd.seconds_to_quota"] == {"first": None, "second": None, "ratio": None}


def test_variants_that_only_one_has_are_named(tmp_path: Path) -> None:
    both, one = runs(), runs()
    first = both.save(tmp_path / "one")
    second = Runs(one.scenario, 7, {"fixed": one["fixed"]}).save(tmp_path / "two")
    comparison = Comparison.of(first, second)
    assert comparison.pairs() == [("fixed", "fixed")]
    assert "Only in one of them: leaking (first)" in printed(comparison)


def test_two_single_variants_are_compared_whatever_they_are_called(tmp_path: Path) -> None:
    of = runs()
    first = Runs(of.scenario, 7, {"leaking": of["leaking"]}).save(tmp_path / "one")
    second = Runs(of.scenario, 7, {"fixed": replace(of["fixed"])}).save(tmp_path / "two")
    assert Comparison.of(first, second).pairs() == [("leaking", "fixed")]
    assert "Variant leaking and fixed" in printed(Comparison.of(first, second))


def test_what_is_no_result_is_refused(results: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no summary\.json"):
        Comparison.of(results[0], tmp_path)
