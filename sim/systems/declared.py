"""What a system of the article is: its claim, the runs that test it, and the rule by which they are compared with it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Annotated, Any, Final, Literal

from pydantic import BeforeValidator, field_validator, model_validator
from pydantic_core import PydanticCustomError

from sim.diagnosis import Station
from sim.metrics.catalogue import describe
from sim.scenario.figures import Figure, read_number, read_value
from sim.scenario.model import Settings
from sim.scenario.quantities import Fraction, Name
from sim.scenario.refusal import refused, shown
from sim.scenario.section import Section, field, required

Compare = Literal["without", "with", "ratio", "gain", "saved"]
NOTHING: Final = "nothing"
COMPARED: Final[dict[str, str]] = {
    "without": "the run without",
    "with": "the run with",
    "ratio": "without over with",
    "gain": "with over without",
    "saved": "the share of without that is gone with",
}
Number = Annotated[float, BeforeValidator(read_number)]
_RULES: Final = ("article", "at_least", "at_most")
_OF_FIGURES: Final = ("per", "compare", "without", "with_", "within", "quick", *_RULES)


class Bounds(Section):
    """What the article leads one to expect of the compared figure; nothing: it says nothing that can be compared."""

    article: float | None = field(None, "The article's own number, to be met within `within`.")
    within: Fraction | None = field(None, "How far from the article's number still counts as reproduced, as a share of it.")
    at_least: float | None = field(None, "The claim holds from this value on.")
    at_most: float | None = field(None, "The claim holds up to this value.")

    @property
    def comparable(self) -> bool:
        """Whether there is anything to compare with."""
        return any(getattr(self, name) is not None for name in _RULES)

    @model_validator(mode="after")
    def _whole(self) -> Bounds:
        if self.article is not None and self.within is None:
            raise refused("missing; say how far from the article's number still counts, such as 10%", at="within")
        if self.within is not None and self.article is None:
            raise refused(f"{shown(self.within)} is not allowed without article", at="within")
        if self.article == 0:
            raise refused("0 has no share; write at_most", at="article")
        return self


class QuickBounds(Bounds):
    """The same for the quick form, whose runs are smaller than what the article tells of."""

    why: str = required("Why the smaller runs should show this.")


class Check(Bounds):
    """One figure of the runs, how the two sides are compared, and what the claim expects; or what diagnoses should name."""

    shows: str = required("What the figure is, in words for the table.")
    figure: Figure | None = field(None, "The figure that is looked at; required without `names`.")
    names: dict[Name, Station | Literal["nothing"]] = field(
        {}, "Instead of a figure: variant to the station that the diagnosis of its run has to name, or nothing. All must be."
    )
    per: Figure | None = field(None, "Another figure of the same run that it is divided by.")
    compare: Compare = field("ratio", "; ".join(f"{word}: {meaning}" for word, meaning in COMPARED.items()) + ".")
    without: Name | None = field(None, "The variant without, where it is not the system's.")
    with_: Name | None = field(None, "The variant with, where it is not the system's.", alias="with")
    says: str = field("", "The article's words for it; empty: it gives no figure.")
    decides: bool = field(False, "Whether the system's verdict rests on it; where no check says so, on the first.")
    quick: QuickBounds | None = field(None, "What the quick form expects, where that is something else.")

    @field_validator("figure", "per")
    @classmethod
    def _reported(cls, name: str | None) -> str | None:
        if name is not None and describe(name) is None:
            raise refused(f"no run reports {shown(name)}; `etcdsim metrics` lists all figures")
        return name

    @model_validator(mode="before")
    @classmethod
    def _in_unit(cls, given: Any) -> Any:
        """Numbers that are text are read in the figure's unit where a figure itself is compared; else they are plain."""
        if not isinstance(given, Mapping) or not isinstance(figure := given.get("figure"), str):
            return given
        plain = given.get("compare", "ratio") not in ("without", "with") or given.get("per") is not None
        read = partial(_read, figure, plain)
        quick = given.get("quick")
        return {**read(given), "quick": read(quick, "quick.") if isinstance(quick, Mapping) else quick}

    @model_validator(mode="after")
    def _one_kind(self) -> Check:
        if self.figure is None and not self.names:
            raise refused("missing; a check looks at a figure, or has names", at="figure")
        if self.names and (mixed := self.model_fields_set & {"figure", *_OF_FIGURES}):
            name = "with" if "with_" in mixed else min(mixed)
            raise refused("not allowed with names: all have to be named", at=name)
        return self

    @property
    def comparable(self) -> bool:
        """Whether there is anything to compare with."""
        return bool(self.names) or super().comparable

    @property
    def one_sided(self) -> bool:
        """Whether nothing is compared but a side, or what is named, stands for itself."""
        return bool(self.names) or self.compare in ("without", "with")

    def bounds(self, quick: bool) -> Bounds:
        """What is expected of runs in the quick or in the full form."""
        return self.quick if quick and self.quick is not None else self


