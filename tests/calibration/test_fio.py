"""fio's JSON, as fio 3.33 wrote it, and jobs that measure something else."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from calibration_sample import DATA
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.calibration.cluster import calibrate
from sim.calibration.fio import read_fio
from sim.calibration.laws import Points, quantile
from sim.calibration.scrape import WAL_FSYNC
from sim.calibration.sources import read_scrape
from sim.errors import InputError
from sim.units import parse_duration

REAL = DATA / "fio-fdatasync.json"


def test_a_real_measurement() -> None:
    found = read_fio(REAL)
    assert (found.samples, found.block_bytes, found.release) == (3647, 2300, "fio-3.33")
    # Median fdatasync 183,296 ns and a mean write of 3,627 ns before it.
    assert quantile(found.law, 0.5) == pytest.approx(186.9e-6, rel=0.001)
    assert found.mean == pytest.approx(231.2e-6, rel=0.001)
    assert found.law.mean == pytest.approx(found.mean, rel=0.05)
    assert found.bandwidth is None
    assert found.turns == 9926745


def test_a_second_job_measures_the_bandwidth(tmp_path: Path) -> None:
    report = json.loads(REAL.read_text())
    sequential = json.loads((DATA / "fio-sequential.json").read_text())
    report["jobs"] += sequential["jobs"]
    path = tmp_path / "both.json"
    path.write_text("fio: a note before the JSON\n" + json.dumps(report))
    assert read_fio(path).bandwidth == sequential["jobs"][0]["write"]["bw_bytes"]


def changed(change: Callable[[Any], None]) -> str:
    report = json.loads(REAL.read_text())
    change(report["jobs"][0])
    return json.dumps(report)


def _option(name: str, value: str) -> Callable[[Any], None]:
    return lambda job: job["job options"].update({name: value})


REFUSED: dict[str, tuple[str, str]] = {
    "not json": ("write: IOPS=4801, BW=18.8MiB/s", "is not JSON .* --output-format=json"),
    "truncated": (REAL.read_text()[:4000], "is not JSON .* truncated"),
    "other json": ('{"a": 1}', "is not a report of fio"),
    "no sync": ((DATA / "fio-sequential.json").read_text(), "no job waits for an fdatasync; run fio --name=etcd"),
    "random": (changed(_option("rw", "randwrite")), 'job "etcd": runs with rw="randwrite"; allowed is write'),
    "read": (changed(_option("rw", "randread")), 'rw="randread"'),
    "libaio": (changed(_option("ioengine", "libaio")), 'ioengine="libaio"; allowed is sync or psync'),
    "every 32": (changed(_option("fdatasync", "32")), 'fdatasync="32"; allowed is 1'),
    "depth": (changed(_option("iodepth", "16")), 'iodepth="16"'),
    "fsync": (
        changed(lambda job: job["job options"].update({"fsync": job["job options"].pop("fdatasync")})),
        "with fsync sync option",
    ),
    "failed": (changed(lambda job: job.update({"error": 28})), "ended with error 28"),
    "few": (changed(lambda job: job["sync"]["lat_ns"].update({"N": 12})), "12 is too few"),
    "percentiles": (changed(lambda job: job["sync"]["lat_ns"].pop("percentile")), "percentile is missing"),
    "falling": (changed(lambda job: job["sync"]["lat_ns"]["percentile"].update({"50.000000": 90000})), "does not rise"),
    "text": (changed(lambda job: job["sync"]["lat_ns"].update({"max": "long"})), "max: 'long' is not a number"),
    "no write": (changed(lambda job: job.update({"write": None})), "mean: None is not a number"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_another_job_is_refused(what: str, tmp_path: Path) -> None:
    text, said = REFUSED[what]
    path = tmp_path / "fio.json"
    path.write_text(text)
    with pytest.raises(InputError, match=said) as refusal:
        read_fio(path)
    assert str(refusal.value).startswith(str(path))
    assert "\n" not in str(refusal.value)


def test_fio_alone_makes_a_profile() -> None:
    found = calibrate(fio=read_fio(REAL))
    assert list(found.etcd) == ["members"]
    assert found.profile["fdatasync"]["quantiles"][0.5] == "186.923us"
    assert any("reciprocal" in one for one in found.remarks)


def test_fio_says_what_the_lowest_bucket_hides() -> None:
    scrape = read_scrape(DATA / "etcd-3.5.1-after.txt.gz").since(read_scrape(DATA / "etcd-3.5.1-before.txt.gz"))
    alone, both = calibrate(scrape), calibrate(scrape, fio=read_fio(REAL))
    histogram = alone.histograms[WAL_FSYNC]
    assert "mixture" in alone.profile["fdatasync"]
    points = both.profile["fdatasync"]["quantiles"]
    assert both.histograms[WAL_FSYNC].mean == pytest.approx(_points(points).mean, rel=1e-3)
    # fio's idle disk scaled by a third, not bent: its p90 stays 1.2 medians.
    assert quantile(_points(points), 0.9) / quantile(_points(points), 0.5) == pytest.approx(225.8 / 186.9, rel=0.1)
    under = [p for p, value in points.items() if value.endswith("us")]
    assert max(under) <= histogram.counts[0] / histogram.count
    assert any("the shape is that of fio-fdatasync.json" in one for one in both.remarks)


def _points(written: dict[float, str]) -> Points:
    return Points(tuple(written), tuple(parse_duration(value) / 1e9 for value in written.values()))


@given(
    at=st.integers(0, 7000), gone=st.integers(0, 60), put=st.sampled_from(["", "null", "-1", '"x"', "{", "[]", "1e999", "}", "NaN"])
)
@settings(max_examples=80, deadline=None)
def test_whatever_happened_to_the_file_it_is_read_or_refused(at: int, gone: int, put: str) -> None:
    text = REAL.read_text()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "fio.json"
        path.write_text(text[:at] + put + text[at + gone :])
        said = str(path)
        try:
            assert read_fio(path).samples > 0
        except InputError as error:
            said = str(error)
        assert said.startswith(str(path))
