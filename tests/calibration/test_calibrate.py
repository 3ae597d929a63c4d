"""The command, end to end: files it writes and scenarios that use them, servers it asks, and what it refuses."""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
from calibration_sample import DATA, MILLISECONDS, TENTHS, drawn, exposition, lognormal
from click.testing import CliRunner, Result

import sim
from sim.calibration import scrape as names
from sim.calibration.histogram import from_sample
from sim.calibration.scrape import parse
from sim.cli.calibrate import calibrate
from sim.errors import InputError
from sim.scenario import load

BEFORE, AFTER = (str(DATA / f"etcd-3.5.1-{which}.txt.gz") for which in ("before", "after"))
REAL = ("--metrics", AFTER, "--metrics-before", BEFORE)


def ran(*arguments: str) -> Result:
    result = CliRunner().invoke(calibrate, arguments)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def refused(*arguments: str) -> str:
    """What the command line prints of a mistake, on its one line."""
    try:
        result = CliRunner().invoke(calibrate, arguments, catch_exceptions=False)
    except InputError as error:
        said = str(error)
    else:
        assert result.exit_code == 2, result.output
        said = result.output.strip().splitlines()[-1]
    assert "\n" not in said
    return said


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("calibrated")
    done = ran(
        *REAL, "-o", str(folder / "mine.yaml"), "--extends", "zero-value-leak-small", "--device", str(folder / "disk.yaml"),
        "--plot", str(folder / "fit.png"),
    )  # fmt: skip
    (folder / "out.txt").write_text(done.output)
    return folder


def test_what_it_writes_is_a_scenario(written: Path) -> None:
    scenario = load(written / "mine.yaml")
    assert scenario.etcd.version == "3.5.1"
    assert list(scenario.etcd.members) == ["a", "b", "c"]
    assert scenario.provenance["etcd.version"].is_ == "measured"
    assert scenario.provenance["etcd.members.a.disk.fdatasync"].source is not None
    assert scenario.provenance["etcd.members.b.disk"].is_ == "assumed"
    assert scenario.etcd.members["a"].profile.backend_fdatasync is not None


def test_a_run_with_it_has_the_fsyncs_that_were_measured(written: Path) -> None:
    scenario = load(written / "mine.yaml").with_({"horizon": "5m"})
    run = sim.run(scenario, variants=["fixed"], workers=1)["fixed"]
    assert run.metrics["etcd.wal_fsync_seconds.p50"] == pytest.approx(0.0003, rel=0.3)


def test_a_file_without_a_scenario_is_extended_by_one(tmp_path: Path) -> None:
    ran(*REAL, "-o", str(tmp_path / "cluster.yaml"))
    mine = tmp_path / "mine.yaml"
    mine.write_text("extends: ./cluster.yaml\nhorizon: 1m\nclients: {load: {clients: 4}}\n")
    scenario = load(mine)
    assert (scenario.etcd.version, list(scenario.etcd.members)) == ("3.5.1", ["a"])


def test_a_scenario_of_the_users_own_is_found_from_where_the_file_lies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine.yaml").write_text("horizon: 1m\netcd: {members: {m0: {}, m1: {}}}\n")
    (tmp_path / "calibrated").mkdir()
    monkeypatch.chdir(tmp_path)
    ran("--fio", str(DATA / "fio-fdatasync.json"), "--extends", "./mine.yaml", "-o", "calibrated/cluster.yaml")
    scenario = load("calibrated/cluster.yaml")
    assert list(scenario.etcd.members) == ["m0", "m1"]
    assert scenario.etcd.members["m1"].profile.source.startswith("fio-fdatasync.json: 3,647 writes of 2300 bytes")


def test_the_device_profile_goes_with_set(written: Path) -> None:
    scenario = load("zero-value-leak-small", {"etcd.members.a.disk": str(written / "disk.yaml")})
    assert "14,975 fsyncs" in scenario.etcd.members["a"].profile.source


def test_written_files_name_no_path(written: Path) -> None:
    for name in ("mine.yaml", "disk.yaml"):
        assert str(DATA) not in (written / name).read_text()
    assert (written / "fit.png").read_bytes().startswith(b"\x89PNG")


