"""The catalogues: both languages say the same things, and every text that the code asks for exists."""

from __future__ import annotations

import re
import string
import tomllib
from pathlib import Path

import pytest

from agent.phrase import phrase
from agent.texts import LANGUAGES, Texts, language_of_environment

ROOT = Path(__file__).parents[2]
LOCALE = ROOT / "agent" / "locale"
AREAS = sorted({path.stem for language in LANGUAGES for path in (LOCALE / language).glob("*.toml")})


def catalogue(language: str, area: str) -> dict[str, str]:
    path = LOCALE / language / f"{area}.toml"
    assert path.exists(), f"{path} is missing"
    return tomllib.loads(path.read_text(encoding="utf-8"))


def placeholders(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}


@pytest.mark.parametrize("area", AREAS)
def test_both_languages_have_the_same_keys(area: str) -> None:
    assert catalogue("en", area).keys() == catalogue("zh-CN", area).keys()


@pytest.mark.parametrize("area", AREAS)
def test_both_languages_fill_in_the_same_values(area: str) -> None:
    chinese = catalogue("zh-CN", area)
    different = [key for key, text in catalogue("en", area).items() if placeholders(text) != placeholders(chinese[key])]
    assert different == []


@pytest.mark.parametrize("area", AREAS)
@pytest.mark.parametrize("language", LANGUAGES)
def test_no_text_is_empty_or_anything_but_text(language: str, area: str) -> None:
    assert [
        key for key, text in catalogue(language, area).items() if not isinstance(text, str) or not text.strip()
    ] == []


@pytest.mark.parametrize("area", AREAS)
def test_chinese_texts_are_in_chinese(area: str) -> None:
    # Commands, names of formats and bare placeholders read the same in both.
    english = catalogue("en", area)
    same = [
        k
        for k, text in catalogue("zh-CN", area).items()
        if text == english[k] and re.search(r"[a-z]{3,} [a-z]+ [a-z]", text)
    ]
    commands = {"cli", "check"}
    assert area in commands or same == []


@pytest.mark.parametrize("area", ["config", "check", "devices"])
def test_every_text_that_the_code_asks_for_exists(area: str) -> None:
    asked = {
        key
        for folder in ("agent", "drivers")
        for path in (ROOT / folder).rglob("*.py")
        for key in re.findall(rf'"{area}\.(\w+)"', path.read_text(encoding="utf-8"))
        if key != "toml"  # a file's name
    }
    assert asked - catalogue("en", area).keys() == set()


@pytest.mark.parametrize("area", ["config", "check"])
def test_every_text_is_asked_for(area: str) -> None:
    code = "".join(
        path.read_text(encoding="utf-8") for folder in ("agent", "collector") for path in (ROOT / folder).rglob("*.py")
    )
    built = {"title_", "login_", "_mend"}  # keys put together from parts
    unused = [k for k in catalogue("en", area) if f"{area}.{k}" not in code and not any(part in k for part in built)]
    assert unused == []


def test_a_mend_belongs_to_a_text() -> None:
    texts = catalogue("en", "check")
    for key in texts:
        if key.endswith("_mend"):
            of = texts[key.removesuffix("_mend")]
            assert placeholders(texts[key]) - {"user", "group", "pid", "port"} <= placeholders(of), key


def test_a_key_that_nobody_wrote_comes_back_as_itself() -> None:
    assert Texts("en").say("config.no_such_text") == "config.no_such_text"
    assert Texts("en").say("no-area.at_all") == "no-area.at_all"


def test_a_phrase_says_the_phrases_inside_it_in_the_same_language() -> None:
    outer = phrase("config.not_accepted", found="x", accepted=phrase("config.accepts_path"))
    assert outer.say(Texts("en")) == "found x; accepted: an absolute path"
    assert outer.say(Texts("zh-CN")) == "实际为 x；可用值：绝对路径"


@pytest.mark.parametrize(
    ("environ", "language"),
    [
        ({"LANG": "zh_CN.UTF-8"}, "zh-CN"),
        ({"LANG": "de_DE.UTF-8"}, "en"),
        ({"LC_ALL": "C", "LANG": "zh_CN.UTF-8"}, "en"),
        ({"TILLWATCH_AGENT__LANGUAGE": "zh-CN", "LANG": "C"}, "zh-CN"),
        ({"TILLWATCH_AGENT__LANGUAGE": "fr"}, "en"),
        ({}, "en"),
    ],
)
def test_the_environment_says_the_language(
    monkeypatch: pytest.MonkeyPatch, environ: dict[str, str], language: str
) -> None:
    for name in ("TILLWATCH_AGENT__LANGUAGE", "LC_ALL", "LC_MESSAGES", "LANG"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    assert language_of_environment() == language
