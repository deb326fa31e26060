"""The duty that brings messages to one webhook: in order, again and again, until it is taken. One thread a webhook,

so that a receiver that is dead or slow keeps nobody else waiting. A message is claimed in the outbox before it is sent:
of several collectors one sends it, and when that one dies in between, another does after a while. Then, and only then,
it may come twice; `Tillwatch-Delivery` tells.
"""

from __future__ import annotations

import hmac
from hashlib import sha256

import httpx
import tenacity

from agent import __version__
from collector.alerts.rules import Webhook
from collector.duty import Duty
from collector.ledger import Clock, Ledger, alerts, microseconds
from collector.ledger.alerts import Message

_S = 1_000_000
_EVERY_S = 1.0
_GIVE_UP_US = 3 * 86_400 * _S  # older news is none
_MOST_REFUSED = 5  # a message that the receiver does not want must not keep back those behind it
_TRY_AGAIN = frozenset({408, 425, 429})

#: how long to wait after so many failures; the schedule is in the ledger, so it survives restarts
WAIT = tenacity.wait_exponential(multiplier=2, max=600)


class Courier(Duty):
    """Delivers to one webhook."""

    name = "webhook"

    def __init__(self, ledger: Ledger, webhook: Webhook, clock: Clock, every_s: float = _EVERY_S) -> None:
        super().__init__(every_s)
        self._ledger = ledger
        self._webhook = webhook
        self._clock = clock
        self._client = httpx.Client(
            timeout=httpx.Timeout(webhook.timeout_s, connect=min(5.0, webhook.timeout_s)),
            follow_redirects=False,
            headers={"User-Agent": f"tillwatch/{__version__}", "Content-Type": "application/json"},
        )

    def stop(self, within_s: float = 10.0) -> None:
        """End; what waits stays in the ledger."""
        super().stop(within_s)
        self._client.close()

    def turn(self) -> None:
        """Deliver what is due, until something fails or nothing is left."""
        while not self.stopping and self._one():
            pass

    def _one(self) -> bool:
        now_us = microseconds(self._clock())
        ours_until_us = now_us + round((2 * self._webhook.timeout_s + 30) * _S)
        with self._ledger.write() as connection:
            message = alerts.take(connection, self._webhook.name, now_us, ours_until_us)
        if message is None:
            return False
        status, why = self._post(message, now_us)
        delivered = why is None
        refused = 400 <= status < 500 and status not in _TRY_AGAIN and message.attempts + 1 >= _MOST_REFUSED
        given_up = not delivered and (refused or now_us - message.created_us > _GIVE_UP_US)
        with self._ledger.write() as connection:
            if delivered:
                alerts.done(connection, message.number, now_us, "delivered")
            elif given_up:
                alerts.done(connection, message.number, now_us, f"given up: {why}")
            else:
                alerts.failed(connection, message.number, now_us + self._wait_us(message), why or "")
        if not delivered:
            self.log.warning("webhook.failed", webhook=self._webhook.name, why=why, given_up=given_up)
        return delivered or given_up

    def _post(self, message: Message, now_us: int) -> tuple[int, str | None]:
        """HTTP status (0: none came) and why it failed; None when it was taken."""
        try:
            headers = {"Tillwatch-Delivery": f"{message.incident}/{message.state}", "Tillwatch-Event": message.state}
            if secret := self._webhook.secret():
                headers["Tillwatch-Signature"] = signature(secret, message.body, now_us // _S)
            # Only the status is read: a receiver that answers without end keeps us no longer than the time-out.
            content = message.body.encode()
            with self._client.stream("POST", self._webhook.url, content=content, headers=headers) as answer:
                status = answer.status_code
        except (httpx.HTTPError, OSError, UnicodeError, httpx.InvalidURL) as error:
            return 0, f"{type(error).__name__}: {error}"[:300]
        return status, None if 200 <= status < 300 else f"HTTP {status}"

    @staticmethod
    def _wait_us(message: Message) -> int:
        state = tenacity.RetryCallState(tenacity.Retrying(), None, (), {})
        state.attempt_number = message.attempts + 1
        return round(WAIT(state) * _S)


def signature(secret: str, body: str, at_s: int) -> str:
    """`t=SECONDS,v1=HEX`: HMAC-SHA256 of "SECONDS.BODY", so that neither body nor time can be changed."""
    made = hmac.new(secret.encode(), f"{at_s}.{body}".encode(), sha256).hexdigest()
    return f"t={at_s},v1={made}"
