"""The duty that keeps the ledger in order: next months' partitions made, what is old let go."""

from __future__ import annotations

from collector.config import Retention
from collector.duty import Duty
from collector.ledger import Ledger, microseconds, retention

EVERY_S = 3600.0


class Housekeeping(Duty):
    """Comes round each hour."""

    name = "housekeeping"

    def __init__(self, ledger: Ledger, keep: Retention) -> None:
        super().__init__(EVERY_S)
        self._ledger = ledger
        self._keep = keep

    def turn(self) -> None:
        """Make what is needed, let go what is old."""
        self._ledger.prepare_months()
        now_us = microseconds(self._ledger.clock())
        gone = retention.apply(
            self._ledger,
            retention.Cutoffs(
                events_us=now_us - round(self._keep.events_s * 1_000_000),
                transactions_us=now_us - round(self._keep.transactions_s * 1_000_000),
                metrics_us=now_us - round(self._keep.metrics_s * 1_000_000),
            ),
            lambda: self.stopping,
        )
        if gone:
            self.log.info("retention.let_go", **gone)
