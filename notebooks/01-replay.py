# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # From a job log to a comparison of policies
#
# A computing center writes down every job: when it was submitted, how wide it was, how long it was allowed to run and how long
# it ran. Such a log can be replayed: the same people submit the same jobs at the same moments, but another rule decides
# who starts when. This notebook does that once, slowly, for three known policies and for one of our own.
#
# It takes under a minute. The first time ever, the decision core is compiled before that, which takes one to two minutes.

# %%
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.colors import LogNorm
from matplotlib.ticker import PercentFormatter

from apportion.core.errors import TraceError
from apportion.metrics import series
from apportion.metrics.bootstrap import Bootstrap
from apportion.metrics.compare import compare
from apportion.metrics.glossary import flatten, meaning
from apportion.metrics.run import load_run
from apportion.policy.load import from_dict, load
from apportion.sim import runfolder
from apportion.sim.conventions import Conventions
from apportion.sim.divergence import first_divergence
from apportion.sim.replay import replay
from apportion.sim.workload import from_trace
from apportion.traces import read
from apportion.traces.catalog import locate
from apportion.traces.clean import clean
from apportion.traces.stats import accuracy, by_user, describe, lorenz, per_bin
from apportion.traces.synth import lublin

OUT = Path("runs")
COLOURS = {"easy": "#0b6fa8", "conservative": "#c8580a", "multifactor": "#14866a", "response-ratio": "#a8468a"}
INK, SOFT, LINE = "#17202a", "#56626f", "#dfe3e6"
plt.rcParams |= {
    "figure.dpi": 110, "figure.constrained_layout.use": True, "font.size": 10, "text.color": INK,
    "axes.titlesize": 11, "axes.titlelocation": "left", "axes.labelcolor": SOFT, "axes.edgecolor": SOFT,
    "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True, "axes.axisbelow": True,
    "grid.color": LINE, "xtick.color": SOFT, "ytick.color": SOFT, "legend.frameon": False,
}  # fmt: skip
HOUR_MS, DAY_MS = 3_600_000, 86_400_000

# %% [markdown]
# ## 1. Read
#
# The log of the IBM SP2 at KTH in Stockholm is small and well known: 100 processors, eleven months from September 1996. A name is
# looked up in the folders of `APPORTION_TRACES` and in the cache; with `download=True` it would also be fetched from the
# [Parallel Workloads Archive](https://www.cs.huji.ac.il/labs/parallel/workload/). Where it cannot be had, we go on with a synthetic
# workload, and the pictures below are then of a machine that never existed.

# %%
try:
    raw = read(locate("KTH-SP2-1996-2", download=False))
    print(f"a real trace: {raw.meta.name}, with thanks to Lars Malinowsky and the Parallel Workloads Archive")
except TraceError as error:
    raw = lublin(10_000, seed=1, procs=128, load=0.8)
    print(f"a SYNTHETIC workload (Lublin and Feitelson's model), because: {error.problem}")
print(f"{len(raw):,} jobs on {raw.meta.max_procs} processors")
raw.jobs.head()

# %% [markdown]
# Times are in milliseconds from the trace's own beginning, and -1 means "unknown". Nothing has been corrected yet: a reader
# says what the file says.
#
# ## 2. Clean, and see what that did
#
# No log is clean. Every oddity is handled by a rule with a name, and every rule says how many jobs it found. `flag` and `keep` change
# nothing; they say what the conventions below will have to decide.

# %%
trace, cleaning = clean(raw)
found = [outcome for outcome in cleaning.outcomes if outcome.jobs]
print(f"{cleaning.jobs_before:,} jobs read, {cleaning.jobs_after:,} kept")
pd.DataFrame(
    [(o.rule.name, o.rule.action if o.on else "off", o.jobs, o.rule.why) for o in found],
    columns=["rule", "action", "jobs", "why so"],
).style.hide(axis="index").set_properties(**{"text-align": "left"})

