"""What held a finished run back: read off its figures, whatever its scenario calls things."""

from sim.diagnosis.diagnosis import Diagnosis, diagnose
from sim.diagnosis.rules import Finding, Station

__all__ = ["Diagnosis", "Finding", "Station", "diagnose"]
