"""Makes the recorded logs of all shipped profiles: the simulated terminal on a real pty, a cashier of the same profile.

    python -m tests.logs.make_profiles [NAME …]   then: python -m tests.test_logs --accept, and look at the difference

Terminal and cashier are both ours and both driven by the profile: the logs hold the decoder to what it did, they prove
nothing about a maker's terminal. The frames that others have captured are in tests/data/cn_frames.json.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Sequence

from drivers import registry
from drivers.driver import Scenario
from drivers.profiles.load import load
from drivers.profiles.schema import Profile, Style
from tests.logs.profile_cashier import Cashier
from tests.logs.recorder import Bench, recorded


def approved(cashier: Cashier, bench: Bench) -> None:
    if greeting := cashier.words.greeting():
        cashier.send(greeting)
        cashier.wait(0.3)
    cashier.pay(1234)


def declined(cashier: Cashier, bench: Bench) -> None:
    cashier.pay(5000)


def silent(cashier: Cashier, bench: Bench) -> None:
    cashier.pay(990, patience_s=1.5)
    cashier.pay(990)


def undelivered(cashier: Cashier, bench: Bench) -> None:
    cashier.pay(4400, take=False)
    bench.until("undelivered")


def garbage(cashier: Cashier, bench: Bench) -> None:
    cashier.pay(2222)


def reboot(cashier: Cashier, bench: Bench) -> None:
    with contextlib.suppress(OSError):
        cashier.pay(1800)
    bench.until("ready")
    cashier.close()
    cashier.reopen()
    cashier.pay(300)


Case = Callable[[Cashier, Bench], None]
CASES: dict[Case, tuple[str, tuple[Scenario, ...]]] = {
    approved: ("a payment, its answer delivered", (Scenario.APPROVE,)),
    declined: ("a payment the bank refused", (Scenario.DECLINE,)),
    silent: ("no answer; the cashier application asks anew and pays", (Scenario.SILENT, Scenario.APPROVE)),
    undelivered: ("the answer is never acknowledged", (Scenario.APPROVE,)),
    garbage: ("noise, a broken answer, the good answer", (Scenario.GARBAGE,)),
    reboot: ("the line is lost in mid-payment, then a payment", (Scenario.REBOOT, Scenario.APPROVE)),
}


def cases_of(profile: Profile) -> list[Case]:
    """What can happen on a line of this profile."""
    if profile.framing.style is Style.CALL or profile.opaque:
        return [approved, silent] if profile.opaque else [approved, declined, silent]
    return list(CASES) if profile.framing.acknowledged else [approved, declined, silent, reboot]


def make(name: str, cases: Sequence[Case] = ()) -> None:
    """The logs of one profile: all that can happen, or some cases."""
    profile = load(registry.profiles()[name])
    driver = registry.get(name)
    for case in cases or cases_of(profile):
        notes, scenarios = CASES[case]
        told = (notes, "terminal and cashier both driven by the profile")
        with recorded(driver, case.__name__, told, driver.framings[0], *scenarios) as bench:
            cashier = Cashier(bench.link, profile)
            try:
                case(cashier, bench)
            finally:
                cashier.close()
        sys.stdout.write(f"{name} {case.__name__}\n")


if __name__ == "__main__":
    for wanted in sys.argv[1:] or sorted(registry.profiles()):
        make(wanted)
