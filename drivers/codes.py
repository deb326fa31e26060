"""Response-code tables: what a result code means, in words, for the outcome, and what to do about it.

The tables are TOML files under config/codes/. A driver names its own (`Driver.codes`); a profile may bring codes of
its own over it; and the file of the same name in the site's folder (/etc/tillwatch/codes, or where TILLWATCH_CODES
points) has the last word, code by code and key by key, so that a site corrects a text without repeating the rest:

    ["6C"]
    class = "cancelled"          # approved | declined | cancelled | reversed | not_executed | unknown
    en = "Cancelled at the terminal"
    zh-CN = "已在终端取消"
    advice.en = "…"              # what the cashier should do; both languages or none
    advice.zh-CN = "…"
    technician.en = "…"          # what a technician should look at; both languages or none
    technician.zh-CN = "…"
"""

from __future__ import annotations

import os
import re
import sys
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cache
from pathlib import Path

from drivers.observations import Outcome

LANGUAGES = ("en", "zh-CN")
SITE_FOLDER = "/etc/tillwatch/codes"
_TEXTS = ("advice", "technician")
_KEYS = ("class", *LANGUAGES, *_TEXTS)

Rows = Mapping[str, object]


class CodesError(Exception):
    """A table can't be used. `key` names the text for people (codes.toml of the catalogues), `values` fill it in."""

    def __init__(self, key: str, where: str, /, **values: object) -> None:
        super().__init__(key, where, values)
        self.key = key
        self.values = {"where": where, **values}


@dataclass(frozen=True, slots=True)
class CodeMeaning:
    """What one response code means. Texts by language, `en` and `zh-CN`."""

    outcome: Outcome
    text: Mapping[str, str]
    advice: Mapping[str, str] = field(default_factory=dict)
    technician: Mapping[str, str] = field(default_factory=dict)


class CodeBook:
    """Several tables as one: of a code that stands in more than one, the later table's meaning counts."""

    def __init__(self, *tables: Mapping[str, CodeMeaning]) -> None:
        self._meanings = {code: meaning for table in tables for code, meaning in table.items()}

    @property
    def codes(self) -> Mapping[str, CodeMeaning]:
        """Every code with its meaning."""
        return self._meanings

    @property
    def doubt(self) -> frozenset[str]:
        """The codes that leave the outcome unknown."""
        return frozenset(code for code, meaning in self._meanings.items() if meaning.outcome is Outcome.UNKNOWN)

    def meaning(self, code: str | None) -> CodeMeaning | None:
        """What this code means, or None when nobody wrote it down."""
        return None if code is None else self._meanings.get(code)


def shared_file(*parts: str) -> Path:
    """A file of the project's config/ folder: in the source tree, or where the installation put it."""
    beside = Path(__file__).parent.parent.joinpath("config", *parts)
    return beside if beside.exists() else Path(sys.prefix, "share", "tillwatch", *parts)


def site_folder() -> Path:
    """Where a site keeps its own tables."""
    return Path(os.environ.get("TILLWATCH_CODES") or SITE_FOLDER)


def book(name: str, own: Mapping[str, CodeMeaning] | None = None, protocol: str | None = None) -> CodeBook:
    """The shipped table `name`, over it a profile's own codes, over all the site's files NAME.toml and PROTOCOL.toml.

    Raises CodesError when a file of the site's is broken.
    """
    codes = CodeBook(table(name), own or {})
    for site in dict.fromkeys((name, protocol or name)):
        path = site_folder() / f"{site}.toml"
        if path.is_file():
            codes = CodeBook(codes.codes, read_rows(_loaded(path), path, codes.codes))
    return codes


@cache
def table(name: str) -> Mapping[str, CodeMeaning]:
    """A shipped table, without the site's changes; empty when there is none."""
    path = shared_file("codes", f"{name}.toml")
    return read_rows(_loaded(path), path) if path.is_file() else {}


@cache
def _kept_book(name: str) -> CodeBook:
    try:
        return book(name)
    except CodesError:  # told by `check`, `run` and whoever shows a meaning; a decoder never raises
        return CodeBook(table(name))


