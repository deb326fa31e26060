"""Figures for Prometheus, in a registry of our own, read from the ledger when they are asked for.

State (gauges) is the ledger's: every collector on one database tells the same, so take it from one. What came in
(counters) is this process's own since it started: add the collectors up. Documented in docs/api.md.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from types import TracebackType
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from agent import __version__
from agent.events import EventType
from collector.hub import Change, Hub
from collector.ingest.ingest import Health
from collector.ledger import Clock, Ledger, alerts, cases, figures, microseconds

DAY_US = 86_400_000_000
_AGES_S = (10, 60, 300, 900, 3600, 14_400, 86_400)


class Metrics:
    """Counts what the hub tells, and reads the rest when asked. `ingest` None: this process takes nothing in."""

    def __init__(self, ledger: Ledger, hub: Hub, clock: Clock, stale_s: float) -> None:
        self._ledger = ledger
        self._clock = clock
        self._stale_us = round(stale_s * 1e6)
        self._lock = threading.Lock()
        self._events: Counter[str] = Counter({str(kind): 0 for kind in EventType})
        self.ingest: Callable[[], Health] | None = None
        self.streams: Callable[[], int] = lambda: 0
        self._registry = CollectorRegistry()
        self._registry.register(self)
        self._listening = hub.listen(self._count)

    def __enter__(self) -> Metrics:
        self._listening.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listening.__exit__(kind, error, trace)

    def page(self) -> bytes:
        """The figures in Prometheus' text format."""
        return generate_latest(self._registry)

    def describe(self) -> list[Metric]:
        """Nothing beforehand: registering must not read the ledger."""
        return []

    def collect(self) -> Iterator[Metric]:
        """All figures, of one moment."""
        now_us = microseconds(self._clock())
        yield _gauge("tillwatch_collector_info", "The collector's version.", {(__version__,): 1}, "version")
        yield from self._flow()
        with self._ledger.read() as connection:
            fleet = figures.fleet(connection, now_us, self._stale_us)
            ages, oldest = figures.pending_by_age(connection, now_us, _AGES_S)
            outcomes = figures.by_outcome(connection, now_us - DAY_US)
            vain = figures.undelivered(connection, now_us - DAY_US)
            refused = figures.refused(connection)
            open_cases = cases.count_by_status(connection)
            overdue = cases.count(connection, cases.Wanted(overdue_us=now_us))
            firing = alerts.count_open(connection)
            undelivered = alerts.waiting(connection)
        states = {("online",): fleet.online, ("offline",): fleet.offline, ("stale",): fleet.stale}
        yield _gauge("tillwatch_agents", "Agents by state.", states, "state")
        links = {(link,): fleet.terminals.get(link, 0) for link in {"up", "degraded", "down", *fleet.terminals}}
        yield _gauge("tillwatch_terminals", "Terminals by link, as told last.", links, "link")
        yield _gauge("tillwatch_agents_outbox_events", "Events that wait at agents.", {(): fleet.outbox})
        yield _gauge("tillwatch_streams_with_gaps", "Journals of which events are missing.", {(): fleet.gap_streams})
        yield _gauge("tillwatch_missing_events", "Events known to be missing.", {(): fleet.missing})
        yield _gauge(
            "tillwatch_transactions_day",
            "Transactions that began in the last 24 h, by outcome and kind.",
            outcomes or {("approved", "purchase"): 0},
            "outcome",
            "kind",
        )
        yield _gauge(
            "tillwatch_transactions_undelivered_day",
            "Charged in the last 24 h, and the cashier application did not take the answer.",
            {(): vain},
        )
        pending = HistogramMetricFamily("tillwatch_pending_age_seconds", "Transactions in doubt now, by age.")
        bounds = [*(str(float(bound)) for bound in _AGES_S), "+Inf"]
        pending.add_metric([], list(zip(bounds, map(float, ages), strict=True)), None)
        yield pending
        yield _gauge("tillwatch_pending_transactions", "Transactions in doubt now.", {(): ages[-1]})
        yield _gauge("tillwatch_pending_oldest_seconds", "Age of the oldest doubt.", {(): oldest})
        yield CounterMetricFamily(
            "tillwatch_refused_messages", "Messages that claimed to be somebody else's.", value=refused
        )
        yield _gauge(
            "tillwatch_cases_open",
            "Cases that are not closed, by kind and status.",
            open_cases or {("escalated", "open"): 0},
            "kind",
            "status",
        )
        yield _gauge("tillwatch_cases_overdue", "Cases whose due time is over.", {(): overdue})
        yield _gauge(
            "tillwatch_alerts_firing",
            "What is going on, by the rule that looks for it.",
            {(rule,): count for rule, count in firing.items()},
            "rule",
        )
        yield _gauge(
            "tillwatch_webhook_messages",
            "Messages that wait for a webhook.",
            {(name,): count for name, count in undelivered.items()},
            "webhook",
        )
        yield _gauge("tillwatch_live_streams", "Open /api/events streams of this process.", {(): self.streams()})

    def _flow(self) -> Iterator[Metric]:
        with self._lock:
            events = dict(self._events)
        family = CounterMetricFamily("tillwatch_events", "Events stored by this process, by type.", labels=["type"])
        for kind, count in sorted(events.items()):
            family.add_metric([kind], count)
        yield family
        if self.ingest is None:
            return
        health = self.ingest()
        yield _gauge("tillwatch_ingest_connected", "Whether the broker is connected.", {(): health.connected})
        yield _gauge("tillwatch_ingest_database", "Whether the database takes writes.", {(): health.database})
        yield _gauge("tillwatch_ingest_lag_seconds", "How long the oldest message waits.", {(): health.lag_s})
        yield _gauge("tillwatch_ingest_waiting_messages", "Messages that wait to be stored.", {(): health.waiting})
        flow = CounterMetricFamily("tillwatch_ingest_messages", "Messages, by what became of them.", labels=["result"])
        for result in ("received", "stored", "repeated", "unreadable", "raw", "refused"):
            flow.add_metric([result], getattr(health, result))
        yield flow

    def _count(self, changes: tuple[Change, ...]) -> None:
        with self._lock:
            for change in changes:
                if "." in change.type:
                    # A type that nobody documented counts, but not under its own name: it would fill the registry.
                    self._events[change.type if change.type in self._events else "other"] += 1


def _gauge(name: str, text: str, values: Mapping[Any, float], *labels: str) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, text, labels=labels)
    for key, value in sorted(values.items()):
        family.add_metric(key, float(value))
    return family