def test_the_same_input_the_same_bytes(written: Path, tmp_path: Path) -> None:
    ran(*REAL, "-o", str(tmp_path / "again.yaml"), "--extends", "zero-value-leak-small")
    assert (tmp_path / "again.yaml").read_bytes() == (written / "mine.yaml").read_bytes()


def test_the_report_says_what_is_not_known(written: Path) -> None:
    said = " ".join((written / "out.txt").read_text().split())
    for part in (
        "etcd 3.5.1", "WAL fsync 15.0 k", "What the lowest bucket hides", "97.74%", "Not told apart: independent tail or stalls",
        "Not told apart: one disk for WAL and backend", "Not told apart: apply cost or lock wait",
    ):  # fmt: skip
        assert part in said
    assert max(len(line) for line in (written / "out.txt").read_text().splitlines() if "--set" not in line) <= 100


def test_json() -> None:
    found = json.loads(ran(*REAL, "--json").output)
    fsync = found["histograms"][names.WAL_FSYNC]
    assert fsync["count"] == 14975
    assert fsync["fit"]["accepted"] is True
    assert abs(fsync["fit"]["mean_error"]) < 0.02
    assert found["below"]["share"] == pytest.approx(0.977, abs=0.001)
    assert found["cluster"]["etcd"]["version"] == "3.5.1"
    assert {ridge["name"] for ridge in found["ridges"]} >= {"apply cost or lock wait", "one disk for WAL and backend"}


def test_three_members_give_the_network() -> None:
    random = np.random.default_rng(1)
    # Two messages, each 0.5 ms and an exponential delay of 0.5 ms on average.
    trips = 0.001 + random.exponential(0.0005, 4000) + random.exponential(0.0005, 4000)
    text = exposition({names.WAL_FSYNC: drawn(1), names.RTT: from_sample(trips, TENTHS)}, peers=["b1", "c2"])
    from sim.calibration.cluster import calibrate as calibrated

    found = calibrated(parse(text, "m"))
    assert list(found.etcd["members"]) == ["a", "b", "c"]
    network = sim.scenario.load("zero-value-leak-small", {"etcd.network": found.etcd["network"]}).etcd.network
    assert network.rtt + network.jitter == pytest.approx(2_000_000, rel=0.1)  # the mean
    assert network.jitter == pytest.approx(1_000_000, rel=0.3)  # E3's buckets are wide


def test_apply_cost_without_the_lock() -> None:
    random = np.random.default_rng(2)
    applies = lognormal(random, 30_000, 0.00004, 0.5)
    waits = random.random(30_000) < 0.02
    applies[waits] += lognormal(random, int(waits.sum()), 0.004, 0.5)
    commits = from_sample(lognormal(random, 600, 0.006, 0.3), MILLISECONDS)
    bounds = tuple(0.0001 * 2**i for i in range(20))
    text = exposition({names.WAL_FSYNC: drawn(1), names.COMMIT: commits, names.APPLY: from_sample(applies, bounds)})
    from sim.calibration.cluster import calibrate as calibrated

    cost = calibrated(parse(text, "m")).etcd["costs"]["apply"]
    assert float(cost["median"].removesuffix("us")) == pytest.approx(40, rel=0.15)
    assert float(cost["p99"].removesuffix("us")) == pytest.approx(128, rel=0.35)


class _Server(ThreadingHTTPServer):
    answers: dict[str, tuple[int, bytes]]
    asked: list[str]


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        status, body = self.server.answers.get(urlsplit(self.path).path, (404, b"404 page not found\n"))
        self.send_response(status)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextmanager
def serving(answers: dict[str, tuple[int, bytes]]) -> Iterator[tuple[str, _Server]]:
    server = _Server(("127.0.0.1", 0), _Handler)
    server.answers, server.asked = answers, []
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_a_member_is_scraped() -> None:
    text = gzip.decompress(Path(AFTER).read_bytes())
    with serving({"/metrics": (200, text)}) as (url, server):
        found = json.loads(ran("--endpoint", url, "--json").output)
        assert server.asked == ["/metrics"]
    assert found["etcd_version"] == "3.5.1"
    assert found["seconds"] > 10