def meaning(name: str, code: str | None) -> CodeMeaning | None:
    """What a code of that table means here, the site's changes counted; None when nobody knows. Never raises."""
    return _kept_book(name).meaning(code)


def check_site(known: Iterable[str]) -> list[Path]:
    """Read every table in the site's folder; returns them. `known`: the names that mean something here.

    Raises CodesError at the first one that can't be used, or whose name nobody asks for.
    """
    names = list(known)
    paths = sorted(site_folder().glob("*.toml"))
    for path in paths:
        if path.stem not in names:
            raise CodesError("no_such_table", str(path), nearest=_nearest(path.stem, names))
        read_rows(_loaded(path), path, table(path.stem))
    return paths


def read_rows(rows: Rows, path: Path | str, below: Mapping[str, CodeMeaning] | None = None) -> dict[str, CodeMeaning]:
    """The meanings in a table as TOML gives it; what a row leaves out is taken from `below`.

    `path` names the file in errors. Raises CodesError with file and line.
    """
    return {code: _meaning(code, row, path, (below or {}).get(code)) for code, row in rows.items()}


def _loaded(path: Path) -> Rows:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        found = re.search(r"(.*) \(at line (\d+)", str(error))
        where = f"{path}:{found[2]}" if found else str(path)
        raise CodesError("bad_toml", where, problem=found[1] if found else str(error)) from None
    except UnicodeDecodeError:
        raise CodesError("not_utf8", str(path)) from None
    except OSError as error:
        raise CodesError("unreadable", str(path), problem=error.strerror) from None


def _meaning(code: str, row: object, path: Path | str, below: CodeMeaning | None) -> CodeMeaning:
    if not isinstance(row, Mapping):
        raise CodesError("no_row", _where(path, code), code=code)
    if unknown := [key for key in row if key not in _KEYS]:
        raise CodesError("unknown_key", _where(path, code, unknown[0]), key=unknown[0], nearest=_nearest(unknown[0]))
    text = dict(below.text) if below else {}
    for language in LANGUAGES:
        said = row.get(language, text.get(language))
        if not isinstance(said, str) or not said.strip():
            raise CodesError("no_text", _where(path, code, language), code=code, language=language)
        text[language] = said
    said = row.get("class", below.outcome if below else None)
    if said not in list(Outcome):
        raise CodesError("bad_class", _where(path, code, "class"), code=code, found=said, known=", ".join(Outcome))
    advice, technician = (_texts(code, row, name, path, getattr(below, name, {})) for name in _TEXTS)
    return CodeMeaning(Outcome(str(said)), text, advice, technician)


def _texts(
    code: str, row: Mapping[str, object], name: str, path: Path | str, below: Mapping[str, str]
) -> Mapping[str, str]:
    given = row.get(name, {})
    texts = {**below, **given} if isinstance(given, Mapping) else {}
    whole = set(texts) == set(LANGUAGES) and all(isinstance(text, str) and text.strip() for text in texts.values())
    if name in row and not whole:
        raise CodesError("half_texts", _where(path, code, name), code=code, key=name)
    return {language: str(text) for language, text in texts.items()}


def _nearest(found: str, known: Iterable[str] = _KEYS) -> str:
    return next(iter(get_close_matches(found, list(known), n=1, cutoff=0.0)), "-")


def _where(path: Path | str, code: str, key: str | None = None) -> str:
    """`FILE:LINE` of a code's key, else of the code, as far as the file tells."""
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return str(path)
    header = re.compile(rf"\s*\[\s*[\"']?{re.escape(code)}[\"']?\s*\]")
    begin = next((number for number, line in enumerate(lines) if header.match(line)), None)
    if begin is None:
        bare = re.compile(rf"\s*[\"']?{re.escape(code)}[\"']?\s*[.=]")
        return f"{path}:{next((number for number, line in enumerate(lines, 1) if bare.match(line)), 1)}"
    if key is not None:
        for number, line in enumerate(lines[begin + 1 :], begin + 2):
            if line.lstrip().startswith("["):
                break
            if re.match(rf"\s*[\"']?{re.escape(key)}[\"']?\s*[.=]", line):
                return f"{path}:{number}"
    return f"{path}:{begin + 1}"
