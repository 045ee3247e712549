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
# # Three centers with a broker between them
#
# HPC2N in Umeå, LPC in Clermont-Ferrand and SDSC DataStar in San Diego logged their jobs in the same winter. Nobody could send a job from one to
# another then. This notebook asks what would have come of it: it replays all three logs on their common calendar, first with every job at home, then
# with a broker that may move the jobs of some users. Who gains, who loses, what does it cost, and how much must one know and move for it?
#
# It takes about two minutes. The first time ever, the decision core is compiled before that.

# %%
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from apportion.core.errors import TraceError
from apportion.metrics import federation
from apportion.metrics.bootstrap import Bootstrap
from apportion.metrics.compare import compare
from apportion.metrics.run import load_run
from apportion.sim.conventions import Conventions
from apportion.sim.federation import runfolder
from apportion.sim.federation.compile import compile_federation
from apportion.sim.federation.moves import moves_of
from apportion.sim.federation.network import data_times
from apportion.sim.federation.replay import run
from apportion.sim.federation.source import read_input, unmoved
from apportion.sim.scenario import load_scenario, scenario_from_dict
from apportion.sim.why.facts import facts
from apportion.sim.why.story import tell

OUT = Path("runs")
INK, SOFT, LINE = "#17202a", "#56626f", "#dfe3e6"
COLOURS = ["#0b6fa8", "#c8580a", "#14866a", "#a8468a"]
plt.rcParams |= {
    "figure.dpi": 110, "figure.constrained_layout.use": True, "font.size": 10, "text.color": INK,
    "axes.titlesize": 11, "axes.titlelocation": "left", "axes.labelcolor": SOFT, "axes.edgecolor": SOFT,
    "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True, "axes.axisbelow": True,
    "grid.color": LINE, "xtick.color": SOFT, "ytick.color": SOFT, "legend.frameon": False,
}  # fmt: skip
HOUR_MS, DAY_MS = 3_600_000, 86_400_000

# %% [markdown]
# ## 1. The federation
#
# A scenario names the centers, their traces, the network, the data and which jobs may move. `europe-us-2004` comes with the package;
# `apportion scenario show europe-us-2004` prints it. Where the three traces cannot be had, we go on with three synthetic centers, and what is
# said of real ones below does not hold.

# %%
try:
    given = read_input(load_scenario("europe-us-2004"), Conventions())
    print("real traces, with thanks to the three centers and the Parallel Workloads Archive")
except TraceError as error:
    given = read_input(load_scenario("three-small"), Conventions())
    print(f"SYNTHETIC centers, because: {error.problem}")
scenario, jobs = given.scenario, given.workload
centers = [entry.Center for entry in scenario.centers]
size = np.array([part.jobs.capacity["cpu"] for part in jobs.parts])
work_ms = jobs.run_ms * jobs.jobs.procs
pd.DataFrame(
    {
        "mode": [entry.Mode for entry in scenario.centers],
        "processors": size,
        "jobs": np.bincount(jobs.home, minlength=len(centers)),
        "may move": np.bincount(jobs.home, weights=given.moves.movable, minlength=len(centers)).astype(int),
        "core-hours": (np.bincount(jobs.home, weights=work_ms, minlength=len(centers)) / HOUR_MS).round().astype(int),
        "price per core-hour": [entry.Price for entry in scenario.centers],
    },
    index=centers,
)

# %% [markdown]
# The broker pays off only if the centers are not all full at once. The load that their own users bring, in processors, by day:

# %%
first = int(jobs.jobs.submit_ms.min())
day = (jobs.jobs.submit_ms - first) // DAY_MS
offered = np.zeros((len(centers), int(day.max()) + 1))
np.add.at(offered, (jobs.home, day), work_ms / DAY_MS)
fig, axes = plt.subplots(len(centers), 1, figsize=(8, 1.7 * len(centers)), sharex=True)
for k, axis in enumerate(axes):
    axis.bar(np.arange(offered.shape[1]), offered[k] / size[k], width=1, color=COLOURS[k])
    axis.axhline(1, color=INK, linewidth=0.8)
    axis.set(title=centers[k], ylim=(0, 3))
axes[1].set_ylabel("work submitted in a day / what the machine can do in a day")
axes[-1].set_xlabel("day")
plt.show()

# %% [markdown]
# Bursts of one center fall into quiet days of another: that is the room for a broker.
#
# ## 2. How to choose a center
#
# The same jobs under nine ways to choose. `home` moves nothing. `random`, `round-robin` and `least-loaded` know little. `redundant` sends a job
# everywhere and keeps the first that starts. The other four weigh expected start, data, run time, cost, energy, carbon and risk; they
# differ in the weights only.


# %%
def waits_h(schedule):
    """Wait of each job, hours; of those that started."""
    wait = (schedule.start_ms - schedule.submit_ms) / HOUR_MS
    return np.where(schedule.start_ms >= 0, wait, np.nan)