def _read(figure: str, plain: bool, given: Mapping[str, Any], at: str = "") -> dict[str, Any]:
    found = dict(given)
    for name in _RULES:
        value = found.get(name)
        if isinstance(value, str):
            try:
                found[name] = read_number(value) if plain else read_value(figure, value)
            except PydanticCustomError as error:
                raise refused(str((error.context or {}).get("message", error)), at=f"{at}{name}") from None
    return found


class Quick(Section):
    """How the runs are made smaller: a few seconds of CPU for all variants together."""

    set: Settings = field({}, "Dotted path to value, after the system's own.")


class Picture(Section):
    """What is drawn: a time series of all variants, or a figure of each as a bar or, at declared places, as a line."""

    figure: Figure = required("The figure that is drawn.")
    at: dict[Name, Number] = field({}, "Variant to place on the x axis: the figures then make a line.")
    axis: str = field("", "What the places are.")
    log: bool = field(False, "A logarithmic y axis.")


class Growth(Section):
    """How a figure grows over several variants: laws are fitted to the runs, and to what was published."""

    figure: Figure = required("The figure that grows.")
    over: str = required("What it grows with, in a word.")
    lines: dict[str, dict[Name, Number]] = required("By name: variant to its place. Each line is fitted for itself.")
    published: dict[Number, Number] = field({}, "The article's points: place to value.")
    predict: Number = required("The place that every law is asked about.")


class System(Section):
    """One of the article's systems."""

    id: str = required("Its id, such as S3 or S13a.")
    name: str = required("What the article calls it, in a few words.")
    claim: str = required("What the article claims.")
    source: str = required("Where the article claims it.")
    scenario: str = required("The scenario, by name.")
    without: Name = required("The variant without the defence, or with the fault.")
    with_: Name = required("The variant with it.", alias="with")
    variants: tuple[Name, ...] = field((), "Further variants that checks or the picture need.")
    set: Settings = field({}, "Changes of the scenario: dotted path to value.")
    quick: Quick = field(Quick(), "The quick form.")
    checks: dict[Name, Check] = required("What is compared, by name; the first decides unless others say so.")
    picture: Picture | None = field(None, "What is drawn; when absent, the figure of the first check.")
    growth: Growth | None = field(None, "Laws of growth over further variants.")
    note: str = field("", "What a reader of the verdict should know.")

    @model_validator(mode="after")
    def _something(self) -> System:
        if not self.checks:
            raise refused("missing; a system needs at least one check", at="checks")
        if self.picture is None and next(iter(self.checks.values())).figure is None:
            raise refused("missing; the first check has no figure that could be drawn", at="picture")
        return self

    def variant_names(self) -> list[str]:
        """All variants that are simulated, each once."""
        named = [self.without, self.with_, *self.variants]
        for check in self.checks.values():
            named += [*(name for name in (check.without, check.with_) if name is not None), *check.names]
        named += self.picture.at if self.picture is not None else []
        for line in self.growth.lines.values() if self.growth is not None else ():
            named += line
        return list(dict.fromkeys(named))

    def deciding(self) -> list[str]:
        """The checks on which the verdict rests."""
        return [name for name, check in self.checks.items() if check.decides] or [next(iter(self.checks))]
