"""What one reconcile of a controller does: how long it takes, how it ends, what it writes."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from sim.scenario.distribution import Distribution, distribution
from sim.scenario.interval import SHORTEST
from sim.scenario.quantities import Count, DurationOrStack, Fraction, Name, no_more_than
from sim.scenario.refusal import refused
from sim.scenario.section import Section, field, required
from sim.units import format_duration

WriteVerb = Literal["update", "merge_patch", "merge_patch_locked", "json_patch", "apply"]
Sets = Literal["counter", "timestamp", "generation", "constant"]
Retry = Literal["off", "default", "backoff"]


class Written(Section):
    """A write to an object: how it is sent, and what it makes of the object."""

    verb: WriteVerb = field(
        "update",
        "update and merge_patch_locked carry the resource version of the writer's copy: 409 when the object has changed since. "
        "merge_patch, json_patch and apply do not: the server applies them to what it finds.",
        "apiserver: pkg/registry/generic/registry/store.go, pkg/endpoints/handlers/patch.go",
    )
    sets: Sets = field(
        "counter",
        "What it writes: one more than its copy says (changes the object every time), a timestamp of whole seconds as the API's "
        "are (once a second), the observed generation (once per spec), or a constant (nothing after the first time). What changes "
        "nothing never becomes a transaction.",
    )
    field_: str = field("status", "The field that it writes; writers of different fields do not undo each other.", alias="field")
    retry: Retry = field(
        "off",
        "RetryOnConflict after a 409, each time on a copy read anew: default (5 tries, 10 ms) or backoff (4 tries, 10 ms x 5).",
        "client-go: util/retry/util.go",
    )
    force: bool = field(True, "apply: take a field over that another manager has set; else that is a 409.")


class OnZeroValue(Section):
    """What a reconcile does when the map gives it a zero value."""

    create: Name = required("The object it creates.")
    name: Literal["generated"] = field("generated", "Name of what it creates: fresh each time.")
    watched: bool = field(
        False,
        "Whether the controller watches what it creates, which has no UID in its map: another zero value, that makes it create the "
        "next.",
    )


class Scan(Section):
    """A look at every entry of the controller's map, in every reconcile."""

    compare: Literal["deep", "deep_1kib", "direct"] = field(
        "deep", "How an entry is compared with its zero value: reflect.DeepEqual of a small struct or of 1 KiB, or a field with ==."
    )
    nanoseconds: Annotated[float, Field(ge=0, le=1e9)] | None = field(
        None, "CPU time of one comparison; when absent, the article's: 124, 892 or 0.3.", "the article, 3.1"
    )


class Recorded(Section):
    """Kubernetes Events that a reconcile records about the object, through client-go's event recorder."""

    object: Name = field("event", "The object an event is stored as.")
    per_reconcile: Annotated[Count, no_more_than(1000)] = field(1, "Events recorded in one reconcile.")
    message: Literal["same", "unique"] = field(
        "same", "Whether each event of an object repeats the last one (its count is patched), or says something new each time."
    )


class Reconcile(Section):
    """One reconcile of one key."""

    every: DurationOrStack = field(
        None,
        "Reconciled again this long after the end of the last reconcile (Result.RequeueAfter); when absent, as the stack does: "
        "mostly never.",
    )
    duration: Distribution = field(
        distribution(median="0.2ms", p99="1ms"), "CPU of one reconcile, without its requests.", "assumed"
    )
    on_zero_value: OnZeroValue | None = field(None, "What it does with a zero value; nothing when absent.")
    scan: Scan | None = field(None, "A look at every entry of its map; none when absent.")
    writes: dict[Name, Written] = field({}, "What it writes to the object of its key, in this order, by name.")
    finalizer: bool = field(
        False, "Whether it puts a finalizer on each object, and takes it off when the object is deleted: two more writes a life."
    )
    events: Recorded | None = field(None, "Kubernetes Events that it records; none when absent.")
    errors: Fraction = field(0.0, "Share of reconciles that end with an error: added again, rate limited.")
    terminal_errors: Fraction = field(0.0, "Share that ends with a terminal error (controller-runtime): not added again.")
    requeues: Fraction = field(0.0, "Share that asks to be requeued (Result.Requeue): added again, rate limited, without an error.")
    panics: Fraction = field(0.0, "Share that panics: an error where panics are recovered, else the end of the process.")
    poisoned: Fraction = field(0.0, "Share of the keys whose every reconcile ends with an error.")

    @model_validator(mode="after")
    def _shares(self) -> Reconcile:
        if isinstance(self.every, int) and self.every < SHORTEST:
            raise refused(f'"{format_duration(self.every)}" is too short; write at least 10us, or never', at="every")
        if self.errors + self.terminal_errors + self.requeues + self.panics > 1:
            raise refused("errors, terminal_errors, requeues and panics together are more than 1", at="errors")
        return self