# %% [markdown]
# ## 3. What kind of workload is this?
#
# Before judging policies it is worth knowing what they are up against: when people work, how full the machine is, how far
# their time limits are from the truth, and how few of them make most of the load.

# %%
facts = describe(trace)
daily_work = per_bin(trace, DAY_MS)[1] / (trace.meta.max_procs * 86_400)

fig, (left, right) = plt.subplots(1, 2, figsize=(11, 3.4), width_ratios=[1.25, 1])
image = left.imshow(facts["arrivals"]["by_weekday_and_hour"], aspect="auto", cmap="YlOrBr")
left.set(title="When jobs are submitted", xlabel="hour of the day", xticks=range(0, 24, 3))
left.set_yticks(range(7), list(facts["arrivals"]["by_weekday"]))
left.grid(visible=False)
fig.colorbar(image, ax=left, label="jobs")
right.bar(range(len(daily_work)), daily_work, color=COLOURS["easy"], width=1)
right.axhline(1, color=INK, lw=1, ls="--")
right.set(
    title="Work submitted each day (dashed: whole machine)", xlabel="day", ylim=(0, None), xlim=(0, len(daily_work))
)
right.yaxis.set_major_formatter(PercentFormatter(1))
print(
    f"{daily_work.mean():.0%} of the machine is asked for on average, more than all of it on {(daily_work > 1).sum()} of {len(daily_work)} days"
)

# %% [markdown]
# On average the machine is large enough. But people submit in office hours, and on some days far more than a day's worth of work. Queues are made
# on those days, and that is where policies differ.

# %%
used_of_limit = accuracy(trace)
_, _, work_by_user = by_user(trace)

fig, (left, right) = plt.subplots(1, 2, figsize=(11, 3.2))
left.hist(np.minimum(used_of_limit, 1.2), bins=48, color=COLOURS["easy"])
left.axvline(1, color=INK, lw=1, ls="--")
left.set(
    title="How much of its time limit a job used",
    xlabel="run time / time limit (more than 1.2 counts as 1.2)",
    ylabel="jobs",
)
users, work = lorenz(work_by_user)
right.plot(users, work, color=COLOURS["easy"], lw=2)
right.plot([0, 1], [0, 1], color=SOFT, lw=1, ls="--")
right.set(title="How unequally the work is spread", xlabel="users, lightest first", ylabel="part of all work")
for axis in (right.xaxis, right.yaxis):
    axis.set_major_formatter(PercentFormatter(1))
print(
    f"half of the jobs use less than {np.median(used_of_limit):.0%} of their limit; {int((used_of_limit > 1).sum()):,} ran past it"
)
print(f"the heaviest tenth of {len(work_by_user)} users submits {1 - np.interp(0.9, users, work):.0%} of the work")

# %% [markdown]
# ## 4. Conventions come before results
#
# A log leaves questions open that change every number that follows. Is a job as wide as it asked for, or as it got? What does the
# scheduler know of run times? What becomes of a job that ran past its limit? Simulators answer silently, and differ for it. Here the answers
# are options, and they are written into every result.

# %%
conventions = Conventions()
pd.Series(conventions.describe(), name="convention").to_frame().style.set_properties(**{"text-align": "left"})

# %% [markdown]
# How much do they matter? The same trace, the same policy (EASY backfill), one answer changed at a time:


# %%
def mean_wait_h(**changed):
    workload = from_trace(trace, Conventions(**changed))
    schedule = replay(workload, load("easy"))
    started = schedule.start_ms >= 0
    return float((schedule.start_ms - workload.jobs.submit_ms)[started].mean()) / HOUR_MS


variants = {
    "the defaults": {},
    "size as requested": {"size": "requested"},
    "limits raised": {"over_limit": "raise"},
    "limits exact": {"limit": "exact"},
}
by_convention = pd.Series({name: mean_wait_h(**changed) for name, changed in variants.items()}, name="mean wait, h")
by_convention.to_frame().round(3)

