"""Which jobs of a trace follow others: by its own dependencies, and by how its users worked.

Dependencies are those that the trace states: SWF's preceding job and think time (fields 17 and 18; Chapin et al., JSSPP 1999,
doi:10.1007/3-540-47954-6_4), and the lists of workflow traces. A job with a think time was submitted so long after its predecessor had
ended. One without waits in the queue from its recorded submission on, as under Slurm's ``afterany``.

Sessions are read from the recorded schedule, after Zakay & Feitelson, "Preserving user behavior characteristics in trace-based
simulation of parallel job scheduling", MASCOTS 2014, doi:10.1109/MASCOTS.2014.15, and Shmueli & Feitelson, "On simulation and design of
parallel-systems schedulers: are we doing the right thing?", TPDS 2009, doi:10.1109/TPDS.2008.152. What a user submits before the jobs at hand
have come back is a *batch*; a pause of more than an hour between two submissions ends the session, and so the batch, too. A
batch follows the batch of its user that was the last to come back before it, by the recorded think time; within a batch the recorded
distances are kept. A schedule that ends every job as recorded therefore has every job submitted as recorded.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING, Any

import numpy as np

from apportion.core.errors import TraceError
from apportion.core.tables import NEVER, Ints
from apportion.sim.releases import Precedence

if TYPE_CHECKING:
    from collections.abc import Iterator

    from apportion.traces.schema import Trace

SESSION_GAP_MS = 3_600_000  # between two submissions of one user
SHOWN = 6  # jobs of a cycle that an error names


def precedence(trace: Trace, row: Ints, submit_ms: Ints, *, dependencies: bool, sessions: bool) -> Precedence | None:
    """Who follows whom among the jobs that are replayed.

    Parameters
    ----------
    row : int64[n]
        Rows of the trace that are replayed. What follows a job that is not, does not wait for it.
    submit_ms : int64[n]
        Recorded submissions, ms since the epoch, ascending.
    dependencies, sessions : bool
        Which of the two are asked for.

    Returns
    -------
    Precedence or None
        None if no job follows another.

    Raises
    ------
    TraceError
        If jobs follow each other in a circle, or sessions are asked for and the trace records no waits.
    """
    n = len(row)
    edges: list[tuple[Ints, Ints, Ints]] = []
    not_before = submit_ms.copy()
    held = np.zeros(n, np.bool_)
    n_gates = 0
    if dependencies:
        before, after, think = _stated(trace, row)
        waits_in_queue = think < 0
        held[after[waits_in_queue]] = True
        not_before[np.setdiff1d(after, after[waits_in_queue])] = -NEVER
        edges.append((before, after, np.maximum(think, 0)))
    if sessions:
        before, after, delay, n_gates = _sessions(trace, row, submit_ms)
        returning = np.setdiff1d(after[after < n], np.flatnonzero(held))
        not_before[returning] = -NEVER
        edges.append((before, after, delay))
    before, after, delay = (np.concatenate([part[k] for part in edges]) for k in range(3))
    if len(after) == 0:
        return None
    result = Precedence(before, after, delay, n_gates, not_before, held)
    if dependencies:
        _refuse_circles(trace, row, result)
    return result


def _stated(trace: Trace, row: Ints) -> tuple[Ints, Ints, Ints]:
    """Dependencies as (before, after, think time or -1), by index among the jobs that are replayed.

    Of several jobs of one id the last one before counts, since a log that goes on numbering from 1 speaks of its own past.
    """
    places: dict[Any, list[int]] = {}
    for k, job_id in enumerate(trace.jobs["job_id"].to_numpy()[row].tolist()):
        places.setdefault(job_id, []).append(k)
    found: dict[tuple[int, int], int] = {}
    after_job, think = trace.column("after_job")[row], trace.column("think_ms")[row]
    for k in np.flatnonzero(after_job >= 0).tolist():
        for before in _last_before(places.get(int(after_job[k]), []), k):
            found[before, k] = int(think[k])
    if "dependencies" in trace.jobs:
        lists = trace.jobs["dependencies"].to_numpy()[row]
        for k, others in enumerate(lists):
            for other in others:
                for before in _last_before(places.get(other, []), k):
                    found.setdefault((before, k), -1)
    table = np.array([(b, a, t) for (b, a), t in sorted(found.items())], np.int64).reshape(-1, 3)
    return table[:, 0], table[:, 1], table[:, 2]


def _last_before(places: list[int], k: int) -> list[int]:
    """The last of the places before ``k``, else the first of all; none if there are none."""
    at = max(bisect_left(places, k) - 1, 0)
    return places[at : at + 1]


def _sessions(trace: Trace, row: Ints, submit_ms: Ints) -> tuple[Ints, Ints, Ints, int]:
    """Edges (before, after, delay) from jobs to the gates of their batches and on, and the number of gates."""
    wait, run = trace.column("wait_ms")[row], trace.column("run_ms")[row]
    if not (wait >= 0).any():
        raise TraceError(
            "the trace records no waits, so think times are not known",
            "replay it with --feedback none",
            path=trace.meta.path or None,
        )
    end = submit_ms + np.maximum(wait, 0) + np.maximum(run, 0)
    users = trace.labels("user")[0][row]
    edges: list[tuple[int, int, int]] = []
    gate = len(row)
    order = np.argsort(users, kind="stable")
    known = order[users[order] >= 0]
    for jobs in np.split(known, np.flatnonzero(np.diff(users[known])) + 1) if len(known) else []:
        gates: dict[int, int] = {}  # of the batches that others follow
        followed = list(_followed(jobs, submit_ms, end))
        batches = [batch for batch, _ in followed]
        for batch, k in followed:
            if k < 0:
                continue
            if k not in gates:
                gates[k] = gate
                edges += [(job, gate, 0) for job in batches[k]]
                gate += 1
            back = max(int(end[job]) for job in batches[k])
            edges += [(gates[k], job, int(submit_ms[job]) - back) for job in batch]
    table = np.array(edges, np.int64).reshape(-1, 3)
    return table[:, 0], table[:, 1], table[:, 2], gate - len(row)


def _followed(jobs: Ints, submit_ms: Ints, end: Ints) -> Iterator[tuple[list[int], int]]:
    """Batches of one user's jobs, each with the number of the batch that it follows, -1 for none."""
    batches: list[list[int]] = []
    back: list[int] = []  # when each has come back
    for job in jobs.tolist():
        now = int(submit_ms[job])
        if batches and now <= back[-1] and now - int(submit_ms[batches[-1][-1]]) <= SESSION_GAP_MS:
            batches[-1].append(job)
            back[-1] = max(back[-1], int(end[job]))
        else:
            batches.append([job])
            back.append(int(end[job]))
    by_return = sorted((time, k) for k, time in enumerate(back))
    for batch in batches:
        place = bisect_left(by_return, (int(submit_ms[batch[0]]), -1))  # none but earlier batches are back by then
        yield batch, by_return[place - 1][1] if place else -1


