"""What the publisher's thread asks of the agent."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from agent.commands import Command
from agent.jobs import Done


@dataclass(frozen=True, slots=True)
class Hooks:
    """All are called in the publisher's thread and must not block for long.

    `state(online, acknowledged)` and `metrics()` give the JSON to publish; `log_level` changes what is logged and
    says whether it knew the level; `confirm` has a terminal asked about a transaction and says "asking", or why not;
    `job` begins a command that takes long, and says why not (agent/jobs.py).
    """

    state: Callable[[bool, int], bytes]
    metrics: Callable[[], bytes]
    log_level: Callable[[str], bool]
    confirm: Callable[[str], str]
    job: Callable[[Command, Done], str | None] = lambda _command, _done: "not_supported"
