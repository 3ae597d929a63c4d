"""Device profiles: those of the package say where they are from; a user's own is read by path."""

from __future__ import annotations

from pathlib import Path

import pytest

from sim import data
from sim.errors import InputError
from sim.scenario import load_profile, profiles
from sim.scenario.distribution import Gamma
from sim.units import MICROSECOND

NAMES = [name for name, _ in profiles()]


def test_the_package_has_profiles() -> None:
    assert {"cloud-ssd", "nvme", "sata-ssd", "hdd", "sd-card"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_profile_says_what_it_is_and_where_its_figures_are_from(name: str) -> None:
    profile = load_profile(name)
    assert profile.about
    assert profile.source.startswith(("published", "assumed", "measured"))
    assert profile.bandwidth > 0


def test_the_cloud_ssd_is_the_published_gp3() -> None:
    assert load_profile("cloud-ssd").fdatasync == Gamma(mean="700us", sd="240us")
    assert load_profile("cloud-ssd").bandwidth == 125_000_000


def test_a_profile_by_path_is_relative_to_its_folder(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("fdatasync: 500us\nmeasured: 2024-05-01 on my desk\nbandwidth: 200MB/s\n")
    mine = load_profile("./mine.yaml", relative_to=tmp_path)
    assert mine.measured == "2024-05-01 on my desk"
    assert mine.fdatasync.model_dump() == "500us"
    assert load_profile(mine) is mine
    assert load_profile(tmp_path / "mine.yaml") == mine


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("fdatasync: soon\n", './x.yaml: fdatasync: "soon" is not a duration; write 300ms, 5m, 1h30m or a number of seconds, or '),
        ("about: x\n", "./x.yaml: fdatasync: missing; it is required"),
        ("fdatasync: 1ms\nfsync: 1ms\n", './x.yaml: fsync: unknown key; did you mean "fdatasync"?'),
        ("fdatasync: 1ms\nbandwidth: 0\n", './x.yaml: bandwidth: "0" is not a bandwidth above zero; '),
        ("fdatasync: [", "./x.yaml: line 1: is not YAML: "),
    ],
)
def test_a_bad_profile_is_refused_in_one_line(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text(text)
    with pytest.raises(InputError) as refused:
        load_profile("./x.yaml", relative_to=tmp_path)
    assert str(refused.value).startswith(message)
    assert "\n" not in str(refused.value)


def test_an_unknown_profile_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(InputError, match=r'^"cloud-sdd" is not a known device profile; did you mean "cloud-ssd"\?$'):
        load_profile("cloud-sdd")


def test_the_data_is_found_in_a_checkout_and_when_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert data.file("devices", "nvme").is_file()
    (tmp_path / "data" / "devices").mkdir(parents=True)
    (tmp_path / "data" / "devices" / "only.yaml").write_text("fdatasync: 1ms\n")
    monkeypatch.setattr(data, "_PLACES", (tmp_path / "data", tmp_path.parent / "data"))
    assert data.names("devices") == ["only"]
    assert load_profile("only").fdatasync.model_dump() == f"{1000 * MICROSECOND // 1_000_000}ms"
    with pytest.raises(FileNotFoundError, match="the installation is incomplete"):
        data.folder("scenarios")