def summary(schedule):
    wait = waits_h(schedule)
    ran = schedule.start_ms >= 0
    core_h = np.where(ran, (schedule.end_ms - schedule.start_ms) * jobs.jobs.procs, 0) / HOUR_MS
    price = np.array([entry.Price for entry in scenario.centers])[schedule.center]
    watts = np.array([entry.PowerBusy for entry in scenario.centers])[schedule.center]
    carbon = np.array([np.mean(entry.Carbon) for entry in scenario.centers])[schedule.center]
    row = {"mean wait": np.nanmean(wait)}
    row |= {name: np.nanmean(wait[jobs.home == k]) for k, name in enumerate(centers)}
    return row | {
        "moved": int((ran & (schedule.center != jobs.home)).sum()),
        "cost": (price * core_h).sum(),
        "carbon t": (carbon * watts * core_h).sum() / 1e9,
    }


def replayed(placement="balanced", moves=None, **broker):
    """The schedule under another placement, or with other keys of the broker."""
    changed = scenario.with_broker(Placement=placement, **broker)
    return run(jobs, compile_federation(changed, jobs, given.moves if moves is None else moves))


placements = ("home", "random", "round-robin", "least-loaded", "redundant", "economy", "green", "balanced", "urgent")
schedules = {name: replayed(name) for name in placements}
by_placement = pd.DataFrame({name: summary(schedule) for name, schedule in schedules.items()}).T
by_placement.round(2)

# %%
fig, axis = plt.subplots(figsize=(8, 3.6))
left = np.zeros(len(placements))
for k, name in enumerate(centers):
    part = by_placement[name] * np.bincount(jobs.home, minlength=len(centers))[k] / len(jobs)
    axis.barh(placements, part, left=left, color=COLOURS[k], label=name)
    left += part.to_numpy(dtype=float)
axis.invert_yaxis()
axis.set(
    xlabel="mean wait of all jobs, hours, by the center at which they were submitted",
    title="What one knows of the queues decides how much there is to gain",
)
axis.legend(loc="lower right")
plt.show()

# %% [markdown]
# HPC2N is so full that to send its jobs anywhere helps, even at random, but three times as many jobs are moved for half the gain, and LPC's
# users pay for it with four times their wait. What a broker sees of an autonomous center is little: free processors, running jobs with their limits, how
# much waits, and how wrong it was before. That is enough to come within five percent of `redundant`, which cannot be wrong about a
# queue because it stands in all of them, and which moves more than three times as many jobs. `economy` and `green` get what they were told to get: `economy`
# spends least and makes its users wait as long as at home, since the cheapest center is the fullest; `green` burns less carbon for a longer wait.
#
# ## 3. Winners and losers
#
# A mean hides who pays for it. The run with the broker and the run without have the same jobs, so each user can be compared with himself.

# %%
baseline, brokered = schedules["home"], schedules["balanced"]
gain = waits_h(baseline) - waits_h(brokered)
users = jobs.jobs.user.codes
known = users >= 0
per_user = pd.DataFrame(
    {"user": users[known], "gain": gain[known], "home": jobs.home[known], "moves": given.moves.movable[known]}
)
per_user = per_user.groupby("user").agg(
    gain=("gain", "mean"), jobs=("gain", "size"), home=("home", "first"), moves=("moves", "max")
)
fig, axis = plt.subplots(figsize=(8, 3.4))
for k, name in enumerate(centers):
    mine = per_user[per_user["home"] == k]
    ranked = np.sort(mine["gain"])[::-1]
    axis.plot(np.linspace(0, 100, len(ranked)), ranked, color=COLOURS[k], label=f"{name}: {len(mine)} users")
axis.axhline(0, color=INK, linewidth=0.8)
axis.set(xlabel="users, from the one who gains most, per cent", ylabel="hours less of waiting per job")
axis.set_yscale("symlog", linthresh=0.1)
axis.set_title("Most users of the busy centers gain; some of those who had a quiet machine lose")
axis.legend()
plt.show()
shares = per_user.groupby(["home", "moves"]).apply(
    lambda some: pd.Series(
        {"users": len(some), "gain": (some["gain"] > 0.01).mean(), "lose": (some["gain"] < -0.01).mean()}
    ),
    include_groups=False,
)
shares.index = [f"{centers[home]}, {'may move' if moves else 'stay'}" for home, moves in shares.index]
shares.round(2)

# %% [markdown]
# The run folder has all of this center by center and account by account, and says how sure the difference is: weeks are drawn again and again,
# for both runs the same, so that what is common to both falls out.

