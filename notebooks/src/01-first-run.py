# %% [markdown]
# # A first run
#
# `etcdsim` predicts what Kubernetes controllers do to etcd, before they are deployed: keys, bytes, latency, and who is to blame.
# This notebook walks through one question, start to end: **a controller leaks keys; what does that do to etcd, and what does a
# client limit change?** It takes less than a minute. Nothing has to be installed but the package
# (`pip install ".[notebook]"` in a clone).

# %%
import pandas as pd

import sim

pd.options.display.float_format = lambda value: f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
pd.options.display.max_colwidth = 160

# %% [markdown]
# ## 1. What can be simulated?
#
# A scenario is a YAML file that says what is to be simulated. These come with the package; `docs/scenario.md` says how to write one.

# %%
pd.DataFrame(sim.scenarios(), columns=["scenario", "about"]).set_index("scenario")

# %% [markdown]
# The full story is `zero-value-leak`: 24 hours, 2.4 million keys, a minute or two of computing. Here we take the small one: ten times the churn in
# 2.4 hours. It ends at the same rate of writes, with a tenth of the keys.

# %%
leak = sim.load("zero-value-leak-small")
print(leak.about)
print("variants:", ", ".join(leak.variant_names()))

# %% [markdown]
# Two variants of one world: `leaking` keeps a cache entry with a zero value for each deleted pod, and every pass over such an entry creates a junk
# pod. `fixed` removes the entry. Everything else is the same, to the last random number.
#
# `fields` lists every value that is simulated, where it stands, and what it means. This is the controller:

# %%
fields = pd.DataFrame(sim.scenario.fields(leak)).set_index("path")
fields.loc[fields.index.str.startswith("controllers."), ["value", "is_default", "description"]]

# %% [markdown]
# ## 2. Run it
#
# One call runs all variants, side by side on the cores that are there.

# %%
runs = sim.run(leak)
runs

# %% [markdown]
# ## 3. What came out
#
# `runs.summary` is a table: a row a figure, a column a variant, their ratio. Names end in their SI unit; `etcdsim metrics` explains each.

# %%
shown = [
    "etcd.keys_created", "etcd.keys_live", "etcd.wal_bytes_written",
    "etcd.apply_seconds.p50", "etcd.apply_seconds.p99", "etcd.apply_seconds.max",
    "etcd.compaction_seconds.max", "etcd.db_bytes_total", "cache.zero_value_keys",
]
runs.summary.loc[shown, ["leaking", "fixed", "ratio", "unit"]]

# %% [markdown]
# The picture for a design review. Left to right: keys, WAL, database, work queue, and how long an apply takes.

# %%
runs.plot()

# %% [markdown]
# ## 4. Does it follow a law?
#
# Each deleted pod leaves one entry; each entry is visited every $P$ seconds and writes one key. With a churn of $c$ pods per second
# that makes $c T^2 / (2 P)$ keys in $T$ seconds: quadratic, so half the time must give a quarter of the keys. Nothing in the program knows this
# formula; it has to come out.

# %%
churn, period, horizon = 1 / 15.7, 10.0, runs.horizon_seconds
pods_and_events = runs["fixed"].series["etcd.keys_created"]  # what churn alone creates
created = runs["leaking"].series["etcd.keys_created"] - pods_and_events
pd.Series({
    "by the law": churn * horizon**2 / (2 * period),
    "simulated": created.iloc[-1],
    "at half the time, of the end": created.iloc[len(created) // 2 - 1] / created.iloc[-1],
})

# %% [markdown]
# `series` is a pandas table by simulated seconds. It holds more than the picture shows:

# %%
runs["leaking"].series[["etcd.keys_live", "etcd.wal_bytes_written", "etcd.db_bytes_total", "cache.zero_value_keys"]].iloc[::480]

# %% [markdown]
# ## 5. Who did it?
#
# Every request carries who caused it. `apply_tail_share` is each writer's part of the waiting of the slowest percent of applies.

# %%
runs.writers["leaking"][["keys_created", "puts", "wal_bytes_written", "apply_tail_share"]]

# %% [markdown]
# What did these slow applies wait for? For backend commits, for batches of a compaction, or for other entries:

# %%
runs.summary.filter(like="apply_tail_share", axis=0)[["leaking", "fixed"]]

# %% [markdown]
# In 2.4 hours there are few keys yet, so compaction plays a small part. Its walk over every live key grows with the leak:

# %%
pd.Series({
    f"{start} to {end}": runs["leaking"].quantile("etcd.compaction_seconds", 0.5, between=(start, end))
    for start, end in [("0.6h", "1.2h"), ("1.2h", "1.8h"), ("1.8h", "2.4h")]
}, name="median compaction, seconds").to_frame()

# %% [markdown]
# ## 6. Turn one knob
#
# What if the controller's client were limited to 20 requests a second? `with_` gives a changed scenario; the old one stays as it is.

# %%
knob = {"controllers.zero-pod-writer.client": {"qps": 20, "burst": 30}}
limited = sim.run(leak.with_(knob), variants=["leaking"])["leaking"]

compared = pd.DataFrame({
    "no limit": runs["leaking"].metrics, "20 requests/s": limited.metrics,
}).loc[[*shown, "rest_client.rate_limiter_seconds.p50", "workqueue.depth.max"]]
compared

# %% [markdown]
# The limit does not stop the leak: it turns the curve from quadratic to linear, from the moment at which the stock of entries asks for 20
# writes a second ($20 \cdot P / c$ seconds). Meanwhile the goroutines wait at the limiter. That moment follows from the law, too:

# %%
reached = 20 * period / churn
with_limit = limited.series["etcd.keys_created"] - pods_and_events
axes = (created / 1e3).plot(label="no limit", color="#D55E00", figsize=(8, 3.4))
(with_limit / 1e3).plot(ax=axes, label="20 requests/s", color="#0072B2")
axes.axvline(reached, color="grey", linestyle=":", label=f"limit reached by the law: {reached:,.0f} s")
axes.set(xlabel="seconds", ylabel="thousand junk keys")
axes.legend(frameon=False, loc="lower right");

# %% [markdown]
# ## 7. What is fitted, what is assumed, what is predicted?
#
# A prediction is worth what it rests on. Each scenario declares it, and results carry it along: `is` in the summary, `provenance` in the scenario.
# In `zero-value-leak` one number is fitted, the churn, so that the day gives the article's 2.37 million keys.

# %%
provenance = sim.load("zero-value-leak").provenance
pd.DataFrame(
    [(path, said.is_, said.to or said.why or said.source) for path, said in provenance.items()], columns=["value", "is", "because"],
).set_index("value")

# %% [markdown]
# Everything else in the table of that scenario is a prediction under these assumptions. Which of the mechanisms were compared with the real
# ones, and which figures are not validated yet, stands in the README under *How far to trust it*; what is simplified, with its effect, in
# `docs/simplifications.md`.
#
# ## 8. Where to go on
#
# - The whole day: `sim.run(sim.load("zero-value-leak"))`, or `etcdsim run zero-value-leak` in a shell.
# - Your disk: `etcdsim probe-disk . -o my-disk.yaml`, then
#   `leak.with_({f"etcd.members.{m}.disk": "./my-disk.yaml" for m in "abc"})`.
# - Keep a result: `runs.save("result")`, and later `sim.Runs.load("result")`.
# - Your own controller: copy a scenario (`etcdsim show zero-value-leak > mine.yaml`), change it, `etcdsim check mine.yaml`.