# %% [markdown]
# Any two of these could stand in two papers under the one word EASY. So a number without its conventions says little, and differences
# between policies mean something only under the same ones. From here on we keep the defaults.
#
# ## 5. Three policies, and one of our own
#
# - **easy**: first come, first served; a job may pass others if it does not delay the first in the queue.
# - **conservative**: it may pass only if it delays nobody who came earlier.
# - **multifactor**: Slurm's job priority with Fair Tree, the users who have used least of their share first; EASY backfill.
#
# Ours takes an old idea, *highest response ratio next* (Brinch Hansen, 1971): a job's claim grows with its wait, measured in its own time limit, so
# short jobs are served soon and long ones are not forgotten. We multiply it by the fair-share factor (0 to 1), so that the claims of light users
# grow faster. That is a whole policy; in a TOML file it would be the same five lines. Whether it is a good one, we shall see.

# %%
ours = from_dict(
    {
        "Name": "response-ratio",
        "Order": "expression",
        "OrderExpression": "-(1 + wait / max(limit, 600)) * fairshare",  # the smallest comes first
        "Backfill": "easy",
        "PriorityDecayHalfLife": "7-0",
    }
)
policies = [load("easy"), load("conservative"), load("multifactor"), ours]

# %% [markdown]
# A policy that is a dictionary, a TOML file or a preset is compiled to the same tables, and the expression to machine code. Each replay leaves
# a *run folder*: schedule, metrics, and a manifest with everything that it depends on. All that follows reads only those folders.

# %%
workload = from_trace(trace, conventions)
runs, metrics = {}, {}
for policy in policies:
    schedule = replay(workload, policy)
    folder = OUT / f"{trace.meta.name}-{policy.Name}"
    measured = runfolder.write_run(folder, workload, schedule, policy, conventions, cleaning, with_report=False)
    runs[policy.Name], metrics[policy.Name] = load_run(folder), flatten(measured)
    print(f"{policy.Name:15} decisions {schedule.decision_hash}  {folder}")

# %% [markdown]
# The hash stands for all decisions in their order. Whoever replays the same trace under the same policy and conventions, in either
# of the two drivers, gets the same one.
#
# ## 6. What the numbers mean
#
# Every metric has a sentence that says what it is, so that nobody needs to guess.

# %%
CHOSEN = (
    "service.wait_s.mean", "service.wait_s.p95", "service.bounded_slowdown.mean", "service.bounded_slowdown.p50",
    "service.wait_s.area_weighted_mean", "starvation.longest_wait_s", "utilization.used_fraction",
    "utilization.loss_of_capacity_fraction", "service.backfilled_fraction",
)  # fmt: skip
table = pd.DataFrame({name: {key: values[key] for key in CHOSEN} for name, values in metrics.items()})
table.assign(meaning=[meaning(key).text for key in CHOSEN]).style.format(precision=2, thousands=",").set_properties(
    subset=["meaning"], **{"text-align": "left"}
)

# %% [markdown]
# All four do the same work in nearly the same time, so utilization hardly differs: it is set by what was submitted. What a policy decides is *who*
# waits. Most jobs hardly wait at all (look at the median slowdown); a mean tells of the unlucky ones. Note that the mean over jobs and the mean weighted
# by work need not agree: a policy that is kind to many small jobs can be so at the cost of the few large ones that make up most of the work.

# %%
fig, (left, right) = plt.subplots(1, 2, figsize=(11, 3.6), width_ratios=[1.5, 1])
for name, run in runs.items():
    over_time = series.timeline(run, bins=4000)
    day = over_time["t_s"] / 86_400
    busiest = day[over_time["queued_procs"].idxmax()] if name == "easy" else busiest
    near = (day > busiest - 9) & (day < busiest + 5)
    left.plot(day[near], over_time["queued_jobs"][near], color=COLOURS[name], lw=1.6, label=name)
    waits = np.sort(run.wait_s[run.started])
    right.plot(np.maximum(waits, 1) / 3600, 1 - np.arange(len(waits)) / len(waits), color=COLOURS[name], lw=1.6)
