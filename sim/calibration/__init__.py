"""Calibration: from what a real etcd and a real disk showed to the cluster section of a scenario, with how well it is known.

scrape      the text of /metrics: version, member, histograms, differences        <- sources   files, a member, Prometheus
histogram   a censored sample                                                     <- laws      what it is fitted with
fit         maximum likelihood on intervals, choice, goodness of fit              <- commits   the law of one of two fdatasyncs
stalls      what a series tells and one histogram cannot                          <- ridges    what the input cannot tell at all
fio         a disk as fio measured it
cluster     everything together: fields, provenance, remarks                      -> files, tables, plot
"""

from sim.calibration.cluster import Calibration, calibrate
from sim.calibration.fio import FioMeasurement, read_fio
from sim.calibration.fit import Fit, Fitted, fit
from sim.calibration.histogram import Histogram, from_cumulative, from_sample
from sim.calibration.scrape import Scrape, parse
from sim.calibration.sources import ask_prometheus, read_scrape, read_series, scrape_member
from sim.calibration.stalls import Stalls, fit_stalls

__all__ = [
    "Calibration",
    "FioMeasurement",
    "Fit",
    "Fitted",
    "Histogram",
    "Scrape",
    "Stalls",
    "ask_prometheus",
    "calibrate",
    "fit",
    "fit_stalls",
    "from_cumulative",
    "from_sample",
    "parse",
    "read_fio",
    "read_scrape",
    "read_series",
    "scrape_member",
]
