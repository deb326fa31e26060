"""The walk from the plug to the host: the steps in their order, and who takes them one after the other."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent.diag import host, line, machine, plug, till
from agent.diag.kept import Kept
from agent.diag.scene import Scene
from agent.diag.step import Step
from agent.diag.verdict import Verdict, verdict
from agent.texts import Texts

Take = Callable[[Scene], Iterator[Step]]

#: name → step, in the order of the walk. A step may tell more than one thing, and of other names than its own.
STEPS: dict[str, Take] = {
    "device": plug.device,
    "driver": plug.driver,
    "permission": plug.permission,
    "holder": plug.holder,
    "settings": plug.line_settings,
    "stability": machine.stability,
    "modem": plug.modem,
    "echo": line.echo,
    "loopback": plug.loopback,
    "errors": line.errors,
    "heard": line.heard,
    "noise": line.noise,
    "answer": line.answer,
    "times": line.times,
    "retries": line.retries,
    "clock": machine.clock,
    "paper": machine.paper,
    "bank": machine.bank,
    "cashier": till.cashier,
    "delivery": till.delivery,
    "disk": host.disk,
    "journal": host.journal,
    "pc_clock": host.pc_clock,
    "agent": host.agent,
    "network": host.network,
    "collector": host.collector,
}

#: what a step tells under other names than its own
PART_OF = dict.fromkeys(("broker", "certificate", "own_certificate", "login", "rights"), "network")
#: those that are the same for every terminal of this PC
SHARED = ("disk", "journal", "pc_clock", "agent", "network")


@dataclass(frozen=True, slots=True)
class Result:
    """A finished walk of one terminal."""

    terminal: str
    steps: tuple[Step, ...]

    @property
    def verdict(self) -> Verdict:
        """Where the fault is."""
        return verdict(self.steps)

    def as_data(self, texts: Texts) -> dict[str, Any]:
        """For programs."""
        found = self.verdict
        return {
            "terminal": self.terminal,
            "verdict": str(found.culprit),
            "text": texts.say(f"diag.verdict_{found.culprit}"),
            "reasons": [_reason(step, texts) for step in found.reasons],
            "also": [{"verdict": str(culprit), **_reason(step, texts)} for culprit, step in found.also],
            "steps": [step.as_data(texts) for step in self.steps],
        }


def walk(scene: Scene, kept: Kept, only: Sequence[str], show: Callable[[Step], None]) -> Result:
    """Take the steps; `show` gets each thing that was found, at once. Steps that `kept` has are shown, not taken."""
    steps: list[Step] = []
    for name, take in STEPS.items():
        if only and name not in only:
            continue
        found = kept.done.get(name)
        if found is None:
            found = _taken(name, take, scene, show)
            kept.add(name, found)
        else:
            for step in found:
                show(step)
        steps += found
    return Result(scene.terminal.name, tuple(steps))


def _taken(name: str, take: Take, scene: Scene, show: Callable[[Step], None]) -> list[Step]:
    found: list[Step] = []
    try:
        for step in take(scene):
            found.append(step)
            show(step)
    except Exception as error:  # noqa: BLE001  one step that breaks must not take the others from a technician
        found.append(Step.skip(name, "diag.broke", reason=_told(error)))
        show(found[-1])
    return found


def _told(error: Exception) -> str:
    """What broke and where, for whoever mends it: the line goes into a support bundle with the step."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {error}, {Path(last.filename).name}:{last.lineno}"


def _reason(step: Step, texts: Texts) -> dict[str, str | None]:
    return {"step": step.name, "finding": step.finding, "text": step.what.say(texts), "mend": step.mend(texts)}
