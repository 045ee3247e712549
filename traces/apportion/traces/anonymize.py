"""Names of people and projects replaced by numbers, licences and acknowledgements kept.

Numbers are the ranks of the names under a keyed digest (HMAC-SHA256, RFC 2104): the same trace and secret give the
same numbers, and without the secret nothing can be learned from their order or by trying names out. Groups and accounts
share one numbering, since many sites use one name for both. What is left can still be told apart by its habits (sizes,
hours, lengths): this hides names, not behaviour.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from apportion.core.errors import TraceError
from apportion.traces.schema import BY_NAME, Trace

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

PERSONAL: Final = ("user", "group", "account", "app")
_KIND: Final = {"group": "account"}  # columns numbered together with another
_FREE_TEXT: Final = ("request",)
_PERSONAL_KEY: Final = re.compile(
    r"^[;#\s]*(users?|userid|groups?|groupid|accounts?|projects?|executables?|e-?mail)\s*:", re.IGNORECASE
)
_NAMES_OF: Final = {
    "queue": re.compile(r"^[;#\s]*queues?\s*:", re.IGNORECASE),
    "partition": re.compile(r"^[;#\s]*partitions?\s*:", re.IGNORECASE),
}
_FIRST_WORD: Final = re.compile(r"^([A-Za-z_]+)\s.*$")


def anonymize(
    trace: Trace, secret: bytes, columns: Collection[str] = PERSONAL, *, keep_extra: Collection[str] = ()
) -> Trace:
    """Replace names by numbers, and take out text that may hold names.

    Parameters
    ----------
    trace : Trace
    secret : bytes
        Key of the digest; at least 8 bytes. Who has it can find a name's number again.
    columns : collection of str
        Text columns to number; users, groups, accounts and applications by default.
    keep_extra : collection of str
        Columns beyond the schema (``x_...``) that hold nothing personal. All others are left out, and so are resource
        requests as text; of a state such as ``CANCELLED by 1001`` only the first word is kept.

    Returns
    -------
    Trace
        Header lines are kept word for word but for keys that name people (``User:``, ``Group:``, ...), and names of
        queues or partitions where those are numbered.

    Raises
    ------
    TraceError
        For a secret too short to be one, or a column that holds no names.
    """
    if len(secret) < 8:
        raise TraceError("the secret is too short to hide anything", "give at least 8 bytes")
    for name in columns:
        if name not in BY_NAME or BY_NAME[name].kind != "category" or name in {"status_raw", "request"}:
            raise TraceError(
                f"'{name}' is no column of names", f"take from {', '.join((*PERSONAL, *_NAMES_OF, 'qos'))}"
            )
    jobs = trace.jobs
    for name in keep_extra:
        if name not in jobs.columns:
            extra = ", ".join(str(c) for c in jobs.columns if str(c).startswith("x_")) or "none"
            raise TraceError(f"the trace has no extra column '{name}'", f"it has {extra}")
    dropped = [c for c in jobs.columns if (str(c).startswith("x_") and c not in keep_extra) or c in _FREE_TEXT]
    jobs = jobs.drop(columns=dropped)
    present = [name for name in columns if name in jobs]
    for kind in dict.fromkeys(_KIND.get(name, name) for name in present):
        together = [name for name in present if _KIND.get(name, name) == kind]
        labels = sorted({str(label) for name in together for label in jobs[name].cat.categories})
        number = _numbers(labels, kind, secret)
        for name in together:
            renamed = jobs[name].cat.rename_categories([number[str(label)] for label in jobs[name].cat.categories])
            jobs = jobs.assign(**{name: renamed.cat.reorder_categories(sorted(renamed.cat.categories, key=int))})
    if "status_raw" in jobs:
        jobs = jobs.assign(
            status_raw=jobs["status_raw"].astype("str").str.replace(_FIRST_WORD, r"\1", regex=True).astype("category")
        )
    meta = replace(
        trace.meta,
        path="",
        sha256="",
        header=tuple(line for line in trace.meta.header if not _names_people(line, columns)),
        queues={} if "queue" in columns else trace.meta.queues,
        partitions={} if "partition" in columns else trace.meta.partitions,
        notes=(*trace.meta.notes, f"anonymized: {', '.join(present) or 'no names were there'}"),
        extra_columns=tuple(x for x in trace.meta.extra_columns if f"x_{x}" in jobs),
    )
    return Trace(jobs, meta)


def _numbers(labels: Sequence[str], kind: str, secret: bytes) -> dict[str, str]:
    def digest(label: str) -> bytes:
        return hmac.new(secret, f"{kind}\0{label}".encode(), hashlib.sha256).digest()

    return {label: str(i) for i, label in enumerate(sorted(labels, key=digest), start=1)}


def _names_people(line: str, columns: Collection[str]) -> bool:
    keys = [_PERSONAL_KEY, *(key for column, key in _NAMES_OF.items() if column in columns)]
    return any(key.match(line) for key in keys)
