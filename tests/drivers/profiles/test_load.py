"""A profile with a mistake is not used, and the mistake is told by its line, with what would be right."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.profiles import mistake_text
from agent.texts import LANGUAGES, Texts
from drivers import registry
from drivers.observations import Kind, Outcome
from drivers.profiles.errors import Mistake, ProfileError
from drivers.profiles.load import load, parse
from drivers.profiles.positions import places
from drivers.profiles.schema import Proves
from tests.drivers.profiles.sample import changed, line_of, sample, tutorial

PATH = Path("acme.toml")


def mistakes_in(text: str, path: Path = PATH) -> list[Mistake]:
    try:
        parse(text, path)
    except ProfileError as error:
        return list(error.mistakes)
    return []


def test_the_tutorial_s_profile_is_read() -> None:
    profile = sample()
    assert profile.name == "acme"
    assert profile.answer_timeout_s == 90.0
    assert profile.kinds["00"].kind is Kind.PURCHASE
    assert (profile.kinds["07"].kind, profile.kinds["07"].proves) == (None, Proves.CODE)
    assert profile.codes["98"].outcome is Outcome.UNKNOWN
    assert profile.codes_default is Outcome.UNKNOWN


@pytest.mark.parametrize("name", sorted(registry.profiles()))
def test_every_shipped_profile_says_where_it_comes_from(name: str) -> None:
    profile = load(registry.profiles()[name])
    assert profile.provenance
    assert profile.unproven, "no profile here was tried with every terminal"
    assert len(profile.title) <= 80


#: (text of the tutorial's profile, what it becomes, the mistake, the key that is named); the line is that of the change
MISTAKES = [
    ('title = "ACME', 'titel = "ACME', "unknown_key", "profile.titel"),
    ("acknowledged = true", "acknowledged = 1", "wrong_type", "framing.acknowledged"),
    ("answer_timeout = 90.0", "answer_timeout = 0", "out_of_range", "timing.answer_timeout"),
    ("size = 12, fact", "size = 0, fact", "out_of_range", "layouts.request.fields[2].size"),
    ('bytes = "02"', 'bytes = "0"', "bad_hex", "framing.parts[1].bytes"),
    ('check = "xor"', 'check = "xro"', "unknown_value", "framing.parts[5].check"),
    ('fact = "amount"', 'fact = "amuont"', "unknown_value", "layouts.request.fields[2].fact"),
    ('layout = "request"', 'layout = "reqest"', "unknown_value", "messages[1].layout"),
    ('"00" = "purchase"', '"00" = "purchas"', "unknown_value", "kinds.00"),
    ('"00" = "purchase"', '"00" = { kind = "purchase", proves = "code" }', "only_of_a_query", "kinds.00.proves"),
    ('"00" = "purchase"', '"00" = 7', "wrong_type", "kinds.00"),
    ('class = "declined"', 'class = "refused"', "unknown_value", "codes.51.class"),
    ('en = "Insufficient funds"', "", "missing", "codes.51.en"),
    ('advice.zh-CN = "请勿重复收款，正在向终端查询结果。"', "", "missing", "codes.98.advice.zh-CN"),
    ('  { name = "etx", bytes = "03" },', '  { name = "stx", bytes = "03" },', "twice", "framing.parts[4]"),
    ("  { payload = true },", "", "one_payload", "framing.parts"),
    ('from = "length", to = "etx"', 'from = "etx", to = "length"', "check_range", "framing.parts[5].to"),
    ('from = "length"', 'from = "lenght"', "unknown_value", "framing.parts[5].from"),
    ("{ payload = true }", '{ payload = true, bytes = "00" }', "which_part", "framing.parts[3]"),
    ('bytes = "03"', 'bytes = ""', "empty", "framing.parts[4].bytes"),
    ('ack = "06"', 'ack = "0606"', "one_byte", "framing.control.ack"),
    ('ack = "06"', 'ack = "02"', "begins_a_frame", "framing.control.ack"),
    ('nak = "15"', 'nak = "06"', "twice", "framing.control.nak"),
    ("never = true", 'never = true, fact = "card"', "never_and_fact", "layouts.answer.fields[6].fact"),
    ('name = "amount", size', 'name = "type", size', "twice", "layouts.request.fields[2].name"),
    ('{ name = "type", size = 2, fact', '{ name = "type", size = 2, rest = true, fact', "rest_is_last", ""),
    ('sender = "cashier"', 'sender = "terminal"', "request_from_terminal", "messages[1].sender"),
    ('sender = "terminal"', 'sender = "cashier"', "answer_from_cashier", "messages[2].sender"),
    ('role = "answer"', 'role = "progress"', "no_answer", "messages"),
    ('role = "request"', 'role = "progress"', "no_request", "messages"),
    ('layout = "request"', 'layout = "request"\nmatch = { tipe = "00" }', "unknown_name", "messages[1].match.tipe"),
    ('layout = "request"', 'layout = "request"\nreply = "anser"', "unknown_name", "messages[1].reply"),
    ('name = "answer"', 'name = "request"', "twice", "messages[2].name"),
    ('proves = "code"\nbecause', 'proves = "nothing"\nbecause', "proves_nothing", "question.proves"),
    ('message = "request"', 'message = "reqest"', "unknown_value", "question.message"),
    ('message = "request"', 'message = "request"\npatience = 20', "patience_too_long", "question.patience"),
    ("[codes.00]", '[codes]\nfrom = "no such table"\n[codes.00]', "unknown_value", "codes.from"),
    ("[timing]", '[framing]\nstyle = "call"\n[timing]', "not_toml", "file"),
]


@pytest.mark.parametrize(("old", "new", "code", "where"), MISTAKES, ids=[f"{m[2]}-{n}" for n, m in enumerate(MISTAKES)])
def test_a_mistake_is_told_by_its_line(old: str, new: str, code: str, where: str) -> None:
    text = changed((old, new))
    found = [mistake for mistake in mistakes_in(text) if mistake.code == code]
    assert found, mistakes_in(text)
    mistake = found[0]
    if where:
        assert mistake.where == where
    if new and code not in ("no_answer", "no_request", "one_payload", "not_toml"):
        begin = line_of(tutorial(), old)
        assert begin <= mistake.line <= begin + new.count("\n")
    assert 1 <= mistake.line <= text.count("\n") + 1
    for language in LANGUAGES:
        said = mistake_text(mistake, Texts(language))
        assert mistake.where in said
        assert f"profile.{code}" not in said, "a text is missing"


def test_all_mistakes_are_told_at_once_in_the_order_of_the_file() -> None:
    text = changed(('title = "ACME', 'titel = "ACME'), ("acknowledged", "acknowledgd"), ('"purchase"', '"purchas"'))
    found = mistakes_in(text)
    assert [m.code for m in found] == ["missing", "unknown_key", "unknown_key", "unknown_value"]
    assert [m.line for m in found] == sorted(m.line for m in found)


def test_a_payload_must_have_an_end() -> None:
    text = changed(
        ('length = "ascii", size = 3', 'bytes = "30"'),
        ('  { name = "etx", bytes = "03" },\n', ""),
        ('"etx"', '"payload"'),
    )
    assert [(m.where, m.code) for m in mistakes_in(text)] == [("framing.parts", "no_end")]


def test_what_is_no_toml_is_told_by_its_line() -> None:
    text = changed(("acknowledged = true", "acknowledged = tru"))
    (found,) = mistakes_in(text)
    assert (found.code, found.line) == ("not_toml", line_of(text, "tru\n"))


def test_a_file_that_ends_too_soon() -> None:
    (found,) = mistakes_in('[profile]\ntitle = """begun')
    assert found.code == "not_toml"


