"""What the documentation site adds to docs/: mkdocs calls these while it builds (mkdocs.yml, `hooks`).

- The changelog is the repository's CHANGELOG.md, a page here; there is no second copy to keep.
- decisions/: a page that lists them, and one entry each in the navigation (`decisions/*` there), in their order.
- Pages link to files of the repository (`../config/agent.example.toml`), which works where the repository is read.
  On the site such a file is served below files/; a link to a folder becomes its name alone.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
DECISIONS = "decisions/*"
#: files of the repository that are pages here
PAGES = {"CHANGELOG.md": "changelog.md", "README.md": "index.md"}
#: a link out of docs/: what is shown, and the path from the root of the repository
OUTSIDE = re.compile(r"\[(?P<shown>[^\]]+)\]\((?:\.\./)+(?P<path>[^)#\s]+)\)")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put the decisions where the navigation says `decisions/*`."""
    numbered = sorted((ROOT / "docs" / "decisions").glob("[0-9]*.md"))
    pages = ["decisions/index.md", *(f"decisions/{path.name}" for path in numbered)]
    config.nav = _expanded(config.nav, pages)
    return config


def _expanded(entry: Any, pages: list[str]) -> Any:
    if isinstance(entry, dict):
        return {title: _expanded(below, pages) for title, below in entry.items()}
    if isinstance(entry, list):
        return [{"Decisions": pages} if below == DECISIONS else _expanded(below, pages) for below in entry]
    return entry


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the changelog, the list of decisions, and each file of the repository that a page links to."""
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    files.append(File.generated(config, "changelog.md", content=changelog))
    files.append(File.generated(config, "decisions/index.md", content=_decisions()))
    linked = {
        link["path"]
        for page in files.documentation_pages()
        for link in OUTSIDE.finditer(page.content_string)
        if link["path"] not in PAGES and (ROOT / link["path"]).is_file()
    }
    for path in sorted(linked):
        files.append(File.generated(config, f"files/{path}", abs_src_path=str(ROOT / path)))
    return files


def _decisions() -> str:
    lines = ["# Decisions", "", "What was decided, why, and what follows from it. Numbers are never given twice.", ""]
    for path in sorted((ROOT / "docs" / "decisions").glob("[0-9]*.md")):
        title = path.read_text(encoding="utf-8").splitlines()[0].lstrip("# ")
        lines.append(f"- [{title}]({path.name})")
    return "\n".join(lines) + "\n"


def on_page_markdown(markdown: str, page: Any, config: MkDocsConfig, files: Files) -> str:  # noqa: ARG001
    """Turn links out of docs/ to where the site has these files."""
    up = "../" * page.file.src_uri.count("/")

    def turned(link: re.Match[str]) -> str:
        path = ROOT / link["path"]
        if link["path"] in PAGES:
            return f"[{link['shown']}]({up}{PAGES[link['path']]})"
        if path.is_dir():
            return f"`{link['path'].rstrip('/')}`"
        return f"[{link['shown']}]({up}files/{link['path']})" if path.is_file() else link[0]

    return OUTSIDE.sub(turned, markdown)
