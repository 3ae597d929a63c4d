"""The scenario: what is to be simulated, whole and validated. Nothing here runs anything.

A scenario comes from a file (`load`) or from plain data (`from_dict`), never half-checked: the sections validate
themselves, then the names that point from one section to another, then each variant as the scenario it makes. Changes go
through plain data, too: `with_` writes values at dotted paths and validates everything again.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import BeforeValidator, ValidationError, ValidationInfo, WithJsonSchema, field_validator

from sim.errors import InputError
from sim.scenario import paths
from sim.scenario.alerts import Alert
from sim.scenario.apiserver import ApiServer
from sim.scenario.background import Background
from sim.scenario.checks import problems
from sim.scenario.clients import EtcdClients
from sim.scenario.controllers import Controller
from sim.scenario.etcd import Etcd
from sim.scenario.faults import Fault
from sim.scenario.guards import Guard
from sim.scenario.hypotheses import Hypotheses
from sim.scenario.informers import Informer, watching, with_objects
from sim.scenario.load_test import LoadTest
from sim.scenario.machines import Machine
from sim.scenario.objects import ObjectKind, common, with_defaults
from sim.scenario.operations import Operation
from sim.scenario.quantities import Name, PositiveDuration
from sim.scenario.refusal import problems_of, refusal, shown, undeclared
from sim.scenario.review import Objective, Provenance, Reference
from sim.scenario.rollouts import ControllerRollout
from sim.scenario.section import Section, field, required
from sim.scenario.webhooks import Webhook, among
from sim.scenario.workloads import Workload, name_kinds

Settings = Annotated[
    dict[str, Any],
    BeforeValidator(lambda value: {} if value is None else value),
    WithJsonSchema({"type": "object", "description": "Dotted path to value."}),
]

GIVEN: Final = "given explicitly, in place of the scenario's own value"
"""The provenance of a value that `with_` (or `--set`) wrote."""
_REVIEW: Final = ("name", "about", "extends", "variants", "objectives", "provenance", "reference", "validate", "notes")
"""Sections that say something about the scenario and decide nothing of what is simulated."""


class Scenario(Section):
    """What is to be simulated. Times are whole nanoseconds, sizes bytes, rates per second."""

    name: str = field("unnamed", "What results call it; when absent, the name of its file.")
    about: str = field("", "What this scenario shows, in a line.")
    extends: str | None = field(None, "Another scenario, by name or path, that this one changes; resolved when it is loaded.")
    horizon: PositiveDuration = required("How much time is simulated.")
    analysis: Literal["terminating", "steady"] = field(
        "terminating",
        "terminating: everything from the start counts (growth has no steady state). steady: distributions and rates leave out the "
        "warm-up that MSER-5 finds.",
    )
    etcd: Etcd = required("The etcd cluster.")
    machines: dict[Name, Machine] = field({}, "Machines that etcd members run on and share, by name.")
    apiservers: dict[Name, ApiServer] = field({"api": ApiServer()}, "API servers by name.")
    background: Background = field(Background(), "What every cluster writes.")
    objects: dict[Name, ObjectKind] = field(
        common(),
        "Kinds of objects by name; pod, lease, node and event exist already.",
    )
    workloads: dict[Name, Workload] = field({}, "What the world does, by name.")
    webhooks: dict[Name, Webhook] = field({}, "Admission webhooks by name; those of one kind are called in this order.")
    informers: dict[Name, Informer] = field({}, "Informers that several controllers of one process share, by name.")
    controllers: dict[Name, Controller] = field({}, "Controllers by name.")
    clients: dict[Name, EtcdClients] = field({}, "Raw etcd clients by name.")
    rollouts: dict[Name, ControllerRollout] = field({}, "Controllers that another release of theirs replaces, in steps.")
    guards: dict[Name, Guard] = field({}, "What refuses requests before they do harm, by name.")
    faults: dict[Name, Fault] = field({}, "What goes wrong, by name.")
    hypotheses: Hypotheses = field(Hypotheses(), "Claims that are not true of the real components, to see what they would change.")
    alerts: dict[Name, Alert] = field({}, "Alert rules that are evaluated on the run's metrics, by name.")
    operations: dict[Name, Operation] = field({}, "What an operator does to etcd, by name: compaction, defragmentation, disarming.")
    variants: dict[Name, Settings] = field({}, "Named overrides that are compared on common random numbers: dotted path to value.")
    objectives: dict[Name, Objective] = field({}, "Bounds that figures must keep, by name.")
    provenance: dict[str, Provenance] = field({}, "Where a value is from, by its dotted path; printed with every result.")
    reference: Reference = field({}, "Figures others published: printed beside the prediction, never used by the model.")
    validation: dict[Name, LoadTest] = field(
        {}, "Loads for `etcdsim validate --workload`, by name; they decide nothing of what is simulated here.", alias="validate"
    )
    notes: tuple[str, ...] = field((), "What a reader of a result should know: published figures that contradict each other.")

    @field_validator("objects", mode="before")
    @classmethod
    def _common_objects(cls, objects: Any) -> Any:
        return with_defaults(objects)

    @field_validator("informers", mode="before")
    @classmethod
    def _with_objects(cls, informers: Any, info: ValidationInfo) -> Any:
        return with_objects(informers, info.data.get("objects", ()))

    @field_validator("controllers", mode="before")
    @classmethod
    def _watching(cls, controllers: Any, info: ValidationInfo) -> Any:
        return watching(controllers, info.data.get("objects", ()))

    @field_validator("webhooks")
    @classmethod
    def _matching(cls, webhooks: dict[Name, Webhook], info: ValidationInfo) -> dict[Name, Webhook]:
        return among(webhooks, info.data.get("objects", ()))

    @field_validator("workloads", mode="before")
    @classmethod
    def _named_kinds(cls, workloads: Any) -> Any:
        return name_kinds(workloads)

    def __repr__(self) -> str:
        return f"<Scenario {self.name}: variants {', '.join(self.variant_names())}>"

    __str__ = __repr__

    def with_(self, values: Mapping[str, Any], folder: Path | None = None) -> Scenario:
        """The same scenario with other values at dotted paths, validated again; None takes out what is there: the default holds.

        Such a value wins over a variant, and where the provenance of the old one was declared, its own is that it was given.
        Numbers count seconds, bytes, per second; text carries its unit. Paths of device profiles are relative to `folder`.
        Raises InputError.
        """
        before = data = to_dict(self)
        for path, value in values.items():
            data = _explicit(data, path, value)
        data["provenance"] = {path: entry for path, entry in data["provenance"].items() if _somewhere(data, path)}
        made = from_dict(data, folder)
        after = to_dict(made)
        provenance = made.provenance
        for path in values:
            if path.split(".")[0] not in _REVIEW and paths.find(before, path) != paths.find(after, path):
                provenance = _given(provenance, path)
        return made.model_copy(update={"provenance": provenance})

    def rolled_out(self, name: str) -> Controller:
        """The controller of a rollout as its new release."""
        return _rolled_out(to_dict(self), self, name, None).controllers[self.rollouts[name].controller]

    def variant_names(self) -> list[str]:
        """The variants in the order of the file; `default` alone where none is declared."""
        return list(self.variants) or ["default"]

    def variant(self, name: str) -> Scenario:
        """The scenario that a variant makes, without variants of its own. Raises InputError for an undeclared name."""
        if name not in self.variant_names():
            raise InputError(f"variant: {undeclared(name, 'variant', self.variant_names())}")
        data = _vary(to_dict(self), self.variants.get(name, {}))
        data["variants"] = {}
        data["provenance"] = {path: value for path, value in data["provenance"].items() if paths.exists(data, path)}
        data["objectives"] = {
            key: {**value, "variant": None} for key, value in data["objectives"].items() if value["variant"] in (None, name)
        }
        return from_dict(data)


def from_dict(data: Mapping[str, Any], folder: Path | None = None) -> Scenario:
    """A scenario from plain data, validated whole; paths of device profiles are relative to `folder`. Raises InputError."""
    if data.get("extends") is not None:
        raise InputError(f"extends: {shown(data['extends'])} is not resolved; load the scenario from a file")
    scenario = _validated(data, folder)
    base = to_dict(scenario)
    bounds = {key: {**value, "variant": None} for key, value in base["objectives"].items()}
    for name, settings in scenario.variants.items():
        try:
            _validated({**_vary(base, settings), "variants": {}, "objectives": bounds}, folder)
        except InputError as error:
            raise InputError(f"variants.{name}: {error}") from None
    for name in scenario.rollouts:
        _rolled_out(base, scenario, name, folder)
    lost = [path for path in scenario.provenance if not _somewhere(base, path)]
    if lost:
        raise refusal([(f"provenance.{path}", paths.missing(base, path).partition(": ")[2]) for path in lost])
    return scenario


def to_dict(scenario: Scenario) -> dict[str, Any]:
    """The whole scenario as plain data with units, defaults included: to save and to hash. `from_dict` reads it back."""
    return scenario.model_dump(mode="json", by_alias=True)


def _rolled_out(base: dict[str, Any], scenario: Scenario, name: str, folder: Path | None) -> Scenario:
    """The scenario as it would be if a rollout had been all there was from the start."""
    rollout = scenario.rollouts[name]
    changes = {f"controllers.{rollout.controller}.{path}": value for path, value in rollout.to.items()}
    try:
        return _validated({**_vary(base, changes), "rollouts": {}, "variants": {}, "objectives": {}}, folder)
    except InputError as error:
        raise InputError(f"rollouts.{name}.to: {error}") from None


def _validated(data: Mapping[str, Any], folder: Path | None) -> Scenario:
    try:
        scenario = Scenario.model_validate(dict(data), context={"folder": folder})
    except ValidationError as error:
        raise refusal(problems_of(error)) from None
    if found := problems(scenario):
        raise refusal(found)
    return scenario


def _vary(data: dict[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    for path, value in settings.items():
        if path.split(".")[0] in _REVIEW:
            raise InputError(f"{path}: a variant cannot change this section")
        data = paths.replace(data, path, value)
    return data


def _somewhere(data: dict[str, Any], path: str) -> bool:
    """Whether the path exists in the scenario or in one of its variants."""
    if paths.exists(data, path):
        return True
    for settings in data["variants"].values():
        try:
            if paths.exists(_vary(data, settings), path):
                return True
        except InputError:  # the variant itself is refused later, by its name
            continue
    return False


def _explicit(data: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """Write a value for all variants: what a variant says of the same place no longer counts.

    A place that exists only in some variants (a fault that one of them adds) is written there; in a variant that takes away what it
    lies in (`guards: {}`) there is nothing to write.
    """
    if path.split(".")[0] in _REVIEW:
        return paths.replace(data, path, value)
    variants: dict[str, dict[str, Any]] = {}
    inside = False
    for name, settings in data["variants"].items():
        kept: dict[str, Any] = {}
        for key, old in settings.items():
            if _covers(path, key):
                continue
            part, deeper, _ = path.removeprefix(f"{key}.").partition(".")
            if _covers(key, path) and isinstance(old, dict) and (part in old or not deeper):
                kept[key] = paths.replace(old, path.removeprefix(f"{key}."), value)
                inside = True
            else:
                kept[key] = old
        variants[name] = kept
    try:
        data = paths.replace(data, path, value)
    except InputError:
        if not inside:
            raise
    return {**data, "variants": variants}


def _given(provenance: Mapping[str, Provenance], path: str) -> dict[str, Provenance]:
    """The provenance after another value was given at the path: what was said of the old value no longer holds."""
    kept = {key: entry for key, entry in provenance.items() if not _covers(path, key)}
    declared = any(_covers(key, path) or _covers(path, key) for key in provenance)
    return {**kept, path: Provenance.model_validate({"is": "assumed", "why": GIVEN})} if declared else kept


def _covers(above: str, path: str) -> bool:
    """Whether the path is `above` or lies below it."""
    return path == above or path.startswith(f"{above}.")
