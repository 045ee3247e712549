"""Write the documentation to a folder: the pages of ``docs/`` and of the root, and the reference of all modules.

``python docs/build.py FOLDER``; a link to a page or a heading that does not exist is an error.
"""

from __future__ import annotations

import html
import importlib
import re
import shutil
import sys
import warnings
from pathlib import Path
from typing import NamedTuple

import pdoc
from markdown_it import MarkdownIt
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import get_lexer_by_name
from pygments.util import ClassNotFound
from tables import expand

ROOT = Path(__file__).resolve().parents[1]
READING = (
    "README.md",
    "docs/getting-started.md",
    "docs/replay.md",
    "docs/traces.md",
    "docs/policies.md",
    "docs/quotas.md",
    "docs/preemption.md",
    "docs/orders.md",
    "docs/nodes.md",
    "docs/federations.md",
    "docs/metrics.md",
    "docs/runs.md",
    "docs/conformance.md",
    "docs/speed.md",
    "ARCHITECTURE.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
)
PORTIONS = [ROOT / folder for folder in ("broker", "sim", "traces")]
CODE = HtmlFormatter(nowrap=True)
HEADING = re.compile(r"<h([1-4])>(.*?)</h\1>", re.DOTALL)
LINK = re.compile(r'(href|src)="(?![a-z]+:|#)([^"#]+)(#[^"]*)?"')

PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
<link rel="stylesheet" href="{up}style.css">
</head>
<body>
<nav><strong>apportion</strong><ul>{pages}</ul></nav>
<main>{body}</main>
</body>
</html>
"""


class Page(NamedTuple):
    """A Markdown file and where it goes."""

    source: Path
    target: Path  # relative to the site
    title: str


def pages() -> list[Page]:
    """Pages in reading order."""
    found = []
    for name in READING:
        source = ROOT / name
        title = re.search(r"^#\s+(.+)$", source.read_text(encoding="utf-8"), re.MULTILINE)
        target = Path("index.html" if name == "README.md" else name).with_suffix(".html")
        found.append(Page(source, target, title.group(1).strip("` ") if title else source.stem))
    return found


def paint(code: str, language: str, file: str) -> str:
    """Colour a block of code, below the name of the file that it stands for."""
    name = f'<span class="file">{html.escape(file)}</span>' if file else ""
    try:
        return name + highlight(code, get_lexer_by_name(language or "text"), CODE)
    except ClassNotFound:
        return name + html.escape(code)


def write_page(page: Page, every: list[Page], site: Path) -> list[str]:
    """Write one page; return its links that lead nowhere."""
    up = "../" * (len(page.target.parts) - 1)
    targets = {other.source: other.target.as_posix() for other in every}
    dead = []

    def link(match: re.Match[str]) -> str:
        path = (page.source.parent / match[2]).resolve()
        if path in targets:
            return f'{match[1]}="{up}{targets[path]}{match[3] or ""}"'
        module = next((path.relative_to(p) for p in PORTIONS if path.is_relative_to(p)), None)
        if not path.exists():
            dead.append(f"{page.source.relative_to(ROOT)}: {match[2]}")
        elif module and path.suffix == ".py":
            return f'{match[1]}="{up}api/{module.with_suffix(".html").as_posix()}"'
        elif path.is_file():
            copy = site / path.relative_to(ROOT)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, copy)
            return f'{match[1]}="{up}{path.relative_to(ROOT).as_posix()}"'
        return match[0]

    def anchor(match: re.Match[str]) -> str:
        words = re.sub(r"<[^>]+>|&\w+;", "", match[2]).lower()
        name = re.sub(r"\s", "-", re.sub(r"[^\w\s-]", "", words).strip())
        return f'<h{match[1]} id="{name}">{match[2]}</h{match[1]}>'

    markdown = MarkdownIt("commonmark", {"highlight": paint}).enable("table")
    body = LINK.sub(link, HEADING.sub(anchor, markdown.render(expand(page.source.read_text(encoding="utf-8")))))
    rows = []
    for other in every:
        here = " class=here" if other is page else ""
        rows.append(f'<li><a href="{up}{other.target.as_posix()}"{here}>{html.escape(other.title)}</a></li>')
    rows.append(f'<li><a href="{up}api/apportion.html">Reference of all modules</a></li>')
    text = PAGE.format(title=html.escape(page.title), up=up, pages="".join(rows), body=body)
    target = site / page.target
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text, encoding="utf-8")
    return dead


def lost_anchors(site: Path) -> list[str]:
    """Links of a written site to headings that are not there."""
    texts = {path: path.read_text(encoding="utf-8") for path in site.rglob("*.html")}
    names = {path: set(re.findall(r' id="([^"]+)"', text)) for path, text in texts.items()}
    return [
        f"{path.relative_to(site)}: {where}#{anchor}"
        for path, text in texts.items()
        for where, anchor in re.findall(r'href="(?![a-z]+:)([^"#]*)#([^"]+)"', text)
        if anchor not in names.get((path.parent / where).resolve() if where else path, set())
    ]


def write_pages(site: Path) -> None:
    """Write all pages and their style; stop at links that lead nowhere."""
    every = pages()
    dead = [link for page in every for link in write_page(page, every, site)]
    dead += lost_anchors(site)
    if dead:
        sys.exit("links that lead nowhere:\n  " + "\n  ".join(dead))
    colours = [HtmlFormatter(style=style).get_style_defs("pre") for style in ("default", "github-dark")]
    style = (ROOT / "docs" / "style.css").read_text(encoding="utf-8")
    style += f"{colours[0]}\n@media (prefers-color-scheme: dark) {{\n{colours[1]}\n}}\n"
    (site / "style.css").write_text(style, encoding="utf-8")


def write_reference(folder: Path) -> None:
    """Write the reference from the docstrings."""
    warnings.filterwarnings("ignore", "Error parsing type annotation")  # it then shows the annotation as written
    for name in pdoc.extract.walk_specs(["apportion"]):
        module = importlib.import_module(name)
        for public in getattr(module, "__all__", ()):
            setattr(module, public, getattr(module, public))  # a name that is imported on first use
    pdoc.render.configure(docformat="numpy", show_source=False, footer_text="apportion")
    pdoc.pdoc("apportion", output_directory=folder)


def main(folder: str) -> None:
    """Write the site anew."""
    site = Path(folder).resolve()
    shutil.rmtree(site, ignore_errors=True)
    site.mkdir(parents=True)
    write_pages(site)
    write_reference(site / "api")


if __name__ == "__main__":
    main(*sys.argv[1:])
