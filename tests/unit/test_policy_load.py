"""Reading policies: what is accepted, and one clear line with file, line and remedy for what is not."""

from __future__ import annotations

import pytest

from apportion.core.errors import PolicyError
from apportion.policy.fields import Moment
from apportion.policy.load import from_dict, load, load_file, preset_names
from apportion.policy.model import BACKFILLS

FULL = """\
Name = "center"
order = "Multifactor"
BACKFILL = "slurm"
SchedulerParameters = "bf_window=10080,bf_max_job_user=20,assoc_limit_stop"
PriorityWeightFairshare = 10_000
PriorityWeightTRES = "CPU=1000,GRES/gpu=3000"
PriorityDecayHalfLife = 12:30:00
PriorityFlags = "max_tres,NO_FAIR_TREE"
AccountingStorageEnforce = ["safe"]
TRESBillingWeights = "CPU=1.0,Mem=0.25G"
Licenses = "matlab:50,ansys:10"
MaxWait = "3-0"

[[accounts]]
Name = "physics"
Fairshare = 40
GrpTRES = "cpu=512,mem=2T"
MaxWallDurationPerJob = "2-0"

[[accounts]]
Account = "optics"
Parent = "physics"
Fairshare = "parent"

[[users]]
User = 17
Account = "optics"
MaxJobs = -1
GrpTRESMins = { cpu = 600000 }

[[qos]]
Name = "urgent"
Priority = 100
Flags = "DenyOnLimit,nodecay"
MaxTRESPerUser = "gres/gpu=8"
MaxWait = "04:00:00"
UsageFactor = 2

[[partitions]]
PartitionName = "batch"
Match = ["1", "2"]
Procs = 128
TRES = "mem=1T,cpu=128"
MaxTime = "7-0"
QOS = "urgent"

[[partitions]]
PartitionName = "debug"
Pool = "batch"
State = "up"

[[reservations]]
ReservationName = "maintenance"
StartTime = 2024-05-06T08:00:00
Duration = "8:00:00"
Flags = "MAINT"

[[reservations]]
ReservationName = "course"
StartTime = "now+7-00:00:00"
EndTime = "now+8-0"
CoreCnt = 16
Users = "ada,bob"
PartitionName = "batch"

[[assign]]
Match = { Queue = [3, "4"], ProcsMax = 16, LimitMax = "30" }
Set = { QOS = "urgent", Partition = "debug" }
"""


@pytest.fixture
def write(tmp_path):
    def file(text, name="p.toml"):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return file


@pytest.mark.parametrize(("text", "seconds"), [("NONE", None), ("UNLIMITED", None), ("1-0", 86400), ("30", 1800)])
def test_a_default_time_is_read_as_scontrol_prints_it(write, text, seconds):
    policy = load(write(f'[[partitions]]\nName = "batch"\nProcs = 4\nDefaultTime = "{text}"\n'))
    assert policy.partitions[0].DefaultTime == seconds


def test_reads_slurms_spellings(write):
    policy = load(write(FULL))
    assert (policy.Order, policy.Backfill, policy.Name) == ("multifactor", "slurm", "center")
    assert policy.SchedulerParameters.bf_window == 10080
    assert policy.SchedulerParameters.bf_max_job_user == 20
    assert policy.SchedulerParameters.bf_max_job_test == 500
    assert policy.SchedulerParameters.assoc_limit_stop
    assert policy.PriorityWeightTRES == {"cpu": 1000, "gres/gpu": 3000}
    assert policy.PriorityDecayHalfLife == 45000
    assert policy.PriorityMaxAge == 7 * 86400
    assert policy.share_engine == "classic"
    assert policy.billing_mode == "max_tres"
    assert policy.enforce == {"safe", "limits"}
    assert policy.TRESBillingWeights == {"cpu": 1.0, "mem": 0.25 / 1024}
    assert policy.Licenses == {"ansys": 10, "matlab": 50}
    assert policy.MaxWait == 3 * 86400
    physics, optics = policy.accounts
    assert (physics.Account, physics.Parent, physics.Fairshare) == ("physics", "", 40)
    assert physics.GrpTRES == {"cpu": 512, "mem": 2 * 1024**2}
    assert physics.MaxWall == 2 * 86400
    assert optics.Fairshare == "parent"
    (user,) = policy.users
    assert (user.User, user.MaxJobs, user.GrpTRESMins) == ("17", None, {"cpu": 600000})
    (urgent,) = policy.qos
    assert urgent.Flags == ("DenyOnLimit", "NoDecay")
    assert urgent.MaxTRESPU == {"gres/gpu": 8}
    assert (urgent.MaxWait, urgent.UsageFactor) == (4 * 3600, 2.0)
    batch, debug = policy.partitions
    assert batch.capacity == {"cpu": 128, "mem": 1024**2}
    assert (batch.pool, debug.pool) == ("batch", "batch")
    assert (batch.labels, debug.labels) == (("1", "2"), ("debug",))
    assert debug.State == "UP"
    maintenance, course = policy.reservations
    assert maintenance.StartTime == Moment(from_origin=False, seconds=1714982400)
    assert (maintenance.duration, maintenance.capacity) == (8 * 3600, {})
    assert course.StartTime == Moment(from_origin=True, seconds=7 * 86400)
    assert (course.duration, course.capacity, course.Users) == (86400, {"cpu": 16}, ("ada", "bob"))
    (rule,) = policy.assign
    assert rule.Match.Queue == ("3", "4")
    assert (rule.Match.ProcsMax, rule.Match.LimitMax) == (16, 1800)
    assert (rule.Set.QOS, rule.Set.Partition) == ("urgent", "debug")
    assert policy.warnings == ()


