"""pyTeliumManager as the cashier application: a program that nobody here wrote, which pays real terminals in shops."""

from __future__ import annotations

from pathlib import Path

from telium import Telium, TeliumAsk, TeliumNativeSerial, TeliumResponse


def pay(
    port: Path, amount: float, patience_s: float = 15, native: bool = False, **options: object
) -> TeliumResponse | None:
    """Pay through a port; None when no answer came. `native`: open it as 7E1, as for native serial terminals."""
    telium = TeliumNativeSerial(str(port), timeout=3) if native else Telium(str(port), timeout=3)
    try:
        ask = TeliumAsk.new_payment(amount, target_currency="EUR", **options)
        assert telium.ask(ask)
        return telium.verify(ask, waiting_timeout=patience_s)
    finally:
        telium.close()
