"""What is likely behind a USB id: config/devices.toml, read once."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from typing import Literal

from drivers.codes import shared_file


@dataclass(frozen=True, slots=True)
class Likely:
    """A guess. `kind` cable: anything may be at its other end. `protocol` None: nothing can be guessed.

    `report`: how bytes lie in its HID reports (drivers/links/hid.py).
    """

    vendor: str
    product: str
    kind: Literal["terminal", "cable"]
    name: str
    protocol: str | None = None
    report: Literal["whole", "length"] = "whole"


@cache
def table() -> tuple[Likely, ...]:
    """All rows; empty when the file is not installed: discovery works without guesses."""
    try:
        text = shared_file("devices.toml").read_text(encoding="utf-8")
    except FileNotFoundError:
        return ()
    return tuple(Likely(**row) for row in tomllib.loads(text)["device"])


def likely(vendor: int | None, product: int | None) -> Likely | None:
    """The row that fits best: the exact product before "any"."""
    if vendor is None or product is None:
        return None
    rows = [row for row in table() if int(row.vendor, 16) == vendor]
    exact = next((row for row in rows if row.product != "*" and int(row.product, 16) == product), None)
    return exact or next((row for row in rows if row.product == "*"), None)
