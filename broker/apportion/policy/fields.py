"""Types of policy fields: each reads what Slurm accepts and is dumped in one canonical spelling."""

# ruff: noqa: TRY004  (pydantic makes its errors from ValueError)

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from datetime import UTC, date, datetime, time
from typing import Annotated, Any, NamedTuple

from pydantic import BeforeValidator, Field, GetCoreSchemaHandler, GetJsonSchemaHandler, PlainSerializer, WithJsonSchema
from pydantic_core import CoreSchema, core_schema

from apportion.core.errors import UserError
from apportion.core.tres import (
    format_tres,
    format_tres_weights,
    parse_count,
    parse_tres,
    parse_tres_weights,
    shorten,
)
from apportion.core.units import MS_PER_SECOND, UNLIMITED, format_duration, parse_duration_ms

MAX_SECONDS = 10**10  # 317 years; safe as int64 milliseconds
UINT32 = 2**32 - 1
MAX_NICE = 2_147_483_645
ALL_FLAVORS = "*"  # in a table of quotas by flavour: all together


class Moment(NamedTuple):
    """A point in time.

    ``from_origin`` true: ``seconds`` after the origin of the trace (its first instant). False: seconds since the Unix
    epoch.
    """

    from_origin: bool
    seconds: int


def nearest(word: str, known: list[str] | tuple[str, ...]) -> str:
    """Find the known word that ``word`` most resembles, whatever the case, or ''."""
    folded = {name.lower(): name for name in known}
    near = difflib.get_close_matches(word.lower()[:80], list(folded), n=1, cutoff=0.6)
    return folded[near[0]] if near else ""


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _seconds(value: object) -> int | None:
    if value is None:
        return None
    if isinstance(value, time):  # TOML reads an unquoted 12:30:00 as a time of day
        value = value.isoformat()
    if not isinstance(value, (str, int, float)) or isinstance(value, bool):
        raise ValueError(f"'{shorten(value)}' is not a time; write minutes, HH:MM:SS or D-HH:MM:SS")
    try:
        ms = parse_duration_ms(shorten(value))
    except UserError as error:
        raise ValueError(f"{error.problem}; {error.remedy}") from None
    if ms == UNLIMITED:
        return None
    seconds, fraction = divmod(ms, MS_PER_SECOND)
    if fraction or seconds > MAX_SECONDS:
        raise ValueError(
            f"'{shorten(value)}' is {'no whole seconds' if fraction else 'too long; write UNLIMITED for no limit'}"
        )
    return seconds


def write_seconds(seconds: int | None) -> str:
    """Seconds as Slurm writes them; None is ``UNLIMITED``."""
    return format_duration(UNLIMITED if seconds is None else seconds * MS_PER_SECOND)


def _bounded_seconds(value: object) -> int:
    seconds = _seconds(value)
    if seconds is None:
        raise ValueError("UNLIMITED makes no sense here; write a time such as 5, 12:00:00 or 7-0")
    return seconds


def _count(value: object) -> int:
    return parse_count(int(value) if isinstance(value, float) and value.is_integer() else value)


def _optional_count(value: object) -> int | None:
    if value is None or (
        not isinstance(value, bool) and shorten(value).strip().lower() in ("-1", "unlimited", "infinite")
    ):
        return None
    return _count(value)


def _weight(value: object) -> int:
    if _is_number(value) and value < 0:  # type: ignore[operator]
        raise ValueError(f"a weight of {shorten(value)} is below zero; weights are whole numbers from 0 to {UINT32}")
    weight = parse_count(value, "the weight")
    if weight > UINT32:
        raise ValueError(f"a weight of {shorten(value)} is too large; Slurm's weights end at {UINT32}")
    return weight


def _nice(value: object) -> int | None:
    """Slurm's nice: a whole number, negative for a job that goes before others."""
    if value is None:
        return None
    text = shorten(value).strip()
    number = parse_count(text.lstrip("+-") if text[:1] in "+-" else value, "the nice value")
    if number > MAX_NICE:
        raise ValueError(f"a nice of {text} is out of range; it ends at {MAX_NICE}")
    return -number if text.startswith("-") else number