left.set(
    title="Two weeks around the largest queue that easy ever had",
    xlabel="day of the trace",
    ylabel="jobs waiting",
    ylim=(0, None),
)
left.legend(loc="upper left")
right.set(
    title="How many wait for longer than ...",
    xlabel="wait, h",
    ylabel="part of all jobs",
    xscale="log",
    yscale="log",
    xlim=(1 / 60, None),
    ylim=(1e-4, 1),
)
right.yaxis.set_major_formatter(lambda part, _: f"{100 * part:g} %")
right.xaxis.set_major_formatter("{x:g}")

# %% [markdown]
# A mean hides which jobs pay. Below, each cell is a class of jobs; its colour is their mean bounded slowdown, that is, how many times longer than their
# run they were in the system.

# %%
fig, axes = plt.subplots(1, len(runs), figsize=(12.5, 3.6), sharey=True)
for axis, (name, run) in zip(axes, runs.items(), strict=True):
    cells = series.slowdown_heatmap(run).pivot_table(
        index="size_class", columns="run_class", values="mean_bounded_slowdown", observed=False
    )
    image = axis.imshow(cells, norm=LogNorm(1, 1000), cmap="YlOrBr", aspect="auto", origin="lower")
    axis.set(title=name, xlabel="run time")
    axis.set_xticks(range(cells.shape[1]), cells.columns, rotation=60, ha="right", fontsize=8)
    axis.set_yticks(range(cells.shape[0]), cells.index)
    axis.grid(visible=False)
axes[0].set_ylabel("processors")
_ = fig.colorbar(image, ax=axes, label="mean bounded slowdown", extend="max")

# %% [markdown]
# Under every policy it is short jobs that suffer most, and among them the wide ones: they need much of the machine, for next to no time. What differs is
# by how much, and what the long jobs pay for it.
#
# ## 7. Fair to whom?
#
# Fairness needs somebody to be fair to. Here it is the users. `jain_service` compares the part of their time in the system that their work
# was being served: 1 means equal for all. The unfairness of Sabin and Sadayappan asks of each job whether it started later than if nobody
# who came after it had been served first.

# %%
FAIR = (
    "fairness.user.jain_service", "fairness.user.gini_service", "fairness.nuwt.p50",
    "fairness.fair_start_sample.arrival_order.unfair_fraction", "fairness.fair_start_sample.arrival_order.mean_unfairness_s",
)  # fmt: skip
fair = pd.DataFrame({name: {key: values[key] for key in FAIR} for name, values in metrics.items()})
fair.assign(meaning=[meaning(key).text for key in FAIR]).style.format(precision=3, thousands=",").set_properties(
    subset=["meaning"], **{"text-align": "left"}
)

# %% [markdown]
# These two ideas of fairness pull against each other. Fair share lets a light user pass a heavy one who came earlier, on purpose: service becomes more
# even between users, and the jobs that are passed lose far more time by it than under EASY (the last line of the table). The picture shows who they are. Each dot is a user (waits under 36 s are drawn as 36 s); the
# line goes through the medians of six equal groups of users, from the lightest to the heaviest.

# %%
fig, axes = plt.subplots(1, len(runs), figsize=(12.5, 3.4), sharex=True, sharey=True)
for axis, (name, run) in zip(axes, runs.items(), strict=True):
    users = series.per_group(run, "user").query("jobs >= 10 and core_h > 0")
    axis.scatter(
        users["core_h"], users["mean_wait_s"].clip(lower=36) / 3600, s=14, color=COLOURS[name], alpha=0.5, lw=0
    )
    groups = users.groupby(pd.qcut(users["core_h"], 6))[["core_h", "mean_wait_s"]].median()
    axis.plot(groups["core_h"], groups["mean_wait_s"].clip(lower=36) / 3600, color=INK, lw=2)
    axis.set(title=name, xscale="log", yscale="log", xlabel="processor-hours used")
    axis.yaxis.set_major_formatter("{x:g}")
