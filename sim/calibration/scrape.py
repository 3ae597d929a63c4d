"""What a member of etcd showed on /metrics, and the difference of two such scrapes.

The text is Prometheus' exposition format 0.0.4. Nothing is guessed from a text that may be incomplete: etcd writes its
families in alphabetical order and ends with those of the process, so a text that stops before is refused, as are other
programs and other releases.

Source: prometheus.io/docs/instrumenting/exposition_formats; etcd's names: server/storage/wal/metrics.go, backend/metrics.go,
etcdserver/metrics.go, api/rafthttp/metrics.go.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from sim.calibration.histogram import Histogram, from_cumulative
from sim.errors import InputError
from sim.scenario.etcd import KNOWN_MINORS

WAL_FSYNC: Final = "etcd_disk_wal_fsync_duration_seconds"
COMMIT: Final = "etcd_disk_backend_commit_duration_seconds"
REBALANCE: Final = "etcd_debugging_disk_backend_commit_rebalance_duration_seconds"
SPILL: Final = "etcd_debugging_disk_backend_commit_spill_duration_seconds"
WRITE: Final = "etcd_debugging_disk_backend_commit_write_duration_seconds"
RTT: Final = "etcd_network_peer_round_trip_time_seconds"
APPLY: Final = "etcd_server_apply_duration_seconds"
VERSION: Final = "etcd_server_version"
CLUSTER_VERSION: Final = "etcd_cluster_version"
WAL_BYTES: Final = "etcd_disk_wal_write_bytes_total"
PUTS: Final = "etcd_mvcc_put_total"
PUT_BYTES: Final = "etcd_debugging_mvcc_total_put_size_in_bytes"
QUOTA: Final = "etcd_server_quota_backend_bytes"
STARTED: Final = "process_start_time_seconds"
LAST_GC: Final = "go_memstats_last_gc_time_seconds"
SERVER_ID: Final = "etcd_server_id"

Labels = tuple[tuple[str, str], ...]
Samples = Mapping[str, Mapping[Labels, float]]

_NAME: Final = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_LABEL: Final = re.compile(r'\s*([a-zA-Z_][a-zA-Z0-9_]*)\s*=\s*"((?:[^"\\]|\\.)*)"\s*(,|$)')
_RELEASE: Final = re.compile(r"(\d+)\.(\d+)(?:\.(\d+))?")
_OF_MEMBERS: Final = ("etcd_disk_", "etcd_server_", "etcd_cluster_version", "etcd_debugging_", "etcd_mvcc_")
_LAST_OF_ETCD: Final = "etcd_snap"
_LAST_OF_ALL: Final = ("process_", "promhttp_")
_OTHERS: Final = (
    ("apiserver_", "kube-apiserver"), ("scheduler_", "kube-scheduler"), ("kubelet_", "kubelet"), ("node_", "node_exporter"),
    ("prometheus_", "Prometheus itself"), ("coredns_", "CoreDNS"), ("container_", "cAdvisor"), ("workqueue_", "a controller"),
)  # fmt: skip


@dataclass(frozen=True)
class Scrape:
    """What one member showed at one moment, or between two: version, member id, samples by name and labels.

    version: release, such as "3.5.1", or "3.5" where only the cluster's version is known; taken: Unix seconds, where known;
    before: the earlier moment, if this is a difference.
    """

    called: str
    version: str
    member: str
    samples: Samples
    taken: float | None = None
    before: Scrape | None = None

    def histogram(self, name: str, **labels: str) -> Histogram | None:
        """The histogram of that name, summed over all series that have these labels; None where there is none.

        Raises InputError for one that is incomplete or impossible.
        """
        now = self._histogram(name, labels)
        if now is None or self.before is None:
            return now
        then = self.before._histogram(name, labels)
        if then is None:
            return now
        try:
            return now.minus(then)
        except ValueError as error:
            raise InputError(
                f"{self.called}: {name} {error} since {self.before.called} ({then.count:,} to {now.count:,} observations); "
                "the member was restarted between them, or they are given in the wrong order"
            ) from None

    def value(self, name: str) -> float | None:
        """A gauge: the sum over its series at the later moment."""
        series = self.samples.get(name)
        return None if not series else sum(series.values())

    def increase(self, name: str) -> float | None:
        """How much a counter, or a gauge that only rises, grew; since the process began where there is no earlier moment."""
        now = self.value(name)
        if now is None or self.before is None:
            return now
        return now - (self.before.value(name) or 0.0)

    def labels(self, name: str, label: str) -> list[str]:
        """The values of a label, sorted."""
        found = {dict(labels).get(label) for labels in self.samples.get(name, {})}
        return sorted(value for value in found if value is not None)

    @property
    def seconds(self) -> float | None:
        """How long was observed. Of one scrape without its time the last garbage collection tells it, late by at most two
        minutes."""
        ends = self._at
        if self.before is not None:
            begins = self.before._at
        else:
            begins = self.value(STARTED)
        return None if ends is None or begins is None or ends <= begins else ends - begins

    @property
    def _at(self) -> float | None:
        return self.taken if self.taken is not None else self.value(LAST_GC)

    def since(self, before: Scrape) -> Scrape:
        """What happened between `before` and this one. Raises InputError if they are not of one run of one member."""
        if self.member and before.member and self.member != before.member:
            raise InputError(
                f"{self.called}: is of member {self.member}, but {before.called} is of member {before.member}; "
                "a difference needs two scrapes of one member"
            )
        if self.version != before.version:
            raise InputError(
                f"{self.called}: is of etcd {self.version}, but {before.called} is of etcd {before.version}; "
                "the member was replaced between them"
            )
        now, then = self.value(STARTED), before.value(STARTED)
        if now is not None and then is not None and abs(now - then) > 1:
            raise InputError(
                f"{self.called}: the process began at {now:.0f} (Unix seconds), but in {before.called} at {then:.0f}; the "
                "member was restarted between them, or they are given in the wrong order"
            )
        made = replace(self, before=before)
        made.histogram(WAL_FSYNC)
        return made

    def _histogram(self, name: str, labels: Mapping[str, str]) -> Histogram | None:
        total: Histogram | None = None
        for series, cumulative in _buckets(self.samples, name, labels, self.called).items():
            where = f"{self.called}: {name}{_braces(series)}"
            added = self.samples.get(f"{name}_sum", {}).get(series)
            count = self.samples.get(f"{name}_count", {}).get(series)
            if added is None or count is None:
                raise InputError(
                    f"{where}: its _{'sum' if added is None else 'count'} is missing; the text is truncated, or filtered too far"
                )
            one = from_cumulative(sorted(cumulative), added, where)
            if one.count != count:
                raise InputError(f"{where}: its buckets hold {one.count:,} observations, its _count says {count:,.0f}")
            try:
                total = one if total is None else total.plus(one)
            except ValueError as error:
                raise InputError(f"{where}: {error} than its other series") from None
        return total


def parse(text: str, called: str, taken: float | None = None) -> Scrape:
    """The scrape in a text. Raises InputError for what is no whole scrape of an etcd that is known, 3.4 to 3.7."""
    begins = text[:200].lstrip().lower()
    if not begins:
        raise InputError(f"{called}: is empty; a scrape is the text that etcd shows at /metrics")
    if begins.startswith(("<", "{", "[")):
        what = "an HTML page" if begins.startswith("<") else "JSON"
        raise InputError(f"{called}: is {what}, not the text that etcd shows at /metrics")
    samples, families = _read(text, called)
    scrape = of_samples(samples, called, taken)
    _check_whole(families, called)
    return scrape


def of_samples(samples: Samples, called: str, taken: float | None = None) -> Scrape:
    """The scrape with these samples. Raises InputError if they are not of an etcd that is known."""
    if not any(name.startswith(_OF_MEMBERS) for name in samples):
        raise InputError(f"{called}: is not of etcd: {_whose(samples)}")
    version = _version(samples, called)
    if f"{WAL_FSYNC}_bucket" not in samples:
        raise InputError(f"{called}: {WAL_FSYNC} is missing; the text is truncated, or filtered too far")
    ids = [dict(labels).get("server_id", "") for labels in samples.get(SERVER_ID, {})]
    return Scrape(called, version, ids[0] if ids else "", samples, taken)


def _version(samples: Samples, called: str) -> str:
    for name, label in ((VERSION, "server_version"), (CLUSTER_VERSION, "cluster_version")):
        for labels, value in samples.get(name, {}).items():
            text = dict(labels).get(label, "")
            match = _RELEASE.match(text)
            if value != 1 or match is None:
                continue
            if int(match[1]) != 3 or int(match[2]) not in KNOWN_MINORS:
                raise InputError(f"{called}: is of etcd {text}; what its metrics mean is known for 3.4 to 3.{KNOWN_MINORS[-1]}")
            return match[0]
    raise InputError(f"{called}: {VERSION} is missing; the text is truncated, or filtered too far")


def _read(text: str, called: str) -> tuple[dict[str, dict[Labels, float]], list[str]]:
    """Samples by name and labels, and the announced families in their order."""
    samples: dict[str, dict[Labels, float]] = {}
    families: list[str] = []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        if line.startswith("#"):
            words = line.split(None, 3)
            if len(words) > 2 and words[1] in ("HELP", "TYPE") and (not families or families[-1] != words[2]):
                families.append(words[2])
            continue
        try:
            name, labels, value = _sample(line)
        except ValueError as error:
            cut = "" if text.endswith("\n") or number < text.count("\n") + 1 else "; the text is truncated"
            raise InputError(f"{called}: line {number}: {_short(line)} is not a sample: {error}{cut}") from None
        if labels in samples.setdefault(name, {}):
            raise InputError(
                f"{called}: line {number}: {name}{_braces(labels)} stands there twice; the text holds more than one scrape"
            )
        samples[name][labels] = value
    return samples, families


def _sample(line: str) -> tuple[str, Labels, float]:
    name = _NAME.match(line)
    if name is None:
        raise ValueError("it does not begin with a name")
    rest = line[name.end() :]
    labels: list[tuple[str, str]] = []
    if rest.startswith("{"):
        inside, closed, rest = _braced(rest)
        if not closed:
            raise ValueError("its labels do not end")
        at = 0
        while at < len(inside.rstrip().rstrip(",")):
            one = _LABEL.match(inside, at)
            if one is None:
                raise ValueError('its labels are not name="value"')
            labels.append((one[1], one[2].replace(r"\"", '"').replace(r"\n", "\n").replace("\\\\", "\\")))
            at = one.end()
    words = rest.split()
    if not 1 <= len(words) <= 2:
        raise ValueError("it has no value" if not words else "more follows its value")
    try:
        return name[0], tuple(sorted(labels)), float(words[0])
    except ValueError:
        raise ValueError(f"{_short(words[0])} is not a number") from None


def _braced(text: str) -> tuple[str, bool, str]:
    """What stands in braces, whether they close, and what follows; a brace inside quotes does not count."""
    quoted = escaped = False
    for at, letter in enumerate(text):
        if escaped:
            escaped = False
        elif letter == "\\":
            escaped = quoted
        elif letter == '"':
            quoted = not quoted
        elif letter == "}" and not quoted:
            return text[1:at], True, text[at + 1 :]
    return text[1:], False, ""


def _check_whole(families: list[str], called: str) -> None:
    """etcd's families come in alphabetical order and end with the process' own; a filtered text has at least all of etcd's."""
    if not families:
        return  # filtered by hand: the samples that are needed were found
    last = families[-1]
    foreign = any(not name.startswith("etcd_") for name in families)
    if foreign and not last.startswith(_LAST_OF_ALL):
        raise InputError(f"{called}: ends at {last}; a whole scrape ends with process_ or promhttp_, so the text is truncated")
    if not foreign and last < _LAST_OF_ETCD:
        raise InputError(f"{called}: ends at {last}; etcd shows more after it: the text is truncated, or filtered too far")


