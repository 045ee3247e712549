"""Types of scenario fields beside those of policies: sizes, bandwidths, numbers below zero, hours of a day."""

from __future__ import annotations

import re
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

from apportion.core.errors import UserError
from apportion.core.tres import shorten
from apportion.core.units import MS_PER_SECOND, parse_duration_ms
from apportion.policy.fields import MAX_SECONDS, write_seconds

_FACTORS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12, "p": 10**15}
_FACTORS |= {f"{prefix}i": 1024 ** (k + 1) for k, prefix in enumerate("kmgtp")}
_AMOUNT = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([kmgtp]?i?)(b|bit|byte|bytes)?", re.IGNORECASE)


def _bytes(value: object) -> int:
    """Bytes; ``2TB``, ``1.5TiB``, ``100Gbit``. A capital B and a small one mean the same, bits are spelled out."""
    found = _AMOUNT.fullmatch(shorten(value).strip()) if not isinstance(value, bool) else None
    if not found:
        raise ValueError(f"'{shorten(value)}' is not an amount of data; write for example 500GB, 2TiB or 100Gbit")
    amount = float(found[1]) * _FACTORS[found[2].lower()]
    amount = amount / 8 if (found[3] or "").lower() == "bit" else amount
    if amount > 2**60:
        raise ValueError(f"'{shorten(value)}' is more than an exabyte")
    return round(amount)


def _bandwidth(value: object) -> int:
    text = shorten(value).strip()
    if text.startswith("-"):
        raise ValueError(f"a bandwidth of {text} is below zero; write for example 10Gbit/s")
    rate = _bytes(re.sub(r"\s*/\s*s(?:ec)?$|ps$", "", text))
    if rate == 0:
        raise ValueError("a link without bandwidth carries nothing; write for example 10Gbit/s, or leave the link out")
    return rate


def _signed_seconds(value: object) -> int:
    text = shorten(value).strip()
    try:
        ms = parse_duration_ms(text.lstrip("+-"))
    except UserError as error:
        raise ValueError(f"{error.problem}; {error.remedy}") from None
    if ms % MS_PER_SECOND or not 0 <= ms <= 10**13:
        raise ValueError(f"'{text}' is no whole number of seconds below 317 years")
    return -ms // MS_PER_SECOND if text.startswith("-") else ms // MS_PER_SECOND


def _duration_s(value: object) -> float:
    """Seconds, with a fraction; a text as Slurm writes times."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        seconds = float(value) if abs(value) <= MAX_SECONDS else -1.0
    else:
        try:
            seconds = parse_duration_ms(shorten(value)) / MS_PER_SECOND
        except UserError as error:
            raise ValueError(f"{error.problem}; {error.remedy}") from None
    if not 0 <= seconds <= MAX_SECONDS:
        raise ValueError(f"'{shorten(value)}' is not a time from 0 s to 317 years")
    return seconds


def _zone(value: object) -> str:
    try:
        return str(ZoneInfo(shorten(value)))
    except (KeyError, ValueError, OSError):
        raise ValueError(f"'{shorten(value)}' is no time zone; write for example Europe/Stockholm") from None


def _by_hour(value: object) -> tuple[float, ...]:
    values: list[Any] = list(value) if isinstance(value, (list, tuple)) else [value] * 24
    if len(values) != 24:
        raise ValueError(f"there are {len(values)} values; write one number, or 24, one for each hour of the local day")
    try:
        numbers = tuple(float(number) for number in values)
    except (TypeError, ValueError, OverflowError):
        raise ValueError("not all of them are numbers; write grams per kWh") from None
    if any(isinstance(number, bool) for number in values) or not all(0 <= number <= 1e6 for number in numbers):
        raise ValueError("a value is out of range; write grams per kWh, from 0 to 1000000")
    return numbers


def _say_seconds(seconds: float) -> Any:
    return int(seconds) if seconds == int(seconds) else seconds


def _schema(kind: str | list[str], example: Any) -> WithJsonSchema:
    return WithJsonSchema({"type": kind, "examples": [example]})


Bytes = Annotated[int, BeforeValidator(_bytes), _schema(["string", "integer"], "2TB")]
OptionalBytes = Annotated[
    int | None,
    BeforeValidator(lambda value: None if value is None else _bytes(value)),
    _schema(["string", "integer"], "2PB"),
]
Rate = Annotated[int, BeforeValidator(_bandwidth), _schema(["string", "integer"], "10Gbit/s")]
SignedSeconds = Annotated[
    int,
    BeforeValidator(_signed_seconds),
    PlainSerializer(lambda s: ("-" if s < 0 else "") + write_seconds(abs(s))),
    _schema(["string", "integer"], "-7-00:00:00"),
]
DurationS = Annotated[
    float, BeforeValidator(_duration_s), PlainSerializer(_say_seconds), _schema(["string", "number"], 30)
]
ZoneName = Annotated[str, BeforeValidator(_zone), _schema("string", "Europe/Stockholm")]
ByHour = Annotated[
    tuple[float, ...],
    BeforeValidator(_by_hour),
    PlainSerializer(lambda v: v[0] if len(set(v)) == 1 else list(v)),
    WithJsonSchema({"type": ["number", "array"], "examples": [300.0]}),
]