def test_a_file_that_is_not_utf8(tmp_path: Path) -> None:
    path = tmp_path / "acme.toml"
    path.write_bytes(tutorial().replace("交易成功", "").encode() + "# 交易".encode("gbk"))
    with pytest.raises(ProfileError) as raised:
        load(path)
    assert [mistake.code for mistake in raised.value.mistakes] == ["not_utf8"]


@pytest.mark.parametrize("name", ["ACME", "a b", "-acme", "acme.v1", "终端"])
def test_a_name_must_be_fit_for_a_protocol(name: str) -> None:
    assert "bad_name" in [mistake.code for mistake in mistakes_in(tutorial(), Path(f"{name}.toml"))]


def test_a_table_that_a_fact_needs() -> None:
    text = (
        tutorial().partition("[kinds]")[0] + "[codes.00]" + tutorial().partition("[codes.00]")[2].partition("[ques")[0]
    )
    assert [(m.code, m.values) for m in mistakes_in(text)] == [("table_missing", {"fact": "kind"})]


def test_an_empty_file_is_told_what_it_lacks() -> None:
    where = {mistake.where for mistake in mistakes_in("")}
    assert {"profile", "framing", "layouts", "messages"} <= where


@given(lines=st.lists(st.sampled_from(tutorial().splitlines()), max_size=60))
@settings(max_examples=150, deadline=None)
def test_whatever_lines_a_file_is_made_of_it_is_read_or_refused(lines: list[str]) -> None:
    text = "\n".join(lines)
    count = len(lines) or 1
    assert all(1 <= mistake.line <= count for mistake in mistakes_in(text))


@given(
    old=st.sampled_from(['"02"', "3", '"ascii"', "true", '"request"', '"00"', "90.0"]),
    new=st.sampled_from(
        ["7", '"x"', "[]", "{}", "true", "1.5", "[1, 2]", '{ a = "b" }', "2026-01-05", "-1", '""', "[{ a = 1 }]"]
    ),
)
@settings(max_examples=100, deadline=None)
def test_a_value_of_any_type_is_read_or_refused(old: str, new: str) -> None:
    text = tutorial().replace(f" {old}", f" {new}")
    for mistake in mistakes_in(text):
        assert 1 <= mistake.line <= text.count("\n") + 1


def test_places_of_keys() -> None:
    head = '# one\na = 1\n[t]\nb = """\n[no]\n"""\n'
    text = head + '"c d".e = [\n  { x = 1 },  # ]\n  { y = "}" },\n]\n[[l]]\n[[l]]\nz = 1\n'
    found = places(text)
    assert found["a",] == 2
    assert found["t", "b"] == 4
    assert found["t", "c d", "e"] == 7
    assert found["t", "c d", "e", 0, "x"] == 8
    assert found["t", "c d", "e", 1, "y"] == 9
    assert (found["l", 0], found["l", 1], found["l", 1, "z"]) == (11, 12, 13)
