"""The result of one check."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from agent.phrase import Phrase
from agent.texts import Texts


class State(StrEnum):
    """ok: nothing to do. warn: works, with a risk. fail: does not work."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Check:
    """What was found. The mend is the catalogue's text `<key>_mend`, filled in with the same values."""

    name: str  # "state_dir"; its title is the text check.title_<name>
    state: State
    what: Phrase
    terminal: str | None = None

    @classmethod
    def ok(cls, name: str, key: str, terminal: str | None = None, **values: object) -> Check:
        """Nothing to do."""
        return cls(name, State.OK, Phrase(key, values), terminal)

    @classmethod
    def warn(cls, name: str, key: str, terminal: str | None = None, **values: object) -> Check:
        """Works, with a risk."""
        return cls(name, State.WARN, Phrase(key, values), terminal)

    @classmethod
    def fail(cls, name: str, key: str, terminal: str | None = None, **values: object) -> Check:
        """Does not work."""
        return cls(name, State.FAIL, Phrase(key, values), terminal)

    def title(self, texts: Texts) -> str:
        """What was looked at, for people."""
        title = texts.say(f"check.title_{self.name}")
        return f"{self.terminal}: {title}" if self.terminal else title

    def mend(self, texts: Texts) -> str | None:
        """What to do about it, or None."""
        key = f"{self.what.key}_mend"
        return Phrase(key, self.what.values).say(texts) if texts.has(key) else None
