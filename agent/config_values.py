"""The kinds of values a configuration holds: what each accepts, how it reads from TOML and from the environment.

A kind never looks at other keys; rules between keys are in config_rules.py. A refusal names what is accepted.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol
from urllib.parse import urlsplit

from agent.phrase import Phrase, phrase
from drivers.links.usb_address import parse as parse_usb

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION = re.compile(r"(\d{1,9}(?:\.\d{1,6})?)(ms|s|m|h|d)")
_LONGEST_S = 3650 * 86400.0
_WORD = re.compile(r"[A-Za-z0-9_-]{1,64}")
_SHOWN = 60


class RefusedError(Exception):
    """A value can't be used; `why` says what is accepted instead."""

    def __init__(self, why: Phrase) -> None:
        super().__init__(why.key)
        self.why = why


class Kind(Protocol):
    """A type of value."""

    @property
    def accepts(self) -> Phrase:
        """What is accepted, for messages and for the documentation."""
        ...

    def read(self, value: object) -> object:
        """The value as the program uses it. Raises RefusedError."""
        ...

    def from_text(self, text: str) -> object:
        """The text of an environment variable as TOML would have given it."""
        ...


@dataclass(frozen=True, slots=True)
class Address:
    """Where a port is: `serial:PATH`, `pty:LINK`, `tcp:HOST:PORT`, `usb:VVVV:PPPP…`, `file:PATH` or `none`."""

    scheme: Literal["serial", "usb", "tcp", "pty", "file", "none"]
    text: str
    path: Path | None = None
    host: str | None = None
    port: int | None = None

    @property
    def identity(self) -> str:
        """The same for two addresses of one port: a stable name and the tty behind it are one device."""
        if self.path is None:
            return self.text.lower()
        # A pty's link points to another tty each time the bridge runs: only its own name counts.
        return os.path.realpath(self.path) if self.scheme == "serial" else os.path.normpath(self.path)

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class BrokerUrl:
    """An MQTT broker's address, taken apart."""

    url: str
    host: str
    port: int
    tls: bool


def shown(value: object) -> str:
    """A found value for a message: one line, bounded, printable whatever it holds."""
    text = ascii(value) if isinstance(value, str) and not value.isprintable() else repr(value)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"


class _Text:
    """Base of the kinds that are strings in TOML."""

    __slots__ = ()

    def from_text(self, text: str) -> object:
        return text

    @staticmethod
    def string(value: object) -> str:
        if not isinstance(value, str):
            raise RefusedError(phrase("config.not_text", found=shown(value)))
        if not value or not value.isprintable():
            raise RefusedError(phrase("config.not_printable", found=shown(value)))
        return value

    def refused(self, value: object) -> RefusedError:
        return RefusedError(phrase("config.not_accepted", found=shown(value), accepted=self.accepts))

    @property
    def accepts(self) -> Phrase:
        return phrase("config.accepts_text")


@dataclass(frozen=True, slots=True)
class Text(_Text):
    """Any printable text, or one that fits a pattern. `what` names the text that describes it."""

    pattern: re.Pattern[str] | None = None
    what: str = "config.accepts_text"

    @property
    def accepts(self) -> Phrase:
        """What is accepted."""
        return phrase(self.what)

    def read(self, value: object) -> str:
        """The text itself."""
        text = self.string(value)
        if self.pattern and not self.pattern.fullmatch(text):
            raise self.refused(text)
        return text


WORD = Text(_WORD, "config.accepts_word")
CURRENCY = Text(re.compile(r"[A-Z]{3}"), "config.accepts_currency")


@dataclass(frozen=True, slots=True)
class Choice(_Text):
    """One of a few words. `options` may be a function where they are only known at run time."""

    options: tuple[str, ...] | Callable[[], tuple[str, ...]]
    known: Callable[[str], bool] | None = None  # a cheaper question than listing them all

    @property
    def names(self) -> tuple[str, ...]:
        """The words."""
        return self.options() if callable(self.options) else self.options

    @property
    def accepts(self) -> Phrase:
        """What is accepted."""
        return phrase("config.accepts_choice", options=", ".join(self.names))

    def read(self, value: object) -> str:
        """The word itself."""
        text = self.string(value)
        if self.known(text) if self.known else text in self.names:
            return text
        near = nearest(text, self.names)
        if near is None:
            raise self.refused(text)
        raise RefusedError(phrase("config.no_choice", found=shown(text), nearest=near, accepted=self.accepts))


@dataclass(frozen=True, slots=True)
class Number:
    """A whole number within bounds, or one of the given words instead."""

    least: int
    most: int
    words: tuple[str, ...] = ()

    @property
    def accepts(self) -> Phrase:
        """What is accepted."""
        if self.words:
            return phrase(
                "config.accepts_number_or",
                least=self.least,
                most=self.most,
                words=", ".join(f'"{w}"' for w in self.words),
            )
        return phrase("config.accepts_number", least=self.least, most=self.most)

    def read(self, value: object) -> int | str:
        """The number, or the word."""
        if isinstance(value, str) and value in self.words:
            return value
        if isinstance(value, bool) or not isinstance(value, int) or not self.least <= value <= self.most:
            raise RefusedError(phrase("config.not_accepted", found=shown(value), accepted=self.accepts))
        return value

    def from_text(self, text: str) -> object:
        """Digits are a number; anything else stays what it is, to be refused by name."""
        return int(text) if re.fullmatch(r"-?[0-9]{1,18}", text) else text


