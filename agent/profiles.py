"""Profiles for people: finding the file of one, and telling its mistakes in the user's language."""

from __future__ import annotations

from pathlib import Path

from agent.errors import UnreachableError, UsageError
from agent.texts import Texts, language_of_environment
from drivers import registry
from drivers.profiles.errors import Mistake, ProfileError
from drivers.profiles.load import load
from drivers.profiles.schema import Profile


def profile_file(text: str) -> Path:
    """The file of a profile that is named by its file or by its name. Raises UnreachableError."""
    path = Path(text)
    known = registry.profiles()
    if text in known and not path.exists():
        return known[text]
    try:
        with path.open("rb"):
            return path
    except OSError as error:
        names = ", ".join(known)
        raise UnreachableError("profile.unreadable", path=path, detail=error.strerror, known=names) from error


def profile_named(text: str) -> Profile:
    """The profile in a file, or of a name. Raises UsageError that tells its first mistake, UnreachableError."""
    try:
        return load(profile_file(text))
    except ProfileError as error:
        raise refused(error) from error


def refused(error: ValueError) -> UsageError:
    """A profile that can't be used (ProfileError), as one line."""
    if not isinstance(error, ProfileError):
        raise error
    texts = Texts(language_of_environment())
    first = located(error.path, error.mistakes[0], texts)
    count = len(error.mistakes)
    return UsageError("profile.more" if count > 1 else "profile.one", path=error.path, count=count, first=first)


def located(path: Path, mistake: Mistake, texts: Texts) -> str:
    """`FILE:LINE: key: what`."""
    return f"{path}:{mistake.line}: {mistake_text(mistake, texts)}"


def mistake_text(mistake: Mistake, texts: Texts) -> str:
    """`key: what`."""
    what = texts.say(f"profile.{mistake.code}", **mistake.values)
    return texts.say("profile.wrong", where=mistake.where, what=what)
