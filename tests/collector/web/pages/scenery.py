"""A hospital's morning for tests of the pages: two sites, four cashier PCs, payments of every kind, all at fixed times.

Everything a test expects is counted from `Scenery`, never from the clock of the machine.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from sqlalchemy import insert, update

from collector.cases import intake
from collector.ledger import Ledger
from collector.ledger.tables import agents, metrics, terminals
from tests.collector import planted
from tests.collector.conftest import NOW
from tests.collector.planted import NOW_US

MINUTE_US = 60_000_000
SLIP = """      第一人民医院
      持卡人存根

商户编号：898310073992501
终端编号：12345678
交易类型：消费
卡    号：622202******1234
批 次 号：000001
凭 证 号：000001
参 考 号：240607100001
授 权 码：654321
日期时间：2026/03/05 16:31:01
金    额：RMB 35.50

    交易金额已从卡中扣除
       请妥善保管此凭条"""


@dataclass
class Scenery:
    """What was planted: each payment's id with the values that pages show of it."""

    ids: list[str] = field(default_factory=list)
    rows: dict[str, dict[str, Any]] = field(default_factory=dict)

    def having(self, **wanted: Any) -> list[str]:
        """The ids of the payments that have these values."""
        return [one for one in self.ids if all(self.rows[one].get(name) == value for name, value in wanted.items())]


def build(ledger: Ledger) -> Scenery:
    """Plant it."""
    scenery = Scenery()
    for agent, site in (("cashier-01", "outpatient-1"), ("cashier-02", "outpatient-1"), ("cashier-03", "inpatient-1")):
        planted.agent(ledger, agent, site=site)
    planted.agent(ledger, "cashier-04", site="inpatient-1", last_seen_us=NOW_US - 5 * MINUTE_US, online=False)
    _second_terminals(ledger)
    for number, minute in enumerate(range(58, 2, -2), 1):
        agent, site = (("cashier-01", "outpatient-1"), ("cashier-03", "inpatient-1"))[number % 2]
        values: dict[str, Any] = {"amount": 1200 + number * 1175, "card": _card(4000 + number)}
        if number % 9 == 5:
            values |= {"outcome": "declined", "charged": "no", "response_code": "51",
                       "response_text": {"en": "Insufficient funds", "zh-CN": "余额不足"}}  # fmt: skip
        if number % 14 == 6:
            values |= {"outcome": "cancelled", "charged": "no", "response_code": None, "response_text": None}
        _pay(ledger, scenery, number, minute, agent, site, **values)
    _doubts(ledger, scenery)
    _metrics(ledger)
    return scenery


def _doubts(ledger: Ledger, scenery: Scenery) -> None:
    unknown: dict[str, Any] = {
        "outcome": "unknown", "charged": "unknown", "delivered": "unknown", "final": False, "response_code": None,
        "response_text": None, "ended_at": None, "reference": None, "approval_code": None,
    }  # fmt: skip
    asked = [
        {
            "at": (NOW - timedelta(minutes=31 - turn)).isoformat(),
            "query": "last_result",
            "said": "nothing",
            "code": None,
        }
        for turn in range(3)
    ]
    escalated = _pay(
        ledger, scenery, 101, 35, "cashier-02", "outpatient-1", **unknown, amount=128050, reason="terminal_restarted",
        attempts=3, asked=asked, call="final", card=_card(4970), ended_us=None, escalated=True,
        pending_us=NOW_US - 34 * MINUTE_US, escalated_us=NOW_US - 20 * MINUTE_US,
    )  # fmt: skip
    _pay(
        ledger, scenery, 102, 4, "cashier-01", "outpatient-1", **unknown, amount=35600, reason="answer_timeout",
        attempts=2, card=None, ended_us=None, pending_us=NOW_US - 3 * MINUTE_US,
    )  # fmt: skip
    lost = _pay(
        ledger, scenery, 103, 41, "cashier-03", "inpatient-1", amount=8850, delivered="no", reason="cashier_closed"
    )
    _pay(
        ledger, scenery, 104, 50, "cashier-02", "outpatient-1", amount=46000, how="repeat_receipt", attempts=1,
        pending_us=NOW_US - 49 * MINUTE_US, settled_us=NOW_US - 49 * MINUTE_US + 7_400_000,
    )  # fmt: skip
    _pay(
        ledger, scenery, 105, 1, "cashier-03", "inpatient-1", **unknown, amount=9900, card=None, ended_us=None,
        trace=None, terminal_id=None,
    )  # fmt: skip
    for transaction, kind in ((escalated, "transaction.escalated"), (lost, "transaction.undelivered")):
        event = planted.told(kind, scenery.rows[transaction], sequence=900 + len(kind))
        with ledger.write() as connection:
            intake.take(connection, [event], NOW_US - 20 * MINUTE_US)