def _whose(samples: Iterable[str]) -> str:
    names = list(samples)
    if not names:
        return "it has no samples"
    for prefix, program in _OTHERS:
        if any(name.startswith(prefix) for name in names):
            return f"it has {prefix}* as {program} shows them"
    return f"it has {names[0]}, but neither {VERSION} nor etcd_disk_*"


def _buckets(samples: Samples, name: str, labels: Mapping[str, str], called: str) -> dict[Labels, list[tuple[float, float]]]:
    """Series to its cumulative buckets (bound, count)."""
    found: dict[Labels, list[tuple[float, float]]] = {}
    for all_labels, count in samples.get(f"{name}_bucket", {}).items():
        have = dict(all_labels)
        if "le" in have and all(have.get(key) == value for key, value in labels.items()):
            series = tuple(pair for pair in all_labels if pair[0] != "le")
            try:
                bound = float(have["le"])
            except ValueError:
                raise InputError(f'{called}: {name}: le="{have["le"]}" is not the bound of a bucket in seconds') from None
            found.setdefault(series, []).append((bound, count))
    return found


def _braces(labels: Labels) -> str:
    return "{" + ",".join(f'{key}="{value}"' for key, value in labels) + "}" if labels else ""


def _short(text: str) -> str:
    return f'"{text[:60]}..."' if len(text) > 60 else f'"{text}"'