def _number(value: object) -> float:
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"'{shorten(value)}' is not a number") from None
    if number < 0:
        raise ValueError(f"{shorten(value)} is below zero; give 0 or more")
    if isinstance(value, bool) or not 0 <= number <= 2**53:
        raise ValueError(f"{shorten(value)} is not a number from 0 to 2^53")
    return number


def _switch(value: object) -> bool:
    text = str(value).strip().lower() if not isinstance(value, (list, tuple, Mapping)) else ""
    if text in ("yes", "true", "on", "1"):
        return True
    if text in ("no", "false", "off", "0"):
        return False
    raise ValueError(f"'{shorten(value)}' is neither YES nor NO")


def _label(value: object) -> str:
    if not isinstance(value, (str, int)) or isinstance(value, bool):
        raise ValueError(f"'{shorten(value)}' is not a name")
    text = shorten(value) if isinstance(value, int) else value.strip()
    if not text or len(text) > 200 or not text.isprintable():
        raise ValueError(f"'{shorten(value)}' is not a name; names have 1 to 200 printable characters")
    return text


def _text(value: object) -> str:
    if not isinstance(value, (str, int, float)) or isinstance(value, bool):
        raise ValueError(f"'{shorten(value)}' is not text")
    text = " ".join(str(value).split()) if isinstance(value, str) else shorten(value)
    if len(text) > 2000 or not text.isprintable():
        raise ValueError("the text is too long or holds unprintable characters")
    return text


def _labels(value: object) -> tuple[str, ...]:
    if isinstance(value, str):
        value = [part for part in value.split(",") if part.strip()]
    if not isinstance(value, (list, tuple)):
        value = [value]
    return tuple(sorted({_label(part) for part in value}))


def _shares(value: object) -> int | str:
    if isinstance(value, str) and value.strip().lower() == "parent":
        return "parent"
    if shorten(value).strip().startswith("-"):
        raise ValueError(f'shares of {shorten(value)} are below zero; write a whole number, or "parent"')
    shares = parse_count(value, "the number of shares")
    if shares > 2**31 - 1:
        raise ValueError(f"{shares} shares are too many; the largest number is {2**31 - 1}")
    return shares


def _tres(value: object) -> dict[str, int]:
    if not isinstance(value, (str, Mapping)):
        raise ValueError(f"'{shorten(value)}' is not a TRES list; write for example cpu=4,mem=16G")
    return parse_tres(value)


def _quota(value: object) -> dict[str, dict[str, int]]:
    """TRES, or a table of TRES by flavour, in which * stands for all flavours together."""
    if not isinstance(value, Mapping) or not value:
        return {ALL_FLAVORS: _tres(value)} if value else {}
    if all(isinstance(part, (str, Mapping)) and not str(part).strip().isdigit() for part in value.values()):
        return {_label(flavor): _tres(part) for flavor, part in sorted(value.items())}
    return {ALL_FLAVORS: _tres(value)}


def _format_quota(quota: dict[str, dict[str, int]]) -> str | dict[str, str]:
    if set(quota) <= {ALL_FLAVORS}:
        return format_tres(quota.get(ALL_FLAVORS, {}))
    return {flavor: format_tres(counts) for flavor, counts in quota.items()}


def _tres_weights(value: object) -> dict[str, float]:
    if not isinstance(value, (str, Mapping)):
        raise ValueError(f"'{shorten(value)}' is not a list of TRES weights; write for example CPU=1.0,Mem=0.25G")
    return parse_tres_weights(value)


def _licenses(value: object) -> dict[str, int]:
    if isinstance(value, str):
        pairs = [part.strip().partition(":")[::2] for part in value.split(",") if part.strip()]
    elif isinstance(value, Mapping):
        pairs = [(str(name), shorten(count)) for name, count in value.items()]
    else:
        raise ValueError(f"'{shorten(value)}' is not a list of licences; write NAME:NUMBER, for example matlab:50")
    licenses: dict[str, int] = {}
    for name, count in pairs:
        if not re.fullmatch(r"[\w.+@-]{1,100}", name):
            raise ValueError(f"'{shorten(name)}' is not the name of a licence")
        if name in licenses:
            raise ValueError(f"the licence {name} is given twice")
        licenses[name] = parse_count(count or "1", f"the number of {name} licences")
    return dict(sorted(licenses.items()))


