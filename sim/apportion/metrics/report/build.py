"""Write reports: context in, one self-contained HTML file out."""

from __future__ import annotations

import contextlib
import json
import os
from functools import cache
from importlib import metadata
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import platformdirs
from jinja2 import Environment, FileSystemBytecodeCache, PackageLoader, StrictUndefined
from markupsafe import Markup

from apportion.core.errors import RunError
from apportion.metrics.run import Run, load_run

if TYPE_CHECKING:
    from jinja2.bccache import Bucket

    from apportion.metrics.compare import Comparison

PACKAGE = "apportion.metrics.report"


def write_report(
    run: str | os.PathLike[str] | Run,
    path: str | os.PathLike[str] | None = None,
    *,
    metrics: dict[str, Any] | None = None,
    asked: tuple[float, float] | None = None,
) -> Path:
    """Write the report of a run.

    Parameters
    ----------
    run : path or Run
        A run folder, or one that was read already.
    path : path, optional
        Where to write; ``report.html`` in the run folder by default.
    metrics : dict, optional
        What `compute.compute` gave; ``metrics.json`` of the folder by default, worked out anew where there is none.
    asked : (float, float), optional
        A stretch of time to show in the Gantt chart, s from the trace's origin.

    Returns
    -------
    pathlib.Path
        The file written: HTML with everything in it, that asks nothing of the network.

    Raises
    ------
    RunError
        The folder is no run, or the file cannot be written.
    """
    from apportion.metrics.report.run_page import page

    loaded = run if isinstance(run, Run) else load_run(run)
    target = loaded.folder / "report.html" if path is None else Path(path)
    return _write(target, "run.html.j2", page(loaded, metrics or _metrics(loaded), asked))


def write_federation(run: Run, *, metrics: dict[str, Any]) -> Path:
    """Write the report of a federation's run: against its baseline where it has one, else as that of any run."""
    from apportion.metrics.federation import baseline_of
    from apportion.metrics.report.federation_page import page

    baseline = baseline_of(run)
    if baseline is None:
        return write_report(run, metrics=metrics)
    return _write(run.folder / "report.html", "federation.html.j2", page(run, baseline))


def write_comparison(comparison: Comparison, path: str | os.PathLike[str]) -> Path:
    """Write the report of runs side by side; as `write_report`."""
    from apportion.metrics.report.compare_page import page

    return _write(Path(path), "comparison.html.j2", page(comparison))


def _metrics(run: Run) -> dict[str, Any]:
    known = run.folder / "metrics.json"
    try:
        metrics = json.loads(known.read_bytes())
    except FileNotFoundError:
        from apportion.metrics.compute import compute

        return compute(run)
    except ValueError:
        metrics = None
    if not isinstance(metrics, dict):
        raise RunError("damaged metrics", "delete the file to have them worked out anew", path=known)
    return metrics


def _write(target: Path, template: str, context: dict[str, Any]) -> Path:
    html = environment().get_template(template).render(**context)
    aside = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        aside.write_text(html, encoding="utf-8")
        aside.replace(target)
    except OSError as error:
        problem = f"cannot be written: {(error.strerror or str(error)).lower()}"
        raise RunError(problem, "choose another place", path=target) from None
    finally:
        if aside.exists():
            aside.unlink()
    return target


class _TemplateCache(FileSystemBytecodeCache):
    """Compiled templates in the user's cache; they depend on their text, which Jinja looks at, and on the options below.

    Compiling them takes longer than filling them. A cache that cannot be read or written is no reason to fail.
    """

    def __init__(self) -> None:
        super().__init__(
            str(Path(platformdirs.user_cache_dir("apportion")) / f"templates-{metadata.version('apportion')}")
        )

    def load_bytecode(self, bucket: Bucket) -> None:
        with contextlib.suppress(OSError):
            super().load_bytecode(bucket)

    def dump_bytecode(self, bucket: Bucket) -> None:
        with contextlib.suppress(OSError):
            Path(self.directory).mkdir(parents=True, exist_ok=True)
            super().dump_bytecode(bucket)


@cache
def environment() -> Environment:
    """Templates, with everything that comes from traces escaped."""
    made = Environment(
        loader=PackageLoader(PACKAGE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        bytecode_cache=_TemplateCache(),
    )
    made.filters["script_json"] = script_json
    made.globals["asset"] = asset
    return made


def script_json(data: Any) -> Markup:
    r"""JSON that is safe within a script element: ``<``, ``>`` and ``&`` are written as ``\uXXXX``."""
    text = json.dumps(data, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    for sign in "<>&":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return Markup(text)  # noqa: S704  (no sign is left that could end the element)


@cache
def asset(name: str) -> Markup:
    """Own style, script or library, to stand in the page as it is."""
    return Markup(files(PACKAGE).joinpath("assets").joinpath(name).read_text(encoding="utf-8"))  # noqa: S704
