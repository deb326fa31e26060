"""What the doors refuse, each with its text."""

from __future__ import annotations

from agent.phrase import Phrase
from collector.errors import CollectorError, CollectorNothingFoundError, CollectorUsageError


class BadCredentialsError(CollectorError):
    """Name and password do not fit, or the account is disabled: which of them is not told."""

    def __init__(self) -> None:
        super().__init__("access.bad_credentials")


class TooManyAttemptsError(CollectorError):
    """Log-ins of this account or address failed too often. `retry_after_s`: when another try is taken."""

    def __init__(self, retry_after_s: int) -> None:
        super().__init__("access.too_many_attempts", minutes=-(-retry_after_s // 60))
        self.retry_after_s = retry_after_s


class LinkError(CollectorNothingFoundError):
    """The one-time link is unknown, used, or too old: which of them is not told."""

    def __init__(self) -> None:
        super().__init__("access.link_bad")


class NotAllowedError(CollectorUsageError):
    """The change would break a rule of access: the last administrator, a name that is taken, a bad name."""


class WeakPasswordError(NotAllowedError):
    """The password is refused; its text says why."""

    def __init__(self, why: Phrase) -> None:
        super().__init__(why.key, **why.values)
