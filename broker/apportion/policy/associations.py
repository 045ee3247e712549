"""The association tree: the policy's accounts and users, completed by those that the jobs bring along."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from apportion.core.tables import SHARES_PARENT, Accounts, Ints

if TYPE_CHECKING:
    from apportion.policy.model import Policy
    from apportion.policy.workload import Labels

ROOT = "root"
NO_ACCOUNT = "(none)"
NO_USER = "(unknown)"


@dataclass(frozen=True)
class Tree:
    """The tree of `Accounts`, names, and where each job hangs.

    ``account_name``, ``user_name`` : per association; the user's is empty for an account. ``of_job`` : association of each job.
    ``user_of``, ``account_of`` : per association, indices that are equal for the same user and the same account.
    """

    accounts: Accounts
    account_name: tuple[str, ...]
    user_name: tuple[str, ...]
    of_job: Ints
    user_of: Ints
    account_of: Ints
    index: dict[tuple[str, str], int]


def build_tree(policy: Policy, user: Labels, account: Labels) -> Tree:
    """Lay out the tree in topological order: accounts by depth, each level in the order of the policy, then of the jobs."""
    parent_of = {entry.Account: entry.Parent or ROOT for entry in policy.accounts if entry.Account != ROOT}
    shares_of = {entry.Account: _shares(entry.Fairshare) for entry in policy.accounts}
    default = _shares(policy.DefaultFairshare)
    users: dict[tuple[str, str], int] = {(e.Account, e.User): _shares(e.Fairshare) for e in policy.users}

    # Each pair of account and user that occurs, once, in the order of codes.
    width = len(user.names) + 1
    pairs, of_job = np.unique((account.codes + 1) * width + user.codes + 1, return_inverse=True)
    named = [
        (
            account.names[pair // width - 1] if pair // width else NO_ACCOUNT,
            user.names[pair % width - 1] if pair % width else NO_USER,
        )
        for pair in pairs.tolist()
    ]
    for pair in named:
        users.setdefault(pair, default)
    for name, _ in users:
        if name != ROOT:
            parent_of.setdefault(name, ROOT)

    rows: list[tuple[str, str, int, int]] = [(ROOT, "", -1, 1)]  # account, user, parent row, shares
    level = [ROOT]
    row_of = {ROOT: 0}
    while level:
        below = [name for name, above in parent_of.items() if above in level and name not in row_of]
        for name in below:
            row_of[name] = len(rows)
            rows.append((name, "", row_of[parent_of[name]], shares_of.get(name, default)))
        level = below
    index = {(name, ""): row for name, row in row_of.items()}
    for (name, person), shares in users.items():
        index[name, person] = len(rows)
        rows.append((name, person, row_of[name], shares))

    people = {person: k for k, person in enumerate(dict.fromkeys(row[1] for row in rows))}
    parent = np.array([row[2] for row in rows], np.int64)
    return Tree(
        accounts=accounts_table(
            parent, np.array([row[1] != "" for row in rows], np.int64), np.array([row[3] for row in rows], np.int64)
        ),
        account_name=tuple(row[0] for row in rows),
        user_name=tuple(row[1] for row in rows),
        of_job=np.array([index[pair] for pair in named], np.int64)[of_job] if len(of_job) else np.zeros(0, np.int64),
        user_of=np.array([people[row[1]] for row in rows], np.int64),
        account_of=np.array([row_of[row[0]] for row in rows], np.int64),
        index=index,
    )


def association_priorities(policy: Policy, tree: Tree) -> Ints:
    """Priority of each association: its own, else that of the nearest account above that has one, else 0."""
    given = {(entry.Account, ""): entry.Priority for entry in policy.accounts}
    given |= {(entry.Account, entry.User): entry.Priority for entry in policy.users}
    found = np.zeros(len(tree.user_name), np.int64)
    for i, name in enumerate(zip(tree.account_name, tree.user_name, strict=True)):
        own = given.get(name)
        found[i] = own if own is not None else found[tree.accounts.parent[i]] if i > 0 else 0
    return found


def accounts_table(parent: Ints, is_user: Ints, shares: Ints) -> Accounts:
    """Add the lists of children to a tree in topological order."""
    n = len(parent)
    counts = np.bincount(parent[1:], minlength=n) if n > 1 else np.zeros(n, np.int64)
    return Accounts(
        parent=parent,
        is_user=is_user,
        shares=shares,
        child_start=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        child=(np.argsort(parent[1:], kind="stable") + 1).astype(np.int64),
    )


def target_shares(tree: Tree) -> tuple[dict[str, float], dict[str, float]]:
    """Share of the whole that each account with users, and each user, is due.

    Returns
    -------
    tuple of dict
        By account, and by ``account/user``; each sums to 1 over those that occur. An account's share is that of its users.
    """
    parent = tree.accounts.parent.tolist()
    shares = tree.accounts.shares.tolist()
    part = [1.0] * len(parent)
    children: list[list[int]] = [[] for _ in parent]
    for i in range(1, len(parent)):
        children[parent[i]].append(i)
    for i, below in enumerate(children):
        # FairShare=parent: such a child is due what its parent is; among siblings it then stands like one share.
        weights = [1 if shares[c] == SHARES_PARENT else shares[c] for c in below]
        total = sum(weights) or 1
        for c, weight in zip(below, weights, strict=True):
            part[c] = part[i] * weight / total
    users = {f"{tree.account_name[i]}/{tree.user_name[i]}": part[i] for i in range(len(parent)) if tree.user_name[i]}
    total = sum(users.values()) or 1.0
    users = {name: value / total for name, value in users.items()}
    accounts: dict[str, float] = {}
    for i, user in enumerate(tree.user_name):
        if user:
            owner = tree.account_name[i]
            accounts[owner] = accounts.get(owner, 0.0) + part[i] / total
    return accounts, users


def _shares(value: int | str) -> int:
    return SHARES_PARENT if value == "parent" else int(value)
