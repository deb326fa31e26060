"""What enrolment refuses. Texts: collector/locale/*/enrol.toml; what an agent is told: agent/locale/*/enroll.toml."""

from __future__ import annotations

from collector.errors import CollectorError, CollectorUsageError, ServiceError


class AuthorityError(ServiceError):
    """The authority's files are missing, damaged, or can't be read. Exit code 3."""


class EnrolUsageError(CollectorUsageError):
    """A name or a value that can't be used. Exit code 2."""


class RefusedError(CollectorError):
    """An agent is refused. `key` is "enroll.…": the agent says it in its own words."""

    def __init__(self, key: str, status: int = 403, **values: object) -> None:
        super().__init__(key, **values)
        self.status = status
