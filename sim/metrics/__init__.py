"""Observation: counters and histograms under the names that users rely on."""
