"""Waiting for something to become true, with a limit; never for a fixed time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def until(true: Callable[[], T], seconds: float = 20, what: str = "") -> T:
    """Poll until the call gives something true, and return that. Fails the test when the time is over."""
    deadline = time.monotonic() + seconds
    while True:
        if value := true():
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"did not happen within {seconds} s: {what or true}")
        time.sleep(0.01)
