"""The result of one step of a diagnosis."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from agent.checks import Check
from agent.phrase import Phrase
from agent.texts import Texts


class Level(StrEnum):
    """ok: as it should be. warn: a risk. fail: this is wrong. skip: it can't be found out here and now."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"
    SKIP = "skip"


@dataclass(frozen=True, slots=True)
class Step:
    """What was found. `what` is the evidence; what to do is the catalogue's text `<key>_mend`, with the same values."""

    name: str  # "answer"; its title is the text diag.title_<name>
    level: Level
    what: Phrase

    @classmethod
    def ok(cls, name: str, key: str, **values: object) -> Step:
        """As it should be."""
        return cls(name, Level.OK, Phrase(key, values))

    @classmethod
    def warn(cls, name: str, key: str, **values: object) -> Step:
        """A risk."""
        return cls(name, Level.WARN, Phrase(key, values))

    @classmethod
    def fail(cls, name: str, key: str, **values: object) -> Step:
        """This is wrong."""
        return cls(name, Level.FAIL, Phrase(key, values))

    @classmethod
    def skip(cls, name: str, key: str, **values: object) -> Step:
        """It can't be found out here and now."""
        return cls(name, Level.SKIP, Phrase(key, values))

    @classmethod
    def of(cls, name: str, check: Check) -> Step:
        """A check of `tillwatch check` as a step."""
        return cls(name, Level(str(check.state)), check.what)

    @property
    def finding(self) -> str:
        """What was found, in one word for programs: wrong_speed, device_closed …"""
        return self.what.key.partition(".")[2]

    def title(self, texts: Texts) -> str:
        """What was looked at, for people."""
        return texts.say(f"diag.title_{self.name}")

    def mend(self, texts: Texts) -> str | None:
        """What to do about it, or None."""
        key = f"{self.what.key}_mend"
        return Phrase(key, self.what.values).say(texts) if texts.has(key) else None

    def as_data(self, texts: Texts) -> dict[str, Any]:
        """For programs; `values` hold the figures behind the text."""
        return {
            "step": self.name,
            "level": str(self.level),
            "finding": self.finding,
            "title": self.title(texts),
            "text": self.what.say(texts),
            "mend": self.mend(texts),
            "values": {name: _plain(value, texts) for name, value in self.what.values.items()},
        }


def frozen(step: Step) -> dict[str, Any]:
    """The step in no language, as JSON can hold it."""
    return {"name": step.name, "level": str(step.level), "what": _kept(step.what)}


def thawed(data: Mapping[str, Any]) -> Step:
    """The step that `frozen` wrote. Raises KeyError, ValueError or TypeError."""
    return Step(str(data["name"]), Level(data["level"]), _phrase(data["what"]))


def _kept(phrase: Phrase) -> dict[str, Any]:
    values = {
        name: _kept(value)
        if isinstance(value, Phrase)
        else value
        if isinstance(value, int | float | str | None)
        else str(value)
        for name, value in phrase.values.items()
    }
    return {"key": phrase.key, "values": values}


def _phrase(data: Mapping[str, Any]) -> Phrase:
    values = {name: _phrase(value) if isinstance(value, dict) else value for name, value in data["values"].items()}
    return Phrase(str(data["key"]), values)


def _plain(value: object, texts: Texts) -> object:
    if isinstance(value, Phrase):
        return value.say(texts)
    return value if isinstance(value, bool | int | float | str | None) else str(value)
