"""Who is admitted first where shares, or what users used of late, decide: as a table of the core."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from apportion.core.turn_tables import Turns, new_turns
from apportion.policy.quotas import forest

if TYPE_CHECKING:
    from apportion.core.cohort_tables import Quotas
    from apportion.policy.associations import Tree
    from apportion.policy.model import Policy
    from apportion.policy.workload import Submissions

KEYS = ("UsageHalfLifeTime", "UsageSamplingInterval", "ResourceWeights", "FairWeight")  # of those that go by usage
BY_USAGE = "UsageBasedAdmissionFairSharing"


def goes_by_usage(policy: Policy) -> bool:
    """Whether the jobs of any account go by what their users used."""
    return any(entry.AdmissionMode == BY_USAGE for entry in policy.accounts)


def has_turns(policy: Policy) -> bool:
    """Whether anything but ``Order`` decides who is admitted first."""
    return policy.FairSharing or goes_by_usage(policy)


def build_turns(
    policy: Policy, tree: Tree, quotas: Quotas, tres: tuple[str, ...], jobs: Submissions
) -> tuple[Turns, Quotas]:
    """Fill in the table; the quotas then count what each user has in use, if that is asked for. ``tres`` : names of TRES by number."""
    entries = forest(policy, tree)[0]
    weight = np.ones(len(tree.user_name))
    for user in policy.users:
        weight[tree.index[user.Account, user.User]] = user.FairWeight
    by_usage = goes_by_usage(policy)
    if by_usage:
        quotas = quotas._replace(in_use=np.zeros((len(weight), len(quotas.tres)), np.int64))
    found = new_turns(
        np.array([int(getattr(entry, "AdmissionMode", "") == BY_USAGE) for entry in entries], np.int64),
        by_share=policy.FairSharing,
        half_life_ms=(policy.UsageHalfLifeTime or 0) * 1000 if by_usage else 0,
        interval_ms=policy.UsageSamplingInterval * 1000 if by_usage else 0,
        origin_ms=int(jobs.submit_ms[0]) if len(jobs) else 0,
        factor=np.array([policy.ResourceWeights.get(tres[number], 1.0) for number in quotas.tres.tolist()], np.float64),
        weight=weight,
        n_jobs=len(jobs),
        n_cells=quotas.nominal.shape[1],
    )
    return found, quotas
