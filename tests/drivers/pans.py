"""Card numbers that pass the check digit and belong to nobody."""

from __future__ import annotations

from hypothesis import strategies as st

from drivers.cards import luhn_valid


def with_check_digit(digits: str) -> str:
    return next(digits + check for check in "0123456789" if luhn_valid(digits + check))


#: 16 to 19 digits of schemes that tillwatch knows
PANS = st.builds(
    lambda prefix, rest: with_check_digit(prefix + rest),
    st.sampled_from(["497554", "622202", "520082", "675964", "356600"]),
    st.text("0123456789", min_size=9, max_size=12),
)
