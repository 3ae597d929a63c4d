"""The installed wheel works as the checkout does: scenarios, device profiles and the schema travel with it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

import sim

pytestmark = pytest.mark.slow

CHECKOUT = Path(__file__).parents[1]


def done(command: list[str | Path], cwd: Path) -> str:
    """Output of a command that must succeed, in an environment that knows nothing of the checkout."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}
    ran = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False, timeout=600)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from the checkout: without isolation where the build backend is installed, so that nothing is downloaded."""
    directory = tmp_path_factory.mktemp("wheel")
    try:
        import hatchling  # noqa: F401

        isolation = ["--no-build-isolation"]
    except ImportError:
        isolation = []
    done([sys.executable, "-m", "pip", "wheel", CHECKOUT, "--no-deps", *isolation, "-w", directory], directory)
    (found,) = directory.glob("etcdsim-*.whl")
    return found


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bin directory of a new environment with the wheel; its dependencies are this environment's."""
    home = tmp_path_factory.mktemp("environment")
    done([sys.executable, "-m", "venv", "--without-pip", home], home)
    scripts = home / ("Scripts" if os.name == "nt" else "bin")
    done([sys.executable, "-m", "pip", "--python", scripts / "python", "install", "--no-deps", "--no-index", wheel], home)
    site = Path(done([scripts / "python", "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], home).strip())
    # A line of a .pth file is only appended: what the wheel brings is found first, and .pth files there (the editable
    # checkout's) are not read.
    (site / "dependencies.pth").write_text(f"{sysconfig.get_path('purelib')}\n{sysconfig.get_path('platlib')}\n")
    where = done([scripts / "python", "-c", "import sim; print(sim.__file__)"], home).strip()
    assert Path(where).is_relative_to(site)
    assert str(CHECKOUT) not in done([scripts / "python", "-c", "import sys; print(*sys.path, sep='\\n')"], home).splitlines()
    return scripts


def test_named_scenarios_and_profiles_travel_with_it(installed: Path, tmp_path: Path) -> None:
    rows = json.loads(done([installed / "etcdsim", "scenarios", "--json"], tmp_path))["scenarios"]
    assert {row["name"]: row["about"] for row in rows} == dict(sim.scenarios())
    assert "zero-value-leak" in done([installed / "etcdsim", "scenarios"], tmp_path)
    profiles = sorted(path.stem for path in (CHECKOUT / "data" / "devices").glob("*.yaml"))
    assert profiles
    for profile in profiles:
        setting = f"etcd.members.a.disk={profile}"
        assert f"disk: {profile}" in done([installed / "etcdsim", "show", "zero-value-leak", "--set", setting], tmp_path)


def test_it_runs_and_answers_what_the_checkout_answers(installed: Path, tmp_path: Path) -> None:
    command = [installed / "etcdsim", "run", "zero-value-leak-small", "--horizon", "2m", "--json", "--out", "result"]
    found = json.loads(done(command, tmp_path))
    ours = json.loads(json.dumps(sim.run(sim.load("zero-value-leak-small").with_({"horizon": "2m"}), workers=1).to_json()))
    for one in (found, ours):
        assert one.pop("wall_seconds") > 0
        assert one.pop("version")  # the checkout's is as old as its installation
    assert found == ours
    assert (tmp_path / "result" / "overview.png").stat().st_size > 10_000
    assert "same" in done([installed / "etcdsim", "compare", "result", "result"], tmp_path)


def test_schema_check_and_metrics_work_outside_of_the_checkout(installed: Path, tmp_path: Path) -> None:
    schema = json.loads(done([installed / "etcdsim", "schema"], tmp_path))
    assert "zero-pod-writer" not in schema
    assert "etcd" in schema["properties"]
    (tmp_path / "mine.yaml").write_text("extends: zero-value-leak-small\netcd: {members: {a: {disk: nvme}}}\n")
    assert "is valid" in done([installed / "etcdsim", "check", "mine.yaml"], tmp_path)
    assert "etcd.keys_created" in done([installed / "etcdsim", "metrics"], tmp_path)


def test_it_is_typed_and_names_its_version(wheel: Path, installed: Path, tmp_path: Path) -> None:
    assert done([installed / "etcdsim", "--version"], tmp_path).split() == ["etcdsim", wheel.name.split("-")[1]]
    code = "from importlib.resources import files; print(files('sim').joinpath('py.typed').is_file())"
    assert done([installed / "python", "-c", code], tmp_path).strip() == "True"
