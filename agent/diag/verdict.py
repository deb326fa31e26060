"""From steps to where to look: cable, terminal, cashier application, network, bank, or this PC's configuration.

A table. The first step on the way from the plug to the host that fails decides; those behind it that point elsewhere
are named as well. Warnings decide nothing: they are what a technician looks at when the verdict does not help. A
terminal that was neither heard nor gave an answer is not called good: where nothing else is wrong, it is not known.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from agent.diag.step import Level, Step


class Culprit(StrEnum):
    """Where the fault is."""

    NOTHING = "nothing"
    UNKNOWN = "unknown"  # nothing is wrong with what could be looked at, and the terminal was not a part of it
    CABLE = "cable"
    TERMINAL = "terminal"
    CASHIER = "cashier"
    NETWORK = "network"
    BANK = "bank"
    CONFIGURATION = "configuration"


#: a failing step → where the fault is
BY_STEP: dict[str, Culprit] = {
    "device": Culprit.CABLE,
    "driver": Culprit.CONFIGURATION,
    "permission": Culprit.CONFIGURATION,
    "holder": Culprit.CONFIGURATION,
    "settings": Culprit.CONFIGURATION,
    "modem": Culprit.CABLE,
    "loopback": Culprit.CABLE,
    "echo": Culprit.CABLE,
    "stability": Culprit.TERMINAL,
    "errors": Culprit.CABLE,
    "heard": Culprit.TERMINAL,
    "noise": Culprit.CABLE,
    "retries": Culprit.CABLE,
    "answer": Culprit.TERMINAL,
    "times": Culprit.TERMINAL,
    "clock": Culprit.TERMINAL,
    "paper": Culprit.TERMINAL,
    "bank": Culprit.BANK,
    "cashier": Culprit.CASHIER,
    "delivery": Culprit.CASHIER,
    "disk": Culprit.CONFIGURATION,
    "journal": Culprit.CONFIGURATION,
    "pc_clock": Culprit.CONFIGURATION,
    "agent": Culprit.CONFIGURATION,
    "broker": Culprit.NETWORK,
    "own_certificate": Culprit.NETWORK,
    "certificate": Culprit.NETWORK,
    "login": Culprit.NETWORK,
    "rights": Culprit.NETWORK,
    "collector": Culprit.NETWORK,
}
#: what was found, where it says more than the step
BY_FINDING: dict[str, Culprit] = {
    "device_no_device": Culprit.CONFIGURATION,
    "device_without_driver": Culprit.CONFIGURATION,
    "usb_no_pyusb": Culprit.CONFIGURATION,
    "usb_no_libusb": Culprit.CONFIGURATION,
    "usb_alike": Culprit.CONFIGURATION,
    "usb_closed": Culprit.CONFIGURATION,
    "remote_unreachable": Culprit.NETWORK,
    "link_down": Culprit.CABLE,
    "loose": Culprit.CABLE,
    "gone": Culprit.TERMINAL,
    "wrong_speed": Culprit.CONFIGURATION,
    "wrong_format": Culprit.CONFIGURATION,
    "wrong_parity": Culprit.CONFIGURATION,
    "wrong_protocol": Culprit.CONFIGURATION,
    "all_broken": Culprit.CONFIGURATION,
    "errors_all": Culprit.CONFIGURATION,
    "answers_sometimes": Culprit.CABLE,
    "answers_garbled": Culprit.CABLE,
    "answers_garbled_bridge": Culprit.CONFIGURATION,
    "answers_garbled_no_serial": Culprit.CONFIGURATION,
    "refuses_cashier": Culprit.CABLE,
}


#: what tells that frames of the terminal arrive
_HEARD = frozenset({"clean", "few_errors", "cashier_broken"})


@dataclass(frozen=True, slots=True)
class Verdict:
    """Where the fault is, the steps that say so, and what else is wrong."""

    culprit: Culprit
    reasons: tuple[Step, ...]
    also: tuple[tuple[Culprit, Step], ...]

    @property
    def found(self) -> bool:
        """Whether something is wrong."""
        return self.culprit not in (Culprit.NOTHING, Culprit.UNKNOWN)


def culprit_of(step: Step) -> Culprit:
    """Where the fault is when this step fails."""
    return BY_FINDING.get(step.finding) or BY_STEP.get(step.name, Culprit.CONFIGURATION)


def verdict(steps: Sequence[Step]) -> Verdict:
    """The verdict of a walk."""
    failed = [(culprit_of(step), step) for step in steps if step.level is Level.FAIL]
    if not failed and (unanswered := _unanswered(steps)):
        return Verdict(Culprit.UNKNOWN, (unanswered,), ())
    if not failed:
        return Verdict(Culprit.NOTHING, (), ())
    first = failed[0][0]
    reasons = tuple(step for culprit, step in failed if culprit is first)
    return Verdict(first, reasons, tuple((culprit, step) for culprit, step in failed if culprit is not first))


def _unanswered(steps: Sequence[Step]) -> Step | None:
    """The step that could not find out whether the terminal answers, unless its frames were heard."""
    answer = next((step for step in steps if step.name == "answer"), None)
    if answer is None or answer.level is Level.OK:
        return None
    heard = any(step.finding in _HEARD or (step.finding == "heard" and step.what.values.get("whole")) for step in steps)
    return None if heard else answer
