"""Mistakes in a profile: where, which, and what would be right. Their texts are the caller's (agent/locale)."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Mistake:
    """One mistake. `where` is the key as the file writes it; `code` names the text that `values` fill in."""

    line: int
    where: str
    code: str
    values: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        told = ", ".join(f"{name} {value}" for name, value in self.values.items())
        return f"{self.line}: {self.where}: {self.code.replace('_', ' ')}" + (f" ({told})" if told else "")


class ProfileError(ValueError):
    """A profile that can't be used, with all its mistakes in the order of the file."""

    def __init__(self, path: Path, mistakes: Iterable[Mistake]) -> None:
        self.path = path
        self.mistakes = tuple(sorted(mistakes, key=lambda mistake: mistake.line))
        super().__init__("; ".join(f"{path}:{mistake}" for mistake in self.mistakes))


def nearest(found: str, known: Iterable[str]) -> str:
    """The known name that looks most like the found one; `-` when there is none."""
    return next(iter(difflib.get_close_matches(found, list(known), n=1, cutoff=0.0)), "-")