def _refuse_circles(trace: Trace, row: Ints, precedence: Precedence) -> None:
    import networkx as nx

    graph = nx.DiGraph()
    graph.add_edges_from(zip(precedence.before.tolist(), precedence.after.tolist(), strict=True))
    if nx.is_directed_acyclic_graph(graph):
        return
    ids = trace.jobs["job_id"].to_numpy()[row].tolist()
    names = [str(ids[node]) for node, _ in nx.find_cycle(graph) if node < len(ids)]
    shown = ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")
    raise TraceError(
        f"jobs wait for each other in a circle: {shown}",
        "mend the trace, or replay it with --dependencies ignore",
        path=trace.meta.path or None,
    )


def critical_path(precedence: Precedence, limit_ms: Ints) -> Ints:
    """Time by the limits along the longest chain of jobs that begins with each, delays between them included, ms.

    The *bottom level* of list scheduling (Kwok & Ahmad, ACM Computing Surveys 31(4), 1999, doi:10.1145/344588.344618).
    """
    import networkx as nx

    graph = nx.DiGraph()
    graph.add_weighted_edges_from(
        zip(precedence.before.tolist(), precedence.after.tolist(), precedence.delay_ms.tolist(), strict=True)
    )
    own = np.concatenate([limit_ms, np.zeros(precedence.n_gates, np.int64)]).tolist()
    longest = list(own)
    for node in reversed(list(nx.topological_sort(graph))):
        behind = (edge["weight"] + longest[follower] for follower, edge in graph.adj[node].items())
        longest[node] = own[node] + max(behind, default=0)
    return np.array(longest[: len(limit_ms)], np.int64)
