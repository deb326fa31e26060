"""Transaction ids: sortable, unique, the same on a replay."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from agent.ids import transaction_id

MOMENTS = st.integers(0, 2**61)


@given(MOMENTS, st.text())
def test_an_id_is_a_ulid_and_the_same_again(wall_ns: int, token: str) -> None:
    made = transaction_id(wall_ns, token)
    assert len(made) == 26
    assert set(made) <= set("0123456789ABCDEFGHJKMNPQRSTVWXYZ")
    assert made == transaction_id(wall_ns, token)


@given(MOMENTS, MOMENTS, st.text())
def test_ids_sort_by_time(one: int, other: int, token: str) -> None:
    earlier, later = sorted((one // 1_000_000, other // 1_000_000))
    assert transaction_id(earlier * 1_000_000, token)[:10] <= transaction_id(later * 1_000_000, token)[:10]


@given(st.text(), st.text())
def test_two_places_never_share_an_id(one: str, other: str) -> None:
    assert (transaction_id(1, one) == transaction_id(1, other)) == (one == other)