# %%
compiled = compile_federation(scenario, jobs, given.moves)
alone = compile_federation(scenario, jobs, unmoved(given.moves))
runfolder.write_run(OUT / "federation", given, run(jobs, compiled), Conventions(), baseline=run(jobs, alone))
folder = load_run(OUT / "federation")
before = federation.baseline_of(folder)
comparison = compare([before, folder], labels=["home only", "with the broker"], bootstrap=Bootstrap(replicates=200))
(wait,) = [row for row in comparison.pairs[0].differences if row.key == "service.wait_s.mean"]
print(
    f"mean wait: {wait.difference / 3600:+.2f} h with the broker, 95 % between {wait.low / 3600:+.2f} h and {wait.high / 3600:+.2f} h"
)
federation.centers(folder)[["center", "own_jobs", "moved_out", "moved_in", "wait_s", "used_fraction", "cost"]].round(2)

# %% [markdown]
# ## 4. How much must move
#
# In the preset three users in ten have agreed to it, drawn by the scenario's seed. How does it go with fewer, or more? (Who agrees at 10 per cent agrees
# at 20, too.)


# %%
def with_fraction(fraction):
    plain = scenario.canonical()
    plain["moves"] = [{**rule, "Fraction": fraction} for rule in plain["moves"]]
    return moves_of(scenario_from_dict(plain), jobs, data_times(scenario))


fractions = (0, 0.1, 0.2, 0.3, 0.5, 0.75, 1)
by_fraction = pd.DataFrame({part: summary(replayed(moves=with_fraction(part))) for part in fractions}).T
fig, axis = plt.subplots(figsize=(8, 3.2))
for k, name in enumerate(centers):
    axis.plot([100 * part for part in fractions], by_fraction[name], marker="o", color=COLOURS[k], label=name)
axis.plot(
    [100 * part for part in fractions], by_fraction["mean wait"], marker="o", color=INK, linewidth=2, label="all jobs"
)
axis.set(
    xlabel="users whose jobs may move, per cent",
    ylabel="mean wait, hours",
    title="It matters who agrees, more than how many",
    ylim=(0, None),
)
axis.legend()
plt.show()

# %% [markdown]
# Few users make a queue: between 10 and 20 per cent somebody agrees whose jobs fill HPC2N, and that is nearly all there is to gain.
#
# ## 5. How much must be known, and how late decided
#
# A broker that looks at a center once an hour places by old news. And one that binds jobs early cannot take them back for free: its look-ahead is how
# many of its jobs may wait at a center. Too few starve the center's backfill, which needs a choice of jobs to fill holes with.


# %%
def with_poll(seconds):
    entries = tuple(entry.model_copy(update={"PollInterval": seconds}) for entry in scenario.centers)
    changed = scenario.model_copy(update={"centers": entries})
    return run(jobs, compile_federation(changed, jobs, given.moves))


polls = (1, 30, 300, 1800, 3600, 14_400)
depths = (1, 4, 16, 64, 256)
by_poll = pd.Series({poll: summary(with_poll(poll))["mean wait"] for poll in polls})
by_depth = pd.Series({depth: summary(replayed(LookAhead=depth))["mean wait"] for depth in depths})
fig, (left_axis, right_axis) = plt.subplots(1, 2, figsize=(8, 3), sharey=True)
left_axis.plot(polls, by_poll, marker="o", color=COLOURS[0])
left_axis.set(xscale="log", xlabel="seconds between two looks", ylabel="mean wait, hours", title="Old news")
right_axis.plot(depths, by_depth, marker="o", color=COLOURS[1])
right_axis.set(xscale="log", xlabel="jobs that may wait at a center", title="Look-ahead")
for axis in (left_axis, right_axis):
    axis.axhline(by_placement.loc["home", "mean wait"], color=SOFT, linewidth=0.8, linestyle="--")
    axis.set_ylim(0, 1.1 * max(by_placement.loc["home", "mean wait"], by_poll.max(), by_depth.max()))
plt.show()

# %% [markdown]
# The dashed line is the wait with every job at home. News may be an hour old: queues here last for hours. A look-ahead of one job throws half of the gain away, from
# four on it makes little difference.
#
# ## 6. One job
#
# Of each job one can ask why it waited. What would have helped is not guessed: the run is replayed with that one change.

# %%
table = folder.jobs
moved = table[table["moved"] & (table["wait_s"] > 3600)]
asked = str(moved.sort_values(["wait_s", "job_id"])["job_id"].iloc[len(moved) // 2])
story = tell(facts(folder, asked))
print("\n".join(story))

# %% [markdown]
# ## What to take home
#
# - Three machines with uncorrelated bursts wait half as long together as apart, while few of the jobs move.
# - It matters how a center is chosen: by what any user can see of it, nearly all is gained that standing in every queue would gain, with a third of the moves.
# - Somebody pays: users of the quietest center wait longer, if still not long. The report says who, and priorities and quotas are there to settle it.
# - It does not take much: the few users whose jobs make the queue, and a look every hour.
