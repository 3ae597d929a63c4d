"""What a knob may be given, and which points a design makes of it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.errors import InputError
from sim.sweeps.design import points
from sim.sweeps.values import Range, Values, read


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("1,5,20,50", (1, 5, 20, 50)),
        ("5", (5,)),
        ("cloud-ssd, hdd", ("cloud-ssd", "hdd")),
        ("off,2.37e6", ("off", 2_370_000)),
        ("{mean: 1ms, sd: 2ms}, 3ms", ({"mean": "1ms", "sd": "2ms"}, "3ms")),
        ("exp(10s)", ("exp(10s)",)),
        ("exp(10s),exp(20s)", ("exp(10s)", "exp(20s)")),
        ("logspace(1,100,5)", (1, 3.16228, 10, 31.6228, 100)),
        ("log(1, 100, 3)", (1, 10, 100)),
        ("linspace(0.1, 0.3, 3)", (0.1, 0.2, 0.3)),
        ("linear(10ms, 50ms, 3)", ("10ms", "30ms", "50ms")),
        ("log(1ms,1000000ms,2)", ("1ms", "1000000ms")),
        ("int(1,4,3)", (1, 2, 4)),
        ("logint(1,100,5)", (1, 3, 10, 32, 100)),
        ("int(1,3,9)", (1, 2, 3)),
    ],
)
def test_text(text: str, values: tuple[Any, ...]) -> None:
    assert read(text, "a.b") == Values(values)


def test_lists_of_a_caller() -> None:
    assert read([1, 5.0, "off"], "a") == Values((1, 5, "off"))
    assert read(np.array([1.0, 2.5]), "a") == Values((1, 2.5))
    assert read(range(3), "a") == Values((0, 1, 2))
    assert read(7, "a") == Values((7,))
    assert read({"mean": "1ms"}, "a") == Values(({"mean": "1ms"},))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "a.b: an empty range"),
        ("log(100,1,5)", "its low end has to be below"),
        ("log(1,1,5)", "is an empty range"),
        ("log(0,10,5)", "has to be above 0"),
        ("log(1,100,0)", 'gives "0" values'),
        ("log(1,100,1.5)", 'gives "1.5" values'),
        ("logspace(1,100)", "write logspace(low, high, count)"),
        ("log(1)", "write log(low, high, count)"),
        ("logspce(1,100,5)", 'did you mean "logspace"?'),
        ("linear(1ms,2s,3)", 'mixes the units "ms" and "s"'),
        ("linear(a,b,3)", "have to be numbers"),
        ("int(0.5,3)", "have to be whole"),
        ("[1,2", "a.b: line 1: is not YAML"),
    ],
)
def test_refusals(text: str, said: str) -> None:
    with pytest.raises(InputError) as refused:
        read(text, "a.b")
    assert said in str(refused.value)
    assert str(refused.value).startswith("a.b: ")


KINDS = st.sampled_from(["linear", "log", "int", "logint"])


@given(kind=KINDS, low=st.integers(1, 50), span=st.integers(1, 50), share=st.floats(0, 1))
def test_a_range_stays_inside_and_rises(kind: str, low: int, span: int, share: float) -> None:
    space = Range(kind, low, low + span, "", "")
    assert low <= space.at(share) <= low + span
    assert space.at(share / 2) <= space.at(share)
    spread = space.spread(7).values
    assert (spread[0], spread[-1]) == (low, low + span)
    assert list(spread) == sorted(set(spread))


def test_grid_and_points() -> None:
    knobs = {"a": Values((1, 2)), "b": Values(("x", "y"))}
    assert points("grid", knobs, None, 1) == [{"a": 1, "b": "x"}, {"a": 1, "b": "y"}, {"a": 2, "b": "x"}, {"a": 2, "b": "y"}]
    assert points("points", knobs, None, 1) == [{"a": 1, "b": "x"}, {"a": 2, "b": "y"}]


@pytest.mark.parametrize("design", ["lhs", "sobol"])
def test_samples_are_the_same_again_and_fill_the_space(design: Any) -> None:
    knobs = {"rate": read("log(1, 100)", "rate"), "count": read("int(1, 4)", "count"), "disk": read("hdd,nvme", "disk")}
    found = points(design, knobs, 16, 7)
    assert found == points(design, knobs, 16, 7)
    assert found != points(design, knobs, 16, 8)
    rates = sorted(point["rate"] for point in found)
    assert [int(8 * np.log10(rate)) for rate in rates] == list(range(16))  # one in each sixteenth of the logarithm
    assert sorted(point["count"] for point in found) == [1] * 4 + [2] * 4 + [3] * 4 + [4] * 4
    assert sorted(point["disk"] for point in found) == ["hdd"] * 8 + ["nvme"] * 8


@pytest.mark.parametrize(
    ("design", "knobs", "samples", "said"),
    [
        ("grid", {"a": "log(1,100)"}, None, "write log(1,100, 5)"),
        ("grid", {"a": "1,2"}, 5, "counts the points of lhs and sobol"),
        ("points", {"a": "1,2", "b": "1,2,3"}, None, "a has 2, b has 3"),
        ("lhs", {"a": "log(1,100)"}, None, "samples: missing"),
        ("lhs", {"a": "log(1,100)"}, 0, 'samples: "0"'),
        ("lhs", {"a": "1"}, 8, "nothing to sample"),
        ("sobol", {"a": "log(1,100)"}, 10, "8 or 16"),
        ("grid", {"a": "int(1,9999,9999)", "b": "int(1,9999,9999)"}, None, "99,980,001 combinations"),
    ],
)
def test_designs_that_cannot_be(design: Any, knobs: dict[str, str], samples: int | None, said: str) -> None:
    with pytest.raises(InputError) as refused:
        points(design, {path: read(text, path) for path, text in knobs.items()}, samples, 1)
    assert said in str(refused.value)
