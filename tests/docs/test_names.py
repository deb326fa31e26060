"""What README and docs name exists: files, tests, MQTT topics, event types, environment variables."""

from __future__ import annotations

import re
from fnmatch import fnmatch
from pathlib import Path

import pytest

from agent.commands import ALLOWED
from agent.events import EventType
from tests.docs.written import ROOT, Code, blocks, codes, pages

FOLDERS = ("agent", "bench", "collector", "config", "docs", "drivers", "packaging", "requirements", "systemd", "tests")
#: what a reader of the page makes, not what we ship
MADE = re.compile(r"acme|NAME|[<…]|^docs/examples")
EVENTS = {str(kind) for kind in EventType}


def _files() -> set[str]:
    """Every file of the source tree, without what is made from it."""
    return {
        str(path.relative_to(ROOT))
        for folder in FOLDERS
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    } | {path.name for path in ROOT.iterdir() if path.is_file()}


FILES = _files()


def _exists(name: str) -> bool:
    """Whether a path, a folder or a pattern names something; one with `{a,b}` names something for each."""
    if braces := re.search(r"\{([^}]*)\}", name):
        return all(_exists(name.replace(braces[0], one.strip())) for one in braces[1].split(","))
    if name.endswith("/"):
        return any(file.startswith(name) for file in FILES)
    return any(fnmatch(file, name) or file.startswith(f"{name}/") for file in FILES)


def _named() -> list[Code]:
    """Paths in code type, and in the lines of blocks that are commands."""
    found = [Code(code.where, word) for code in codes() for word in code.text.split()]
    return found + [Code(block.where, word) for block in blocks("", "sh") for word in block.text.split()]


def test_files_that_are_named_exist() -> None:
    wrong = []
    for code in _named():
        path = code.text.partition("::")[0].strip("(),;")
        if path.partition("/")[0] in FOLDERS and "/" in path and not MADE.search(path) and not _exists(path):
            wrong.append(f"{code.where}: {code.text}")
    assert not wrong


def test_modules_and_recordings_named_without_their_folder_exist() -> None:
    names = {file.rpartition("/")[2] for file in FILES}
    wrong = []
    for code in codes():
        name = code.text.partition("::")[0]
        if re.fullmatch(r"[\w*]+\.(py|service|rules|acl)", name) and not MADE.search(name) and name != "listen.py":
            wrong += [] if any(fnmatch(known, name) for known in names) else [f"{code.where}: {code.text}"]
    assert not wrong


def test_tests_that_are_named_exist() -> None:
    wrong = []
    for code in codes():
        path, _, test = code.text.partition("::")
        if not test:
            continue
        sources = [ROOT / file for file in FILES if file.endswith(path)]
        known = [name for source in sources for name in re.findall(r"def (test_\w+)", source.read_text("utf-8"))]
        begun = test.removesuffix("…")
        wrong += [] if any(name.startswith(begun) for name in known) else [f"{code.where}: {code.text}"]
    assert not wrong


def _topic_exists(levels: list[str]) -> bool:
    """Whether the part of a topic below the agent is one that is published or heard."""
    match levels:
        case ["state" | "metrics" | "stored"] | ["events" | "commands" | "replies", "#" | "+" | "…"] | ["…" | "#"] | []:
            return True
        case ["events", kind]:
            return kind in EVENTS or kind == "{type}"
        case ["commands", name]:
            return name in ALLOWED or name == "{name}"
        case ["replies", _]:
            return True
    return False


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)
def test_topics_that_are_named_exist(page: Path) -> None:
    wrong = []
    for topic in re.findall(r"tillwatch/1/([^\s'\"`,)]+)", page.read_text(encoding="utf-8")):
        _site, *rest = topic.split("/")
        if not _topic_exists(rest[1:]):
            wrong.append(topic)
    assert not wrong


def test_event_types_that_are_named_exist() -> None:
    families = {kind.partition(".")[0] for kind in EVENTS}
    wrong = [
        f"{code.where}: {code.text}"
        for code in codes()
        if re.fullmatch(r"[a-z]+\.[a-z]+", code.text)
        and code.text.partition(".")[0] in families
        and code.text not in EVENTS
        and not code.text.endswith((".toml", ".md", ".py", ".pem", ".key", ".json"))
    ]
    assert not wrong


def test_every_event_type_is_told_of() -> None:
    text = "\n".join(page.read_text(encoding="utf-8") for page in pages())
    assert not {kind for kind in EVENTS if kind not in text}


def test_environment_variables_that_are_named_are_read() -> None:
    sources = "\n".join(
        (ROOT / file).read_text(encoding="utf-8")
        for file in FILES
        if file.startswith(("agent/", "collector/", "drivers/", "bench/", "tests/")) and file.endswith(".py")
    )
    made = re.compile(r"TILLWATCH_[A-Z]+__\w+")  # of a key; tests/agent/test_config.py
    wrong = []
    for page in pages():
        for name in set(re.findall(r"\b(?:TILLWATCH|BENCH)_[A-Z_]+\w*", page.read_text(encoding="utf-8"))):
            if not made.fullmatch(name) and f'"{name}"' not in sources:
                wrong.append(f"{page.name}: {name}")
    assert not wrong


def test_links_lead_somewhere_where_the_repository_is_read() -> None:
    dead = []
    for page in [*pages(), ROOT / "CHANGELOG.md", *sorted((ROOT / "docs" / "decisions").glob("*.md"))]:
        text = page.read_text(encoding="utf-8")
        for link in re.findall(r"\]\(([^)\s]+)\)", text):
            target = link.partition("#")[0]
            if target and "://" not in target and not (page.parent / target).exists():
                dead.append(f"{page.name}: {link}")
    assert not dead
