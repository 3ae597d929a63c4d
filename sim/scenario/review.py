"""What the reader of a result wants beside it: goals, where each number is from, and what others published."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import (
    BeforeValidator,
    PlainSerializer,
    ValidationInfo,
    WithJsonSchema,
    field_serializer,
    field_validator,
    model_validator,
)

from sim.scenario.figures import Figure, read_number, read_value, write_value
from sim.scenario.quantities import plain
from sim.scenario.refusal import refused, shown
from sim.scenario.section import Section, field, required

RATIO: Final = "ratio"
"""The reference column whose values are quotients of two variants, without a unit."""

Bound = Annotated[float | None, WithJsonSchema({"x-ref": "Value"})]


class Objective(Section):
    """A bound that a figure must keep; a minimum also holds where the event never comes."""

    figure: Figure = required("The figure that is bounded.")
    min: Bound = field(None, "Smallest value that is good enough: a number in the figure's unit, or text with a unit.")
    max: Bound = field(None, "Largest value that is good enough.")
    variant: str | None = field(None, "The variant that must keep it; all of them when absent.")

    @field_validator("min", "max", mode="before")
    @classmethod
    def _in_unit(cls, value: Any, info: ValidationInfo) -> Any:
        return read_value(info.data["figure"], value) if "figure" in info.data else None

    @field_serializer("min", "max")
    def _with_unit(self, value: float | None) -> str | int | float | None:
        return None if value is None else write_value(self.figure, value)

    @model_validator(mode="after")
    def _bounded(self) -> Objective:
        if self.min is None and self.max is None:
            raise refused("missing; an objective needs a min or a max", at="min")
        return self


class Provenance(Section):
    """Where the value of one field, or of everything below it, is from."""

    is_: Literal["fitted", "assumed", "measured", "article", "published"] = required("What kind of number it is.", alias="is")
    to: str | None = field(None, "fitted: to which observation.")
    why: str | None = field(None, "assumed: why this value, and what it decides.")
    source: str | None = field(None, "measured, article, published: where.")

    @model_validator(mode="after")
    def _explained(self) -> Provenance:
        if not (self.to or self.why or self.source):
            raise refused("missing; say to what it was fitted (to), why it was assumed (why), or its source", at="why")
        return self


def _reference(columns: Any) -> Any:
    if not isinstance(columns, Mapping):
        raise refused(f"{shown(columns)} is not a mapping, such as {{leaking: {{etcd.keys_created: 2.37e6}}}}")
    read: dict[str, dict[str, float]] = {}
    for column, figures in columns.items():
        if figures is None:
            continue
        if not isinstance(figures, Mapping):
            raise refused(f"{shown(figures)} is not a mapping of figures to values", at=str(column))
        read[str(column)] = {}
        for figure, value in figures.items():
            try:
                read[str(column)][str(figure)] = read_number(value) if column == RATIO else read_value(str(figure), value)
            except Exception as error:
                raise refused(_message(error), at=f"{column}.{figure}") from None
    return read


def _message(error: Exception) -> str:
    context = getattr(error, "context", None) or {}
    return str(context.get("message", error))


def _write_reference(columns: dict[str, dict[str, float]]) -> dict[str, dict[str, Any]]:
    return {
        column: {figure: plain(value) if column == RATIO else write_value(figure, value) for figure, value in figures.items()}
        for column, figures in columns.items()
    }


Reference = Annotated[
    dict[str, dict[str, float]],
    BeforeValidator(_reference),
    PlainSerializer(_write_reference),
    WithJsonSchema(
        {
            "type": "object",
            "additionalProperties": {"type": "object", "additionalProperties": {"x-ref": "Value"}},
        }
    ),
]
"""Column (a variant, or `ratio`) to figure to value, in the figure's unit."""
