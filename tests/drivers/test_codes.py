"""The response-code tables under config/codes: complete, in both languages, and readable where they are installed."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from drivers import codes
from drivers.observations import Outcome

FILES = sorted((Path(__file__).parents[2] / "config" / "codes").glob("*.toml"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_each_code_has_a_class_and_both_texts(path: Path) -> None:
    table = codes.table(path.stem)
    assert table
    for code, meaning in table.items():
        assert meaning.text["en"], code
        assert meaning.text["zh-CN"], code
        assert set(meaning.advice) in (set(), {"en", "zh-CN"}), code


def test_a_code_says_what_it_means_for_the_outcome() -> None:
    meaning = codes.meaning("concert", "7")
    assert meaning is not None
    assert meaning.outcome is Outcome.DECLINED
    assert meaning.text["zh-CN"] == "交易被拒绝"


@pytest.mark.parametrize(("protocol", "code"), [("concert", "5"), ("concert", None), ("nosuch", "0")])
def test_what_nobody_wrote_down_means_nothing(protocol: str, code: str | None) -> None:
    assert codes.meaning(protocol, code) is None


def test_an_installation_keeps_the_files_under_its_prefix() -> None:
    assert codes.shared_file("codes", "nosuch.toml") == Path(sys.prefix, "share", "tillwatch", "codes", "nosuch.toml")
