"""Every verdict has its words in both languages, and the catalogue has nothing that no code asks for."""

from __future__ import annotations

import re
import string
import tomllib
from pathlib import Path

import pytest

import collector.reconcile
from agent.texts import LANGUAGES
from collector.ledger.entries import EntryKind, Side, State
from collector.reconcile.groups import Key
from collector.reconcile.judge import RULES, Category
from collector.texts import Texts

CODE = "".join(path.read_text(encoding="utf-8") for path in Path(collector.reconcile.__file__).parent.glob("*.py"))
LOCALE = Path(collector.reconcile.__file__).parents[1] / "locale"
BUILT = (
    {f"why_{why}" for *_, why in RULES}
    | {f"why_{why}" for why in re.findall(r'"((?:void|refund|booked|charged|twice|amount)_[a-z_]+)"', CODE)}
    | {f"category_{category}" for category in Category}
    | {f"side_{side}" for side in Side}
    | {f"kind_{kind}" for kind in EntryKind}
    | {f"state_{state}" for state in State}
    | {f"status_{status}" for status in ("open", "in_transit", "settled")}
    | {f"how_{how}" for how in ("matched", "reversed", "gone", "person")}
)


def catalogue(language: str) -> dict[str, str]:
    return tomllib.loads((LOCALE / language / "reconcile.toml").read_text(encoding="utf-8"))


def test_both_languages_say_the_same_things() -> None:
    english, chinese = catalogue("en"), catalogue("zh-CN")
    assert english.keys() == chinese.keys()

    def holes(text: str) -> set[str]:
        return {name for _, name, _, _ in string.Formatter().parse(text) if name}

    assert [key for key in english if holes(english[key]) != holes(chinese[key])] == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_verdict_has_its_words(language: str) -> None:
    texts = Texts(language)
    silent = {f"reconcile.why_{why}" for *_, category, why in RULES if category is not Category.NOT_CHARGED}
    assert {key for key in silent if not texts.has(key)} == set()
    assert {
        f"reconcile.category_{category}" for category in Category if not texts.has(f"reconcile.category_{category}")
    } == set()


def test_every_text_is_asked_for() -> None:
    asked = {key for key in catalogue("en") if f"reconcile.{key}" in CODE or f'"{key}"' in CODE} | BUILT
    built = ("option_", "progress_", "field_", "mapping_", "file_", "bad_")
    unused = [key for key in catalogue("en") if key.removesuffix("_back") not in asked and not key.startswith(built)]
    assert unused == []


def test_the_weakest_key_is_named_in_order_of_trust() -> None:
    assert sorted(Key) == [
        Key.NONE, Key.REFERENCE, Key.TRACE, Key.CHANNEL_ORDER, Key.ORDER, Key.WEAK, Key.AMBIGUOUS
    ]  # fmt: skip
