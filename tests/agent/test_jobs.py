"""Commands that take long: a process each, one at a time, whose words are the answer."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from agent import jobs as agent_jobs
from agent.commands import Command
from agent.jobs import Jobs, diag_words
from tests.agent.diag.bench import configuration
from tests.waits import until


class Ended:
    """Takes what a job says at its end."""

    def __init__(self) -> None:
        self.told: list[tuple[str | None, Any]] = []

    def __call__(self, error: str | None, result: Any) -> None:
        self.told.append((error, result))

    def one(self) -> tuple[str | None, Any]:
        until(lambda: self.told, 60, "the job has ended")
        return self.told[0]


def command(name: str = "diag", terminal: str | None = None) -> Command:
    return Command(name, "c1", expired=False, terminal=terminal)


def only_disk(asked: Command) -> Sequence[str]:
    return [*diag_words(asked), "--only", "disk"]


def test_the_answer_is_what_the_verb_printed(tmp_path: Path) -> None:
    jobs = Jobs(configuration(tmp_path, "tcp:127.0.0.1:1", "zvt"), {"diag": only_disk})
    ended = Ended()
    assert jobs.start(command(terminal="pos1"), ended) is None
    error, result = ended.one()
    assert error is None
    assert result[0]["terminal"] == "pos1"
    assert {step["step"] for step in result[0]["steps"]} == {"disk"}
    jobs.close()


def test_a_verb_that_refuses_answers_its_complaint(tmp_path: Path) -> None:
    jobs = Jobs(configuration(tmp_path, "tcp:127.0.0.1:1", "zvt"), {"diag": only_disk})
    ended = Ended()
    assert jobs.start(command(terminal="-x; reboot"), ended) is None
    error, complaint = ended.one()
    assert error == "failed"
    assert "there is no terminal -x; reboot" in complaint
    jobs.close()


def test_one_at_a_time_and_ended_with_the_agent(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)  # a configuration that never comes: the job waits
    jobs = Jobs(fifo, {"diag": diag_words})
    ended = Ended()
    assert jobs.start(command(), ended) is None
    assert jobs.start(command(), ended) == "busy"
    assert jobs.start(command("pay"), ended) == "not_supported"
    jobs.close()
    assert ended.one()[0] == "failed"
    assert not [thread for thread in threading.enumerate() if thread.name == "job"]


def test_an_answer_that_is_too_large_for_a_broker_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agent_jobs, "MOST_BYTES", 100)
    jobs = Jobs(configuration(tmp_path, "tcp:127.0.0.1:1", "zvt"), {"diag": only_disk})
    ended = Ended()
    assert jobs.start(command(), ended) is None
    assert ended.one() == ("too_large", None)
    jobs.close()
