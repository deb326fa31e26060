"""What goes wrong with a link, mapped once at this border. Light: the bridge's small process imports it."""

from __future__ import annotations

import errno

NOT_FOUND = "not_found"
BUSY = "busy"
DENIED = "denied"
REFUSED = "refused"
GONE = "gone"
FAILED = "failed"


class LinkError(Exception):
    """A device can't be opened. `reason` is one word, `detail` is for a technician.

    `holders` are those who hold a busy device, as "pid 12 (minicom)"; `group` is the group that may open a denied one.
    """

    def __init__(self, reason: str, detail: str, holders: tuple[str, ...] = (), group: str | None = None) -> None:
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail
        self.holders = holders
        self.group = group


_REASONS = {
    errno.ENOENT: NOT_FOUND,
    errno.ENXIO: NOT_FOUND,
    errno.ENODEV: NOT_FOUND,
    errno.EBUSY: BUSY,
    errno.EAGAIN: BUSY,  # pyserial's lock is taken
    errno.EACCES: DENIED,
    errno.EPERM: DENIED,
    errno.ECONNREFUSED: REFUSED,
    errno.EHOSTUNREACH: REFUSED,
    errno.ENETUNREACH: REFUSED,
    errno.ETIMEDOUT: REFUSED,
}


def reason_of(number: int | None) -> str:
    """The word for an errno."""
    return _REASONS.get(number or 0, FAILED)
