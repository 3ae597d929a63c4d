"""Where the package's own data lie: `data/` beside `sim/` in a checkout, `sim/data/` when installed from a wheel."""

from __future__ import annotations

from pathlib import Path
from typing import Final

_PACKAGE: Final = Path(__file__).resolve().parent
_PLACES: Final = (_PACKAGE / "data", _PACKAGE.parent / "data")


def folder(kind: str) -> Path:
    """The folder of one kind of data, such as `scenarios` or `devices`. Raises FileNotFoundError if there is none."""
    for place in _PLACES:
        if (place / kind).is_dir():
            return place / kind
    raise FileNotFoundError(f'etcdsim has no data of the kind "{kind}"; the installation is incomplete')


def names(kind: str) -> list[str]:
    """The names under which a user may ask for the data of this kind: its YAML files, sorted."""
    return sorted(path.stem for path in folder(kind).glob("*.yaml"))


def file(kind: str, name: str) -> Path:
    """The YAML file of the data called `name`; whether it exists is for the caller to say in the user's words."""
    return folder(kind) / f"{name}.yaml"
