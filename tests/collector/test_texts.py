"""The collector's catalogues: both languages say the same things, and every text that pages ask for exists."""

from __future__ import annotations

import re
import string
import tomllib
from pathlib import Path

import pytest

from collector.texts import LANGUAGES, Texts, choose_language

ROOT = Path(__file__).parents[2] / "collector"
LOCALE = ROOT / "locale"
AREAS = sorted({path.stem for language in LANGUAGES for path in (LOCALE / language).glob("*.toml")})
#: keys that are put together: the first part stands in the code, the second in the data
BUILT = ("nav_", "state_", "means_", "warning_", "step_", "cases_", "case_means_", "history_", "metric_", "unit_",
         "problem_", "key_", "hours_", "proved_",
         "link_reason_", "refusal_why_")  # fmt: skip


def catalogue(language: str, area: str) -> dict[str, str]:
    path = LOCALE / language / f"{area}.toml"
    assert path.exists(), f"{path} is missing"
    return tomllib.loads(path.read_text(encoding="utf-8"))


def placeholders(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}


@pytest.mark.parametrize("area", AREAS)
def test_both_languages_say_the_same_things_with_the_same_values(area: str) -> None:
    english, chinese = catalogue("en", area), catalogue("zh-CN", area)
    assert english.keys() == chinese.keys()
    assert [key for key in english if placeholders(english[key]) != placeholders(chinese[key])] == []
    empty = [key for key in english if not english[key].strip() or not chinese[key].strip()]
    assert empty in ([], ["between"]), "what stands between two sentences is a space, or nothing"


def asked() -> set[str]:
    code = [*(ROOT / "web" / "pages").glob("*.py"), *(ROOT / "web" / "templates").rglob("*.html")]
    return {key for path in code for key in re.findall(r"[\"']page\.(\w+)[\"']", path.read_text(encoding="utf-8"))}


def test_every_text_that_pages_ask_for_exists() -> None:
    known = catalogue("en", "page").keys()
    assert {key for key in asked() if not key.endswith("_")} - known == set()


def test_every_text_of_the_pages_is_asked_for() -> None:
    code = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "web").rglob("*.html")) + "".join(
        path.read_text(encoding="utf-8") for path in (ROOT / "web").rglob("*.py")
    )
    unused = [key for key in catalogue("en", "page") if f"page.{key}" not in code and not key.startswith(BUILT)]
    assert unused == []


def test_what_the_collector_does_not_say_the_agent_says() -> None:
    assert Texts("zh-CN").say("history.outcome_approved") == "成功"
    assert Texts("en").has("history.outcome_approved")
    assert Texts("en").say("page.no_such_text") == "page.no_such_text"
    assert not Texts("en").has("page.no_such_text")


@pytest.mark.parametrize(
    ("header", "language"),
    [
        (None, "en"), ("", "en"), ("zh-CN,zh;q=0.9,en;q=0.8", "zh-CN"), ("zh-TW", "zh-CN"), ("en-GB,zh;q=0.5", "en"),
        ("de-DE,de;q=0.9,zh;q=0.3,en;q=0.4", "en"), ("fr", "en"), ("en;q=0,zh;q=0.1", "zh-CN"), ("zh;q=x", "en"),
    ],
)  # fmt: skip
def test_a_browser_says_which_language_it_wants(header: str | None, language: str) -> None:
    assert choose_language(header) == language
