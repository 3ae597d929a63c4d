"""What every part of a scenario shares: frozen, it knows its keys, and says what each is and where its default is from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from sim.scenario.refusal import refused, shown, unknown


class Section(BaseModel):
    """A mapping of a scenario file. Nothing (`null`) for a key means its default; an unknown key is refused.

    Numbers given to a constructor are read as in a file: seconds, bytes, per second. Stored are nanoseconds and bytes.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    @model_validator(mode="before")
    @classmethod
    def _keys(cls, data: Any) -> Any:
        if isinstance(data, cls):
            return data
        if data is None:
            return {}
        if not isinstance(data, Mapping):
            raise refused(f"{shown(data)} is not a mapping; allowed keys: {', '.join(keys(cls))}")
        allowed = keys(cls)
        for key in data:
            if key not in allowed:
                raise refused(unknown(key, allowed), at=str(key))
        return {key: value for key, value in data.items() if value is not None}


def keys(section: type[BaseModel]) -> list[str]:
    """The keys a user may write in this section."""
    return [field.alias or name for name, field in section.model_fields.items()]


def field(default: Any, description: str, source: str = "", alias: str | None = None) -> Any:
    """A field with a default: what it is, and the source of the default (`assumed: ...` where there is none)."""
    extra: dict[str, Any] = {"x-source": source} if source else {}
    copied = default.copy if isinstance(default, dict) else None
    if copied is not None:
        return Field(default_factory=copied, description=description, json_schema_extra=extra, alias=alias)
    return Field(default=default, description=description, json_schema_extra=extra, alias=alias)


def required(description: str, alias: str | None = None) -> Any:
    """A field without a default."""
    return Field(description=description, alias=alias)
