"""A cashier application for any profile: builds its messages, waits for the answers, acknowledges them."""

from __future__ import annotations

import os
import select
import time
import tty
from collections.abc import Mapping
from pathlib import Path

from drivers.observations import Answer, Direction, Kind, Observation
from drivers.profiles.compose import compose
from drivers.profiles.decoder import ProfileDecoder
from drivers.profiles.driver import code_book
from drivers.profiles.framing import Shape
from drivers.profiles.schema import Fact, Field, Message, Profile, Role, Style

_QUIET_S = 0.3


class Words:
    """What a cashier application says in a profile's language. `count` numbers its requests."""

    def __init__(self, profile: Profile) -> None:
        self.profile = profile
        self._shape = Shape(profile.framing)
        self.count = 0

    def request(
        self, amount: int, kind: Kind | None = Kind.PURCHASE, code: str | None = None, message: str | None = None
    ) -> bytes:
        """A request of that kind, or with that code; amount in minor units."""
        self.count += 1
        said = self._named(message) if message else self._first(Role.REQUEST)
        codes = [known for known, each in self.profile.kinds.items() if each.kind is kind and known != "default"]
        facts = {
            Fact.AMOUNT: str(amount),
            Fact.NONCE: self._nonce(said),
            Fact.KIND: code or (codes[0] if codes else "Sale"),
            Fact.ORDER: f"HIS{self.count:04d}",
            Fact.SEQUENCE: str(self.count),
        }
        return self.build(said, facts)

    def build(self, message: Message, facts: Mapping[Fact, str]) -> bytes:
        """A message of the cashier's."""
        return compose(self.profile, self._shape, Direction.CASHIER, message, facts)

    def acknowledgement(self, positive: bool = True) -> bytes:
        """That an answer was taken, or was not whole; nothing where the profile has no word for it."""
        name = "ack" if positive else "nak"
        for byte, meaning in self.profile.framing.control.items():
            if meaning == name:
                return bytes([byte])
        for message in self.profile.messages:
            if str(message.role) == name and Direction.CASHIER in message.senders:
                return self.build(message, {Fact.ACKNOWLEDGES: "1"})
        return b""

    def greeting(self) -> bytes:
        """A handshake, where the profile has one."""
        for message in self.profile.messages:
            if message.role is Role.PROGRESS and message.reply and Direction.CASHIER in message.senders:
                return self.build(message, {})
        return b""

    def _nonce(self, message: Message) -> str:
        size = next((field.size for field in self._fields(message) if field.fact is Fact.NONCE and field.size), 0)
        text = str(1000 + self.count)
        return text[-size:] if size else text

    def _fields(self, message: Message) -> tuple[Field, ...]:
        return self.profile.layouts[message.layout].fields if message.layout else ()

    def _first(self, role: Role) -> Message:
        return next(message for message in self.profile.messages if message.role is role)

    def _named(self, name: str) -> Message:
        found = self.profile.message(name)
        assert found is not None, name
        return found


class Cashier:
    """The words at a port."""

    def __init__(self, link: Path, profile: Profile) -> None:
        self.words = Words(profile)
        self._link = link
        self._profile = profile
        self._call = profile.framing.style is Style.CALL
        self.reopen()

    def reopen(self) -> None:
        """Open the port; again behind a reboot."""
        self._fd = os.open(self._link, os.O_RDWR | os.O_NOCTTY)
        tty.setraw(self._fd)
        self._decoder = ProfileDecoder(self._profile, code_book(self._profile))

    def close(self) -> None:
        """Leave the port."""
        os.close(self._fd)

    def send(self, data: bytes) -> None:
        """Say it, and let the terminal hear that it is whole."""
        os.write(self._fd, data)
        self._decoder.feed(Direction.CASHIER, data)

    def pay(self, amount: int, patience_s: float = 10.0, take: bool = True, **wishes: str) -> list[Observation]:
        """Ask for a payment, take its answer; what the terminal said."""
        self.send(self.words.request(amount, **wishes))  # type: ignore[arg-type]
        return self.wait(patience_s, take)

    def wait(self, patience_s: float, take: bool = True) -> list[Observation]:
        """Until an answer came whole, or the time is over; a broken one is refused."""
        seen: list[Observation] = []
        end = time.monotonic() + patience_s
        while (left := end - time.monotonic()) > 0:
            ready, _, _ = select.select([self._fd], [], [], min(left, _QUIET_S))
            data = os.read(self._fd, 4096) if ready else b""
            new = self._decoder.feed(Direction.TERMINAL, data) if data else []
            if not data and self._call:
                new = self._decoder.silence(Direction.TERMINAL)
            seen += new
            if any(isinstance(each, Answer) for each in new):
                if take and self._profile.framing.acknowledged:
                    self.send(self.words.acknowledgement())
                return seen
            if any(each.checksum == "bad" for each in new):
                self.send(self.words.acknowledgement(positive=False))
        return seen
