"""A study: which scenario, which knobs over which values, how often. Read from a file, a command line or a call.

    about: Do client limits matter more than the number of controllers?
    scenario: zero-value-leak-small       # a name, or a path relative to this file
    set: {horizon: 2m}
    over:                                 # or `points:`, a list of {path: value}
      controllers.zero-pod-writer.count: [1, 2, 4]
      controllers.zero-pod-writer.client.qps: logspace(1, 100, 5)
    design: grid                          # grid, lhs or sobol (with `samples`), points
    replications: 5
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, cast

from sim import data
from sim.errors import InputError, nearest
from sim.metrics.catalogue import describe
from sim.scenario import Scenario
from sim.scenario import load as load_scenario
from sim.scenario.device import is_path
from sim.scenario.refusal import shown, undeclared, unknown
from sim.scenario.yaml12 import read_file
from sim.sweeps.design import DESIGNS, Design, Point, points
from sim.sweeps.keys import SAYS_ONLY
from sim.sweeps.values import Space, plain, read

FIGURES: Final = ("etcd.keys_created", "etcd.wal_bytes_written", "etcd.apply_seconds.p99")
"""What is shown of a sweep where nothing is asked for: keys, WAL growth, the tail of apply."""
SERIES_POINTS: Final = 200
UNTIL: Final = "etcd.apply_seconds.p99"
"""The figure of `until_half_width` where none is named."""
MOST_UNTIL: Final = 200
"""Replications at which `until_half_width` gives up where no number is given."""
_MOST_REPLICATIONS: Final = 100_000
_KEYS: Final = (
    "name", "about", "scenario", "set", "over", "points", "design", "samples", "replications", "seed", "common_random_numbers",
    "variants", "figures", "series", "until_half_width",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Study:
    """What to sweep. Every replication r has the seed `seed + r`, the same at all points with common random numbers.

    variants: None for all. figures: those shown where none is asked for. series: points kept of each run's time series, 0 for none.
    until: figure and share: replications go on until the half width of its interval is that share of its mean, `replications` at
    most.
    """

    name: str
    scenario: Scenario
    knobs: dict[str, Space] = field(default_factory=dict)
    listed: tuple[Point, ...] = ()
    design: Design = "grid"
    samples: int | None = None
    replications: int = 5
    seed: int = 1
    common: bool = True
    variants: tuple[str, ...] | None = None
    figures: tuple[str, ...] = FIGURES
    series: int = SERIES_POINTS
    until: tuple[tuple[str, float], ...] = ()

    def points(self) -> list[Point]:
        """The points of the study, in a fixed order. Raises InputError."""
        if self.listed:
            return list(self.listed)
        return points(self.design, self.knobs, self.samples, self.seed)

    def paths(self) -> list[str]:
        """The paths of its knobs, in the order in which they were given."""
        return list(dict.fromkeys(path for point in self.listed for path in point)) or list(self.knobs)

    def variant_names(self) -> list[str]:
        """The variants that each point runs, in the scenario's order."""
        return [name for name in self.scenario.variant_names() if self.variants is None or name in self.variants]

    def seed_of(self, point: int, replication: int) -> int:
        """The seed of a run."""
        return self.seed + replication + (0 if self.common else point * self.replications)

    def changed(self, **options: Any) -> Study:
        """The same study with some options replaced, checked again; None leaves one as it is. Raises InputError."""
        given = {name: value for name, value in options.items() if value is not None}
        return checked(replace(self, **given)) if given else self


def is_study(given: str) -> bool:
    """Whether a command's argument is a study, by name or file, and not a scenario."""
    if not is_path(given):
        return given in _studies()
    return Path(given).is_file() and not {"scenario", "over", "points"}.isdisjoint(read_file(Path(given), given))


def load(given: str) -> Study:
    """The study of that name, or in that file. Raises InputError."""
    path = Path(given) if is_path(given) else data.file("studies", given)
    raw = read_file(path, given)
    for key in raw:
        if key not in _KEYS:
            raise InputError(f"{given}: {key}: {unknown(key, _KEYS)}")
    name = raw.get("scenario")
    if not isinstance(name, str):
        raise InputError(f"{given}: scenario: missing; name a scenario or a path to its file")
    called = str(path.parent / name) if is_path(name) else name
    scenario = load_scenario(called, set=_mapping(raw, "set", given))
    return study(
        str(raw.get("name") or path.stem), scenario, over=_mapping(raw, "over", given), listed=raw.get("points") or (),
        **{_FIELDS.get(key, key): raw[key] for key in _OPTIONS if raw.get(key) is not None},
    )  # fmt: skip


_OPTIONS: Final = (
    "design", "samples", "replications", "seed", "common_random_numbers", "variants", "figures", "series", "until_half_width",
)  # fmt: skip
_FIELDS: Final = {"common_random_numbers": "common", "until_half_width": "until"}


