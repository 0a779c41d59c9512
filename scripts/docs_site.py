"""The hook of `mkdocs.yml`: adds the pages that are made from code, and builds the menu.

Commands come from their argument parsers, sections of a cfg from the parser's own tables and the layers' docstrings,
lessons from their notebooks. Formulas become MathML, which browsers draw by themselves.
"""

from __future__ import annotations

import html
import os
import re
from pathlib import Path
from typing import Any

from docs_commands import command_pages
from docs_layers import layer_pages
from docs_lessons import lesson_pages
from latex2mathml.converter import convert
from mkdocs.structure.files import File, Files

REPOSITORY = Path(__file__).resolve().parent.parent
#: Pages of docs/ that explain how it works, in this order; others follow by name.
EXPLAINED = ("architecture.md", "performance.md", "trace.md")
ELSEWHERE = ("index.md", "api.md")
LINK = re.compile(r"\[([^\]]+)\]\(([^)#\s]+)(#[^)]*)?\)")
CODE = re.compile(r"(^ *```.*?^ *```$)", re.DOTALL | re.MULTILINE)
FORMULA = re.compile(r'<(span|div) class="arithmatex">\\([(\[])(.*?)\\[)\]]</\1>', re.DOTALL)


def on_files(files: Files, config: Any) -> Files:
    """Add the pages that are made from code, and the menu of all."""
    readme = (REPOSITORY / "README.md").read_text("utf-8")
    groups = {
        "Course": lesson_pages(),
        "Commands": command_pages(readme),
        "Sections of a cfg": layer_pages(),
    }
    written = [page.src_uri for page in files.documentation_pages()]
    explained = sorted(
        (uri for uri in written if "/" not in uri and uri not in ELSEWHERE),
        key=lambda uri: (EXPLAINED.index(uri) if uri in EXPLAINED else len(EXPLAINED), uri),
    )
    decisions = sorted(uri for uri in written if uri.startswith("decisions/") and not uri.endswith("README.md"))
    contributing = (REPOSITORY / "CONTRIBUTING.md").read_text("utf-8")
    files.append(File.generated(config, "contributing.md", content=contributing))
    for pages in groups.values():
        for uri, content in pages.items():
            files.append(File.generated(config, uri, content=content))
    menus = {title: [uri for uri in pages if uri.endswith(".md")] for title, pages in groups.items()}
    config.nav = [
        {"Home": "index.md"},
        *({title: uris} for title, uris in menus.items()),
        {"From Python": "api.md"},
        {"How it works": [*explained, {"Decisions": ["decisions/README.md", *decisions]}, "contributing.md"]},
    ]
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Links to files that are not part of the site become their names."""
    here = os.path.dirname(page.file.src_uri)
    source = "" if page.file.src_uri == "contributing.md" else os.path.join("docs", here)  # where links begin

    def link(found: re.Match[str]) -> str:
        text, target, anchor = found.groups()
        if "://" in target or target.startswith("mailto:"):
            return found[0]
        place = os.path.normpath(os.path.join(source, target))
        if place.startswith("docs/"):
            inside = os.path.relpath(place.removeprefix("docs/"), here or ".")
            return f"[{text}]({inside}{anchor or ''})"
        name = text.replace("`", "")
        return f"`{place}`" if name in (place, os.path.basename(place)) else f"{text} (`{place}`)"

    pieces = CODE.split(markdown)  # text and code by turns
    pieces[::2] = [LINK.sub(link, text) for text in pieces[::2]]
    return "".join(pieces)


def on_page_content(content: str, **_: Any) -> str:
    """Formulas, which arithmatex has marked, become MathML."""

    def formula(found: re.Match[str]) -> str:
        return convert(html.unescape(found[3]), display="block" if found[2] == "[" else "inline")

    return FORMULA.sub(formula, content)