def test_a_member_is_scraped_for_a_while() -> None:
    with serving({"/metrics": (200, exposition({names.WAL_FSYNC: drawn(1)}).encode())}) as (url, server):
        said = refused("--endpoint", url, "--for", "300ms", "--every", "100ms")
        assert len(server.asked) == 4
    assert "holds 0 observations since" in said


def prometheus(scrapes: int = 60, members: int = 1) -> bytes:
    """The answer to a range query over scrapes of a member whose fsyncs stall in time."""
    random = np.random.default_rng(3)
    result = []
    for member in range(members):
        series: dict[str, dict[str, Any]] = {}
        total = drawn(9)
        for at in range(scrapes):
            values = lognormal(random, 800, 0.0012, 0.4)
            stalls = random.poisson(0.5)
            total = total.plus(from_sample(np.append(values, np.full(stalls, 0.2)), MILLISECONDS))
            parsed = parse(exposition({names.WAL_FSYNC: total}), "m")
            for name, found in parsed.samples.items():
                for labels, value in found.items():
                    own = {**dict(labels), "__name__": name, "instance": f"10.0.0.{member}:2379", "job": "etcd", "cluster": "x"}
                    one = series.setdefault(repr(sorted(own.items())), {"metric": own, "values": []})
                    one["values"].append([1_700_000_000 + 15.0 * at, f"{value:.17g}"])
        result += series.values()
    return json.dumps({"status": "success", "data": {"resultType": "matrix", "result": result}}).encode()


def test_a_prometheus_server_is_asked() -> None:
    with serving({"/api/v1/query": (200, prometheus())}) as (url, server):
        found = json.loads(ran("--prometheus", url, "--window", "15m", "--json").output)
        query = parse_qs(urlsplit(server.asked[0]).query)["query"][0]
    assert query.endswith("[900s]")
    assert "etcd_disk_wal_fsync_duration_seconds_(bucket|sum|count)" in query
    assert found["histograms"][names.WAL_FSYNC]["count"] == pytest.approx(59 * 800, rel=0.01)
    assert found["seconds"] == pytest.approx(59 * 15)
    assert found["stalls"]["slow"] == pytest.approx(30, abs=16)


PROMETHEUS_REFUSED = {
    "two members": ((200, prometheus(2, 2)), r"has 2 members; choose one with --instance: 10\.0\.0\.0:2379, 10\.0\.0\.1:2379"),
    "nothing": (
        (200, b'{"status": "success", "data": {"result": []}}'),
        "has no etcd_disk_wal_fsync_duration_seconds in the last 1h",
    ),
    "an error": ((400, b'{"status": "error", "error": "parse error"}'), "answers 400 Bad Request: parse error"),
    "not prometheus": ((200, b"<html>"), "does not answer as a Prometheus server does"),
    "other json": ((200, b'{"status": "success", "data": {"result": [{"value": 1}]}}'), "is not that of a Prometheus server"),
}


@pytest.mark.parametrize("what", PROMETHEUS_REFUSED)
def test_a_prometheus_server_that_cannot_answer(what: str) -> None:
    import re

    answer, said = PROMETHEUS_REFUSED[what]
    with serving({"/api/v1/query": answer}) as (url, _):
        assert re.search(said, refused("--prometheus", url))


def test_a_series_of_files(tmp_path: Path) -> None:
    total = drawn(1)
    for at in range(4):
        (tmp_path / f"scrape-2026010{1 + at}T000000.txt").write_text(exposition({names.WAL_FSYNC: total}))
        total = total.plus(drawn(at + 2, slow=0.001))
    found = json.loads(ran("--series", str(tmp_path), "--json").output)
    assert found["seconds"] == 3 * 86_400
    assert found["stalls"]["intervals"] == 3
    files = sorted(str(path) for path in tmp_path.iterdir())
    found = json.loads(ran("--series", *files, "--every", "15s", "--json").output)
    assert found["seconds"] == 45