_ = axes[0].set_ylabel("mean wait, h")

# %% [markdown]
# ## 8. How sure are we?
#
# One log is one sample. Jobs near each other in time share a queue, so single jobs cannot be resampled; whole weeks can. The same weeks are drawn
# for both runs and each job is compared with itself, which takes most of the noise out. A difference counts when its interval leaves out zero.

# %%
comparison = compare(list(runs.values()), bootstrap=Bootstrap(replicates=1000, block_days=7))
SHOWN = {
    "service.wait_s.mean": "mean wait",
    "service.wait_s.area_weighted_mean": "mean wait, by work",
    "service.bounded_slowdown.mean": "mean bounded slowdown",
    "fairness.user.jain_service": "evenness of service between users",
}
fig, axes = plt.subplots(1, len(SHOWN), figsize=(12.5, 2.3), sharey=True)
for row, pair in enumerate(comparison.pairs):
    difference = {item.key: item for item in pair.differences}
    for axis, key in zip(axes, SHOWN, strict=True):
        item = difference[key]
        low, middle, high = (x / item.baseline for x in (item.low, item.difference, item.high))
        axis.plot([low, high], [row, row], color=COLOURS[pair.run], lw=3, alpha=0.45 if low < 0 < high else 1)
        axis.plot(middle, row, "o", color=COLOURS[pair.run], ms=7, mfc="white" if low < 0 < high else None)
for axis, (key, words) in zip(axes, SHOWN.items(), strict=True):
    axis.axvline(0, color=INK, lw=1)
    axis.set_title(f"{words}\n({'lower' if difference[key].lower_is_better else 'higher'} is better)", fontsize=10)
    axis.set_yticks(range(len(comparison.pairs)), [pair.run for pair in comparison.pairs])
    axis.margins(y=0.3)
    axis.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
axes[0].invert_yaxis()
fig.supxlabel("difference from easy, with 95 % intervals (hollow: the interval holds zero)", fontsize=9, color=SOFT)
for note in comparison.notes:
    print("Note:", note)

# %% [markdown]
# Looked at this way, a policy is a trade. On the KTH log fair share halves the mean slowdown and evens out the service between users, and work waits a
# little longer for it. Our own policy does the same for the many, but look at the second panel: the few large jobs that make up most of
# the work wait nearly twice as long. A mean over jobs alone would have called it a success.
#
# The comparison also says who gained and who lost. These are the users whose waits, summed over their jobs, changed most between EASY and our own policy:

# %%
winners = comparison.pairs[-1].groups["user"]
ends = pd.concat([winners.head(4), winners.tail(4)])
ends[["group", "jobs", "core_h", "baseline_wait_s", "wait_s", "total_difference_h", "clear"]].style.hide(
    axis="index"
).format(precision=0, thousands=",")

# %% [markdown]
# ## 9. Where do two runs part?
#
# A difference in a mean has a first cause: one instant at which one policy started a job and the other did not. Everything before it is the same. To
# understand a policy, or to find a fault in one, begin there.

# %%
parting = first_divergence(runs["easy"].folder, runs["response-ratio"].folder)
print("\n".join(parting.lines))

# %% [markdown]
# ## Where to go from here
#
# - The same from the command line: `apportion replay TRACE --policy FILE`, `apportion compare RUN RUN`, `apportion diff RUN RUN`; each run folder then
#   holds a `report.html` with the pictures of this notebook and more.
# - A log of your own: `read` takes SWF, GWF, Slurm's `sacct` (text and JSON), PBS/Torque accounting logs, and a few others.
# - Change the expression in section 5 and run the rest again. If it needs an `if`, make it a Python function: it runs at the same speed.
# - One log proves little. Try others (`apportion traces list`), and other loads (`apportion traces scale`), before you believe a difference.
