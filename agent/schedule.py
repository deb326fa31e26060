"""How long a tenacity schedule wants to wait after so many failures; the loops that wait are event loops of our own."""

from __future__ import annotations

import tenacity


def wait_of(wait: tenacity.wait.wait_base, attempt: int) -> float:
    """Seconds before the try behind `attempt`, which counts from 1."""
    state = tenacity.RetryCallState(None, None, (), {})  # type: ignore[arg-type]
    state.attempt_number = attempt
    return float(wait(state))
