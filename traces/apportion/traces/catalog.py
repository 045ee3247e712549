"""Public traces by name: where each comes from, whom to thank, and how to find or fetch its file.

A name is looked up in the folders of the environment variable ``APPORTION_TRACES`` (a path list), then in the user's
cache, then downloaded. A named trace is the published file, bit for bit: one with another sha256 is refused wherever it
lies, since results would carry a name that is not theirs. A path is taken as it is.
"""

from __future__ import annotations

import difflib
import hashlib
import os
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from apportion.core.errors import TraceError
from apportion.core.units import counted
from apportion.traces.schema import Trace

if TYPE_CHECKING:
    from collections.abc import Callable

VARIABLE: Final = "APPORTION_TRACES"
_TIMEOUT_S: Final = (5, 60)  # to connect, and between two pieces
_SHORTEST_PART: Final = 3


@dataclass(frozen=True)
class Entry:
    """One public trace.

    Attributes
    ----------
    name, file, format, machine : str
        Short name; name of the published file; format as the readers call it; site and machine.
    jobs, procs, nodes : int
        Jobs in the file and size of the machine; -1 where not known here.
    first, last : str
        Dates of the first and last submit, ISO; may be empty.
    page, url : str
        Page to read about it; direct address of the file (empty where there is none).
    sha256 : str
        Of the file as published; empty where not known here.
    acknowledge, licence : str
        Whom to thank and on which terms the data is given.
    """

    name: str
    file: str
    format: str
    machine: str
    page: str
    acknowledge: str
    licence: str
    url: str = ""
    sha256: str = ""
    jobs: int = -1
    procs: int = -1
    nodes: int = -1
    first: str = ""
    last: str = ""

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


@cache
def entries() -> tuple[Entry, ...]:
    """List all traces of the catalog, by year and name as the archives do."""
    import tomllib
    from importlib.resources import files

    text = files("apportion.traces").joinpath("catalog.toml").read_text(encoding="utf-8")
    return tuple(Entry(**table) for table in tomllib.loads(text)["trace"])


def find(name: str) -> Entry:
    """Find the entry that a name means.

    A name is, in any case of letters, an entry's name, the name of its file, or a beginning of either that fits one
    entry only; a beginning that ends where a word ends (``ALCF-Theta``) goes before one that does not
    (``ALCF-ThetaGPU-2023``). Failing these, it is a part of one entry's name (``pozidriv``).

    Raises
    ------
    TraceError
        Where the name fits none or several, with the nearest names.
    """
    wanted = name.lower()
    exact = [e for e in entries() if wanted in (e.name.lower(), e.file.lower())]
    starts = [e for e in entries() if e.name.lower().startswith(wanted) or e.file.lower().startswith(wanted)]
    words = [e for e in starts if e.name.lower().startswith(wanted + "-") or e.file.lower().startswith(wanted + ".")]
    parts = [e for e in entries() if len(wanted) >= _SHORTEST_PART and wanted in e.name.lower()]
    for candidates in (exact, words, starts or parts):
        if len(candidates) == 1:
            return candidates[0]
    if starts or parts:
        names = ", ".join(e.name for e in starts or parts)
        raise TraceError(f"'{name}' fits several traces: {names}", "write more of the name")
    whole = {e.name.lower(): e.name for e in entries()}
    first_word = {e.name.lower().split("-")[0]: e.name for e in entries()}
    near = difflib.get_close_matches(wanted, whole, n=3) or difflib.get_close_matches(wanted, first_word, n=3)
    guesses = [whole.get(word) or first_word[word] for word in near]
    raise TraceError(
        f"'{name}' is neither a file nor a trace of the catalog",
        f"did you mean {' or '.join(guesses)}?" if guesses else "'apportion traces list' shows the names",
    )


