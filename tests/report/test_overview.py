"""The picture: every panel, every variant, whatever a run has or lacks."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pandas as pd
import pytest
from matplotlib.colors import to_rgb
from report_sample import run, runs, scenario

from sim.report.overview import COLOURS, _apart, overview, png
from sim.result import Runs


def texts(of: Runs) -> list[str]:
    figure = overview(of)
    found = [text.get_text() for text in figure.texts]
    found += [text.get_text() for legend in figure.legends for text in legend.get_texts()]
    for axes in figure.axes:
        found += [axes.get_title(loc="left"), *(text.get_text() for text in axes.texts)]
    return found


def test_panels_names_values_and_quota() -> None:
    found = texts(runs())
    for expected in (
        "sample", "leaking", "fixed", "seed 7 · 24h simulated · etcd 3.5.33", "Keys live", "WAL bytes written", "Database size",
        "Work queue depth", "Apply latency (log scale)", "2.36 M", "2.26 GB", "quota 2GiB = 2.15 GB", "max 380", "hours",
    ):  # fmt: skip
        assert expected in found


@pytest.mark.parametrize("heights", [[0.5], [0.1, 0.1, 0.12], [0.98, 0.99, 1.0, 1.0], [0.9] * 30, [-0.2, 0.5, 1.3]])
def test_end_labels_stay_beside_their_panel(heights: list[float]) -> None:
    """However many lines there are: rising, apart, and between bottom and top."""
    places = _apart(heights, 0.07)
    assert places[0] >= 0
    assert places[-1] <= 1
    least = min(0.07, 1 / max(len(heights) - 1, 1))
    assert all(after - before >= least - 1e-9 for before, after in pairwise(places))


def test_end_labels_do_not_cover_each_other() -> None:
    """Both variants have the same p50: their labels stand one above the other."""
    figure = overview(runs())
    labels = [text for text in figure.axes[-1].texts if text.get_text().startswith("p")]
    heights = sorted(text.get_window_extent().y0 for text in labels)
    assert len(labels) == 4
    assert all(above - below > 10 for below, above in pairwise(heights))


def test_labels_stay_beside_their_lines_at_any_resolution() -> None:
    """A notebook draws at a resolution of its own."""
    places = []
    for dpi in (50, 300):
        figure = overview(runs())
        figure.set_dpi(dpi)
        axes = figure.axes[0]
        (label,) = [text for text in axes.texts if text.get_text() == "2.36 M"]
        box, end = label.get_window_extent(), axes.transData.transform((24, 2.36e6))
        assert box.y0 < end[1] < box.y1
        places.append(box.y0 / figure.bbox.height)
    assert places[0] == pytest.approx(places[1], abs=0.01)


def test_a_quota_far_above_is_told_not_drawn() -> None:
    found = texts(runs(etcd={"members": {"a": {}}, "quota": "512GiB"}))
    assert "quota 512GiB: far above" in found


def test_the_same_picture_twice_and_another_for_another_run() -> None:
    assert png(overview(runs())) == png(overview(runs()))
    other = Runs(scenario(), 8, runs(), version="0.1.0")
    assert png(overview(other)) != png(overview(runs()))


def test_a_notebook_shows_it() -> None:
    picture = runs().plot()
    assert picture._repr_png_().startswith(b"\x89PNG")  # type: ignore[attr-defined]


def test_what_a_run_lacks_is_said() -> None:
    series = pd.DataFrame({"etcd.keys_live": [1.0, 2.0]}, index=[0.0, 86_400.0])
    bare = replace(runs()["fixed"], windows={}, series=series, metrics={})
    found = texts(Runs(scenario(), 7, {"fixed": bare}))
    assert found.count("not recorded") == 4


@pytest.mark.parametrize(("horizon", "unit"), [(60, "seconds"), (600, "minutes"), (5 * 3600, "hours"), (30 * 86_400, "days")])
def test_time_in_the_unit_that_fits(horizon: float, unit: str) -> None:
    of = Runs(scenario(), 7, {"x": run("x", keys_per_s2=0, keys_per_s=1, horizon=horizon)})
    figure = overview(of)
    assert unit in texts(of)
    for axes in figure.axes:
        assert 3 <= len(axes.get_xticks()) <= 10


def test_colours_differ_for_readers_of_any_colour_vision() -> None:
    """First two variants: told apart by their lightness alone, too."""
    first, second = (sum(w * c for w, c in zip((0.2126, 0.7152, 0.0722), to_rgb(colour), strict=True)) for colour in COLOURS[:2])
    assert abs(first - second) > 0.05
    assert len(set(COLOURS)) == len(COLOURS)
