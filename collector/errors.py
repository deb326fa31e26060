"""The collector's errors that a user may see. Their texts are in collector/locale."""

from __future__ import annotations

from agent.errors import NothingFoundError, TillwatchError, UnreachableError, UsageError
from agent.texts import Texts as AgentTexts
from collector.texts import Texts


class _Told:
    """Says an error in the words of the collector's catalogue."""

    key: str
    values: dict[str, object]

    def text(self, texts: AgentTexts) -> str:
        """The one line for a person."""
        return Texts(texts.language).say(self.key, **self.values)


class CollectorError(_Told, TillwatchError):
    """What was asked can't be done, though nothing is wrong with asking. Exit code 1."""


class CollectorUsageError(_Told, UsageError):
    """Wrong usage or configuration. Exit code 2."""


class CollectorNothingFoundError(_Told, NothingFoundError):
    """The thing asked about is not there, or is bad. Exit code 1."""


class LedgerError(_Told, UnreachableError):
    """The database can't be used: away, not ours, or written by a newer version. Exit code 3."""


class ServiceError(_Told, UnreachableError):
    """Something the collector needs beside its database can't be had: a port, a package. Exit code 3."""