def test_yaml_means_the_same_as_toml(write):
    toml = write('Order = "multifactor"\nPriorityMaxAge = "12:30:00"\n[[accounts]]\nName = "no"\nGrpWall = 01:30:00\n')
    yaml = write(
        "Order: multifactor\nPriorityMaxAge: 12:30:00\naccounts:\n  - Name: no\n    GrpWall: 1:30:00\n\n",
        "p.yaml",
    )
    assert load(toml).hash == load(yaml).hash
    assert load(yaml).PriorityMaxAge == 45000


def test_presets_load_with_every_backfill():
    assert {"fcfs", "sjf", "ljf", "easy", "easy-sjbf", "conservative", "multifactor", "slurm"} <= set(preset_names())
    for name in preset_names():
        assert load(name).Name == name
        assert load(name).Description
        for backfill in BACKFILLS:
            policy = load(f"{name}+{backfill}")
            assert (policy.Order, policy.Backfill) == (load(name).Order, backfill)


def test_presets_are_what_their_names_say():
    assert (load("easy").Order, load("easy").Backfill) == ("fcfs", "easy")
    assert (load("fcfs").Backfill, load("sjf").Backfill) == ("none", "none")
    multifactor = load("multifactor")
    assert (multifactor.Backfill, multifactor.share_engine) == ("easy", "fair_tree")
    assert multifactor.PriorityWeightFairshare > 0
    assert load("slurm").Backfill == "slurm"