def _mistakes(folder: Path) -> dict[str, tuple[list[str], str]]:
    (folder / "taken.yaml").write_text("x")
    (folder / "cut.txt.gz").write_bytes(Path(AFTER).read_bytes()[:5000])
    (folder / "cut.txt").write_bytes(gzip.decompress(Path(AFTER).read_bytes())[:50_000])
    (folder / "binary.txt").write_bytes(b"\xff\xfe\x00")
    for name in ("one.txt", "two.txt"):
        (folder / name).write_text(exposition({names.WAL_FSYNC: drawn(1)}))
    (folder / "few.txt").write_text(exposition({names.WAL_FSYNC: drawn(1, 5)}))
    return {
        "nothing": ([], "nothing to calibrate from; give --metrics"),
        "two sources": (["--metrics", AFTER, "--endpoint", "http://x"], "--metrics and --endpoint: give one of them"),
        "before alone": (["--fio", "x", "--metrics-before", BEFORE], "--metrics-before: is given without --metrics"),
        "no file": (["--metrics", "nowhere.txt"], "nowhere.txt: no such file"),
        "a directory": (["--metrics", str(folder)], "is a directory"),
        "cut gzip": (["--metrics", str(folder / "cut.txt.gz")], "gzip that ends early"),
        "cut text": (["--metrics", str(folder / "cut.txt")], "truncated"),
        "not text": (["--metrics", str(folder / "binary.txt")], "is not text"),
        "swapped": (["--metrics", BEFORE, "--metrics-before", AFTER], "wrong order"),
        "itself": (["--metrics", AFTER, "--metrics-before", AFTER], "holds 0 observations since"),
        "few": (["--metrics", str(folder / "few.txt")], "holds 5 observations; at least 20"),
        "url": (["--endpoint", "127.0.0.1:2379"], 'endpoint: "127.0.0.1:2379" is not a URL such as http://127.0.0.1:2379'),
        "unreachable": (["--endpoint", "http://127.0.0.1:1"], "cannot be reached"),
        "window": (["--prometheus", "http://x", "--window", "soon"], '"soon" is not a duration'),
        "below zero": (["--prometheus", "http://x", "--window", "0s"], "is not above zero"),
        "two scrapes": (["--series", str(folder / "one.txt"), str(folder / "two.txt")], "2 scrapes cannot show"),
        "lost file": ([AFTER], "is given without an option"),
        "every": (["--metrics", AFTER, "--every", "15s"], "--every: is given without --series"),
        "for": (["--metrics", AFTER, "--for", "15s"], "--for: is given without --endpoint"),
        "cert": (["--metrics", AFTER, "--cert", "c.pem"], "cert and key: one without the other"),
        "no such scenario": ([*REAL, "--extends", "zero-value-leek"], 'did you mean "zero-value-leak'),
        "exists": ([*REAL, "-o", str(folder / "taken.yaml")], "exists; name another file"),
        "ending": ([*REAL, "-o", str(folder / "x.txt")], "ends in .txt; allowed is .yaml, .yml"),
        "picture": ([*REAL, "--plot", str(folder / "x.doc")], "ends in .doc; allowed is .png, .svg, .pdf"),
        "no folder": ([*REAL, "-o", str(folder / "no" / "x.yaml")], "there is no directory"),
    }


MISTAKES = (
    "nothing", "two sources", "before alone", "no file", "a directory", "cut gzip", "cut text", "not text", "swapped", "itself",
    "few", "url", "unreachable", "window", "below zero", "two scrapes", "lost file", "every", "for", "cert", "no such scenario",
    "exists", "ending", "picture", "no folder",
)  # fmt: skip


@pytest.mark.parametrize("what", MISTAKES)
def test_mistakes_are_one_line(what: str, tmp_path: Path) -> None:
    arguments, said = _mistakes(tmp_path)[what]
    before = sorted(path.name for path in tmp_path.iterdir())
    assert said in refused(*arguments)
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_a_server_error_is_told() -> None:
    with serving({}) as (url, _):
        assert "answers 404" in refused("--endpoint", url)
    with serving({"/metrics": (200, b"apiserver_request_total 4\n")}) as (url, _):
        assert "is not of etcd" in refused("--endpoint", url)
