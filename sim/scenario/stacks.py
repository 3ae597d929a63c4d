"""What a release of client-go, controller-runtime or operator-sdk does by default: each line says what a release changed.

Every figure was read in the tagged source of its release (`version`: of a minor release the last patch of July 2026) and compared
over the patches before it; of controller-runtime 0.25 and client-go 0.37 one patch was read. `Stack.source` names the file,
docs/stacks.md shows all of it. A release differs from the line above it only in what it names.

Who decides what:

- client-go: queues, limiters, FIFO, how informers list and watch, how a lease is renewed. It leaves workers, resync and
  panics to the program; the clocks of an election that its stacks have are those of component-base, its lock is a Lease;
- controller-runtime: client limiter, kind of queue, workers, resync, lock and clocks of the election, panics. Which client-go
  it is built on stands in its go.mod;
- operator-sdk: generated Go operators up to 0.18 and its ansible and helm operators choose a lock of their own; the latter two
  reconcile again after a period. Generated Go operators since 0.19 are kubebuilder's: controller-runtime's defaults, with
  `--leader-elect` in their manifest. They need no stack of their own.

`leader-for-life` is a ConfigMap that is created once and never renewed: it goes when the pod that owns it does. Such a stack has
no `election`.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Annotated, Any, Final, Literal

from pydantic import BeforeValidator, WithJsonSchema

from sim.errors import nearest
from sim.scenario.limiters import DEFAULT_CONTROLLER, EXPONENTIAL, Limiter
from sim.scenario.refusal import refused, shown
from sim.units import HOUR, MILLISECOND, MINUTE, SECOND, Nanoseconds

QueueKind = Literal["rate_limiting", "priority"]
FifoKind = Literal["delta", "real"]
LockKind = Literal["leases", "configmapsleases", "configmaps", "leader-for-life"]


@dataclass(frozen=True, slots=True)
class Election:
    """How a process stays leader: its clocks, and what a renewal asks of the API server for each object of the lock.

    get_before_renewal: each renewal reads before it writes; else it writes at once what it knows.
    lock_timeout: of the client that the lock uses; None for none.
    """

    lease: Nanoseconds = 15 * SECOND
    renew_deadline: Nanoseconds = 10 * SECOND
    retry_period: Nanoseconds = 2 * SECOND
    release_on_cancel: bool = False
    get_before_renewal: bool = False
    lock_timeout: Nanoseconds | None = None


@dataclass(frozen=True, slots=True)
class Stack:
    """The defaults of one release. Times in nanoseconds; what the program decides is None.

    version: whose source was read; releases: first and last that behave so; built_on: library and version.
    qps: requests per second, None for no client limiter. resync: None for never; spread by a uniform factor of 1 +- resync_jitter.
    priority_queue: the release whose rules it has (`sim.clientgo.priority_queues`), None where there is none.
    reconcile_every: a success comes back after this time. pause_after_error: what a worker sleeps after a failed reconcile.
    streaming_list: the first list comes as watch events. batches: the FIFO is emptied up to 1000 keys at a time; atomic_fifo: and a
    relist is one entry of it. relist_backoff: first and longest wait of an informer that failed (before jitter). watch_timeout:
    a watch lasts a uniform time between these. recover_panic: a panic is an error; else it ends the process.
    warm_informers: informers start before the election is won. leader_election: on, as generated or as the library has it.
    event_apis: what its recorders write; a leader's own events go to the first.
    """

    name: str
    version: str
    releases: str
    built_on: str
    client_go: str
    qps: float | None
    burst: int
    queue: QueueKind
    priority_queue: Literal["0.20", "0.22", "0.23"] | None
    workers: int | Literal["cpus"] | None
    reconcile_every: Nanoseconds | None
    pause_after_error: Nanoseconds
    resync: Nanoseconds | None
    resync_jitter: float
    fifo: FifoKind
    batches: bool
    atomic_fifo: bool
    streaming_list: bool
    bookmarks: bool
    relist_backoff: tuple[Nanoseconds, Nanoseconds]
    watch_timeout: tuple[Nanoseconds, Nanoseconds]
    recover_panic: bool
    cache_sync_timeout: Nanoseconds | None
    warm_informers: bool | None
    event_apis: tuple[str, ...]
    leader_election: bool
    lock: LockKind
    election: Election | None

    @property
    def has_priority_queue(self) -> bool:
        """Whether a controller may ask for the priority queue."""
        return self.priority_queue is not None

    @property
    def family(self) -> str:
        """The name without the release."""
        return self.name.rpartition("-")[0]

    def limiter(self, queue: QueueKind) -> Limiter:
        """The default limiter of this kind of queue."""
        return EXPONENTIAL if queue == "priority" else DEFAULT_CONTROLLER

    def source(self, value: str) -> str:
        """Where a value was read: library, version and file. `value`: a field of ours or of the election, or a key of SOURCES.

        Raises KeyError for anything else.
        """
        field = _FIELD_OF.get(value, value)
        built_on, _, on = self.built_on.partition(" ")
        libraries = [(self.family, self.version), (built_on, on), ("client-go", self.client_go)]
        for library, version in libraries:
            file = _FILES[library].get(field)
            if file is not None:
                today, _, once = file.partition(_BEFORE_1_0)
                file = once if once and version.startswith("v0.") else today
                return f"{_repository(library, version)} {version} {file}"
        raise KeyError(value)


def _minor(version: str) -> int:
    """35 of v0.35.7, 0.35 or 1.35."""
    return int(version.split(".")[1])


def _repository(library: str, version: str) -> str:
    if library in ("ansible-operator", "helm-operator"):
        moved = library == "ansible-operator" and version.startswith("v1.") and _minor(version) >= 32
        return "ansible-operator-plugins" if moved else "operator-sdk"
    return library


_Values = dict[str, Any]


def _line(below: dict[str, _Values], *releases: tuple[str, str, _Values]) -> dict[str, _Values]:
    """Release by release (name, version read, what it changed): what it inherits, changes and is built on."""
    found: dict[str, _Values] = {}
    values: _Values = {}
    for release, version, changed in releases:
        values = {**values, **below.get(changed.get("client_go", ""), {}), **changed, "version": version}
        found[release] = values
    return found


_CLIENT_GO: Final = _line(
    {},
    (
        "0.13",
        "kubernetes-1.13.4",
        {
            "fifo": "delta",
            "batches": False,
            "atomic_fifo": False,
            "streaming_list": False,
            "bookmarks": False,
            "relist_backoff": (SECOND, SECOND),
            "watch_timeout": (5 * MINUTE, 10 * MINUTE),
            "get_before_renewal": True,
        },
    ),
    ("0.14", "kubernetes-1.14.1", {}),
    ("0.15", "kubernetes-1.15.4", {}),
    ("0.16", "kubernetes-1.16.0", {"bookmarks": True}),
    ("0.17", "v0.17.17", {}),
    ("0.18", "v0.18.19", {"relist_backoff": (800 * MILLISECOND, 30 * SECOND)}),
    ("0.19", "v0.19.16", {}),
    ("0.20", "v0.20.15", {}),
    ("0.21", "v0.21.14", {}),
    ("0.22", "v0.22.17", {}),
    ("0.23", "v0.23.17", {}),
    ("0.24", "v0.24.17", {}),
    ("0.25", "v0.25.16", {}),
    ("0.26", "v0.26.15", {}),
    ("0.27", "v0.27.16", {}),
    ("0.28", "v0.28.15", {}),
    ("0.29", "v0.29.15", {}),
    ("0.30", "v0.30.14", {"get_before_renewal": False}),
    ("0.31", "v0.31.14", {}),
    ("0.32", "v0.32.13", {}),
    ("0.33", "v0.33.13", {"fifo": "real"}),
    ("0.34", "v0.34.10", {}),
    ("0.35", "v0.35.7", {"batches": True, "streaming_list": True}),
    ("0.36", "v0.36.3", {"atomic_fifo": True}),
    ("0.37", "v0.37.2", {}),
)

_CONTROLLER_RUNTIME: Final = _line(
    _CLIENT_GO,
    (
        "0.1",
        "v0.1.12",
        {
            "client_go": "0.13",
            "qps": 5.0,  # client-go's: nobody sets another
            "burst": 10,
            "queue": "rate_limiting",
            "priority_queue": None,
            "workers": 1,
            "reconcile_every": None,
            "pause_after_error": SECOND,
            "resync": 10 * HOUR,
            "resync_jitter": 0.0,
            "recover_panic": False,
            "cache_sync_timeout": None,
            "warm_informers": False,
            "event_apis": ("core",),
            "leader_election": False,
            "lock": "configmaps",
            "lease": 15 * SECOND,
            "renew_deadline": 10 * SECOND,
            "retry_period": 2 * SECOND,
            "release_on_cancel": False,
            "lock_timeout": None,
        },
    ),
    ("0.2", "v0.2.2", {"client_go": "0.14", "qps": 20.0, "burst": 30, "warm_informers": True}),
    ("0.3", "v0.3.0", {"client_go": "0.15"}),
    ("0.4", "v0.4.0", {"client_go": "0.16", "warm_informers": False}),
    ("0.5", "v0.5.14", {"client_go": "0.17", "resync_jitter": 0.1}),
    ("0.6", "v0.6.5", {"client_go": "0.18"}),
    ("0.7", "v0.7.2", {"client_go": "0.19", "lock": "configmapsleases", "pause_after_error": 0}),
    ("0.8", "v0.8.3", {"client_go": "0.20", "cache_sync_timeout": 2 * MINUTE}),
    ("0.9", "v0.9.7", {"client_go": "0.21"}),
    ("0.10", "v0.10.3", {"client_go": "0.22"}),
    ("0.11", "v0.11.2", {"client_go": "0.23"}),
    ("0.12", "v0.12.3", {"client_go": "0.24", "lock": "leases"}),
    ("0.13", "v0.13.2", {"client_go": "0.25"}),
    ("0.14", "v0.14.7", {"client_go": "0.26"}),
    ("0.15", "v0.15.3", {"client_go": "0.27"}),
    ("0.16", "v0.16.6", {"client_go": "0.28"}),
    ("0.17", "v0.17.6", {"client_go": "0.29"}),
    ("0.18", "v0.18.7", {"client_go": "0.30", "lock_timeout": 5 * SECOND}),  # half the renew deadline; from 0.18.6 on
    ("0.19", "v0.19.7", {"client_go": "0.31", "recover_panic": True}),  # lock_timeout again from 0.19.3 on
    ("0.20", "v0.20.4", {"client_go": "0.32", "priority_queue": "0.20"}),
    ("0.21", "v0.21.0", {"client_go": "0.33", "qps": None, "burst": 10}),  # client-go's burst, should a user set QPS again
    ("0.22", "v0.22.5", {"client_go": "0.34", "priority_queue": "0.22"}),  # from 0.22.2 on; before that as 0.20
    (
        "0.23",
        "v0.23.3",
        {"client_go": "0.35", "priority_queue": "0.23", "queue": "priority", "event_apis": ("core", "events.k8s.io")},
    ),
    ("0.24", "v0.24.1", {"client_go": "0.36"}),
    ("0.25", "v0.25.2", {"client_go": "0.37"}),
)

_PROGRAM: Final[_Values] = {
    "qps": 5.0,
    "burst": 10,
    "queue": "rate_limiting",
    "priority_queue": None,
    "workers": None,
    "reconcile_every": None,
    "pause_after_error": 0,
    "resync": None,
    "resync_jitter": 0.0,
    "recover_panic": False,
    "cache_sync_timeout": None,
    "warm_informers": None,
    "event_apis": ("core", "events.k8s.io"),
    "leader_election": False,
    "lock": "leases",
    "lease": 15 * SECOND,
    "renew_deadline": 10 * SECOND,
    "retry_period": 2 * SECOND,
    "release_on_cancel": False,
}
"""What a program on client-go alone has, release by release the same, besides _CLIENT_GO."""

_Row = tuple[str, str, str, _Values]
"""First release, version read, controller-runtime it is built on, what changed from the line above."""

_LIFE: Final = "leader-for-life"
_CPUS: Final[_Values] = {"lock": "configmaps", "workers": "cpus"}

_OPERATORS: Final[dict[str, tuple[_Row, ...]]] = {
    "operator-sdk": (
        ("0.9-0.10", "v0.10.1", "v0.1.12", {"lock": _LIFE, "leader_election": True}),
        ("0.11", "v0.11.0", "v0.2.0", {}),
        ("0.12", "v0.12.0", "v0.3.0", {}),
        ("0.13-0.16", "v0.16.0", "v0.4.0", {}),
        ("0.17", "v0.17.2", "v0.5.2", {}),
        ("0.18", "v0.18.2", "v0.6.0", {}),
    ),
    "ansible-operator": (
        ("0.9-0.10", "v0.10.1", "v0.1.10", {"lock": _LIFE, "leader_election": True, "reconcile_every": MINUTE}),
        ("0.11", "v0.11.0", "v0.2.0", {}),
        ("0.12", "v0.12.0", "v0.3.0", {}),
        ("0.13-0.16", "v0.16.0", "v0.4.0", {}),
        ("0.17", "v0.17.2", "v0.5.2", {}),
        ("0.18-0.19", "v0.19.4", "v0.6.0", {}),
        ("1.0-1.2", "v1.2.0", "v0.6.3", _CPUS),
        ("1.3", "v1.3.2", "v0.7.0", {}),
        ("1.4-1.9", "v1.9.2", "v0.8.3", {}),
        ("1.10-1.12", "v1.12.0", "v0.9.2", {}),
        ("1.13-1.16", "v1.16.0", "v0.10.0", {}),
        ("1.17-1.20", "v1.20.1", "v0.11.0", {}),
        ("1.21", "v1.21.0", "v0.11.2", {"reconcile_every": 10 * HOUR}),
        ("1.22-1.24", "v1.24.1", "v0.12.2", {"lock": "configmapsleases"}),
        ("1.25-1.27", "v1.27.0", "v0.13.0", {}),
        ("1.28-1.32", "v1.32.0", "v0.14.5", {}),
        ("1.33", "v1.33.0", "v0.15.3", {}),
        ("1.34", "v1.34.3", "v0.16.3", {"lock": "leases"}),
        ("1.35", "v1.35.0", "v0.17.2", {}),
        ("1.36", "v1.36.1", "v0.18.5", {"lock_timeout": None}),
        ("1.37", "v1.37.2", "v0.19.2", {}),
        ("1.38", "v1.38.1", "v0.20.4", {"lock_timeout": 5 * SECOND}),
        ("1.39-1.42", "v1.42.3", "v0.21.0", {}),
    ),
    "helm-operator": (
        ("0.9-0.10", "v0.10.1", "v0.1.10", {"lock": _LIFE, "leader_election": True, "reconcile_every": MINUTE}),
        ("0.11", "v0.11.0", "v0.2.0", {}),
        ("0.12", "v0.12.0", "v0.3.0", {}),
        ("0.13-0.16", "v0.16.0", "v0.4.0", {}),
        ("0.17", "v0.17.2", "v0.5.2", {}),
        ("0.18-0.19", "v0.19.4", "v0.6.0", {}),
        ("1.0-1.2", "v1.2.0", "v0.6.3", _CPUS),
        ("1.3", "v1.3.2", "v0.7.0", {}),
        ("1.4-1.9", "v1.9.2", "v0.8.3", {}),
        ("1.10-1.12", "v1.12.0", "v0.9.2", {}),
        ("1.13-1.16", "v1.16.0", "v0.10.0", {}),
        ("1.17-1.21", "v1.21.0", "v0.11.2", {}),
        ("1.22-1.24", "v1.24.1", "v0.12.2", {"lock": "configmapsleases"}),
        ("1.25-1.27", "v1.27.0", "v0.13.0", {}),
        ("1.28-1.32", "v1.32.0", "v0.14.6", {}),
        ("1.33", "v1.33.0", "v0.15.3", {}),
        ("1.34-1.35", "v1.35.0", "v0.16.3", {"lock": "leases"}),
        ("1.36-1.37", "v1.37.0", "v0.17.4", {}),
        ("1.38", "v1.38.0", "v0.18.5", {"lock_timeout": None}),
        ("1.39", "v1.39.2", "v0.19.7", {"lock_timeout": 5 * SECOND}),
        ("1.40", "v1.40.0", "v0.20.4", {}),
        ("1.41-1.42", "v1.42.3", "v0.21.0", {}),
    ),
}

_BEFORE_1_0: Final = "; before 1.0 "
_OPTIONS_FILE: Final = "pkg/controller/controller.go"
_FILES: Final[dict[str, dict[str, str]]] = {
    "client-go": {
        "qps": "rest/config.go",
        "burst": "rest/config.go",
        "queue": "util/workqueue/rate_limiting_queue.go",
        "priority_queue": "util/workqueue: there is none",
        "limiter": "util/workqueue/default_rate_limiters.go",
        "workers": "the program decides: examples/workqueue/main.go",
        "reconcile_every": "the program decides: examples/workqueue/main.go",
        "pause_after_error": "the program decides: examples/workqueue/main.go",
        "resync": "the program decides: informers/factory.go",
        "resync_jitter": "tools/cache/shared_informer.go",
        "fifo": "tools/cache/controller.go, shared_informer.go; from 0.33 features/known_features.go InOrderInformers",
        "batches": "tools/cache/controller.go; from 0.35 features/known_features.go InOrderInformersBatchProcess",
        "atomic_fifo": "tools/cache/controller.go; from 0.36 features/known_features.go AtomicFIFO",
        "streaming_list": "tools/cache/reflector.go; from 0.30 features/known_features.go WatchListClient",
        "bookmarks": "tools/cache/reflector.go AllowWatchBookmarks",
        "relist_backoff": "tools/cache/reflector.go",
        "watch_timeout": "tools/cache/reflector.go minWatchTimeout",
        "recover_panic": "apimachinery util/runtime/runtime.go ReallyCrash",
        "cache_sync_timeout": "the program decides: tools/cache/shared_informer.go WaitForCacheSync",
        "warm_informers": "the program decides: tools/leaderelection/leaderelection.go",
        "event_apis": "the program decides: tools/record/event.go, tools/events/event_broadcaster.go",
        "leader_election": "the program decides: tools/leaderelection/leaderelection.go",
        "lock": "the program decides: examples/leader-election/main.go",
        "lease": "component-base config/v1alpha1/defaults.go",
        "renew_deadline": "component-base config/v1alpha1/defaults.go",
        "retry_period": "component-base config/v1alpha1/defaults.go",
        "release_on_cancel": "tools/leaderelection/leaderelection.go ReleaseOnCancel",
        "get_before_renewal": "tools/leaderelection/leaderelection.go tryAcquireOrRenew",
        "lock_timeout": "tools/leaderelection/resourcelock/interface.go NewFromKubeconfig",
    },
    "controller-runtime": {
        "qps": "pkg/client/config/config.go",
        "burst": "pkg/client/config/config.go",
        "queue": _OPTIONS_FILE,
        "priority_queue": "pkg/controller; from 0.20 pkg/controller/priorityqueue/priorityqueue.go",
        "limiter": _OPTIONS_FILE,
        "workers": f"{_OPTIONS_FILE} MaxConcurrentReconciles",
        "reconcile_every": "pkg/internal/controller/controller.go",
        "pause_after_error": "pkg/internal/controller/controller.go JitterPeriod",
        "resync": "pkg/cache/cache.go",
        "resync_jitter": "pkg/cache/internal: informers.go, before 0.15 informers_map.go",
        "recover_panic": "pkg/internal/controller/controller.go Reconcile",
        "cache_sync_timeout": f"{_OPTIONS_FILE} CacheSyncTimeout",
        "warm_informers": "pkg/manager/internal.go Start, pkg/internal/controller/controller.go Watch",
        "event_apis": "pkg/internal/recorder/recorder.go, pkg/leaderelection/leader_election.go",
        "leader_election": "pkg/manager/manager.go LeaderElection",
        "lock": "pkg/leaderelection/leader_election.go",
        "lease": "pkg/manager/internal.go",
        "renew_deadline": "pkg/manager/internal.go",
        "retry_period": "pkg/manager/internal.go",
        "release_on_cancel": "pkg/manager/manager.go LeaderElectionReleaseOnCancel",
        "lock_timeout": "pkg/leaderelection/leader_election.go",
    },
    "operator-sdk": {
        "lock": "internal/scaffold/cmd.go (up to 0.12 internal/pkg/scaffold/cmd.go), pkg/leader/leader.go",
        "leader_election": "internal/scaffold/cmd.go (up to 0.12 internal/pkg/scaffold/cmd.go)",
    },
    "ansible-operator": {
        "lock": "internal/ansible/flags/flag.go, internal/cmd/ansible-operator/run/cmd.go; before 1.0 pkg/ansible/run.go",
        "leader_election": "{internal,pkg}/plugins/ansible/v1; before 1.0 pkg/ansible/run.go",
        "workers": "internal/ansible/flags/flag.go; before 1.0 pkg/ansible/flags/flag.go",
        "reconcile_every": "internal/ansible/flags/flag.go; before 1.0 internal/flags/watch/flags.go",
    },
    "helm-operator": {
        "lock": "internal/helm/flags/flag.go, internal/cmd/helm-operator/run/cmd.go; before 1.0 pkg/helm/run.go",
        "leader_election": "internal/plugins/helm/v1; before 1.0 pkg/helm/run.go",
        "workers": "internal/helm/flags/flag.go; before 1.0 pkg/helm/flags/flag.go, pkg/helm/controller/controller.go",
        "reconcile_every": "internal/helm/flags/flag.go; before 1.0 internal/flags/watch/flags.go",
    },
}
"""Where each value stands; what a library does not name it has from what it is built on."""

_FIELD_OF: Final = {
    "client.qps": "qps",
    "client.burst": "burst",
    "queue.kind": "queue",
    "queue.limiter": "limiter",
    "leader election": "lease",
    "election": "lease",
}

SOURCES: Final[dict[str, str]] = {
    "client.qps": "controller-runtime pkg/client/config/config.go, client-go rest/config.go",
    "client.burst": "controller-runtime pkg/client/config/config.go, client-go rest/config.go",
    "queue.kind": "controller-runtime pkg/controller/controller.go NewTypedUnmanaged",
    "queue.limiter": "client-go util/workqueue/default_rate_limiters.go, controller-runtime pkg/controller/controller.go",
    "fifo": "client-go features/known_features.go InOrderInformers",
    "resync": "controller-runtime pkg/cache/cache.go defaultSyncPeriod",
    "leader election": "controller-runtime pkg/manager/internal.go; lease / renew deadline / retry period",
}
"""The file in which each value is found in a recent release; `Stack.source` says it for one stack."""


def _stack(name: str, values: _Values) -> Stack:
    clocks = {field.name: values[field.name] for field in fields(Election)}
    election = None if values["lock"] == _LIFE else Election(**clocks)
    return Stack(name=name, election=election, **{key: value for key, value in values.items() if key not in clocks})


def _all() -> list[Stack]:
    stacks = []
    for release, values in _CLIENT_GO.items():
        if _minor(release) >= 20:  # older ones are there for what is built on them
            own = {**_PROGRAM, **values, "lock_timeout": None, "client_go": release, "built_on": f"client-go {values['version']}"}
            stacks.append(_stack(f"client-go-{release}", {**own, "releases": release}))
    for release, values in _CONTROLLER_RUNTIME.items():
        if _minor(release) >= 6:
            own = {**values, "releases": release, "built_on": f"client-go {values['client_go']}"}
            stacks.append(_stack(f"controller-runtime-{release}", own))
    for family, rows in _OPERATORS.items():
        own = {}
        for releases, version, on, changed in rows:
            own = {**own, **changed}
            below = _CONTROLLER_RUNTIME[on.removeprefix("v").rpartition(".")[0]]
            values = {**below, **own, "releases": releases, "version": version, "built_on": f"controller-runtime {on}"}
            stacks.append(_stack(f"{family}-{releases.partition('-')[0]}", values))
    return stacks


STACKS: Final[dict[str, Stack]] = {stack.name: stack for stack in _all()}


def _alike(name: str) -> str:
    """`; it behaves as "x"` where a later release of a span was named, else an empty text."""
    family, _, release = name.rpartition("-")
    for stack in STACKS.values():
        first, _, last = stack.releases.partition("-")
        major, _, minor = release.partition(".")
        if stack.family != family or not last or not minor.isdigit() or not first.startswith(f"{major}."):
            continue
        if _minor(first) < int(minor) <= _minor(last):
            return f'; it behaves as "{stack.name}"'
    return ""


def _known(value: Any) -> Any:
    if not isinstance(value, str) or value not in STACKS:
        name = str(value)
        swapped = [known for known in STACKS if sorted(known) == sorted(name)]  # 0.32 for 0.23
        hint = _alike(name) or nearest(name, swapped or STACKS) or "; docs/stacks.md lists them"
        raise refused(f"{shown(value)} is not a known stack{hint}")
    return value


StackName = Annotated[str, BeforeValidator(_known), WithJsonSchema({"enum": list(STACKS)})]
