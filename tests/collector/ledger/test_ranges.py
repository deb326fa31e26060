"""The bookkeeping of numbers, against plain sets."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from collector.ledger.ranges import MOST_GAPS, Ranges

_numbers = st.integers(1, 40)


@given(st.lists(st.one_of(_numbers, st.tuples(st.just("expect"), _numbers), st.just("give up")), max_size=80))
def test_it_knows_what_is_there_and_what_is_missing(steps: list[object]) -> None:
    ranges = Ranges()
    there: set[int] = set()
    lost: set[int] = set()
    highest = 0
    for step in steps:
        if isinstance(step, int):
            assert ranges.take(step) is (step not in there)
            there.add(step)
            lost.discard(step)
            highest = max(highest, step)
        elif isinstance(step, tuple):
            assert ranges.expect(step[1]) is (step[1] > highest)
            highest = max(highest, step[1])
        else:
            ranges.give_up()
            lost = set(range(1, highest + 1)) - there

        missing = set(range(1, highest + 1)) - there - lost
        assert ranges.highest == highest
        assert ranges.contiguous == min(missing, default=highest + 1) - 1
        assert numbers(ranges.gaps) == missing
        assert numbers(ranges.lost) == lost
        assert ranges.gaps == sorted(ranges.gaps)
        # what was written down and read again is the same
        again = Ranges(ranges.contiguous, ranges.highest, [list(gap) for gap in ranges.gaps], ranges.lost)
        assert (again.gaps, again.lost) == (ranges.gaps, ranges.lost)


def numbers(found: list[tuple[int, int]]) -> set[int]:
    covered = [number for first, last in found for number in range(first, last + 1)]
    assert len(covered) == len(set(covered))
    return set(covered)


def test_no_sender_makes_it_grow_without_bound() -> None:
    ranges = Ranges()
    taken = sum(ranges.take(number) for number in range(2, 10 * MOST_GAPS, 2))
    assert taken == len(ranges.gaps) == MOST_GAPS
    assert ranges.take(1)  # and gaps still close
