"""What is wrong with a mapping or a file, in one line: where, what, what to do."""

from __future__ import annotations

from collector.errors import CollectorUsageError


class MappingError(CollectorUsageError):
    """A description of a format can't be used. Exit code 2."""


class FileError(CollectorUsageError):
    """A file can't be read by its description at all. Exit code 2."""
