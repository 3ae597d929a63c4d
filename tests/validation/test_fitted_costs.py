"""The fit finds costs again that a simulated measurement was made with, and says how well it fits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from validation.test_compare import MS_BOUNDS, a_load, inputs, measured

from sim.assembly import table
from sim.scenario.device import DeviceProfile
from sim.scenario.load_test import LoadTest
from sim.streams import PROBABILITIES
from sim.validation.fit import as_etcd_saw_it, fit, turn
from sim.validation.inputs import Inputs
from sim.validation.measure import Measured
from sim.validation.predict import predict
from sim.validation.scrape import Buckets, through

TRUE = {"request": 1.3, "entry": 4.0, "apply": 0.6, "save": 2.0}


def as_measured(load: LoadTest, real: Inputs) -> Measured:
    """What a machine would have shown whose costs are `real`."""
    found = predict("3.5.1", load, real, 9, 0, {})
    one = measured(len(found.records), 1, load, **found.figures)
    names = ("etcd.wal_fsync_seconds", "etcd.backend_commit_seconds", "etcd.apply_execution_seconds")
    one.shares["generator"] = 0.0
    one.buckets = {name: through(found.run.distributions[name], MS_BOUNDS) for name in names}
    return one


@pytest.fixture(scope="module")
def rounds() -> dict[str, list[Measured]]:
    real = turn(inputs(), TRUE)
    loads: list[dict[str, Any]] = [{"clients": 1}, {"clients": 32}]
    made = [a_load(**fields, name=f"p{number}", seconds=0.8) for number, fields in enumerate(loads)]
    return {load.name: [as_measured(load, real)] for load in made}


def test_costs_are_found_again(rounds: dict[str, list[Measured]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sim.validation.fit._REQUESTS", 500)
    monkeypatch.setattr("sim.validation.fit._SHORTEST", 0.3)
    monkeypatch.setattr("sim.validation.fit._ROUNDS", 16)
    monkeypatch.setattr("sim.validation.fit._KNOBS", tuple(TRUE))
    found, how = fit("3.5.1", rounds, inputs(), {})
    assert how.knobs["save"] == pytest.approx(TRUE["save"], rel=0.2)
    assert how.knobs["apply"] == pytest.approx(TRUE["apply"], rel=0.3)
    for figures in how.misfit.values():
        assert abs(figures["etcd.requests_per_second"]) < 0.06
        assert abs(figures["etcd.request_seconds.p50"]) < 0.1
    unseen = a_load(clients=12, name="unseen", seconds=0.8, value_bytes=1024)
    real = predict("3.5.1", unseen, turn(inputs(), TRUE), 9, 0, {}).figures["etcd.requests_per_second"]
    said = predict("3.5.1", unseen, found, 1, 0, {}).figures["etcd.requests_per_second"]
    plain = predict("3.5.1", unseen, turn(inputs(), dict.fromkeys(TRUE, 1.0)), 1, 0, {}).figures["etcd.requests_per_second"]
    assert said == pytest.approx(real, rel=0.1)
    assert plain != pytest.approx(real, rel=0.1)  # unfitted it is far off: the fit made the difference
    assert "p0, p1" in found.sources["fitted"]


def test_a_save_is_as_etcd_saw_it_above_its_lowest_bound() -> None:
    """Below 1 ms the probe's shape, above it etcd's shares: the probe's own rare 5 ms are not taken over."""
    probed = table(DeviceProfile.model_validate({"fdatasync": {"quantiles": {0: "100us", 0.9: "300us", 1: "5ms"}}}).fdatasync)
    seen = Buckets((0.001, 0.002, 0.004, 0.008), (960.0, 30.0, 10.0, 0.0, 0.0), 0.3)
    law = table(DeviceProfile.model_validate({"fdatasync": as_etcd_saw_it(probed, seen)}).fdatasync)
    assert float(np.interp(0.96, PROBABILITIES, law)) == pytest.approx(1e6, rel=0.02)
    assert float(np.interp(0.99, PROBABILITIES, law)) == pytest.approx(2e6, rel=0.02)
    assert law.max() == pytest.approx(4e6, rel=0.01)
    assert float(np.interp(0.5, PROBABILITIES, law)) == pytest.approx(float(np.interp(0.5, PROBABILITIES, probed)), rel=0.1)


def test_knobs_are_factors_on_the_defaults() -> None:
    found = turn(inputs(), TRUE)
    assert found.fitted["etcd.costs.request"] == "78us"
    assert found.fitted["etcd.costs.wake"] == "50us"
    assert found.fitted["etcd.costs.handoff"] == "100us"
    assert found.disk.fdatasync.model_dump(mode="json")["quantiles"]["0.5"] == "400us"
    assert found.disk.backend_fdatasync is not None
    assert inputs().disk.backend_fdatasync is None
