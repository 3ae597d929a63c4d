# %% [markdown]
# # Capacity planning
#
# From "what does one more controller cost?" to "which setting, how many, and how sure are we?". Five steps, each on the runs of the one before it where it
# can: **sweep, intervals, growth law, recommendation, frontier**. It takes less than a minute; the runs are short so that it does. In earnest take an hour
# of simulated time and more replications.

# %%
import pandas as pd

import sim
from sim.analysis import interval

pd.options.display.float_format = lambda value: f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
pd.options.display.max_colwidth = 160

# %% [markdown]
# ## 1. Sweep: how many keys do coordinating controllers write?
#
# `key-growth` holds controllers that coordinate through leases and config maps. We vary their number, three replications each. Replication 1 of
# every point meets the same world, so what differs between points is the knob.

# %%
COUNT = "workloads.operators.controllers"
runs = sim.sweep(
    sim.load("key-growth").with_({"horizon": "1m"}), over={COUNT: [1, 2, 5, 10, 20]}, replications=3, variants=["n20"],
    figures=["etcd.keys_created", "etcd.apply_seconds.p99"],
)
runs.pivot_table(index=COUNT, values=["etcd.keys_created", "etcd.apply_seconds.p99"])

# %% [markdown]
# ## 2. Intervals: how sure is a p99?
#
# A number without an interval is a rumour. Three replications give a wide one, and say so; with two there would be none.

# %%
def with_interval(values):
    found = interval(values.to_numpy(), "mean")
    return pd.Series({"p99 of apply, s": found.estimate, "low": found.low, "high": found.high, "by": found.method})


runs.groupby(COUNT)["etcd.apply_seconds.p99"].apply(with_interval).unstack()

# %% [markdown]
# ## 3. The growth law, and what it says at 100
#
# Laws are told apart by AICc where the number of points allows it. Nothing in the program knows the article's law, 8 n + 4 n²; it has to come out.

# %%
growth = sim.growth(runs, "etcd.keys_created", COUNT)
print(growth.statement)
growth.table(at=[100]).dropna(axis="columns", how="all").set_index("law").loc[["quadratic", "power", "linear"], ["aicc", "is", "at 100", "at 100 low", "at 100 high"]]

# %%
growth.plot(at=[100])

# %% [markdown]
# The grey part lies beyond the points: right only where the law goes on. That it does follows from the mechanism, not from the fit.
#
# ## 4. Which setting? Asked of the fixed controller
#
# `fixed-controller` is the leak's controller after the fix, at work: a status of each of 100 pods every 2 s, which is 50 writes a second. Behind the usual 20 requests
# per second its queue grows. What is the slowest client with which no key waits longer than a second?
#
# The search proposes; what it proposes is judged on worlds that it has not seen.

# %%
CONTROLLER = "controllers.zero-pod-writer"
work = sim.load("fixed-controller").with_({"horizon": "20s", f"{CONTROLLER}.client.burst": 60})
found = sim.recommend(
    work,
    over={f"{CONTROLLER}.client.qps": [20, 40, 80], f"{CONTROLLER}.workers": [2, 10]},
    objectives={
        "queue": {"figure": "workqueue.queue_seconds.p99", "max": "1s"},
        "log": {"figure": "etcd.wal_bytes_written", "goal": "low"},
    },
    replications=3, most_replications=6, candidates=1,
)
found.outcome, found.point

# %%
found.plot()

# %% [markdown]
# ## 5. How many of them?
#
# The largest count that keeps the log below a budget, for two limits of the client. A count is simulated until it is decided; between what meets and what fails
# lies what these replications cannot tell.

# %%
frontier = sim.frontier(
    work.with_({"horizon": "10s"}), f"{CONTROLLER}.count", 4, per={f"{CONTROLLER}.client.qps": [10, 40]},
    require=["etcd.wal_bytes_written <= 3MB"], replications=3, most_replications=3,
)
frontier.table()

# %%
frontier.plot()

# %% [markdown]
# ## What this rests on
#
# Every interval above says how much chance there is in a figure, not how true the model is: for that there is the validation against a real etcd
# (`docs/validate.md`). `docs/planning.md` says how recommendation, frontier, sensitivity and growth work, and where they fail.
