"""Reads a profile from TOML. Every mistake is told with its line; a profile with one is not used at all."""

from __future__ import annotations

import re
import tomllib
from functools import cache
from pathlib import Path
from types import MappingProxyType

from drivers.codes import CodeMeaning, shared_file
from drivers.driver import LineDefaults
from drivers.observations import Kind, Outcome
from drivers.profiles.errors import Mistake, ProfileError
from drivers.profiles.load_framing import framing
from drivers.profiles.load_messages import layouts, messages, question
from drivers.profiles.positions import places
from drivers.profiles.reader import Notes, Table
from drivers.profiles.schema import Confidence, Fact, LayoutKind, Profile, Proves, Role, Transaction

LANGUAGES = ("en", "zh-CN")
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")
_SYNTAX = re.compile(r"(.*) \(at (?:line (\d+), column (\d+)|end of document)\)")
_SMALLEST_BAUD, _LARGEST_BAUD = 300, 4_000_000
_ADMIN = "query"  # the value of a kind that opens no transaction


def load(path: Path) -> Profile:
    """The profile in a file; its name is the file's. Raises ProfileError, OSError."""
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ProfileError(path, [Mistake(1, "file", "not_utf8", {"byte": str(error.start)})]) from error
    return parse(text, path)


@cache
def loaded(path: Path) -> Profile:
    """The same, read once."""
    return load(path)


def parse(text: str, path: Path) -> Profile:
    """The profile in a text; `path` names it in mistakes. Raises ProfileError."""
    try:
        values = tomllib.loads(text)
        notes = Notes(places(text))
    except tomllib.TOMLDecodeError as error:
        raise ProfileError(path, [_syntax(text, str(error))]) from error
    except RecursionError as error:
        raise ProfileError(path, [Mistake(1, "file", "not_toml", {"detail": "nested too deep"})]) from error
    if not _NAME.fullmatch(path.stem):
        notes.add((), "bad_name", found=path.stem)
    profile = _profile(path, Table(values, (), notes))
    if notes.mistakes:
        raise ProfileError(path, notes.mistakes)
    return profile


def _syntax(text: str, said: str) -> Mistake:
    found = _SYNTAX.fullmatch(said)
    line = int(found[2]) if found and found[2] else text.count("\n") + 1
    return Mistake(line, "file", "not_toml", {"detail": found[1] if found else said})


def _profile(path: Path, top: Table) -> Profile:
    head = top.table("profile", needed=True)
    timing = top.table("timing")
    laid = layouts(top.table("layouts", needed=True))
    shape = framing(top.table("framing", needed=True))
    said = messages(top, laid, shape)
    code_table = top.table("codes")
    profile = Profile(
        path=path,
        title=head.text("title", needed=True),
        provenance=head.text("provenance", needed=True),
        confidence=head.choice("confidence", Confidence) or Confidence.LOW,
        unproven=head.text("unproven"),
        currency=head.text("currency") or None,
        opaque=head.flag("opaque"),
        line=_line(top.table("line")),
        answer_timeout_s=timing.seconds("answer_timeout", 120.0),
        delivery_timeout_s=timing.seconds("delivery_timeout", 3.0),
        byte_gap_s=timing.seconds("byte_gap", 1.0),
        framing=shape,
        layouts=laid,
        messages=said,
        kinds=_kinds(top.table("kinds")),
        statuses=_outcomes(top, "statuses"),
        results=_outcomes(top, "results"),
        codes_from=code_table.name("from", _code_tables()) or None,
        codes_default=code_table.choice("default", Outcome, Outcome.UNKNOWN) or Outcome.UNKNOWN,
        codes=_codes(code_table),
        question=question(top, said),
        simulated=MappingProxyType(top.strings("simulated")),
    )
    for part in (head, timing, top):
        part.end()
    _whole(profile, top)
    return profile


