"""The table of rules, cut-over times, and linking, each by itself: no files, no ledger."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.ledger.entries import Entry, EntryKind, Side, State
from collector.reconcile import judge as rules
from collector.reconcile.calendar import Cut, Expect, Terms, start_of
from collector.reconcile.groups import Groups, Held, Key
from collector.reconcile.judge import RULES, Category, judge
from collector.reconcile.linking import Item, same_number, weak
from tests.collector.reconcile.generate import DAY, ZONE, after, moment

BOTH = frozenset({Side.HIS, Side.ACQUIRER})


def entry(side: Side, **values: object) -> Entry:
    plain = {
        "side": side, "key": f"{side}-1", "day": DAY, "kind": EntryKind.PURCHASE, "state": State.CHARGED,
        "amount": 3550, "time_us": moment(DAY, "09:30:00"), "reference": "240607100001",
    }  # fmt: skip
    return Entry(**{**plain, **values})  # type: ignore[arg-type]


def terms(covered: dict[str, frozenset[str]], as_of: str = f"{DAY}T23:00", **values: object) -> Terms:
    day, clock = as_of.split("T")
    plain = {"day": DAY, "as_of_us": moment(day, clock), "zone": ZONE, "covered": covered}
    return Terms(**{**plain, **values})  # type: ignore[arg-type]


def test_every_case_has_a_rule() -> None:
    for journal in (rules.NOTHING, State.CHARGED, State.UNKNOWN, State.NOT_CHARGED, State.REVERSED):
        for acquirer in (rules.THERE, rules.MISSING, rules.LATER, rules.NOT_ASKED):
            for his in (rules.THERE, rules.MISSING, rules.LATER, rules.NOT_ASKED):
                nothing_at_all = journal == rules.NOTHING and rules.THERE not in (acquirer, his)
                fits = [why for js, aa, hs, _, why in RULES if journal in js and acquirer in aa and his in hs]
                assert bool(fits) != nothing_at_all, (journal, acquirer, his)


def test_no_rule_is_hidden_behind_another() -> None:
    places = [(j, a, h) for js, aa, hs, _, _ in RULES for j in js for a in aa for h in hs]
    assert len(places) == len(set(places))


@pytest.mark.parametrize(
    ("amounts", "category", "amount"),
    [
        ({Side.JOURNAL: 3550, Side.ACQUIRER: 3550, Side.HIS: 3550}, Category.MATCHED, 3550),
        ({Side.JOURNAL: 3550, Side.ACQUIRER: 3550, Side.HIS: 3500}, Category.AMOUNT_DIFFERS, 50),
        ({Side.JOURNAL: 3500, Side.ACQUIRER: 3550, Side.HIS: 3550}, Category.AMOUNT_DIFFERS, 50),
        ({Side.ACQUIRER: 3550, Side.HIS: 3550}, Category.MATCHED, 3550),
    ],
)
def test_amounts(amounts: dict[Side, int], category: Category, amount: int) -> None:
    verdict = judge([entry(side, amount=value) for side, value in amounts.items()], Key.REFERENCE, terms({DAY: BOTH}))
    assert (verdict.category, verdict.amount) == (category, amount)


@pytest.mark.parametrize(
    ("clock", "expected"),
    [
        ("12:00:00", Expect.NOW),
        ("22:31:00", Expect.LATER),  # within the tolerance of 23:00, so the next file may have it
        ("23:31:00", Expect.LATER),  # of the next file's day
    ],
)
def test_the_cut_over_decides_which_file_may_hold_a_payment(clock: str, expected: Expect) -> None:
    cut = Cut(ZONE, timedelta(hours=-1), timedelta(minutes=30))
    late = terms({DAY: BOTH}, as_of=f"{after(DAY, 1)}T10:00", cuts={Side.ACQUIRER: (cut,)})
    sample = entry(Side.JOURNAL, time_us=moment(DAY, clock))
    assert late.expects(Side.ACQUIRER, sample, DAY)[0] is expected
    both_read = replace(late, covered={DAY: BOTH, after(DAY, 1): BOTH})
    assert both_read.expects(Side.ACQUIRER, sample, DAY)[0] is Expect.NOW


def test_a_side_without_files_is_not_asked() -> None:
    only_his = terms({DAY: frozenset({Side.HIS})})
    assert only_his.expects(Side.ACQUIRER, entry(Side.JOURNAL), DAY) == (Expect.NOT_ASKED, None)


def test_days_with_a_change_of_clocks_have_their_own_length() -> None:
    zone = ZoneInfo("Europe/Paris")
    hours = [(start_of(day, zone, 1) - start_of(day, zone)) // 3_600_000_000 for day in ("2026-03-29", "2026-10-25")]
    assert hours == [23, 25]


def numbered(groups: Groups, side: Side, **values: object) -> Item:
    one = entry(side, **values)
    number = groups.add(one, own=True, known=False)
    terminal = one.terminal_id.lstrip("0") if one.terminal_id else None
    return Item(number, one.amount, one.kind.takes_back, one.time_us, terminal, one.merchant_id, one.batch, one.last4)


def test_a_reference_given_out_again_is_another_payment() -> None:
    groups = Groups()
    items = [
        numbered(groups, Side.JOURNAL),
        numbered(groups, Side.ACQUIRER, time_us=moment(after(DAY, 5), "09:30:00")),
        numbered(groups, Side.ACQUIRER, terminal_id="2"),
    ]
    same_number(items, groups, Key.REFERENCE)
    assert groups.root(items[0].number) == groups.root(items[2].number) != groups.root(items[1].number)


def test_a_bucket_without_end_joins_nothing() -> None:
    groups = Groups()
    items = [numbered(groups, Side.ACQUIRER, key=str(n)) for n in range(1000)]
    same_number(items, groups, Key.REFERENCE)
    assert all(groups.root(item.number) == item.number for item in items)


@given(st.lists(st.tuples(st.sampled_from(list(Side)), st.integers(0, 1200)), max_size=30), st.booleans())
def test_the_weak_key_never_joins_two_of_a_side_nor_what_is_far_apart(
    rows: list[tuple[Side, int]], cards: bool
) -> None:
    groups = Groups()
    begin = moment(DAY, "09:00:00")
    items = [
        numbered(groups, side, time_us=begin + second * 1_000_000, card=f"****{n % 3:04d}" if cards else None)
        for n, (side, second) in enumerate(sorted(rows, key=lambda row: row[1]))
    ]
    weak(items, groups, Held.JOURNAL | Held.HIS | Held.ACQUIRER)
    members: dict[int, list[Item]] = {}
    for item in items:
        members.setdefault(groups.root(item.number), []).append(item)
    sides = {item.number: side for item, (side, _) in zip(items, sorted(rows, key=lambda row: row[1]), strict=True)}
    for together in members.values():
        assert len({sides[item.number] for item in together}) == len(together)
        assert max(i.time_us or 0 for i in together) - min(i.time_us or 0 for i in together) <= 600_000_000
        assert len({item.last4 for item in together}) == 1
