"""What a bundle is made of."""

from __future__ import annotations

import json
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Part:
    """One file of the bundle. `data` is UTF-8 text."""

    name: str
    data: bytes

    @classmethod
    def of_json(cls, name: str, value: object) -> Part:
        """A value as JSON that people can read."""
        text = json.dumps(value, ensure_ascii=False, indent=2, default=str)
        return cls(name, text.encode("utf-8", "replace") + b"\n")

    @classmethod
    def of_text(cls, name: str, text: str) -> Part:
        """A text."""
        return cls(name, text.encode("utf-8", "backslashreplace"))


@dataclass(frozen=True, slots=True)
class Missing:
    """A file that the bundle would have, and why it has not; `reason` is English, as the log is."""

    name: str
    reason: str
