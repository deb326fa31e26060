"""The documentation site, built as `make docs` builds it: strict, complete, and nothing of it comes from elsewhere."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

pytest.importorskip("mkdocs", reason="the extra `docs` is not installed")

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"

pytestmark = [pytest.mark.xdist_group("documentation"), pytest.mark.timeout(400)]  # the build, beside others


@dataclass
class Page(HTMLParser):
    """What one page of the site points to: links, what it loads, and the anchors it offers."""

    links: list[str] = field(default_factory=list)
    loads: list[str] = field(default_factory=list)
    anchors: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value for name, value in attrs if value is not None}
        self.anchors.update(values[name] for name in ("id", "name") if name in values)
        if tag == "a" and "href" in values:
            self.links.append(values["href"])
        elif tag == "link" and values.get("rel") not in {"canonical", "prev", "next"}:
            self.loads.append(values.get("href", ""))
        elif "src" in values:
            self.loads.append(values["src"])


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built once; a warning of mkdocs (a page outside the navigation, a dead link) ends the build."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    nowhere = dict.fromkeys(("http_proxy", "https_proxy", "all_proxy"), "http://127.0.0.1:9")
    built = subprocess.run(
        command,
        cwd=ROOT,
        env=os.environ | nowhere | {"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stderr
    return folder


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[Path, Page]:
    """Every page of the site by its file, but the one for addresses that do not exist."""
    found = {}
    for path in sorted(site.rglob("*.html")):
        if path.name != "404.html":
            found[path] = Page()
            found[path].feed(path.read_text(encoding="utf-8"))
    return found


def test_every_page_of_the_docs_becomes_one_and_can_be_reached(site: Path, pages: dict[Path, Page]) -> None:
    start = site / "index.html"
    navigation = {(start.parent / unquote(urlsplit(link).path)).resolve() for link in pages[start].links}
    tabs = {path for path in navigation if path in pages}
    reached = tabs | {
        (tab.parent / unquote(urlsplit(link).path)).resolve() for tab in tabs for link in pages[tab].links
    }
    written = {site / path.relative_to(DOCS).with_suffix(".html") for path in DOCS.rglob("*.md")}
    assert written <= set(pages)
    assert not written - reached


def test_no_page_stands_in_the_navigation_twice() -> None:
    navigation = (ROOT / "mkdocs.yml").read_text(encoding="utf-8").partition("\nnav:")[2]
    named = re.findall(r"[\w.-]+\.md$", navigation, re.MULTILINE)
    assert len(named) == len(set(named)) > 20


def test_every_fenced_block_becomes_one(pages: dict[Path, Page]) -> None:
    """An info string that the renderer does not understand leaves the fence, and what is in it, as text."""
    assert not [path.name for path in pages if "```" in path.read_text(encoding="utf-8")]


def test_every_list_becomes_one(pages: dict[Path, Page]) -> None:
    """Without a blank line before it, or with too small an indent, an item is left in the paragraph."""
    wrong = []
    for path in pages:
        for paragraph in re.findall(r"<p>(.*?)</p>", path.read_text(encoding="utf-8"), re.DOTALL):
            wrong += [f"{path.name}: {item}" for item in re.findall(r"(?m)^(?:- |\d+\. |\| ).*", paragraph)]
    assert not wrong


def test_nothing_is_loaded_from_elsewhere(site: Path, pages: dict[Path, Page]) -> None:
    for path, page in pages.items():
        for address in page.loads:
            parts = urlsplit(address)
            assert not parts.scheme, f"{path.name} loads {address}"
            assert not parts.netloc, f"{path.name} loads {address}"
            assert (path.parent / unquote(parts.path)).is_file(), f"{path.name} loads {address}, which is not there"
    for style in site.rglob("*.css"):
        text = style.read_text(encoding="utf-8")
        assert "url(http" not in text.replace('"', "").replace("'", "")
        assert "@import" not in text


def test_every_link_and_anchor_leads_somewhere(pages: dict[Path, Page]) -> None:
    dead = []
    for path, page in pages.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            known = target.is_file() and (
                not parts.fragment or target not in pages or unquote(parts.fragment) in pages[target].anchors
            )
            if not known and not parts.fragment.startswith("__"):
                dead.append(f"{path.name} → {link}")
    assert not dead


def test_the_search_knows_chinese_words_too(site: Path) -> None:
    index = json.loads((site / "search" / "search_index.json").read_text(encoding="utf-8"))
    assert any("单边账" in entry["text"] for entry in index["docs"])
