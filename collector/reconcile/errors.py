"""What is wrong with a mapping or a file, in one line: where, what, what to do."""

from __future__ import annotations

from agent.phrase import Phrase
from agent.texts import Texts as AgentTexts
from collector.errors import CollectorUsageError
from collector.texts import Texts


class ReconcileError(CollectorUsageError):
    """A run can't begin. Exit code 2."""

    def text(self, texts: AgentTexts) -> str:
        """The one line for a person."""
        own = Texts(texts.language)
        spoken = {name: value.say(own) if isinstance(value, Phrase) else value for name, value in self.values.items()}
        return own.say(self.key, **spoken)


class MappingError(ReconcileError):
    """A description of a format can't be used. Exit code 2."""


class FileError(ReconcileError):
    """A file can't be read by its description at all. Exit code 2."""
