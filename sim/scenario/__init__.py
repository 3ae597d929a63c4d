"""What is to be simulated: declarative, validated, with units; no behaviour."""

from sim.scenario.checks import warnings
from sim.scenario.controllers import Controller, Resolved, resolve_stack
from sim.scenario.device import DeviceProfile, load_profile, profiles
from sim.scenario.fields import Field, fields
from sim.scenario.files import load, parse_assignment, scenarios
from sim.scenario.model import Scenario, from_dict, to_dict
from sim.scenario.schema import json_schema
from sim.scenario.text import dump

__all__ = [
    "Controller",
    "DeviceProfile",
    "Field",
    "Resolved",
    "Scenario",
    "dump",
    "fields",
    "from_dict",
    "json_schema",
    "load",
    "load_profile",
    "parse_assignment",
    "profiles",
    "resolve_stack",
    "scenarios",
    "to_dict",
    "warnings",
]