def study(name: str, scenario: Scenario, over: Mapping[str, Any], listed: Any = (), **options: Any) -> Study:
    """A checked study from plain values; `options` are fields of `Study`. Raises InputError."""
    if not isinstance(listed, Sequence) or not all(isinstance(point, Mapping) for point in listed):
        raise InputError(f"points: {shown(listed)} is not a list of points, such as [{{etcd.quota: 2GiB}}, {{etcd.quota: 8GiB}}]")
    knobs = {str(path): read(given, str(path)) for path, given in over.items()}
    named = tuple({str(path): plain(value) for path, value in point.items()} for point in listed)
    for key in ("variants", "figures"):
        if options.get(key) is not None:
            options[key] = _names(options[key], key)
    if options.get("until") is not None:
        options["until"] = until(options["until"], options.get("figures") or ())
        options.setdefault("replications", MOST_UNTIL)
    return checked(Study(name, scenario, knobs, named, **options))


def until(given: Any, figures: Sequence[str]) -> tuple[tuple[str, float], ...]:
    """The rule of `until_half_width`: `5%` (of the figures that are shown, else of apply's p99), or a mapping of figure to share,
    or its text `figure=5%`. Raises InputError.
    """
    pairs: list[tuple[str, Any]] = []
    for one in [given] if isinstance(given, str | int | float | Mapping) else given:
        if isinstance(one, Mapping):
            pairs += [(str(figure), share) for figure, share in one.items()]
        elif isinstance(one, str) and "=" in one:
            figure, _, share = one.partition("=")
            pairs.append((figure.strip(), share.strip()))
        else:
            pairs += [(figure, one) for figure in figures or (UNTIL,)]
    return tuple({figure: _share(share) for figure, share in pairs}.items())


def _share(given: Any) -> float:
    text = str(given).strip()
    try:
        found = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        found = 0.0
    if isinstance(given, bool) or not 0 < found < 1:
        said = "is not a share of the mean; write such as 5% or etcd.apply_seconds.p99=5%"
        raise InputError(f"until_half_width: {shown(given)} {said}")
    return found


def checked(given: Study) -> Study:
    """The study itself. Raises InputError for what cannot be."""
    if not given.knobs and not given.listed:
        raise InputError("over: nothing is varied; give a knob and its values, such as --vary etcd.quota=2GiB,8GiB")
    if given.knobs and given.listed:
        raise InputError("points: is not allowed beside over; a study has either of them")
    if given.listed and given.design not in ("grid", "points"):
        raise InputError(f"design: {shown(given.design)} is not allowed beside points")
    for path in given.paths():
        if path.split(".")[0] in SAYS_ONLY:
            raise InputError(f"{path}: decides nothing of what is simulated; vary another field")
    if given.design not in DESIGNS:
        hint = nearest(str(given.design), DESIGNS) or f"; one of {', '.join(DESIGNS)}"
        raise InputError(f"design: {shown(given.design)} is not a design{hint}")
    _check_numbers(given)
    for name in given.variants or ():
        if name not in given.scenario.variant_names():
            raise InputError(f"variants: {undeclared(str(name), 'variant', given.scenario.variant_names())}")
    for key, figure in [("figures", one) for one in given.figures] + [("until_half_width", one) for one, _ in given.until]:
        if describe(figure) is None:
            raise InputError(f"{key}: no run reports {shown(figure)}; `etcdsim metrics` lists all figures")
    return given


def _check_numbers(given: Study) -> None:
    limits = {"replications": (1, _MOST_REPLICATIONS), "seed": (0, 2**53), "series": (0, 2_000)}
    for name, (low, high) in limits.items():
        value = getattr(given, name)
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise InputError(f"{name}: {shown(value)} is not allowed; a whole number from {low} to {high:,}")
    if given.samples is not None and (isinstance(given.samples, bool) or not isinstance(given.samples, int)):
        raise InputError(f"samples: {shown(given.samples)} is not a whole number")
    if not isinstance(given.common, bool):
        raise InputError(f"common_random_numbers: {shown(given.common)} is not true or false")


def _names(given: Any, key: str) -> tuple[str, ...]:
    names = [given] if isinstance(given, str) else given
    if not isinstance(names, Sequence) or not names or not all(isinstance(name, str) for name in names):
        raise InputError(f"{key}: {shown(given)} is not a list of names")
    return tuple(names)


def _mapping(raw: Mapping[str, Any], key: str, called: str) -> dict[str, Any]:
    found = raw.get(key) or {}
    if not isinstance(found, Mapping):
        raise InputError(f"{called}: {key}: {shown(found)} is not a mapping of paths to values")
    return cast(dict[str, Any], found)


def _studies() -> list[str]:
    try:
        return data.names("studies")
    except FileNotFoundError:
        return []
