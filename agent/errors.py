"""The errors a user may see: each knows its exit code and its one line of text in every language."""

from __future__ import annotations

from agent.texts import Texts


class TillwatchError(Exception):
    """Base of all errors that reach a user.

    `key` names a text of the catalogue (agent/locale); `values` fill it in. The text says what, where and what to do.
    """

    exit_code = 1

    def __init__(self, key: str, **values: object) -> None:
        super().__init__(key, values)
        self.key = key
        self.values = values

    def text(self, texts: Texts) -> str:
        """The one line for a person."""
        return texts.say(self.key, **self.values)

    def __str__(self) -> str:
        return self.text(Texts("en"))


class NothingFoundError(TillwatchError):
    """The thing asked about is not there, or is bad. Exit code 1."""


class UsageError(TillwatchError):
    """Wrong usage or configuration. Exit code 2."""

    exit_code = 2


class ConfigError(UsageError):
    """The configuration can't be used: names file, key, and the nearest valid key. Exit code 2."""


class UnreachableError(TillwatchError):
    """Device, bridge, agent, broker or permission is missing. Exit code 3."""

    exit_code = 3


class JournalError(UnreachableError):
    """The journal can't be opened, or was written by a newer version. Exit code 3."""
