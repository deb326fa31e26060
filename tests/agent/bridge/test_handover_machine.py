"""Reloads, restarts and deaths of the bridge, among applications that come and go, terminals that hang up, and
questions of an agent: whoever is connected hears what was said to him, once and in order."""

from __future__ import annotations

import os
import signal
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from agent.errors import UnreachableError
from agent.tap import bridge_status
from tests.agent.bridge.house import House
from tests.agent.bridge.rig import Listener
from tests.waits import until


class Handovers(RuleBasedStateMachine):
    """One bridge and all that may happen to it."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory(prefix="tillwatch-test-")
        self.house = House(Path(self.folder.name))
        self.ready = 0  # how often a bridge will have said so, once all that was begun is over
        self.reloading = False
        self.asking: Listener | None = None

    @initialize()
    def begin(self) -> None:
        self.house.start()
        self.ready = 1

    # --- the bridge ---

    @precondition(lambda self: not self.reloading)
    @rule()
    def reload_begins(self) -> None:
        assert self.house.manager.pid is not None
        os.kill(self.house.manager.pid, signal.SIGHUP)
        self.ready += 1
        self.reloading = True

    @rule()
    def reload_is_over(self) -> None:
        said = self.house.manager.said
        until(lambda: said.count("READY=1") >= self.ready, 30, "the successor; it said: " + self.house.manager.log)
        self.reloading = False

    @rule()
    def restarted(self) -> None:
        self.reload_is_over()
        self.house.restart()
        self.ready += 1

    @rule()
    def killed_in_the_quiet(self) -> None:
        self.question_ends()
        self.reload_is_over()
        self.house.speak()
        self.house.manager.end(signal.SIGKILL)
        for end in self.house.ends:
            end.send()
        self.house.manager.start()
        self.ready += 1

    # --- who speaks through it ---

    @rule()
    def everybody_speaks(self) -> None:
        for end in self.house.ends:
            end.send()

    @rule()
    def everybody_is_heard(self) -> None:
        self.question_ends()
        self.house.speak()

    @rule()
    def application_comes_again(self) -> None:
        """It has heard everything before it goes: what is said to nobody is lost, as on any line."""
        self.everybody_is_heard()
        self.house.reopen_port()

    @rule()
    def application_calls_again(self) -> None:
        self.everybody_is_heard()
        self.house.call_again()

    @rule()
    def terminal_hangs_up(self) -> None:
        self.everybody_is_heard()
        self.house.hang_up_on_us()

    # --- who asks ---

    @precondition(lambda self: self.asking is None and not self.reloading)
    @rule()
    def question_begins(self) -> None:
        """Nothing is asked yet, so that no word of ours is among what the terminal hears."""
        self.everybody_is_heard()
        self.asking = Listener(self.house.run_dir)
        self.asking.lease("pos1", hold_ms=100)

    @rule()
    def question_ends(self) -> None:
        if self.asking is not None:
            self.asking.close()
            self.asking = None

    def teardown(self) -> None:
        try:
            self.question_ends()
            self.reload_is_over()
            self.house.speak()
            until(self._answers, what="the bridge answers")
            assert "bridge.defect" not in self.house.manager.log
            assert "handover_failed" not in self.house.manager.log
        finally:
            self.house.close()
            self.folder.cleanup()

    def _answers(self) -> bool:
        try:
            return bool(bridge_status(self.house.run_dir))
        except UnreachableError:
            return False


def test_whatever_happens_everybody_is_heard() -> None:
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        Handovers,
        settings=settings(
            max_examples=6,
            stateful_step_count=14,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