@dataclass(frozen=True, slots=True)
class Duration(_Text):
    """A time span such as 500ms, 5s, 15m, 24h, 2d; seconds in the program."""

    @property
    def accepts(self) -> Phrase:
        """What is accepted."""
        return phrase("config.accepts_duration")

    def read(self, value: object) -> float:
        """Seconds."""
        found = _DURATION.fullmatch(value) if isinstance(value, str) else None
        if found is None:
            raise self.refused(value)
        seconds = float(found[1]) * _UNITS[found[2]]
        if not 0 < seconds <= _LONGEST_S:
            raise self.refused(value)
        return seconds


@dataclass(frozen=True, slots=True)
class FilePath(_Text):
    """An absolute path. `readable`: the file must be there; `secret`: and nobody else may read it."""

    readable: bool = False
    secret: bool = False

    @property
    def accepts(self) -> Phrase:
        """What is accepted."""
        if self.secret:
            return phrase("config.accepts_secret")
        return phrase("config.accepts_file" if self.readable else "config.accepts_path")

    def read(self, value: object) -> Path:
        """The path; whether the file can be used is asked by `usable`."""
        text = self.string(value)
        if not text.startswith("/"):
            raise self.refused(text)
        return Path(text)

    def usable(self, path: Path) -> Phrase | None:
        """Why the file can't be used, or None."""
        if not self.readable:
            return None
        try:
            mode = path.stat().st_mode
        except OSError as error:
            return phrase("config.file_missing", path=path, reason=error.strerror or str(error))
        if not stat.S_ISREG(mode):
            return phrase("config.file_no_file", path=path)
        if self.secret and mode & stat.S_IROTH:
            return phrase("config.file_open_to_all", path=path)
        if not os.access(path, os.R_OK):
            return phrase("config.file_unreadable", path=path)
        return None


@dataclass(frozen=True, slots=True)
class PortAddress(_Text):
    """The address of a device or of a cashier's port; `schemes` are those that fit here."""

    schemes: tuple[str, ...]

    @property
    def accepts(self) -> Phrase:
        """What is accepted."""
        forms = {
            "serial": "serial:/dev/…",
            "usb": "usb:VVVV:PPPP[:SERIAL][@PLACE]",
            "tcp": "tcp:HOST:PORT",
            "pty": "pty:/run/…",
            "file": "file:/folder/NAME",
            "none": "none",
        }
        return phrase("config.accepts_address", forms=" | ".join(forms[scheme] for scheme in self.schemes))

    def read(self, value: object) -> Address:
        """The address, taken apart."""
        text = self.string(value)
        scheme, _, rest = text.partition(":")
        if scheme not in self.schemes:
            raise self.refused(text)
        if scheme == "usb" and (device := parse_usb(rest)):
            return Address("usb", str(device))
        if scheme == "tcp" and (place := _host_and_port(rest)):
            return Address("tcp", text, host=place[0], port=place[1])
        if scheme == "serial" and rest.startswith("/") and len(rest) > 1:
            return Address("serial", text, path=Path(rest))
        if scheme == "file" and rest.startswith("/") and not rest.endswith("/") and "*" not in os.path.dirname(rest):
            return Address("file", text, path=Path(rest))
        if scheme == "pty" and rest.startswith("/") and len(rest) > 1:
            return Address("pty", text, path=Path(rest))
        if text == "none":
            return Address("none", text)
        raise self.refused(text)


@dataclass(frozen=True, slots=True)
class Url(_Text):
    """The address of an MQTT broker."""

    @property
    def accepts(self) -> Phrase:
        """What is accepted."""
        return phrase("config.accepts_url")

    def read(self, value: object) -> BrokerUrl:
        """The address, taken apart."""
        text = self.string(value)
        try:
            parts = urlsplit(text)
            host, port = parts.hostname, parts.port
        except ValueError:
            raise self.refused(text) from None
        if "@" in text:
            # Said without the address: it may hold a password.
            raise RefusedError(phrase("config.url_with_user"))
        if parts.scheme not in ("mqtt", "mqtts") or not host or port == 0 or not _can_be_asked_for(host):
            raise self.refused(text)
        if parts.path not in ("", "/") or parts.query or parts.fragment:
            raise self.refused(text)
        tls = parts.scheme == "mqtts"
        return BrokerUrl(text, host, port or (8883 if tls else 1883), tls)


def nearest(name: str, names: tuple[str, ...], cutoff: float = 0.0) -> str | None:
    """The most similar of the names, or None where none is similar enough."""
    from difflib import get_close_matches  # only wanted when something is wrong

    return next(iter(get_close_matches(name[:_SHOWN], names, n=1, cutoff=cutoff)), None)


def _host_and_port(text: str) -> tuple[str, int] | None:
    found = re.fullmatch(r"(?:\[([0-9A-Fa-f:.]+)\]|([\w.-]+)):([0-9]{1,5})", text)
    if not found or not 0 < int(found[3]) < 65536:
        return None
    host = found[1] or found[2]
    return (host, int(found[3])) if _can_be_asked_for(host) else None


def _can_be_asked_for(host: str) -> bool:
    """Whether a name service can be asked for the host: parts of 1 to 63 characters (RFC 1035, 2.3.4)."""
    if not host.isascii():
        try:
            host = host.encode("idna").decode("ascii")
        except UnicodeError:
            return False
    return all(0 < len(part) < 64 for part in host.removesuffix(".").split("."))
