"""A text of the catalogue with its values, in no language yet: made where a thing is found, said where it is shown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from agent.texts import Texts


@dataclass(frozen=True, slots=True)
class Phrase:
    """`key` names a text ("config.unknown_key"); a value may be a phrase itself and is said in the same language."""

    key: str
    values: Mapping[str, object] = field(default_factory=dict)

    def say(self, texts: Texts) -> str:
        """The text for a person who reads that language."""
        spoken = {name: value.say(texts) if isinstance(value, Phrase) else value for name, value in self.values.items()}
        return texts.say(self.key, **spoken)


def phrase(key: str, **values: object) -> Phrase:
    """Short form: `phrase("config.unknown_key", key="agent.sight")`."""
    return Phrase(key, values)
