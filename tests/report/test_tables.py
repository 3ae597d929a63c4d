"""The tables of a result: as pandas, and as `etcdsim run` prints them."""

from __future__ import annotations

import io
import re

import pytest
from report_sample import run, runs

from sim.report.terminal import ResultConsole, print_run
from sim.result import Runs


def printed(of: Runs) -> str:
    console = ResultConsole()
    console.file = io.StringIO()
    print_run(of, console)
    return console.file.getvalue()


def row(text: str, figure: str) -> str:
    (found,) = re.findall(rf"^ *{re.escape(figure)} .*$", text, flags=re.MULTILINE)
    return re.sub(r" {2,}", " | ", found.strip())


@pytest.fixture(scope="module")
def text() -> str:
    return printed(runs())


def test_it_fits_into_100_columns_without_colour(text: str) -> None:
    assert max(map(len, text.splitlines())) <= 100
    assert "\x1b" not in text


def test_a_row_has_variants_ratio_reference_and_what_it_is(text: str) -> None:
    assert re.fullmatch(r"etcd.keys_created \| 2.37 M \| 8,850 \| x268 2.37 M / - fitted", row(text, "etcd.keys_created"))
    assert re.fullmatch(r"etcd.wal_bytes_written \| 2.26 GB \| 136 MB \| x16.6 \| x17 assumed", row(text, "etcd.wal_bytes_written"))
    assert "- / 189" in row(text, "etcd.keys_created_per_hour")
    assert "1.80 s / -" in row(text, "etcd.apply_seconds.max")


def test_what_is_extrapolated_or_never_comes_is_said(text: str) -> None:
    assert re.search(r"25\.1 h +never", row(text, "etcd.seconds_to_quota").replace(" | ", "  "))
    assert re.search(r"^ +extrapolated *$", text, flags=re.MULTILINE)


def test_groups_stand_in_the_order_of_the_design(text: str) -> None:
    groups = ["keys", "WAL", "apply", "disk", "compaction", "database", "API server and etcd's clients", "controllers"]
    places = [re.search(rf"^{re.escape(group)} *$", text, flags=re.MULTILINE) for group in groups]
    starts = [place.start() for place in places if place]
    assert len(starts) == len(groups)
    assert starts == sorted(starts)


def test_who_did_it(text: str) -> None:
    part = text[text.index("Who did it") :]
    writer = re.search(r"zero-pod-writer +(.*)", part)
    assert writer is not None
    assert writer[1].split() == ["2.36", "M", "2.36", "M", "2.13", "GB", "91.0%", "4,350", "4,350", "3.92", "MB", "2.00%"]
    assert part.index("leader-elections") < part.index("pod-churn"), "who puts more stands first"


def test_incidents_objectives_and_parameters(text: str) -> None:
    assert re.search(r"17h34m12s leaking quota half of the quota is used", text)
    assert re.search(r"pass quota +fixed +etcd.seconds_to_quota +never at least 30 d", text)
    assert re.search(r"fitted\n +etcd.quota = 2GiB: etcd.keys_created: 2.37 million", text)
    assert re.search(r"assumed\n +background.nodes = 3: decides", text)
    assert "24 hours" not in text, "what the article says is no assumption"


def test_a_failed_objective_is_seen_without_colour() -> None:
    text = printed(runs(objectives={"few": {"figure": "etcd.keys_live", "max": 1000, "variant": "leaking"}}))
    assert re.search(r"FAIL few +leaking +etcd.keys_live +2.36 M at most 1,000 x0\.000", text)


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_any_number_of_variants_fits(count: int) -> None:
    names = [f"a-variant-{number}" for number in range(count)]
    made = {name: run(name, keys_per_s2=1e-5, keys_per_s=0.05) for name in names}
    of = Runs(runs(reference={}, objectives={}).scenario, 7, made, version="0.1.0")
    text = printed(of)
    assert max(map(len, text.splitlines())) <= 100
    for name in names:
        assert name in text
    assert bool(re.search(r"^figure .* ratio is", text, flags=re.MULTILINE)) == (count == 2)


def test_many_incidents_are_counted() -> None:
    one = runs()["leaking"]
    crowded = Runs(runs().scenario, 7, {"leaking": type(one)(**{**vars(one), "incidents": one.incidents * 50})}, version="0.1.0")
    assert "and 30 more" in printed(crowded)


def test_notes_of_a_scenario_are_printed() -> None:
    of = runs()
    assert "cannot be true together" not in printed(of)

    class Noted:
        notes = ("27.3/s times 86,400 s is 2.359 million, not 2.37 million",)

        def __getattr__(self, name: str) -> object:
            return getattr(of.scenario, name)

    import sim.report.terminal as terminal

    console = ResultConsole()
    console.file = io.StringIO()
    noted = Runs(Noted(), 7, dict(of), version="0.1.0")  # type: ignore[arg-type]
    terminal._print_notes(noted, console)
    assert "What cannot be true together\n  - 27.3/s times" in console.file.getvalue()


def test_the_summary_as_pandas() -> None:
    table = runs().summary
    assert list(table.columns) == [
        "leaking", "fixed", "ratio", "reference.leaking", "reference.fixed", "reference.ratio", "is", "unit",
    ]  # fmt: skip
    keys = table.loc["etcd.keys_live"]
    assert keys["ratio"] == pytest.approx(keys["leaking"] / keys["fixed"])
    assert table.loc["etcd.keys_created", "reference.leaking"] == 2.37e6
    assert table.loc["etcd.keys_created", ["is", "unit"]].tolist() == ["fitted", "keys"]
    assert not any(name.startswith(("members.", "controllers.")) for name in table.index)


def test_writers_and_incidents_as_pandas() -> None:
    of = runs()
    assert of.writers.index.tolist() == ["zero-pod-writer", "leader-elections", "pod-churn"]
    assert of.writers.loc["pod-churn", ("fixed", "puts")] == 9000
    assert of.incidents.iloc[0].tolist() == ["leaking", 63_252.0, "quota", "half of the quota is used"]
