"""Tables of a federation: a broker, the centers it knows, and where its jobs are.

A broker and each center are a `State` of their own; all index the same jobs. What a job is *bound* to is a target: a partition
of a center. Units as in `apportion.core.tables`; ratios of speed and billing are thousandths.
"""

from __future__ import annotations

from typing import NamedTuple

from apportion.core.handle import table
from apportion.core.tables import Bytes, Floats, Ints, State

# Where a job of the broker is.
HOME = 0  # it does not move: its own center has it from the beginning
QUEUED = 1  # in the broker's queue
SENT = 2  # bound, on its way to the center
ARRIVED = 3  # in the center's queue, running there or ended there
STUCK = 4  # at the door of a center that is cut off

# Events beside those of a single core, applied after them: a dataset is complete at a center; a bound job reaches its center; a center
# is cut off or back.
DATA = 16
ARRIVE = 17
REACH = 18

# Decisions beside those of a single core.
BOUND = 32
WITHDRAWN = 33
FETCH = 34  # about a copy of a dataset, not a job: number of the dataset times the number of centers plus the center

# How the broker chooses.
PLACE_HOME = 0
PLACE_BY_SCORE = 1
PLACE_RANDOM = 2
PLACE_ROUND_ROBIN = 3
PLACE_LEAST_LOADED = 4
PLACE_REDUNDANT = 5

# Terms of a score, each the less the better.
START_S = 0  # seconds until it is expected to start
DATA_S = 1  # seconds it waits beyond that for its data
RUN_S = 2  # seconds it will run there by its limit
COST = 3  # what it costs there, in money
ENERGY_KWH = 4
CARBON_KG = 5
RISK = 6  # probability that a failure stops it
AWAY = 7  # 0 at home, else 1
N_TERMS = 8

N_CLASSES = 16  # of jobs by width and length, for which waits are foreseen apart

# Why a target is refused: what cannot change (Federation.barred), then what depends on size and time.
ALLOWED = 0
NO_ACCESS = 1
VETO = 2
RESIDENCY = 3
NO_ROUTE = 4
WRONG_GPU = 5
DRAINED = 6
TOO_WIDE = 7
TOO_LONG = 8
TOO_LARGE = 9  # of a further resource, or for the nodes
UNREACHABLE = 10  # the center is cut off at present
NO_QUOTA = 11  # the account's quota of its flavour is used up at present


@table
class Targets(NamedTuple):
    """Where jobs may be sent, one row for each partition of each center.

    ``center``, ``pool``, ``partition`` : indices, the latter two as the center's own State has them. ``seen`` : row of `Seen`.
    ``max_time`` : ms. ``speed`` : thousandths. ``price`` : money per processor second. ``watts`` : of a busy processor.
    ``risk`` : probability of a failure per second. ``carbon`` (n_targets, 24) : kg per kWh by hour of the UTC day.
    """

    center: Ints
    pool: Ints
    partition: Ints
    seen: Ints
    max_time: Ints
    speed: Ints
    price: Floats
    watts: Floats
    risk: Floats
    carbon: Floats


@table
class Centers(NamedTuple):
    """What the broker keeps of each center.

    ``first_seen`` : its first row of `Seen`; one for each of its pools.
    ``managed`` : 1 if the broker's order rules there and its tables are shared. ``poll`` : ms between looks, 0 for at once.
    ``latency`` : ms from a decision of the broker to the center. ``exchange`` : thousandths of the federation's billing unit.
    ``speed`` : thousandths, that recorded run times of its own jobs are for. ``reachable`` : 0 while it is cut off.
    ``wake`` : when its core wants to be called, ms. ``touched`` : 1 in an instant in which something happens there.
    ``changed`` : 1 if something happened there since the broker's last look. ``next_look`` : ms. ``waiting`` : jobs of the broker
    that are bound to it and have not started. ``accuracy`` : running mean of run time over limit of the jobs that ended there;
    ``habit`` : of the jobs that come from there. ``waited``, ``foreseen`` (n_centers, N_CLASSES) : waits there, in seconds, and what was
    foreseen, both as sums that forget, by class of job (`apportion.core.placement.job_class`).
    """

    first_seen: Ints
    managed: Ints
    poll: Ints
    latency: Ints
    exchange: Ints
    speed: Ints
    reachable: Ints
    wake: Ints
    touched: Ints
    changed: Ints
    next_look: Ints
    waiting: Ints
    accuracy: Floats
    habit: Floats
    waited: Floats
    foreseen: Floats