def _line(line: Table) -> LineDefaults:
    usual = LineDefaults()
    parity = line.text("parity", usual.parity)
    if parity not in ("N", "E", "O"):
        line.wrong("parity", "unknown_value", found=parity, nearest="N", known="N, E, O")
    read = LineDefaults(
        baudrate=line.whole("baudrate", usual.baudrate, _SMALLEST_BAUD, _LARGEST_BAUD),
        bytesize=line.whole("bytesize", usual.bytesize, 7, 8),
        parity=parity,
        stopbits=line.whole("stopbits", usual.stopbits, 1, 2),
    )
    line.end()
    return read


def _kinds(table: Table) -> MappingProxyType[str, Transaction]:
    """`"45" = "purchase"`, or `"04" = { kind = "query", name = "reprint", proves = "code" }`."""
    known = [*(str(kind) for kind in Kind), _ADMIN]
    found = {}
    for code in table.keys:
        plain = table.holds_text(code)
        entry = Table({"kind": table.text(code)}, table.place, table.notes) if plain else table.table(code)
        if plain and table.text(code) not in known:
            table.name(code, known)
            continue
        kind = entry.name("kind", known, needed=True)
        name = entry.text("name") or kind
        proves = entry.choice("proves", Proves, Proves.NOTHING) or Proves.NOTHING
        if kind and kind != _ADMIN and "proves" in entry:
            entry.wrong("proves", "only_of_a_query")
        entry.end()
        found[code] = Transaction(
            code=code, name=name, kind=Kind(kind) if kind and kind != _ADMIN else None, proves=proves
        )
    return MappingProxyType(found)


def _outcomes(top: Table, key: str) -> MappingProxyType[str, Outcome]:
    table = top.table(key)
    found = {code: table.choice(code, Outcome) or Outcome.UNKNOWN for code in table.keys}
    return MappingProxyType(found)


def _code_tables() -> list[str]:
    return sorted(path.stem for path in shared_file("codes").glob("*.toml"))


def _codes(table: Table) -> MappingProxyType[str, CodeMeaning]:
    found = {}
    for code in table.keys:
        if code in ("from", "default"):
            continue
        entry = table.table(code)
        found[code] = CodeMeaning(
            outcome=entry.choice("class", Outcome) or Outcome.UNKNOWN,
            text={language: entry.text(language, needed=True) for language in LANGUAGES},
            advice=_in_languages(entry, "advice"),
            technician=_in_languages(entry, "technician"),
        )
        entry.end()
    return MappingProxyType(found)


def _in_languages(entry: Table, key: str) -> dict[str, str]:
    if key not in entry:
        return {}
    texts = entry.table(key)
    read = {language: texts.text(language, needed=True) for language in LANGUAGES}
    texts.end()
    return read


def _whole(profile: Profile, top: Table) -> None:
    """What no single key shows: whether the profile can do what a profile is for."""
    if not any(message.role is Role.ANSWER for message in profile.messages):
        top.notes.add(("messages",), "no_answer")
    if not any(message.role in (Role.REQUEST, Role.QUERY) for message in profile.messages):
        top.notes.add(("messages",), "no_request")
    facts = {field.fact for layout in profile.layouts.values() for field in layout.fields}
    judged = bool(facts & {Fact.RESPONSE_CODE, Fact.STATUS, Fact.RESULT})
    judged = judged or any(message.outcome for message in profile.messages) or profile.opaque
    if not judged and all(layout.kind is not LayoutKind.OPAQUE for layout in profile.layouts.values()):
        top.notes.add(("layouts",), "no_outcome")
    for fact, key in ((Fact.KIND, "kinds"), (Fact.STATUS, "statuses"), (Fact.RESULT, "results")):
        if fact in facts and not getattr(profile, key):
            top.notes.add((key,), "table_missing", fact=fact)
    if Fact.RESPONSE_CODE in facts and not profile.codes and not profile.codes_from:
        top.notes.add(("codes",), "table_missing", fact=Fact.RESPONSE_CODE)
