"""The orders by name, as expressions of the operators' own language, and the one function that gives an order's scores.

All scores are ascending: the smallest comes first; where a paper wants the largest first, its formula is negated. Ties
go to the older submit. Guards of the form ``max(x, 1)`` stand where a published formula has no value (a limit or
a submit time of 0).

References
----------
- F1 to F4: Carastan-Santos and de Camargo, "Obtaining dynamic scheduling policies with simulation and machine
  learning", SC 2017, doi:10.1145/3126908.3126955. With r the requested time, n the processors and s the submit time,
  smallest first: F1 = log10(r) n + 870 log10(s); F2 = sqrt(r) n + 25600 log10(s); F3 = r n + 6860000 log10(s);
  F4 = r sqrt(n) + 530000 log10(s). Their s counts from the start of the trace, as ours does.
- WFP3 and UNICEF: Tang, Lan, Desai and Buettner, "Fault-aware, utility-based job scheduling on Blue Gene/P systems",
  CLUSTER 2009, doi:10.1109/CLUSTR.2009.5289206. WFP3 = (wait / limit)^3 n and
  UNICEF = wait / (log2(n) limit), largest first. UNICEF has no value for one processor; it counts as two here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from apportion.policy.model import Policy
    from apportion.policy.plugins import OrderFunction

EXPRESSIONS = {
    "fcfs": "submit",
    "sjf": "limit",
    "ljf": "-limit",
    "saf": "area",
    "laf": "-area",
    "wfp3": "-(wait / max(limit, 1)) ** 3 * procs",
    "unicef": "-wait / (log2(max(procs, 2)) * max(limit, 1))",
    "f1": "log10(max(limit, 1)) * procs + 870 * log10(max(submit, 1))",
    "f2": "sqrt(limit) * procs + 25600 * log10(max(submit, 1))",
    "f3": "limit * procs + 6860000 * log10(max(submit, 1))",
    "f4": "limit * sqrt(procs) + 530000 * log10(max(submit, 1))",
}


def order_function(policy: Policy) -> OrderFunction | None:
    """Find the score function of a policy's order.

    Returns
    -------
    OrderFunction or None
        None for ``multifactor``, whose priority the core computes itself.

    Raises
    ------
    PolicyError
        If a plug-in cannot be found, read or compiled.
    """
    from apportion.policy import plugins

    if policy.Order == "multifactor":
        return None
    if policy.Order == "plugin":
        return plugins.from_plugin(policy)
    return plugins.from_expression(policy.Order, policy.OrderExpression or EXPRESSIONS[policy.Order])
