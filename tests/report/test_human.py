"""Values as people say them."""

from __future__ import annotations

import pytest

from sim.errors import InputError
from sim.report.human import brief, clock, factor, horizon, human, quantity


@pytest.mark.parametrize(
    ("value", "unit", "said"),
    [
        (1_410_000, "keys", "1.41 M"), (2_370_000.0, "keys", "2.37 M"), (4536, "keys", "4,536"), (9_999, "keys", "9,999"),
        (10_000, "keys", "10.0 k"), (999_960, "keys", "1.00 M"), (27.43, "1/h", "27.4"), (0.5, "", "0.50"), (0, "keys", "0"),
        (818e6, "bytes", "818 MB"), (2**31, "bytes", "2.15 GB"), (999.7, "bytes", "1.00 kB"), (600, "bytes", "600 B"),
        (0.0123, "seconds", "12.3 ms"), (90_360, "seconds", "25.1 h"), (118e-6, "seconds", "118 us"), (90, "seconds", "90.0 s"),
        (3_600, "seconds", "60.0 min"), (0.9996, "seconds", "1.00 s"), (30 * 86_400, "seconds", "30.0 d"), (0, "seconds", "0 s"),
        (5e-9, "seconds", "5.00 ns"), (0.432, "share", "43.2%"), (-3, "keys", "-3"),
        (None, "seconds", "-"), (float("nan"), "keys", "-"),
    ],
)  # fmt: skip
def test_three_digits_and_the_unit_that_fits(value: float | None, unit: str, said: str) -> None:
    assert human(value, unit) == said


def test_limits_and_ticks_have_no_idle_digits() -> None:
    assert [brief(30 * 86_400, "seconds"), brief(1.5e6, "keys"), brief(500e6, "bytes")] == ["30 d", "1.5 M", "500 MB"]


@pytest.mark.parametrize(
    ("ratio", "said"), [(522.3, "x522"), (17.2, "x17.2"), (1, "x1.00"), (0.0312, "x0.031"), (1e6, "x1.00 M"), (None, "-")]
)
def test_ratios(ratio: float | None, said: str) -> None:
    assert factor(ratio) == said


def test_times_of_a_run() -> None:
    assert clock(63_252) == " 17h34m12s"
    assert [horizon(86_400), horizon(8_640), horizon(90)] == ["24h", "2h24m", "1m30s"]


def test_values_as_a_scenario_writes_them() -> None:
    assert [quantity("1.8s", "seconds"), quantity("2GiB", "bytes"), quantity(189, "1/h"), quantity("17", "")] == [
        1.8, 2**31, 189, 17,
    ]  # fmt: skip
    for wrong in ("fast", True, None, [1]):
        with pytest.raises(InputError):
            quantity(wrong, "seconds")