@table
class Seen(NamedTuple):
    """What the broker saw of each pool of each center when it last looked, and what it has done since.

    ``center``, ``pool`` : whose. ``procs``, ``free`` : processors. ``backlog`` : processor-ms that pending jobs ask for: true (``owed``),
    as seen, and of jobs sent there that were not in what was seen (``sent``), of which ``on_way`` have not arrived.
    ``flavor`` : of the broker's quotas. ``first`` (n_views + 1), ``count``, ``end``, ``width`` : running jobs by expected end.
    """

    center: Ints
    pool: Ints
    procs: Ints
    free: Ints
    owed: Ints
    backlog: Ints
    sent: Ints
    on_way: Ints
    flavor: Ints
    first: Ints
    count: Ints  # type: ignore[assignment]  # tuple.count is not missed
    end: Ints
    width: Ints


@table
class Places(NamedTuple):
    """Where each job is; one row a job.

    ``home`` : center it was submitted at. ``where`` : HOME, QUEUED, SENT, STUCK, ARRIVED. ``center``, ``target`` : where it is bound or runs, -1
    none. ``group`` : row of ``Federation.barred``. ``dataset`` : -1 none. ``dice`` : a random number below 2^32, drawn in advance.
    ``predicted`` : start that was expected when it was bound, ms. ``foreseen`` : wait at its center by the work before it, ms.
    ``patience`` : when it is worth a second look, ms. ``started`` : since when it runs, ms, -1 if it does not. ``bound`` : when it was bound
    last, ms. ``travel`` : ms from then until it could
    wait at its center. ``row`` : newest row of the log. ``limit`` : at home, ms.
    """

    home: Ints
    where: Bytes
    center: Ints
    target: Ints
    group: Ints
    dataset: Ints
    dice: Ints
    predicted: Ints
    foreseen: Ints
    patience: Ints
    started: Ints
    bound: Ints
    travel: Ints
    row: Ints
    limit: Ints


@table
class Log(NamedTuple):
    """Every binding with all alternatives; rows in order of decision.

    ``time``, ``job``, ``target``, ``predicted`` ; ``terms`` (n_rows x n_targets, N_TERMS), ``score`` (n_rows, n_targets), ``reason`` (same) : of
    each target, empty where the federation is too large to keep them. ``rows`` : int64[1].
    """

    time: Ints
    job: Ints
    target: Ints
    predicted: Ints
    terms: Floats
    score: Floats
    reason: Ints
    rows: Ints


@table
class BrokerRules(NamedTuple):
    """How the broker places jobs.

    ``placement`` : PLACE code. ``look_ahead`` : jobs of the broker that may wait at one center. ``depth`` : jobs of its queue
    that a pass looks at. ``replace_after`` : thousandths of the predicted wait after which a job may be placed anew, 0 never;
    ``replace_min`` : and at least so long, ms. ``hysteresis`` : part by which the new place must be better.
    ``weights`` (N_TERMS) : of the terms of a score. ``keep`` : 1 if the log keeps all alternatives.
    """

    placement: int
    look_ahead: int
    depth: int
    replace_after: int
    replace_min: int
    hysteresis: float
    keep: int
    weights: Floats


@table
class FederationClock(NamedTuple):
    """Single numbers that change, each an array of one element.

    ``wake`` : ms, as in `Clock`. ``decided`` : entries of ``Federation.decided`` of this call. ``watched`` : of ``watch``. ``stale`` : 1 if
    the broker's queue must be looked through. ``turn`` : next choice of a round robin. ``patience`` : earliest of the watched jobs', ms.
    """

    now: Ints
    wake: Ints
    decided: Ints
    watched: Ints
    stale: Ints
    turn: Ints
    patience: Ints


@table
class Federation(NamedTuple):
    """A broker and its centers.

    ``barred`` (n_groups, n_targets) : reason code for jobs of a group. ``data_ms`` (n_datasets, n_centers) : time to bring a dataset to a
    center over links that nobody else uses, 0 if it is there, -1 if it cannot be; ``outage_center``, ``outage_row`` : whose LOSS or RETURN each
    is, and its row of that center's `Outages`; ``data_due`` : when it should be there by that, of
    datasets that are under way, or when it came, else NEVER, ms. ``decided``, ``what`` : jobs in order of decision, and the decision (a state of
    a job, BOUND, or FETCH). ``watch`` : jobs that are bound and have not started; where jobs are sent everywhere, those whose data are
    under way. ``score``, ``reason``, ``expected``, ``foreseen``
    (n_targets; ms), ``terms`` (n_targets, N_TERMS) : scratch of a placement.
    ``digest`` : shared by all cores.
    """

    broker: State
    cores: list[State]
    centers: Centers
    targets: Targets
    seen: Seen
    places: Places
    log: Log
    rules: BrokerRules
    clock: FederationClock
    barred: Ints
    data_ms: Ints
    data_due: Ints
    outage_center: Ints
    outage_row: Ints
    decided: Ints
    what: Ints
    watch: Ints
    score: Floats
    reason: Ints
    terms: Floats
    expected: Ints
    foreseen: Ints
    digest: Ints
