"""Every mistake is answered with exactly one line: the field's path, the value, what is allowed and the nearest right name."""

from __future__ import annotations

from pathlib import Path

import pytest

from sim.errors import InputError
from sim.scenario import load, parse_assignment
from sim.scenario.yaml12 import read_text

HEAD = "horizon: 1h\netcd: {members: {a: {}, b: {}, c: {}}}\n"


def refusal_of(tmp_path: Path, text: str) -> str:
    path = tmp_path / "mine.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError) as refused:
        load(path)
    message = str(refused.value)
    assert "\n" not in message
    assert "pydantic" not in message
    return message


def etcd(text: str) -> str:
    return f"horizon: 1h\netcd:\n  members: {{a: {{}}, b: {{}}, c: {{}}}}\n  {text}\n"


def controller(text: str) -> str:
    return f"{HEAD}controllers:\n  x: {text}\n"


def duration(text: str) -> str:
    return controller(f"{{reconcile: {{duration: {text}}}}}")


CASES = {
    # quantities
    "misspelt unit": (
        etcd('compaction: {every: "5 m"}'),
        'etcd.compaction.every: "5 m" is not a duration; write 300ms, 5m, 1h30m or a number of seconds',
    ),
    "a mapping is no duration": (
        etcd("compaction: {every: {minutes: 5}}"),
        'etcd.compaction.every: "{minutes: 5}" is not a duration; write 300ms, 5m, 1h30m or a number of seconds',
    ),
    "zero horizon": ("horizon: 0\netcd: {members: {a: {}}}", 'horizon: "0" is not allowed; it must be above zero'),
    "negative": (
        "horizon: -1\netcd: {members: {a: {}}}",
        'horizon: "-1" is negative; write 300ms, 5m, 1h30m or a number of seconds',
    ),
    "negative text": (
        "horizon: -5m\netcd: {members: {a: {}}}",
        'horizon: "-5m" is not a duration; write 300ms, 5m, 1h30m or a number of seconds',
    ),
    "not a number": (
        "horizon: .nan\netcd: {members: {a: {}}}",
        'horizon: "nan" is not a duration; write 300ms, 5m, 1h30m or a number of seconds',
    ),
    "infinite": (
        "horizon: .inf\netcd: {members: {a: {}}}",
        'horizon: "inf" is not a duration; write 300ms, 5m, 1h30m or a number of seconds',
    ),
    "a truth is no duration": (
        "horizon: true\netcd: {members: {a: {}}}",
        'horizon: "true" is not a duration; write 300ms, 5m, 1h30m or a number of seconds',
    ),
    "size": (etcd("quota: 2 gigs"), 'etcd.quota: "2 gigs" is not a size; write 600B, 64MB, 2GiB or a number of bytes'),
    "no quota is a word": (etcd("quota: 0"), 'etcd.quota: "0" is not allowed; it must be above zero'),
    "negative rate": (
        controller("{client: {qps: -1}}"),
        'controllers.x.client.qps: "-1" is not a rate above zero; write 27/s, 600/min, 4/h or a number per second',
    ),
    "rate": (
        controller("{client: {qps: fast}}"),
        'controllers.x.client.qps: "fast" is not a rate; write 27/s, 600/min, 4/h or a number per second',
    ),
    "count": (controller("{workers: 2.5}"), 'controllers.x.workers: "2.5" is not a whole number'),
    "negative count": (etcd("preload: {pod: -3}"), 'etcd.preload.pod: "-3" is negative; write a whole number from 0'),
    "a truth is no count": (controller("{workers: true}"), 'controllers.x.workers: "true" is not a whole number'),
    "no workers": (controller("{workers: 0}"), 'controllers.x.workers: "0" is not allowed; it must be above zero'),
    "truth": (controller("{leader_election: maybe}"), 'controllers.x.leader_election: "maybe" is not true or false'),
    "text": (HEAD + "about: 5", 'about: "5" is not text; write it in quotes'),
    "interval": (
        HEAD + "workloads: {pod-churn: {every: exp(5 m)}}",
        'workloads.pod-churn.every: "exp(5 m)" is not an interval; '
        "write exp(157s) for exponential gaps, or 300ms, 5m, 1h30m or a number of seconds",
    ),
    "zero interval": (
        HEAD + "workloads: {pod-churn: {every: exp(0s)}}",
        'workloads.pod-churn.every: "exp(0s)" is not an interval above zero; '
        "write exp(157s) for exponential gaps, or 300ms, 5m, 1h30m or a number of seconds",
    ),
    "labels": (
        controller("{watches: {pods: {selector: app in web}}}"),
        'controllers.x.watches.pods.selector: "app in web" is not a list of labels; write app=web or app=web,tier=front',
    ),
    # distributions
    "half a lognormal": (duration("{median: 1ms}"), "controllers.x.reconcile.duration.p99: missing; it is required"),
    "two forms at once": (
        duration("{median: 1ms, sd: 2ms}"),
        "controllers.x.reconcile.duration.sd: unknown key; allowed: median, p99",
    ),
    "falling": (
        duration("{median: 2ms, p99: 1ms}"),
        'controllers.x.reconcile.duration.p99: "1ms" is below the median',
    ),
    "no form": (
        duration("{average: 1ms}"),
        'controllers.x.reconcile.duration: "{average: 1ms}" is not a distribution; '
        "write a duration, {median, p99}, {mean, sd}, {quantiles} or {mixture}",
    ),
    "bare": (
        duration("5 parsecs"),
        'controllers.x.reconcile.duration: "5 parsecs" is not a duration; write 300ms, 5m, 1h30m or a number of seconds, '
        "or a duration, {median, p99}, {mean, sd}, {quantiles} or {mixture}",
    ),
    "quantile": (
        duration("{quantiles: {0: 1ms, 1: long}}"),
        'controllers.x.reconcile.duration.quantiles.1: "long" is not a duration; '
        "write 300ms, 5m, 1h30m or a number of seconds",
    ),
    "ends of the quantiles": (
        duration("{quantiles: {0.1: 1ms, 1: 2ms}}"),
        "controllers.x.reconcile.duration.quantiles: the points must begin at probability 0 and end at 1",
    ),
    "falling quantiles": (
        duration("{quantiles: {0: 1ms, 0.5: 3ms, 1: 2ms}}"),
        "controllers.x.reconcile.duration.quantiles.1: probabilities and durations must rise from point to point",
    ),
    "weights": (
        duration("{mixture: [{weight: 0.5, constant: 1ms}]}"),
        "controllers.x.reconcile.duration.mixture: the weights add up to 0.5; they must add up to 1",
    ),
    "weight": (
        duration("{mixture: [{constant: 1ms}]}"),
        "controllers.x.reconcile.duration.mixture.0.weight: missing; it is required",
    ),
    "part of a mixture": (
        duration("{mixture: [{weight: 1, median: 1ms, p99: x}]}"),
        'controllers.x.reconcile.duration.mixture.0.p99: "x" is not a duration; '
        "write 300ms, 5m, 1h30m or a number of seconds",
    ),
    # keys and words
    "unknown section": (HEAD + "controlers: {}", 'controlers: unknown key; did you mean "controllers"?'),
    "unknown key": ("horizon: 1h\netcd: {mebers: {a: {}}}", 'etcd.mebers: unknown key; did you mean "members"?'),
    "unknown key of a fault": (
        HEAD + "faults: {f: {kind: disk_stall, target: members.a, at: 1s, fro: 2s}}",
        'faults.f.fro: unknown key; did you mean "for"?',
    ),
    "word": (
        controller("{cache: {on_delete: keep}}"),
        'controllers.x.cache.on_delete: "keep" is not allowed; one of remove-key, keep-zero-value',
    ),
    "a section that is none": (
        controller("5"),
        'controllers.x: "5" is not a mapping; allowed keys: stack, count, workers, cpus, standby, shards, informers, predicates, '
        "watches, client, queue, max_retries, recover_panic, leader_election, election, restart, self_check, cache, reconcile",
    ),
    "missing": ("etcd: {members: {a: {}}}", "horizon: missing; it is required"),
    "several": (
        "horizon: x\netcd: {members: {a: {}}, quota: y, max_gap: z}",
        'horizon: "x" is not a duration; write 300ms, 5m, 1h30m or a number of seconds (and 2 more)',
    ),
    "name with a dot": (
        "horizon: 1h\netcd: {members: {a.b: {}}}",
        'etcd.members.a.b: "a.b" is not a name; letters, digits, - and _',
    ),
    "name that is a number": (
        "horizon: 1h\netcd: {members: {1: {}}}",
        'etcd.members.1: "1" is not a name; letters, digits, - and _, in quotes if it is a number',
    ),
    # etcd
    "no members": (
        "horizon: 1h\netcd: {members: {}}",
        'etcd.members: "{}" is not allowed; at least one member is needed, such as {a: {disk: cloud-ssd}}',
    ),
    "version": (
        etcd('version: "3.3.27"'),
        'etcd.version: "3.3.27" is not a known etcd version; 3.4.x to 3.7.x, such as "3.5.33"',
    ),
    "version without quotes": (
        etcd("version: 3.5"),
        'etcd.version: "3.5" is not a known etcd version; 3.4.x to 3.7.x, such as "3.5.33"',
    ),
    "disk": (
        "horizon: 1h\netcd: {members: {a: {disk: cloud-sdd}}}",
        'etcd.members.a.disk: "cloud-sdd" is not a known device profile; did you mean "cloud-ssd"?',
    ),
    "disk by path": (
        "horizon: 1h\netcd: {members: {a: {disk: ./my-disk.yaml}}}",
        "etcd.members.a.disk: ./my-disk.yaml: no such file",
    ),
    "inline disk": (
        "horizon: 1h\netcd: {members: {a: {disk: {fdatasync: 1ms, bandwith: 1MB/s}}}}",
        'etcd.members.a.disk.bandwith: unknown key; did you mean "bandwidth"?',
    ),
    "bandwidth": (
        "horizon: 1h\netcd: {members: {a: {disk: {fdatasync: 1ms, bandwidth: 3 fast}}}}",
        'etcd.members.a.disk.bandwidth: "3 fast" is not a bandwidth; write 200MB/s, 1GiB/s or a number of bytes per second',
    ),
    "retention missing": (
        etcd("compaction: {by: periodic}"),
        "etcd.compaction.retention: missing; it is required with by: periodic",
    ),
    "retention unused": (
        etcd("compaction: {retention: 1h}"),
        'etcd.compaction.retention: "1h" is not used with by: apiserver; leave it out',
    ),
    "retention counts revisions": (
        etcd("compaction: {by: revision, retention: 1h}"),
        'etcd.compaction.retention: "1h" is not a whole number',
    ),
    # names declared elsewhere
    "object of a workload": (
        HEAD + "workloads: {pod-churn: {every: 1m, object: pood}}",
        'workloads.pod-churn.object: "pood" is not a declared object; did you mean "pod"?',
    ),
    "object of a watch": (
        controller("{watches: {junk: {}}}"),
        'controllers.x.watches.junk.object: "junk" is not a declared object; declared: pod, lease, node, event',
    ),
    "object of a reconcile": (
        controller("{reconcile: {on_zero_value: {create: pdo}}}"),
        'controllers.x.reconcile.on_zero_value.create: "pdo" is not a declared object; did you mean "pod"?',
    ),
    "object of the preload": (
        etcd("preload: {pods: 3}"),
        'etcd.preload.pods: "pods" is not a declared object; did you mean "pod"?',
    ),
    "object of the background": (
        HEAD + "background: {lease_object: leese}",
        'background.lease_object: "leese" is not a declared object; did you mean "lease"?',
    ),
    "size of an object": (
        HEAD + "objects: {junk: {key_bytes: 5}}",
        "objects.junk.value_bytes: missing; it is required",
    ),
    "member of a fault": (
        HEAD + "faults: {f: {kind: disk_stall, target: members.z, at: 1s, for: 1s}}",
        'faults.f.target: "z" is not a declared member; declared: a, b, c',
    ),
    "target of a fault": (
        HEAD + "faults: {f: {kind: disk_stall, target: disks.a, at: 1s, for: 1s}}",
        'faults.f.target: "disks.a" is not a target; write members.<name>, its members.<name>.wal or members.<name>.backend, '
        "leader, machines.<name>.disks.<name>, apiservers.<name>, webhooks.<name>, or controllers.<name>",
    ),
    "a fault without a time": (
        HEAD + "faults: {f: {kind: disk_stall, target: leader, for: 1s}}",
        "faults.f.at: missing; write when it begins, or how often with `every`",
    ),
    "machine of a fault": (
        HEAD + "faults: {f: {kind: disk_stall, target: machines.m.disks.d, at: 1s, for: 1s}}",
        'faults.f.target: "m" is not a declared machine; declared: none',
    ),
    "disk of a fault": (
        HEAD + "machines: {m: {disks: {ssd: {profile: nvme}}}}\n"
        "faults: {f: {kind: disk_stall, target: machines.m.disks.sdd, at: 1s, for: 1s}}",
        'faults.f.target: "sdd" is not a declared disk of m; did you mean "ssd"?',
    ),
    "a fault of a disk that is the machine's": (
        "horizon: 1h\nmachines: {m: {disks: {ssd: {profile: nvme}}}}\netcd: {members: {a: {machine: m}}}\n"
        "faults: {f: {kind: disk_stall, target: members.a.wal, at: 1s, for: 1s}}",
        "faults.f.target: a has no disk of its own; write machines.m.disks.ssd",
    ),
    "machine of a member": (
        "horizon: 1h\nmachines: {m1: {disks: {ssd: {profile: nvme}}}}\netcd: {members: {a: {machine: m2}}}",
        'etcd.members.a.machine: "m2" is not a declared machine; declared: m1',
    ),
    "disk of a member": (
        "horizon: 1h\nmachines: {m1: {disks: {ssd: {profile: nvme}}}}\netcd: {members: {a: {machine: m1, wal: log}}}",
        'etcd.members.a.wal: "log" is not a declared disk of m1; declared: ssd',
    ),
    "disk of no machine": (
        "horizon: 1h\netcd: {members: {a: {wal: log}}}", "etcd.members.a.wal: names a disk of a machine; write machine, too"
    ),
    "link of nobody": (
        etcd("links: {a-z: {rtt: 1ms}}"), "etcd.links.a-z: is not a link between two members (a-b) or two zones; members: a, b, c"
    ),
    "no API server": (
        HEAD + "apiservers: {}\nbackground: {nodes: 3}",
        'apiservers: "{}" is not allowed; controllers, workloads and nodes need at least one',
    ),
    "variant of an objective": (
        HEAD + "variants: {fixed: {}}\nobjectives: {o: {figure: etcd.seconds_to_quota, min: 30d, variant: fixd}}",
        'objectives.o.variant: "fixd" is not a declared variant; did you mean "fixed"?',
    ),
    # kinds
    "kind from the name": (
        HEAD + "workloads: {churn: {every: 1m}}",
        "workloads.churn.kind: missing, and the name is not a kind; one of pod_churn, lists, objects, "
        "writers, coordination, certificates, telemetry, map_access, storm, lookups, watches",
    ),
    "kind of workload": (
        HEAD + "workloads: {churn: {kind: pod_chrun, every: 1m}}",
        'workloads.churn.kind: "pod_chrun" is not a kind of workload; did you mean "pod_churn"?',
    ),
    "kind of limiter": (
        controller("{queue: {limiter: {kind: exponental}}}"),
        'controllers.x.queue.limiter.kind: "exponental" is not a kind of limiter; did you mean "exponential"?',
    ),
    "inner limiter": (
        controller("{queue: {limiter: {kind: max_of, limiters: [{kind: bucket, brst: 3}]}}}"),
        'controllers.x.queue.limiter.limiters.0.brst: unknown key; did you mean "burst"?',
    ),
    "stack": (
        controller("{stack: controller-runtime-0.32}"),
        'controllers.x.stack: "controller-runtime-0.32" is not a known stack; did you mean "controller-runtime-0.23"?',
    ),
    "queue of an older stack": (
        controller("{stack: controller-runtime-0.19, queue: {kind: priority}}"),
        'controllers.x.queue.kind: "priority" is not a queue of controller-runtime-0.19; '
        "it exists from controller-runtime-0.20 on",
    ),
    # review
    "provenance of nothing": (
        HEAD + "provenance: {etcd.qouta: {is: assumed, why: so}}",
        'provenance.etcd.qouta: unknown key; did you mean "quota"?',
    ),
    "provenance without a reason": (
        HEAD + "provenance: {etcd.quota: {is: assumed}}",
        "provenance.etcd.quota.why: missing; say to what it was fitted (to), why it was assumed (why), or its source",
    ),
    "kind of provenance": (
        HEAD + "provenance: {etcd.quota: {is: guessed, why: so}}",
        'provenance.etcd.quota.is: "guessed" is not allowed; one of fitted, assumed, measured, article, published',
    ),
    "objective without a bound": (
        HEAD + "objectives: {o: {figure: etcd.seconds_to_quota}}",
        "objectives.o.min: missing; an objective needs a min or a max",
    ),
    "bound in the figure's unit": (
        HEAD + "objectives: {o: {figure: etcd.db_bytes_total, max: 30d}}",
        'objectives.o.max: "30d" is not a size; write 600B, 64MB, 2GiB or a number of bytes',
    ),
    "reference in the figure's unit": (
        HEAD + "reference: {default: {etcd.apply_seconds.max: 1.8GB}}",
        'reference.default.etcd.apply_seconds.max: "1.8GB" is not a duration; '
        "write 300ms, 5m, 1h30m or a number of seconds",
    ),
    # variants
    "path of a variant": (
        HEAD + "variants: {v: {etcd.quotaa: 8GiB}}",
        'variants.v: etcd.quotaa: unknown key; did you mean "quota"?',
    ),
    "value of a variant": (
        HEAD + "variants: {v: {etcd.quota: much}}",
        'variants.v: etcd.quota: "much" is not a size; write 600B, 64MB, 2GiB or a number of bytes',
    ),
    "a variant cannot review itself": (
        HEAD + "variants: {v: {reference: {}}}",
        "variants.v: reference: a variant cannot change this section",
    ),
    "a variant that takes an object away": (
        HEAD + "objects: {junk: {key_bytes: 5, value_bytes: 5}}\nworkloads: {lists: {every: 1m, object: junk}}\n"
        "variants: {v: {objects: {}}}",
        'variants.v: workloads.lists.object: "junk" is not a declared object; declared: pod, lease, node, event',
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_a_mistake_is_one_line(name: str, tmp_path: Path) -> None:
    text, message = CASES[name]
    assert refusal_of(tmp_path, text) == message


FILES = {
    "not YAML": ("horizon: [1h\netcd: {}\n", ": line 2: is not YAML: "),
    "twice": ("horizon: 1h\netcd: {}\nhorizon: 2h\n", ': line 3: the key "horizon" is written twice'),
    "not a mapping": ("- 1\n- 2\n", ": is not a mapping of sections, such as horizon: 24h"),
    "empty": ("", ": is not a mapping of sections, such as horizon: 24h"),
    "an alias into itself": ("about: &a [*a]\n", ": is not YAML: an alias contains itself"),
    "two documents": ("horizon: 1h\n---\nhorizon: 2h\n", ": line 2: is not YAML: "),
}


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_cannot_be_read_is_one_line(name: str, tmp_path: Path) -> None:
    text, message = FILES[name]
    assert message in refusal_of(tmp_path, text)


def test_files_and_names_that_do_not_exist(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"^nowhere/mine\.yaml: no such file$"):
        load("nowhere/mine.yaml")
    with pytest.raises(InputError, match="is a directory"):
        load(f"{tmp_path}/")
    with pytest.raises(InputError, match=r'^"zero-value-leek" is not a scenario; did you mean "zero-value-leak"\?'):
        load("zero-value-leek")
    binary = tmp_path / "binary.yaml"
    binary.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="is not text in UTF-8"):
        load(binary)


SETTINGS = {
    "controllers.zero-pod-writter.client.qps": 'controllers.zero-pod-writter: unknown key; did you mean "zero-pod-writer"?',
    "controllers.zero-pod-writer.client.pqs": 'controllers.zero-pod-writer.client.pqs: unknown key; did you mean "qps"?',
    "etcd.qouta": 'etcd.qouta: unknown key; did you mean "quota"?',
    "horizon.seconds": 'horizon.seconds: does not exist; above it stands the single value "1d"',
    "etcd..quota": '"etcd..quota" is not a path; write it such as etcd.members.a.disk',
    "": '"" is not a path; write it such as etcd.members.a.disk',
}


@pytest.mark.parametrize("path", SETTINGS)
def test_a_path_that_does_not_exist(path: str) -> None:
    with pytest.raises(InputError) as refused:
        load("zero-value-leak", set={path: 20})
    assert str(refused.value) == SETTINGS[path]
    with pytest.raises(InputError):
        load("zero-value-leak", set={path: None})


def test_a_variant_that_is_not_declared() -> None:
    with pytest.raises(InputError, match=r'^variant: "leeking" is not a declared variant; did you mean "leaking"\?$'):
        load("zero-value-leak").variant("leeking")


def test_an_explicit_value_that_breaks_a_variant_names_it() -> None:
    with pytest.raises(InputError, match=r"^variants\.disk-stall: faults\.stall\.target: "):
        load("apply-peak", set={"etcd.members": {"b": {}}})


@pytest.mark.parametrize("text", ["etcd.quota", "=8GiB", ""])
def test_an_assignment_needs_a_path_and_a_value(text: str) -> None:
    with pytest.raises(InputError, match=r"is not an assignment; write path=value, such as etcd\.quota=8GiB$"):
        parse_assignment(text)


def test_a_message_stays_one_line_whatever_the_value() -> None:
    with pytest.raises(InputError) as refused:
        load("zero-value-leak", set={"etcd.quota": "two\nlines " + "x" * 200})
    assert str(refused.value).count("\n") == 0
    assert len(str(refused.value)) < 160


def test_yaml_of_version_1_2() -> None:
    read = read_text("{a: off, b: 2.37e6, c: yes, d: 2024-05-01, e: 0o17, f: 1e3, g: 12:30}", "x")
    assert read == {"a": "off", "b": 2.37e6, "c": "yes", "d": "2024-05-01", "e": 15, "f": 1000.0, "g": "12:30"}
