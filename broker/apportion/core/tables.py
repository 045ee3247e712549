"""Tables of the core: NamedTuples of contiguous columns, int64 or float64, never strings.

Units: times are int64 milliseconds since the Unix epoch, memory MiB, billing thousandths of a billing unit. ``-1`` means
"not set" and for a limit "unlimited".

TRES are numbered: 0 is cpu (processors); 1 to n_extra are the columns of ``Jobs.extra`` in the order of the policy (memory, nodes,
GPUs, licences, whichever are in use); the last, n_extra + 1, is billing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from numpy import float64, int8, int64
from numpy.typing import NDArray

from apportion.core.handle import Known, table

if TYPE_CHECKING:
    from apportion.core.budget import Budgets
    from apportion.core.checkpoint import Checkpoints
    from apportion.core.cohort_tables import Quotas
    from apportion.core.limit_tables import LimitCounters, LimitTables
    from apportion.core.node_tables import Nodes
    from apportion.core.preempt_tables import Preemption
    from apportion.core.reclaim_tables import Reclaim
    from apportion.core.share import ShareState
    from apportion.core.turn_tables import Turns
    from apportion.core.usage import Usage, UsageParams

Ints = NDArray[int64]
Floats = NDArray[float64]
Bytes = NDArray[int8]

NEVER = 2**62  # later than any time, and still safe to add a time limit to
SHARES_PARENT = -1  # Slurm's FairShare=parent
ROW_END, ROW_PROCS, ROW_JOB = range(3)  # columns of `Running.row`


@table
class Jobs(NamedTuple):
    """What the core may know of the jobs, one row a job; filled by the driver, only read by the core but for ``expected``.

    ``submit``, ``limit`` : ms. ``expected`` : ms that backfill plans a job with; the very column ``limit``
    unless the policy has a predictor or checkpoints. ``procs`` : processors. ``extra`` : (n_jobs, n_extra) further resources.
    ``pool`` : index of the pool of resources that the job runs in. ``partition``, ``assoc``, ``user``, ``qos`` : indices.
    ``tier`` : PriorityTier of the partition. ``static_priority`` : the multifactor terms that never change.
    ``billing`` : billed units per second x 1000. ``features`` : (n_jobs, 6) nodes, memory in MiB, GPUs, QOS priority, nice and critical path in
    seconds, for orders that an operator wrote. Columns that the policy does not use are empty.
    """

    submit: Ints
    limit: Ints
    expected: Ints
    procs: Ints
    extra: Ints
    pool: Ints
    partition: Ints
    assoc: Ints
    user: Ints
    qos: Ints
    tier: Ints
    static_priority: Floats
    billing: Ints
    features: Floats


@table
class Accounts(NamedTuple):
    """The association tree in topological order: row 0 is root and ``parent[i] < i``; root's parent is -1.

    ``is_user`` : 1 for a user association (always a leaf), 0 for an account.
    ``shares`` : raw shares, or SHARES_PARENT.
    ``child_start`` (n + 1), ``child`` : children of i are ``child[child_start[i]:child_start[i + 1]]``, ascending.
    """

    parent: Ints
    is_user: Ints
    shares: Ints
    child_start: Ints
    child: Ints


@table
class Live(NamedTuple):
    """What the core decides and remembers of each job.

    ``state`` : int8 code. ``start`` : ms, -1 before. ``score`` : rank key, ascending (empty for ORDER_ARRIVAL).
    ``plan`` : present planned start, -1 none (empty where the backfill keeps no plans).
    ``first_plan`` : first planned start a backfill pass gave, -1 none. ``reasons`` : mask of all pending reasons seen so far.
    ``restarts`` : how often the job was stopped before its end and queued again.
    """

    state: Bytes
    start: Ints
    score: Floats
    plan: Ints
    first_plan: Ints
    reasons: Ints
    restarts: Ints


@table
class Queue(NamedTuple):
    """Pending jobs by rank: ``order[head[0]:tail[0]]``. Entries whose job is no longer pending are skipped and swept out later.

    ``procs``, ``limit`` : what the job of each entry asks for, and how long it is planned with (ms). ``dead`` : entries to be swept out.
    """

    order: Ints
    procs: Ints
    limit: Ints
    head: Ints
    tail: Ints
    dead: Ints


@table
class Pools(NamedTuple):
    """Resources that jobs compete for; each partition draws on one pool.

    ``procs``, ``free`` : processors there are, and not in use (negative after a loss of capacity); ``extra``, ``extra_free`` :
    (n_pools, n_extra) likewise. ``largest``, ``extra_largest`` : the most there will ever be. ``min_procs`` :
    no pending job of the pool asks for less (a lower bound). ``flavor`` : of the quotas, where they name any.
    ``head`` : first blocked job or a HEAD code; ``shadow``, ``spare`` : its reserved start in ms (-1 until somebody needs it) and the
    processors that it leaves free then (EASY). ``turned`` : when a job that had waited last started as the first in line, ms.
    ``step_first`` (n_pools + 1), ``step_next``, ``step_time``, ``step_procs``, ``step_extra`` : capacity changes known in advance, by
    pool and time; rows before ``step_next`` have happened.
    """

    procs: Ints
    free: Ints
    extra: Ints
    extra_free: Ints
    largest: Ints
    extra_largest: Ints
    min_procs: Ints
    flavor: Ints
    head: Ints
    shadow: Ints
    spare: Ints
    turned: Ints
    step_first: Ints
    step_next: Ints
    step_time: Ints
    step_procs: Ints
    step_extra: Ints


@table
class Running(NamedTuple):
    """Running jobs of pool p, by expected end: rows ``first[p]`` to ``first[p] + count[p]`` once they are settled (`core/running.py`).

    ``first`` (n_pools + 1). ``count`` : jobs that run. ``rows`` : rows in use, some perhaps of jobs that have ended; the first
    ``ordered`` of them are in order. ``unread`` : starts since somebody last read the rows. ``row`` : (n_rows, 3) start plus
    expected run time in ms (ROW_END), processors (ROW_PROCS) and job (ROW_JOB), side by side since they move together.
    """

    first: Ints
    count: Ints  # type: ignore[assignment]  # tuple.count is not missed
    rows: Ints
    ordered: Ints
    unread: Ints
    row: Ints


@table
class History(NamedTuple):
    """What is remembered for predictions; empty where the policy makes none.

    ``ran`` (n_users, so many) : run times of each user's last jobs, ms, in a ring; row 0 is nobody's. ``ended`` : how many have ended.
    ``outrun`` : how often each job has outrun its prediction. ``work`` : scratch.
    """

    ran: Ints
    ended: Ints
    outrun: Ints
    work: Ints


@table
class Profile(NamedTuple):
    """Free resources over time.

    Pool p has ``free[i]`` from ``time[i]`` to ``time[i + 1]``, rows ``first[p]`` to ``first[p] + count[p]``; the last is for ever.
    ``row`` : where its nodes stand in ``Nodes.rows`` (empty where pools are counts); those beyond ``count`` are vacant.
    """

    first: Ints
    count: Ints  # type: ignore[assignment]  # tuple.count is not missed
    time: Ints
    free: Ints
    extra: Ints
    row: Ints


@table
class Outages(NamedTuple):
    """Processors that fail and come back, unknown beforehand: what each LOSS and each RETURN is about, row by row.

    ``pool`` ; ``procs`` lost or back; ``position`` of a loss: 0 to 2^32 - 1, drawn (see `apportion.core.victims`).
    """

    pool: Ints
    procs: Ints
    position: Ints


@table
class Stops(NamedTuple):
    """Jobs that were stopped before their end, in order: the first ``count[0]`` rows, as far as there is room.

    ``time``, ``start`` : of the stop, and since when the job ran, ms. ``job`` ; ``by`` : the job that took its resources, -1 none.
    ``mode``, ``reason`` : codes. ``lost`` : ms of running that are to be done again; ``refunded`` : of those, given back to the account.
    ``grace`` : ms that it kept its resources after it was preempted.
    """

    count: Ints  # type: ignore[assignment]  # tuple.count is not missed
    time: Ints
    job: Ints
    by: Ints
    mode: Ints
    reason: Ints
    start: Ints
    lost: Ints
    refunded: Ints
    grace: Ints


@table
class Clock(NamedTuple):
    """Single numbers that change, each an array of one element.

    ``now``, ``wake`` : ms; the core asks to be called again at ``wake`` (NEVER if it need not be).
    ``pending`` : pending jobs. ``decided`` : decisions of this call. ``arrived``, ``last_arrived`` : submissions of this round;
    ``happened`` : 1 if the round had any event but a timer.
    ``stale`` : 1 if the last pass must not be built upon. ``tick`` : last priority calculation, ms.
    ``next_plan`` : earliest plan that is due, ms. ``replan`` : 1 if resources came free earlier than planned;
    2 if plans must be made anew; ``gain`` : last instant, ms, up to which a pending plan may have gained. ``changed`` : 1 if something
    happened since the last backfill pass, ``full`` : since the last main pass over the whole queue (Slurm).
    ``unsorted`` : 1 if the queue must be ranked before it is walked.
    """

    now: Ints
    wake: Ints
    pending: Ints
    decided: Ints
    arrived: Ints
    last_arrived: Ints
    happened: Ints
    stale: Ints
    tick: Ints
    next_plan: Ints
    replan: Ints
    gain: Ints
    changed: Ints
    full: Ints
    unsorted: Ints


@table
class Rules(NamedTuple):
    """The policy in numbers.

    ``order``, ``backfill`` : codes. ``score_function`` : address of a compiled order (ORDER_FIXED and ORDER_MOVING). ``origin`` : ms, its time 0.
    ``plain`` : 1 if processors of constant number are all there is to a pool.
    ``bare`` : 1 if moreover jobs take nothing else, and no account is kept of what they take.
    ``charged`` : 1 if usage is kept. ``limited`` : 1 if limits of associations or QOS may hold jobs; ``metered`` : 1 if some of them
    run on minutes and so on time; ``requeue`` : 1 if a job that loses its node is queued again;
    ``preemptive`` : 1 if jobs may preempt others; ``reclaims`` : 1 if accounts may take back what they lend by stopping jobs;
    ``assoc_limit_stop`` : 1 if a held job also holds those behind it. ``quotas`` : 1 if accounts have quotas, ``budgets`` : budgets.
    ``turns`` : 1 if shares or usage decide whose turn it is. ``holds`` : 1 if limits, quotas or budgets may hold a job that there is room for.
    ``guarded`` : 1 if some jobs have a wait bound. ``several`` : 1 if there are more pools than one.
    ``timed`` : 1 if time alone may change what starts.
    ``age_weight``, ``fairshare_weight``, ``max_age`` (ms) : of the multifactor priority.
    ``bf_*``, ``main_depth``, ``sched_interval`` : Slurm's SchedulerParameters (times in ms, 0 unlimited). ``calc_period`` :
    PriorityCalcPeriod in ms, 0 if there are no ticks. ``incr_only`` : 1 if a priority never falls.
    ``predictor`` : code; ``predictor_quantile`` : thousandths.
    ``placement`` : code of `apportion.core.nodes`, 0 where pools are counts only.
    ``second_factor`` : what one second multiplies old usage with.
    """

    order: int
    backfill: int
    score_function: int
    origin: int
    plain: int
    bare: int
    charged: int
    limited: int
    metered: int
    requeue: int
    preemptive: int
    reclaims: int
    assoc_limit_stop: int
    quotas: int
    budgets: int
    turns: int
    holds: int
    guarded: int
    several: int
    timed: int
    age_weight: float
    fairshare_weight: float
    max_age: int
    calc_period: int
    incr_only: int
    second_factor: float
    bf_interval: int
    bf_window: int
    bf_resolution: int
    bf_max_job_test: int
    bf_max_job_user: int
    bf_min_prio_reserve: int
    main_depth: int
    sched_interval: int
    predictor: int
    predictor_quantile: int
    placement: int


_UNUSUAL = (
    "charged",
    "limited",
    "metered",
    "preemptive",
    "reclaims",
    "assoc_limit_stop",
    "quotas",
    "budgets",
    "turns",
    "holds",
    "guarded",
    "several",
    "incr_only",
    "predictor",
    "placement",
)


def without_the_unusual(rules: Rules) -> Rules:
    """Let kernels be compiled without all that a policy without accounts has not (see `apportion.core.known`), where it has nothing of it."""
    if rules.bare == 0 or any(getattr(rules, name) for name in _UNUSUAL):
        return rules
    return rules._replace(plain=Known(1), bare=Known(1), **{name: Known(0) for name in _UNUSUAL})


@table
class State(NamedTuple):
    """All the core knows: what it is given, what it remembers, and where it writes what it decides.

    ``short_queue`` : pending jobs by limit (EASY-SJBF only).
    ``decided`` : job indices, in the order of decision; what was decided is the job's state. ``digest`` : two lanes of the running
    hash of all decisions. ``work`` : scratch.
    """

    jobs: Jobs
    live: Live
    queue: Queue
    short_queue: Queue
    pools: Pools
    running: Running
    profile: Profile
    clock: Clock
    rules: Rules
    accounts: Accounts
    usage_params: UsageParams
    usage: Usage
    share: ShareState
    limits: LimitTables
    counters: LimitCounters
    quotas: Quotas
    budgets: Budgets
    history: History
    nodes: Nodes
    outages: Outages
    stops: Stops
    checkpoints: Checkpoints
    preemption: Preemption
    reclaim: Reclaim
    turns: Turns
    decided: Ints
    digest: Ints
    work: Ints
