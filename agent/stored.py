"""What a collector publishes on `stored`: up to which event everything is durably in its database."""

from __future__ import annotations

import json
from dataclasses import dataclass

_LARGEST = 2**63 - 1  # sequence numbers are 64-bit integers


@dataclass(frozen=True, slots=True)
class Stored:
    """Everything of this epoch up to that sequence number is stored."""

    epoch: str
    sequence: int


def parse_stored(payload: bytes) -> Stored | None:
    """The message, or None when it is none."""
    try:
        body = json.loads(payload)
    except (ValueError, RecursionError):
        return None
    if not isinstance(body, dict):
        return None
    epoch, sequence = body.get("epoch"), body.get("sequence")
    if not isinstance(epoch, str) or type(sequence) is not int or not 0 <= sequence <= _LARGEST:
        return None
    return Stored(epoch, sequence)
