"""The part of PromQL that alert rules are made of, read from text and evaluated on the scrapes of a run.

    language    number . metric . metric[5m] . arithmetic . comparisons . and, or . sum, sum by (le) . functions of `FUNCTIONS`
    a series    each metric is one series: a run's totals, so `sum` changes nothing, and label matchers are refused
    values      a number, or none: a comparison that does not hold has none, and an alert is active where its expression has one

Sources: prometheus/prometheus promql/functions.go (extrapolatedRate, deriv, predict_linear, the *_over_time functions), quantile.go
(bucketQuantile), rules/alerting.go. Whatever is not in this list is refused by its name.
"""