def locate(
    name_or_path: str | os.PathLike[str], *, download: bool = True, say: Callable[[str], None] | None = None
) -> Path:
    """Find the file of a trace, and fetch it if need be.

    Parameters
    ----------
    name_or_path : str or path
        A path that exists wins; then a file of that name in ``APPORTION_TRACES``; then the catalog (see `find`).
    download : bool
        Whether the network may be used.
    say : callable, optional
        Told in one line what is being downloaded and what was not checked.

    Returns
    -------
    Path
        A file that exists.

    Raises
    ------
    TraceError
        For an unknown or ambiguous name, a named file with a wrong sha256, or a failed download.
    """
    text = os.fspath(name_or_path)
    path = Path(text)
    if path.exists():
        return path
    if os.sep in text:
        raise TraceError(
            "there is no such file", "check the path, or give a name from 'apportion traces list'", path=path
        )
    folders = search_path()
    for folder in folders:
        if (folder / text).is_file() and not any(text == e.file for e in entries()):
            return folder / text
    entry = find(text)
    for place in (*folders, cache_folder()):
        found = place / entry.file
        if found.is_file():
            _check(found, entry)
            return found
    if not download:
        raise TraceError(f"{entry.file} is not on this machine", _by_hand(entry))
    return _download(entry, say or (lambda _: None))


def by_sha256(sha256: str) -> Entry | None:
    """Find the entry whose published file this is."""
    return next((e for e in entries() if e.sha256 and e.sha256 == sha256), None)


def with_machine(trace: Trace) -> Trace:
    """Give a trace that does not say how large its machine is the size that the catalog knows, with a note."""
    entry = by_sha256(trace.meta.sha256) if trace.meta.sha256 else None
    if entry is None or trace.meta.max_procs > 0 or entry.procs <= 0:
        return trace
    note = f"the size of the machine, {counted(entry.procs, 'processor')}, is the catalog's"
    meta = replace(trace.meta, max_procs=entry.procs, notes=(*trace.meta.notes, note))
    return Trace(trace.jobs, meta)


def whereabouts(entry: Entry) -> str:
    """Say where the file of an entry is: a folder, ``cache``, ``download``, or the page to get it from by hand."""
    for place in search_path():
        if (place / entry.file).is_file():
            return str(place)
    if (cache_folder() / entry.file).is_file():
        return "cache"
    return "download" if entry.url else entry.page


def search_path() -> list[Path]:
    """Folders named by ``APPORTION_TRACES``, in order."""
    return [Path(part).expanduser() for part in os.environ.get(VARIABLE, "").split(os.pathsep) if part]


def cache_folder() -> Path:
    """Folder in the user's cache that downloads go to."""
    import platformdirs

    return Path(platformdirs.user_cache_dir("apportion")) / "traces"


def sha256_of(path: Path) -> str:
    """Hex sha256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _check(path: Path, entry: Entry) -> None:
    if entry.sha256 and (found := sha256_of(path)) != entry.sha256:
        raise TraceError(
            f"is not the published {entry.name}: sha256 is {found[:12]}..., not {entry.sha256[:12]}...",
            "replace it, or give its path to use it as it is",
            path=path,
        )


def _by_hand(entry: Entry) -> str:
    return f"get it from {entry.url or entry.page} and put it in a folder named by {VARIABLE}"


def _download(entry: Entry, say: Callable[[str], None]) -> Path:
    tried = f"looked in {VARIABLE}" + (" (not set)" if not search_path() else "") + f" and {cache_folder()}"
    if not entry.url:
        raise TraceError(f"{entry.name} has no direct download; {tried}", _by_hand(entry))
    import pooch

    say(f"downloading {entry.url}")
    pooch.get_logger().setLevel("ERROR")
    try:
        pooch.retrieve(
            entry.url,
            known_hash=f"sha256:{entry.sha256}" if entry.sha256 else None,
            fname=entry.file,
            path=cache_folder(),
            downloader=pooch.HTTPDownloader(timeout=_TIMEOUT_S),
        )
    except ValueError as error:
        problem = f"{entry.url} is no longer the published {entry.name}: its sha256 differs"
        raise TraceError(problem, f"see {entry.page}") from error
    except OSError as error:  # every error of requests is one
        problem = f"cannot download {entry.name} ({type(error).__name__}); {tried}"
        raise TraceError(problem, _by_hand(entry)) from error
    path = cache_folder() / entry.file
    if not entry.sha256:
        say(f"{entry.file}: sha256 is {sha256_of(path)}; the catalog has none to check it against")
    return path