_UNITS = {"second": 1, "minute": 60, "hour": 3600, "day": 86400, "week": 604800}


def parse_gres(text: str) -> dict[str, int]:
    """Read the GPUs of ``gpu:a100:4,gpu:2`` by type, "" where none is named.

    Raises
    ------
    ValueError
        If it is something else, or names a type twice.
    """
    gpus: dict[str, int] = {}
    for part in (part.strip() for part in text.split(",")):
        if not part:
            continue
        name, *rest = part.split(":")
        if name != "gpu" or not 1 <= len(rest) <= 2 or (len(rest) == 2 and not re.fullmatch(r"[\w.-]{1,60}", rest[0])):
            raise ValueError(f"'{shorten(part)}' is not GPUs; write gpu:NUMBER or gpu:TYPE:NUMBER")
        kind = rest[0] if len(rest) == 2 else ""
        if kind in gpus:
            raise ValueError(f"GPUs of type '{kind}' are given twice")
        gpus[kind] = parse_count(rest[-1], "the number of GPUs")
    return gpus


def _moment(value: object) -> Moment | None:
    if value is None or isinstance(value, Moment):
        return value
    if isinstance(value, datetime):
        return _from_datetime(value)
    if isinstance(value, date):
        return _from_datetime(datetime(value.year, value.month, value.day, tzinfo=UTC))
    text = shorten(value).strip()
    if text.lower() == "now":
        return Moment(from_origin=True, seconds=0)
    if found := re.fullmatch(r"now\s*\+\s*(\d{1,10})\s*(second|minute|hour|day|week)s?", text, re.IGNORECASE):
        seconds = int(found[1]) * _UNITS[found[2].lower()]
        if seconds > MAX_SECONDS:
            raise ValueError(f"'{text}' is too far away")
        return Moment(from_origin=True, seconds=seconds)
    if found := re.fullmatch(r"now\s*\+\s*(.+)", text, re.IGNORECASE):
        return Moment(from_origin=True, seconds=_bounded_seconds(found[1]))
    try:
        return _from_datetime(datetime.fromisoformat(text))
    except ValueError:
        raise ValueError(
            f"'{text}' is not a time; write an ISO date such as 2024-05-06T08:00:00, or now+D-HH:MM:SS"
        ) from None


