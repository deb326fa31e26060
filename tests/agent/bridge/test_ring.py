"""The ring: any appends, read from anywhere, give whole records in order, and say honestly what is gone."""

from __future__ import annotations

import time

from hypothesis import given
from hypothesis import strategies as st

from agent.bridge import wire
from agent.bridge.ring import Ring

SIZE = 4096
APPENDS = st.lists(st.tuples(st.integers(0, 3), st.integers(1, 8), st.binary(max_size=900)), max_size=60)


def _all(ring: Ring, offset: int, limit: int) -> list[tuple[int, int, int, int, int, bytes]]:
    found = []
    while offset < ring.next:
        batch = ring.read(offset, limit)
        assert batch
        found += list(wire.records(batch))
        offset += len(batch)
    return found


@given(APPENDS, st.integers(1, 2 * SIZE))
def test_what_is_held_is_the_end_of_what_was_appended(appends: list[tuple[int, int, bytes]], limit: int) -> None:
    ring = Ring(SIZE)
    for line, kind, payload in appends:
        ring.append(line, kind, payload)
    held = [(line, kind, payload) for _, _, _, line, kind, payload in _all(ring, ring.oldest, limit)]
    assert held == appends[len(appends) - len(held) :]
    assert ring.next - ring.oldest <= SIZE
    if len(held) < len(appends):  # nothing was thrown away that would have fitted
        line, kind, payload = appends[-len(held) - 1]
        assert ring.next - ring.oldest + wire.RECORD.size + len(payload) > SIZE


@given(APPENDS, st.integers(1, 5000))
def test_offsets_only_grow_and_each_leads_to_the_next(appends: list[tuple[int, int, bytes]], limit: int) -> None:
    ring = Ring(SIZE)
    for line, kind, payload in appends:
        ring.append(line, kind, payload)
    at = ring.oldest
    for offset, _, _, _, _, payload in _all(ring, ring.oldest, limit):
        assert offset == at
        at += wire.RECORD.size + len(payload)
    assert at == ring.next


@given(APPENDS, st.integers(-10, 60_000))
def test_reading_can_begin_at_or_after_any_offset(appends: list[tuple[int, int, bytes]], asked: int) -> None:
    ring = Ring(SIZE)
    for line, kind, payload in appends:
        ring.append(line, kind, payload)
    begins = {record[0] for record in _all(ring, ring.oldest, SIZE)} | {ring.next}
    start = ring.start_at(asked)
    assert start in begins
    assert start == min((offset for offset in begins if offset >= asked), default=ring.next)


@given(APPENDS)
def test_a_batch_is_never_larger_than_asked_but_for_one_record(appends: list[tuple[int, int, bytes]]) -> None:
    ring = Ring(SIZE)
    for line, kind, payload in appends:
        ring.append(line, kind, payload)
    batch = ring.read(ring.oldest, 300)
    assert len(batch) <= 300 or len(list(wire.records(batch))) == 1


def test_records_carry_both_clocks_of_their_moment() -> None:
    ring = Ring(SIZE)
    before = time.monotonic_ns(), time.time_ns()
    stamp = ring.append(2, wire.TERMINAL, b"abc")
    [(_, wall_ns, mono_ns, line, kind, payload)] = list(wire.records(ring.read(0, 100)))
    assert (mono_ns, wall_ns) == stamp
    assert before[0] <= mono_ns <= time.monotonic_ns()
    assert before[1] <= wall_ns <= time.time_ns()
    assert (line, kind, payload) == (2, wire.TERMINAL, b"abc")


def test_appending_costs_the_same_in_a_full_ring() -> None:
    """A hundred times as many records: the time for each stays the same, far below what copying the ring would take."""

    def cost(count: int) -> float:
        ring = Ring(1 << 20)
        start = time.perf_counter()
        for _ in range(count):
            ring.append(0, wire.CASHIER, b"x" * 64)
        return (time.perf_counter() - start) / count

    assert cost(100_000) < 20 * cost(1_000)