ACCOUNTS = "".join(f"[[accounts]]\nName = '{name}'\nParent = '{parent}'\n" for name, parent in ("ab", "bc", "ca"))
BAD = [
    # text, words of the message, line
    ('Oder = "fcfs"', "unknown key 'Oder'.*did you mean 'Order'", 1),
    ('Name = "x"\nOrder = "sfj"', "Order: 'sfj' is unknown.*did you mean 'sjf'", 2),
    ('\n\nBackfill = "esy"', "did you mean 'easy'", 3),
    ('Order = "fcfs"\norder = "sjf"', "Order is written twice", None),
    ("PriorityWeightAge = -5", "PriorityWeightAge: .*below zero", 1),
    ("PriorityWeightAge = 4294967296", "too large.*4294967295", 1),
    ("PriorityWeightAge = " + "9" * 5000, "number too long|nested", None),
    ("PriorityWeightAge = " + "9" * 400, "more than 30 digits", 1),
    ("PriorityWeightAge = true", "not a whole number", 1),
    ("PriorityWeightAge = 1.5", "not a whole number", 1),
    ("PriorityWeightAge = nan", "not a whole number", 1),
    ('PriorityMaxAge = "soon"', "PriorityMaxAge: 'soon' is not a time.*D-HH", 1),
    ("PriorityMaxAge = -1", "UNLIMITED makes no sense", 1),
    ("PriorityCalcPeriod = 0", "PriorityCalcPeriod: .*greater than or equal to 1", 1),
    ("PriorityDecayHalfLife = 0", "usage would never be forgotten.*PriorityUsageResetPeriod", 1),
    ('PriorityFlags = "MAX_TRES,MAX_TRES_GRES"', "bill in two ways", 1),
    ("PriorityFlags = [1]", "not a list of flags", 1),
    ('PriorityFlags = "MAXTRES"', "did you mean 'MAX_TRES'", 1),
    ('ShareEngine = "fair_tree"\nPriorityFlags = "NO_FAIR_TREE"', "ShareEngine is fair_tree, but", 1),
    (
        'SchedulerParameters = "bf_widow=1440"',
        "unknown key 'bf_widow' in SchedulerParameters.*did you mean 'bf_window'",
        1,
    ),
    ('Order = "fcfs"\nSchedulerParameters = "bf_window=long"', "bf_window: .*not a whole number", 2),
    ('SchedulerParameters = "bf_window=1,bf_window=2"', "written twice", 1),
    ('Order = "expression"', "there is no OrderExpression", 1),
    ('Order = "fcfs"\nOrderExpression = "limit"', 'Order is "fcfs"', 2),
    ('OrderExpression = "limt * procs"', "no column 'limt', at column 1.*did you mean 'limit'", 1),
    ("[[accounts]]\nName = 'a'\nFairshare = 0", "shares of 0.*AllowZeroShares", 3),
    ("[[accounts]]\nName = 'a'\n[[accounts]]\nName = 'b'\nFairshare = -3", "below zero", 5),
    ("[[accounts]]\nName = 'a'\nFairshare = 'mother'", "number of shares is 'mother'", 3),
    (ACCOUNTS, "cycle: a > b > c > a", 3),
    ("[[accounts]]\nName = 'a'\nParent = 'a'", "cycle: a > a", 3),
    ("[[accounts]]\nName = 'physics'\n[[accounts]]\nName = 'b'\nParent = 'physic'", "did you mean 'physics'", 5),
    ("[[accounts]]\nName = 'a'\n[[accounts]]\nName = 'a'", "account a is listed twice", 4),
    ("[[users]]\nUser = 'u'", "Account is missing", 1),
    ("[[users]]\nUser = 'u'\nAccount='a'\n[[users]]\nName = 'u'\nAccount='a'", "listed twice", 5),
    ("[[qos]]\nName = 'q'\nFlags = 'DenyLimit'", "did you mean 'DenyOnLimit'", 3),
    ("[[qos]]\nName = 'q'\nMaxWait = '1-0'\nMaxWaitReserveAt = 2", "MaxWaitReserveAt: .*less than or equal to 1", 4),
    ("[[qos]]\nName = 'q'\nMaxTRESPU = 'gpu=1'", "did you mean 'gres/gpu'", 3),
    ("[[qos]]\nName = 'q'\nMaxJobPU = 4", "unknown key 'MaxJobPU' in qos number 1.*did you mean 'MaxJobsPU'", 3),
    ("DefaultQOS = 'normal'", "no QOS 'normal'", 1),
    ("[[partitions]]\nPartitionName = 'p'\nTRES = 'mem=4G'", "names no processors", 3),
    ("[[partitions]]\nPartitionName = 'p'\nProcs = 0", "0 processors", 1),
    ("[[partitions]]\nPartitionName = 'p'\nPool = 'x'", "pool x has no capacity", 3),
    ("[[partitions]]\nName='p'\nMatch='1'\n[[partitions]]\nName='q'\nMatch=['1']", "label 1 means both p and q", 6),
    ("[[reservations]]\nName = 'r'\nStartTime = 'now'", "either Duration or EndTime", 1),
    (
        "[[reservations]]\nName = 'r'\nStartTime = 'yesterday'\nDuration = 5",
        "not a time; write an ISO date|not a time",
        3,
    ),
    ("[[reservations]]\nName = 'r'\nStartTime = 2024-01-02\nEndTime = 2024-01-01", "ends before it starts", 1),
    ("[[assign]]\nMatch = { Queu = '1' }\nSet = { QOS = 'q' }", "unknown key 'Queu' in assign number 1 Match", 2),
    ("[[assign]]\nSet = { }", "sets nothing", 2),
    ("[[assign]]\nSet = { QOS = 'q' }", "no QOS 'q'", 2),
    ("accounts = 5", "accounts is not a list of tables", 1),
    ("accounts = [1, 2]", "accounts is not a list of tables", 1),
    ("SchedulerParameters = 7", "SchedulerParameters", 1),
    ("Name = [1]", "Name: .*not text", 1),
    ('Name = "a', "not valid TOML", 1),
    ("Name = 'x'\n= 3", "not valid TOML", 2),
    ("x = " + "[" * 5000, "not valid TOML", None),
    (b"Order = '\xff\xfe'", "not UTF-8", 1),
    (b"\x7fELF\x00\x00\x01", "not a text file", None),
]


