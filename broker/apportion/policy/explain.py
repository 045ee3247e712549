"""Fair-share factors of a compiled policy, explained by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from apportion.core.errors import PolicyError
from apportion.core.explain import explain, in_words
from apportion.core.handle import handle
from apportion.core.share import fairshare_factors
from apportion.policy.fields import nearest

if TYPE_CHECKING:
    from apportion.core.explain import Explanation
    from apportion.policy.compile import Compiled


def explain_share(compiled: Compiled, account: str, user: str = "") -> tuple[Explanation, list[str]]:
    """What the fair-share factor of a user was made of, at the last tick of PriorityCalcPeriod.

    Parameters
    ----------
    compiled : Compiled
        A policy in use: of a replay that is over, ``schedule.compiled``.
    account, user : str
        As in the trace or the policy; no user for the account itself, which engines that rank users give no factor.

    Returns
    -------
    Explanation
        Numbers, as `apportion.core.explain` says.
    list of str
        The same in words, a line for the factor and one for each level of the tree.

    Raises
    ------
    PolicyError
        If the policy keeps no accounts, there is no such association, or it has no factor.
    """
    tree, state = compiled.tree, compiled.state
    if tree is None:
        raise PolicyError(
            "the policy has no use for accounts, so nobody has a fair-share factor", 'set Order = "multifactor"'
        )
    row = tree.index.get((account, user))
    if row is None:
        near = nearest(user, [person for name, person in tree.index if name == account]) if user else None
        near = near or nearest(account, [name for name, _ in tree.index])
        raise PolicyError(
            f"there is no association of {user or 'account'} {'in ' + account if user else account}",
            f"did you mean '{near}'?" if near else "name an account and a user of the trace",
        )
    fairshare_factors(
        handle(state.accounts), state.usage.value[0], handle(state.share)
    )  # no pass may have needed them of late
    try:
        found = explain(state.accounts, state.usage.value[0], state.share, row)
    except ValueError:
        raise PolicyError(f"{account} has no factor of its own", "name a user of it, too") from None
    names = [person or name for name, person in zip(tree.account_name, tree.user_name, strict=True)]
    return found, in_words(found, names)