def _pay(ledger: Ledger, scenery: Scenery, number: int, minutes_ago: int, agent: str, site: str, **values: Any) -> str:
    began = NOW - timedelta(minutes=minutes_ago)
    began_us = NOW_US - minutes_ago * MINUTE_US
    values.setdefault("ended_us", began_us + 3_000_000 + number * 40_000)
    ended_us = values["ended_us"]
    ended = None if ended_us is None else (began + timedelta(microseconds=ended_us - began_us)).isoformat()
    values = {"started_at": began.isoformat(), "ended_at": ended} | values
    transaction = planted.plant(ledger, number, site=site, agent=agent, started_us=began_us, **values)
    fields = {name: value for name, value in values.items() if name in planted.data_of()}
    data = planted.data_of(number, **fields)
    scenery.ids.append(transaction)
    scenery.rows[transaction] = data | {"agent": agent, "site": site, "started_us": began_us}
    _tell(ledger, agent, site, number, data, began_us, ended_us)
    if data["outcome"] == "approved" and number == 1:
        for sequence, copy in ((9001, "merchant"), (9002, "customer")):
            planted.receipt(ledger, transaction, sequence, copy, SLIP)
    return transaction


def _tell(
    ledger: Ledger, agent: str, site: str, number: int, data: dict[str, Any], began_us: int, ended_us: int | None
) -> None:
    started = data | {"outcome": "unknown", "final": False, "reason": None, "response_text": None}
    steps = [("transaction.started", began_us, data["started_at"], started)]
    if data["reason"] and not data["final"]:
        steps.append(("transaction.pending", began_us + 60_000_000, _iso(began_us + 60_000_000), data | {"call": None}))
        if data["call"]:
            steps.append(("transaction.escalated", began_us + 900_000_000, _iso(began_us + 900_000_000), data))
    elif ended_us is not None:
        steps.append(("transaction.completed", ended_us, data["ended_at"], data))
        if data["delivered"] == "no":
            steps.append(("transaction.undelivered", ended_us + 1, _iso(ended_us + 1), data))
    these = []
    for turn, (kind, time_us, time, told) in enumerate(steps):
        event = planted.told(kind, told, sequence=number * 10 + turn, agent=agent, site=site)
        body = event.body.replace(f'"time": "{NOW.isoformat(timespec="milliseconds")}"', f'"time": "{time}"')
        these.append(event._replace(time_us=time_us, body=body))
    planted.store(ledger, *these)


def _iso(us: int) -> str:
    return (NOW + timedelta(microseconds=us - NOW_US)).isoformat(timespec="milliseconds")


def _card(last4: int) -> dict[str, str]:
    return {"masked": f"622202******{last4:04d}", "scheme": "UnionPay"}


def _second_terminals(ledger: Ledger) -> None:
    with ledger.write() as connection:
        for agent, site, link, reason in (
            ("cashier-01", "outpatient-1", "up", None),
            ("cashier-02", "outpatient-1", "down", "gone"),
            ("cashier-03", "inpatient-1", "degraded", "noise"),
        ):
            connection.execute(
                insert(terminals).values(
                    agent=agent, terminal="pos2", site=site, protocol="zvt", device="tcp:10.1.7.21:20007", link=link,
                    reason=reason, since_us=NOW_US - 12 * MINUTE_US, last_frame_us=NOW_US - 12 * MINUTE_US,
                    told_us=NOW_US,
                )
            )  # fmt: skip
        connection.execute(
            update(terminals)
            .where(terminals.c.terminal == "pos1")
            .values(last_frame_us=NOW_US - 90_000_000, metrics={"nak_rate": 0.004})
        )
        connection.execute(update(agents).where(agents.c.agent == "cashier-02").values(pending=1))


def _metrics(ledger: Ledger) -> None:
    with ledger.write() as connection:
        for minute in range(60):
            connection.execute(
                insert(metrics).values(
                    agent="cashier-01", terminal="pos1", name="nak_rate", time_us=NOW_US - minute * MINUTE_US,
                    value=round(0.002 + 0.003 * (minute % 11 == 0), 4),
                )
            )  # fmt: skip