def _from_datetime(moment: datetime) -> Moment:
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    seconds = int((moment - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds())
    return Moment(from_origin=False, seconds=seconds)


def _format_moment(moment: Moment | None) -> str | None:
    if moment is None:
        return None
    if moment.from_origin:
        return "now+" + write_seconds(moment.seconds)
    return datetime.fromtimestamp(moment.seconds, UTC).isoformat().replace("+00:00", "Z")


class OneOf:
    """Field metadata: one of some words, whatever the case; ``prefix`` may stand before them, as in ``preempt/qos``."""

    def __init__(self, *choices: str, prefix: str = "") -> None:
        self.choices = choices
        self.prefix = prefix
        self.folded = {choice.lower(): choice for choice in choices}

    def read(self, value: object) -> object:
        """Canonical spelling of one word."""
        if value is None:
            return None
        found = self.folded.get(shorten(value).strip().lower().removeprefix(self.prefix))
        if found is None:
            near = nearest(shorten(value), self.choices)
            hint = f"did you mean '{near}'?" if near else f"choose from {', '.join(self.choices)}"
            raise ValueError(f"'{shorten(value)}' is unknown; {hint}")
        return found

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_before_validator_function(self.read, handler(source))

    def __get_pydantic_json_schema__(self, _: CoreSchema, __: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"enum": list(self.choices)}


class SomeOf(OneOf):
    """Field metadata: some of some words, as a list or separated by commas; sorted, each once."""

    def read(self, value: object) -> object:
        """Canonical spelling of all words."""
        if isinstance(value, str):
            value = [part for part in value.split(",") if part.strip()]
        if not isinstance(value, (list, tuple)) or not all(isinstance(part, str) for part in value):
            raise ValueError(f"'{shorten(value)}' is not a list of flags; choose from {', '.join(self.choices)}")
        return tuple(sorted({str(super(SomeOf, self).read(part)) for part in value}))

    def __get_pydantic_json_schema__(self, _: CoreSchema, __: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"type": ["string", "array"], "items": {"enum": list(self.choices)}}


def _schema(kind: str | list[str], example: str) -> WithJsonSchema:
    return WithJsonSchema({"type": kind, "examples": [example]})


_ANY = ["string", "integer"]
_format = PlainSerializer(write_seconds)
Seconds = Annotated[int, BeforeValidator(_bounded_seconds), _format, _schema(_ANY, "7-00:00:00")]
OptionalSeconds = Annotated[int | None, BeforeValidator(_seconds), _format, _schema(_ANY, "1-00:00:00")]
DefaultSeconds = Annotated[  # scontrol prints NONE for a DefaultTime that is not set
    int | None,
    BeforeValidator(lambda value: None if str(value).upper() == "NONE" else _seconds(value)),
    _format,
    _schema(_ANY, "1-00:00:00"),
]
Count = Annotated[int, BeforeValidator(_count), _schema(_ANY, "100")]
OptionalCount = Annotated[int | None, BeforeValidator(_optional_count), _schema(_ANY, "100")]
Weight = Annotated[int, BeforeValidator(_weight), _schema(_ANY, "1000")]
NiceValue = Annotated[int | None, BeforeValidator(_nice), _schema(_ANY, "100")]
Number = Annotated[float, BeforeValidator(_number), _schema(["string", "number"], "1.0")]
OptionalNumber = Annotated[
    float | None,
    BeforeValidator(lambda value: None if value is None or shorten(value) == "-1" else _number(value)),
    _schema(["string", "number"], "1.0"),
]
Fraction = Annotated[float, BeforeValidator(_number), Field(gt=0, le=1)]
Switch = Annotated[bool, BeforeValidator(_switch), _schema(["string", "boolean"], "YES")]
Label = Annotated[str, BeforeValidator(_label), _schema(_ANY, "physics")]
OptionalLabel = Annotated[
    str, BeforeValidator(lambda value: "" if value in (None, "") else _label(value)), _schema(_ANY, "physics")
]
Text = Annotated[str, BeforeValidator(_text), _schema("string", "words")]
Labels = Annotated[tuple[str, ...], BeforeValidator(_labels), _schema(["string", "array"], "a,b")]
Shares = Annotated[int | str, BeforeValidator(_shares), _schema(_ANY, "parent")]
TresCounts = Annotated[
    dict[str, int], BeforeValidator(_tres), PlainSerializer(format_tres), _schema(["string", "object"], "cpu=4,mem=16G")
]
TresWeights = Annotated[
    dict[str, float],
    BeforeValidator(_tres_weights),
    PlainSerializer(format_tres_weights),
    _schema(["string", "object"], "CPU=1.0,Mem=0.25G"),
]
TresFactors = Annotated[
    dict[str, int],
    BeforeValidator(lambda value: {name: _weight(_whole(weight)) for name, weight in _tres_weights(value).items()}),
    PlainSerializer(format_tres_weights),
    _schema(["string", "object"], "CPU=1000,GRES/gpu=3000"),
]
QuotaCounts = Annotated[
    dict[str, dict[str, int]],
    BeforeValidator(_quota),
    PlainSerializer(_format_quota),
    _schema(["string", "object"], "cpu=100,gres/gpu=8"),
]
LicenseCounts = Annotated[
    dict[str, int],
    BeforeValidator(_licenses),
    PlainSerializer(lambda counts: ",".join(f"{name}:{count}" for name, count in sorted(counts.items()))),
    _schema(["string", "object"], "matlab:50"),
]
When = Annotated[
    Moment, BeforeValidator(_moment), PlainSerializer(_format_moment), _schema("string", "2024-05-06T08:00:00Z")
]
OptionalWhen = Annotated[
    Moment | None, BeforeValidator(_moment), PlainSerializer(_format_moment), _schema("string", "now+7-00:00:00")
]


def _whole(weight: float) -> int | float:
    return int(weight) if weight.is_integer() else weight
