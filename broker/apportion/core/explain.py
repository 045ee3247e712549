"""What the fair-share factor of an association was made of, for every share engine in the same form.

Read from a state after `apportion.core.share.fairshare_factors`; nothing is worked out here that the engine did not use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from apportion.core import share
from apportion.core.engines import condor, kai, lsf
from apportion.core.units import counted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from apportion.core.share import ShareState
    from apportion.core.tables import Accounts, Floats


class Term(NamedTuple):
    """A number that an engine used: what it is, in words, and its unit ("" for a plain ratio)."""

    name: str
    value: float
    unit: str = ""


class Level(NamedTuple):
    """An association on the way down: what its siblings are compared with it by, larger first unless it says otherwise, and of what it is made."""

    row: int
    compared_by: str
    value: float
    terms: tuple[Term, ...]


class Explanation(NamedTuple):
    """Why a factor is what it is.

    ``engine`` : its name in `apportion.core.share.ENGINES`. ``row`` : the association. ``rank`` : 1 for the best of ``users``, 0 where the
    factor is no rank. ``levels`` : from the account right below root to the association itself.
    """

    engine: str
    row: int
    factor: float
    rank: int
    users: int
    levels: tuple[Level, ...]


def explain(accounts: Accounts, usage: Floats, state: ShareState, row: int) -> Explanation:
    """Explain the factor of an association.

    Parameters
    ----------
    accounts : Accounts
    usage : float64[n_assoc]
        As `apportion.core.share.fairshare_factors` was given it.
    state : ShareState
        With that function's results.
    row : int
        A user; with an engine whose factor is no rank, an account too.

    Returns
    -------
    Explanation

    Raises
    ------
    ValueError
        If the engine gives this association no factor.
    """
    ranks = state.engine not in share.BY_VALUE
    if row <= 0 or row >= len(accounts.parent) or (ranks and not accounts.is_user[row]):
        raise ValueError(f"row {row} has no factor of its own")
    users = len(state.rank_value) - 1
    factor = float(state.fairshare[row])
    return Explanation(
        engine=next(name for name, code in share.ENGINES.items() if code == state.engine),
        row=row,
        factor=factor,
        rank=users + 1 - round(factor * users) if ranks else 0,
        users=users,
        levels=tuple(_level(accounts, usage, state, i) for i in _path(state, row)),
    )


def in_words(explanation: Explanation, names: Sequence[str]) -> list[str]:
    """Write an explanation down, a line for the factor and one for each level.

    Parameters
    ----------
    names : sequence of str
        Of the associations, by row.
    """
    e = explanation
    rank = f", rank {e.rank} of {counted(e.users, 'user')}" if e.rank else ""
    lines = [f"{names[e.row]}: fair-share factor {e.factor:.6g} by {e.engine}{rank}"]
    for level in e.levels:
        terms = ", ".join(f"{term.name} {term.value:.6g}{' ' + term.unit if term.unit else ''}" for term in level.terms)
        lines.append(f"{names[level.row]}: {level.compared_by} {level.value:.6g} from {terms}")
    return lines


def _path(state: ShareState, row: int) -> list[int]:
    """Associations that the engine compared on the way to ``row``."""
    path = [row]
    while (above := int(state.compared_in[path[0]])) > 0:
        path.insert(0, above)
    if state.engine == share.CONDOR:
        path = path[-2:]  # groups are compared in one list
    elif state.engine in (share.CLASSIC, share.MOAB, share.OAR):
        path = path[-1:]  # the formula has the accounts in it
    return path


def _level(accounts: Accounts, usage: Floats, state: ShareState, i: int) -> Level:
    terms, compared_by = _TERMS[state.engine](accounts, usage, state, i)
    value = state.fairshare[i] if state.engine == share.CLASSIC else state.level_fs[i]
    return Level(i, compared_by, float(value), tuple(Term(name, float(number), unit) for name, number, unit in terms))


_Found = tuple[list[tuple[str, float, str]], str]


def _fair_tree(_: Accounts, usage: Floats, state: ShareState, i: int) -> _Found:
    return [
        ("shares among siblings", state.norm_shares[i], ""),
        ("usage", usage[i], "unit-seconds"),
        ("part of the usage there", state.effective_usage[i], ""),
    ], "level fairshare (shares / usage)"


def _classic(_: Accounts, usage: Floats, state: ShareState, i: int) -> _Found:
    return [
        ("shares of the whole", state.norm_shares[i], ""),
        ("usage", usage[i], "unit-seconds"),
        ("part of all usage", state.norm_usage[i], ""),
        ("effective usage, with that of the accounts above", state.effective_usage[i], ""),
        ("dampening", state.dampening, ""),
    ], "factor 2^-(effective usage / shares / dampening)"


def _depth_oblivious(_: Accounts, usage: Floats, state: ShareState, i: int) -> _Found:
    return [
        ("shares among siblings", state.ratio[i], ""),
        ("usage", usage[i], "unit-seconds"),
        ("part of the usage there", state.effective_usage[i], ""),
    ], "R of 2^-R (smaller is better)"


def _condor(accounts: Accounts, _: Floats, state: ShareState, i: int) -> _Found:
    if not accounts.is_user[i]:
        return [
            ("quota of the pool", state.norm_usage[i], ""),
            ("weighted cores in use", state.effective_usage[i], "cores"),
        ], "quota / cores in use"
    real = float(state.history.aged[0, i])
    effective = condor.effective_priority(real, float(state.history.factors[0]), float(accounts.shares[i]))
    compared_by = "minus effective priority (<none> is last)" if accounts.parent[i] == 0 else "1 / effective priority"
    return [
        ("real priority", real, ""),
        ("shares", accounts.shares[i], ""),
        ("effective priority", effective, ""),
    ], compared_by


def _drf(_: Accounts, __: Floats, state: ShareState, i: int) -> _Found:
    return [
        ("shares among siblings", state.ratio[i], ""),
        ("dominant share of what runs", state.effective_usage[i], ""),
    ], "shares / dominant share"


def _flux(_: Accounts, __: Floats, state: ShareState, i: int) -> _Found:
    return [
        ("shares among siblings", state.ratio[i], ""),
        ("usage in the bins", state.history.recent[0, i] / 1000.0, "unit-seconds"),
        ("part of the usage there", state.effective_usage[i], ""),
    ], "weight (shares / usage)"


def _kai(_: Accounts, __: Floats, state: ShareState, i: int) -> _Found:
    weight = kai.over_quota_weight(float(state.ratio[i]), float(state.norm_usage[i]), float(state.history.factors[0]))
    return [
        ("shares among siblings", state.ratio[i], ""),
        ("part of the machine used in the window", state.norm_usage[i], ""),
        ("weight with memory", weight, ""),
        ("part of the machine allocated now", state.effective_usage[i], ""),
    ], "weight / allocation"


def _karma(_: Accounts, __: Floats, state: ShareState, i: int) -> _Found:
    return [
        ("credits earned less those paid", state.history.earned[i] / 1000.0, "processor-rounds"),
        ("due", state.norm_shares[i] * state.history.capacity[0], "processors"),
    ], "rounds of its own share to the good"


def _lsf(accounts: Accounts, _: Floats, state: ShareState, i: int) -> _Found:
    cpu, run, committed, slots = lsf.of_association(state.history, i)
    return [
        ("shares", accounts.shares[i], ""),
        ("CPU time, decayed", cpu, "h"),
        ("run time", run, "h"),
        ("committed", committed, "h"),
        ("slots in use", slots, ""),
    ], "dynamic priority"


def _moab(accounts: Accounts, _: Floats, state: ShareState, i: int) -> _Found:
    account = accounts.parent[i] if accounts.is_user[i] else i
    return [
        ("target", state.norm_shares[i], ""),
        ("part of the usage in the windows", state.norm_usage[i], ""),
        ("target of the account", state.norm_shares[account], ""),
        ("part used by the account", state.norm_usage[account], ""),
    ], "targets less usage"


def _oar(accounts: Accounts, usage: Floats, state: ShareState, i: int) -> _Found:
    terms, _ = _moab(accounts, usage, state, i)
    return [*terms, ("part of what was asked for", state.effective_usage[i], "")], "karma (smaller is better)"


_TERMS = {
    share.FAIR_TREE: _fair_tree,
    share.FAIR_TREE_SLURM_26: _fair_tree,
    share.CLASSIC: _classic,
    share.DEPTH_OBLIVIOUS: _depth_oblivious,
    share.CONDOR: _condor,
    share.DRF: _drf,
    share.FLUX: _flux,
    share.KAI: _kai,
    share.KARMA: _karma,
    share.LSF: _lsf,
    share.MOAB: _moab,
    share.OAR: _oar,
}