@pytest.mark.parametrize(("text", "words", "line"), BAD, ids=[str(i) for i in range(len(BAD))])
def test_one_clear_line(write, text, words, line):
    path = write(text)
    with pytest.raises(PolicyError, match=words) as caught:
        load_file(path)
    error = caught.value
    assert error.path == str(path)
    if line is not None:
        assert error.line == line
    assert error.remedy
    assert "\n" not in str(error)
    assert len(str(error)) < 1200


YAML_BAD = [
    ("Order: fcfs\nOder: sjf\n", "unknown key 'Oder'", 2),
    ("Order: fcfs\nOrder: sjf\n", "written twice", 2),
    ("a: &x [1]\nb: *x\n", "aliases", 2),
    ("a: &a [x]\nb: &b [*a, *a]\nc: [*b, *b]\n", "aliases", 2),
    ("- 1\n- 2\n", "this is no policy", 1),
    ("just words\n", "this is no policy", 1),
    ("", "this is no policy", 1),
    ("Order: !!python/object/apply:os.system ['true']\n", "not valid YAML", 1),
    ("Order: [\n", "not valid YAML", 2),
    ("? [a]\n: b\n", "not a plain word", 1),
    ("accounts:\n  - Name: a\n  - Name: b\n    Parent: c\n", "no account 'c'", 4),
    ("accounts:\n  - Name: a\n    Fairshare: 0\n", "shares of 0", 3),
    ("qos: " + "[" * 3000 + "]" * 3000, "nested too deeply|not a list", None),
    ("PriorityWeightAge: " + "9" * 5000, "not valid YAML", None),
]


@pytest.mark.parametrize(("text", "words", "line"), YAML_BAD, ids=[str(i) for i in range(len(YAML_BAD))])
def test_one_clear_line_for_yaml(write, text, words, line):
    with pytest.raises(PolicyError, match=words) as caught:
        load_file(write(text, "p.yml"))
    if line is not None:
        assert caught.value.line == line
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("esay", "did you mean 'easy'"),
        ("easy+conservativ", "choose from"),
        ("nowhere/p.toml", "no policy or file"),
        ("\0", "no policy"),
    ],
)
def test_no_such_policy(name, words):
    with pytest.raises(PolicyError, match=words):
        load(name)


def test_a_folder_and_an_unreadable_file(tmp_path):
    with pytest.raises(PolicyError, match="this is a folder"):
        load(tmp_path)
    (tmp_path / "loop.toml").symlink_to(tmp_path / "loop.toml")
    with pytest.raises(PolicyError, match="no policy or file"):
        load(tmp_path / "loop.toml")


def test_zero_shares_are_for_those_who_mean_it(write):
    policy = load(write("AllowZeroShares = true\n[[accounts]]\nName = 'last'\nFairshare = 0\n"))
    assert policy.accounts[0].Fairshare == 0


def test_a_half_life_of_zero_needs_a_reset_period(write):
    policy = load(write('PriorityDecayHalfLife = 0\nPriorityUsageResetPeriod = "MONTHLY"\n'))
    assert (policy.PriorityDecayHalfLife, policy.PriorityUsageResetPeriod) == (0, "MONTHLY")


def test_what_slurm_knows_and_we_do_not_simulate_is_said(write):
    path = write("OverTimeLimit = 5\nSchedulerParameters = 'bf_continue'\n\n[[qos]]\nName = 'q'\nDescription = 'x'\n")
    policy = load(path)
    assert len(policy.warnings) == 3
    for key, line, warning in zip(
        ("OverTimeLimit", "bf_continue", "Description"), (1, 2, 6), policy.warnings, strict=True
    ):
        assert warning.startswith(f"{path}:{line}: {key} ")
        assert "not simulated yet" in warning


def test_direct_dicts_are_checked_too():
    assert from_dict({"order": "sjf"}).Order == "sjf"
    with pytest.raises(PolicyError, match="did you mean 'Order'"):
        from_dict({"oder": "sjf"})
    with pytest.raises(PolicyError, match="unknown key"):
        from_dict({7: "sjf"})


def test_long_chains_of_accounts_are_quick(write):
    text = (
        "".join(f"[[accounts]]\nName = 'a{i}'\nParent = 'a{i + 1}'\n" for i in range(3000))
        + "[[accounts]]\nName = 'a3000'\n"
    )
    assert len(load(write(text)).accounts) == 3001
