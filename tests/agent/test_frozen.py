"""Values on disk are the same typed values again."""

from __future__ import annotations

import json
from dataclasses import dataclass

import pytest

from agent.events import ResponseText
from agent.frozen import from_plain, to_plain
from drivers.observations import Facts, Kind, Outcome


@dataclass(frozen=True)
class Sample:
    kind: Kind
    outcome: Outcome | None
    facts: Facts
    pairs: tuple[tuple[str, int | str], ...] = ()
    text: ResponseText | None = None


def test_a_value_comes_back_through_json() -> None:
    sample = Sample(Kind.VOID, None, Facts(amount=5), (("a", 1), ("b", "x")), ResponseText("yes", "是"))
    assert from_plain(Sample, json.loads(json.dumps(to_plain(sample)))) == sample


def test_the_language_tag_is_written_as_one() -> None:
    assert to_plain(ResponseText("yes", "是")) == {"en": "yes", "zh-CN": "是"}


def test_what_an_older_version_did_not_write_takes_its_default() -> None:
    plain = to_plain(Sample(Kind.VOID, Outcome.APPROVED, Facts()))
    del plain["pairs"]
    plain["something_new"] = 1
    assert from_plain(Sample, plain) == Sample(Kind.VOID, Outcome.APPROVED, Facts())


@pytest.mark.parametrize("plain", [{"kind": "nonsense", "outcome": None, "facts": {}}, {"kind": 3}, {}])
def test_anything_else_is_an_error(plain: dict[str, object]) -> None:
    with pytest.raises((TypeError, ValueError, KeyError)):
        from_plain(Sample, plain)
