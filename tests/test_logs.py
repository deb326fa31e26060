"""Recorded lines are the regression suite: each tests/logs/*.tlog with what it must decode to beside it.

No list is kept: a new log with its `.expected.jsonl` is all it takes. After a deliberate change:

    python -m tests.test_logs --accept

rewrites the expectations; the difference is for the reviewer.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from itertools import groupby, pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent import tlog
from agent.playback import observe
from agent.tlog import Happened, Record, Sent, Tlog
from drivers import registry
from drivers.driver import Framing
from drivers.observations import Direction, Noise, as_dict

FOLDER = Path(__file__).parent / "logs"
LOGS = sorted(FOLDER.glob("*.tlog"))
Line = dict[str, object]

each_log = pytest.mark.parametrize("path", LOGS, ids=lambda path: path.stem)


def decoded(log: Tlog, records: Iterable[Record]) -> list[Line]:
    driver = registry.get(log.header.protocol)
    return [as_dict(seen.observation) for seen in observe(records, driver, log.header.framing)]


def expectation(path: Path) -> Path:
    return path.with_suffix(".expected.jsonl")


def expected(path: Path) -> list[Line]:
    return [json.loads(line) for line in expectation(path).read_text(encoding="utf-8").splitlines()]


def runs(records: Iterable[Record], gap_s: float) -> Iterator[Record]:
    """The records with all that one side said without a long pause in one piece."""
    place = 0
    before: Record | None = None

    def key(record: Record) -> tuple[int, object]:
        nonlocal place, before
        if isinstance(record, Happened) or (before is not None and record.at - before.at > gap_s):
            place += 1
        before = record
        return place, record.direction if isinstance(record, Sent) else None

    for _, group in groupby(records, key):
        pieces = list(group)
        first = pieces[0]
        if isinstance(first, Sent):
            data = b"".join(piece.data for piece in pieces if isinstance(piece, Sent))
            yield Sent(first.at, first.direction, data)
        else:
            yield from pieces


def cut(record: Record, places: list[int]) -> list[Record]:
    if isinstance(record, Happened):
        return [record]
    ends = [0, *sorted(place % (len(record.data) + 1) for place in places), len(record.data)]
    return [Sent(record.at, record.direction, record.data[a:b]) for a, b in pairwise(ends) if a < b]


@each_log
def test_as_recorded(path: Path) -> None:
    log = tlog.read(path)
    assert decoded(log, log.records) == expected(path)


@each_log
def test_in_one_piece_a_run(path: Path) -> None:
    log = tlog.read(path)
    gap = registry.get(log.header.protocol).byte_gap_s
    assert decoded(log, runs(log.records, gap)) == expected(path)


@each_log
def test_byte_by_byte(path: Path) -> None:
    log = tlog.read(path)
    single = [piece for record in log.records for piece in cut(record, list(range(2000)))]
    assert decoded(log, single) == expected(path)


@each_log
@given(places=st.lists(st.integers(0, 5000), max_size=6))
@settings(max_examples=25, deadline=None)
def test_at_any_cuts(path: Path, places: list[int]) -> None:
    log = tlog.read(path)
    assert decoded(log, [piece for record in log.records for piece in cut(record, places)]) == expected(path)


# Bytes that begin no frame of any protocol here: line noise as a plugged cable makes it.
NOISE = [b"\xff", b"\x00", b"\xfe\x80", b"\x7f\x00\xff", b"abc"]


@each_log
@pytest.mark.parametrize("noise", NOISE, ids=lambda noise: noise.hex())
@pytest.mark.parametrize("direction", list(Direction))
def test_behind_noise(path: Path, noise: bytes, direction: Direction) -> None:
    log = tlog.read(path)
    if log.header.framing is Framing.NONE:
        pytest.skip("without a framing on the line there is no telling noise from a message")
    records = [Sent(0.0, direction, noise), *log.records]
    lines = decoded(log, records)
    wanted = expected(path)
    noises = [line for line in lines if line["kind"] == Noise.__name__.lower()]
    assert len(noises) >= 1
    # The noise itself is told where it ends, which may be behind what the other side says meanwhile.
    without = [line for line in lines if line not in noises]
    assert without == [line for line in wanted if line["kind"] != Noise.__name__.lower()]


@each_log
def test_a_log_holds_no_card_number(path: Path) -> None:
    for pan in ("4975541234514970", "4975497549754970"):
        text = path.read_text() + expectation(path).read_text()
        assert pan not in text
        assert pan.encode().hex(" ") not in text.lower()


def test_there_are_logs_and_no_expectation_without_one() -> None:
    assert len(LOGS) >= 8
    assert {path.name for path in FOLDER.glob("*.expected.jsonl")} == {expectation(path).name for path in LOGS}


def accept() -> None:
    """Write what is decoded now as what is expected."""
    for path in LOGS:
        log = tlog.read(path)
        lines = [json.dumps(line, ensure_ascii=False) for line in decoded(log, log.records)]
        expectation(path).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        sys.stdout.write(f"{expectation(path)}: {len(lines)}\n")


if __name__ == "__main__":
    if sys.argv[1:] != ["--accept"]:
        sys.exit("usage: python -m tests.test_logs --accept")
    accept()
