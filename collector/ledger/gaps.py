"""What is missing in the streams: whom to ask to send again, and what has to be given up.

A gap is asked for when nothing of its stream has come for a while and the agent is there; each time without an effect
doubles the pause. An agent keeps its events for months, but not for ever, and a new journal knows nothing of the old
one: what several questions don't bring is counted as lost, and shown. It is still taken should it come after all.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import and_, or_, select, update

from collector.ledger import Ledger, microseconds, tables
from collector.ledger.streams import lock_known, save, stream_of

GRACE_US = 10_000_000  # two collectors may overtake each other
PAUSE_US = 30_000_000  # doubled with each question
MOST_ASKS = 5
OLD_EPOCH_US = 3_600_000_000  # what the broker still holds of a journal that is no more
AT_A_TIME = 50


@dataclass(frozen=True, slots=True)
class Ask:
    """An agent is to send everything again from that number on."""

    site: str
    agent: str
    sequence: int


def due(ledger: Ledger) -> list[Ask]:
    """The questions that are due now; each is given to one collector only. Gives up what can't be had any more."""
    now_us = microseconds(ledger.clock())
    table, agents = tables.streams, tables.agents
    waits = select(table, agents.c.online, agents.c.epoch.label("now_epoch")).join(
        agents, agents.c.agent == table.c.agent
    )
    quiet = and_(table.c.gap_since_us <= now_us - GRACE_US, table.c.progress_us <= now_us - GRACE_US)
    with ledger.read() as connection:
        rows = connection.execute(waits.where(quiet).order_by(table.c.gap_since_us).limit(2000)).all()
    asks: list[Ask] = []
    for row in rows:
        if len(asks) >= AT_A_TIME:
            break
        stream = stream_of(row)
        pause_us = PAUSE_US << min(stream.asks, 20)
        if stream.asked_us is not None and stream.asked_us > now_us - pause_us:
            continue
        if row.now_epoch is not None and row.now_epoch != stream.epoch:
            if stream.progress_us <= now_us - OLD_EPOCH_US:
                _give_up(ledger, stream.agent, stream.epoch, stream.asks)
        elif stream.asks >= MOST_ASKS:
            _give_up(ledger, stream.agent, stream.epoch, stream.asks)
        elif row.online and _claim(ledger, stream.agent, stream.epoch, stream.asks, now_us):
            asks.append(Ask(stream.site, stream.agent, stream.ranges.contiguous + 1))
    return asks


def _claim(ledger: Ledger, agent: str, epoch: str, asks: int, now_us: int) -> bool:
    """Note that we ask; False when another collector just did."""
    table = tables.streams
    statement = (
        update(table)
        .where(table.c.agent == agent, table.c.epoch == epoch, table.c.asks == asks)
        .where(or_(table.c.asked_us.is_(None), table.c.asked_us <= now_us - (PAUSE_US << min(asks, 20))))
        .values(asked_us=now_us, asks=asks + 1)
    )
    with ledger.write() as connection:
        return connection.execute(statement).rowcount == 1


def _give_up(ledger: Ledger, agent: str, epoch: str, asks: int) -> None:
    with ledger.write() as connection:
        stream = lock_known(connection, [(agent, epoch)])[agent, epoch]
        if stream.asks == asks:  # nothing came meanwhile
            stream.give_up()
            save(connection, [stream])
