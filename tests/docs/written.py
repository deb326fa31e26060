"""The documentation as written: README and the pages of docs/, taken apart into blocks and words in code type."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
_FENCE = re.compile(r"^(?P<indent> *)```(?P<kind>[^\n`]*)\n(?P<text>.*?)^(?P=indent)```[ ]*$", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")


@dataclass(frozen=True)
class Block:
    """A fenced block. `kind`: what stands behind the fence, such as `toml title="acme.toml"`. `where`: page:line."""

    where: str
    kind: str
    text: str

    @property
    def language(self) -> str:
        return self.kind.partition(" ")[0]

    @property
    def title(self) -> str:
        return self.kind.partition("title=")[2].strip('"')


@dataclass(frozen=True)
class Code:
    """Words in code type within a sentence or a cell."""

    where: str
    text: str


def pages() -> list[Path]:
    """README and every page but the decisions, which tell of the time they were made."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def _where(page: Path, text: str, at: int) -> str:
    return f"{page.relative_to(ROOT)}:{text.count(chr(10), 0, at) + 1}"


def blocks(*languages: str) -> list[Block]:
    """The fenced blocks of these languages, '' for those without one; all when none is named."""
    return [block for page in pages() for block in _blocks(page) if not languages or block.language in languages]


def _blocks(page: Path) -> Iterator[Block]:
    text = page.read_text(encoding="utf-8")
    for fence in _FENCE.finditer(text):
        indent = fence["indent"]
        lines = [line.removeprefix(indent) for line in fence["text"].splitlines()]
        yield Block(_where(page, text, fence.start()), fence["kind"].strip(), "\n".join(lines) + "\n")


def codes() -> list[Code]:
    """Everything in code type outside fenced blocks."""
    found = []
    for page in pages():
        text = page.read_text(encoding="utf-8")
        bare = _FENCE.sub(lambda fence: "\n" * fence[0].count("\n"), text)
        found += [Code(_where(page, bare, code.start()), code[1]) for code in _CODE.finditer(bare)]
    return found
