"""Asking a ZVT terminal again: repeat receipt (06 20) and status enquiry (05 01), both read only.

    > 06 20 03 000000        repeat receipt
    < 80 00 00
    < 04 0F …                the last transaction: result, amount, trace number, time
    > 80 00 00
    < 06 D1 … / 06 D3 …      its receipts once more
    > 80 00 00
    < 06 0F 00
    > 80 00 00

On a serial line each frame is also acknowledged by one byte, and the terminal's byte for our last frame is waited for:
it must not reach the cashier application. Source as in drivers/zvt.py; the password is the specification's default.
A cashier application waits 5 s for the terminal's acknowledgement, and tries three times (T3 of the specification).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from drivers.driver import Framing
from drivers.observations import Ack, Acked, Answer, Facts, Observation, Receipt, Request
from drivers.queries import Asking, Finding, Policy, Query, QueryLine, Said, Word
from drivers.zvt_framing import ACK, NAK, Apdu, Broken, LinkAck, Token, apdu, framer_of, serial_frame

_PASSWORD = bytes(3)
_RESENDS = 3
_ENDS = (b"\x06\x0f", b"\x06\x1e")
_ACCEPTED = (b"\x80\x00", b"\x84\x00")
_NAMES = {"repeat receipt": Query.LAST_RESULT, "status enquiry": Query.STATUS}
_NOT_NOW = frozenset({"9C", "A0"})  # please wait; receiver not ready
_ABORTED = "6C"
_OF_A_TERMINAL = frozenset({0x04, 0x06, 0x80, 0x84})  # classes of messages
_PROBE = (Word.ASK_STATUS, Word.ACKNOWLEDGE, Word.ABORT, Word.LINK_ACK, Word.LINK_NAK)

_MESSAGES: dict[Word, bytes] = {
    Word.ASK_LAST_RESULT: apdu(b"\x06\x20", _PASSWORD),
    Word.ASK_STATUS: apdu(b"\x05\x01", _PASSWORD),
    Word.ACKNOWLEDGE: apdu(b"\x80\x00"),
    Word.ABORT: apdu(b"\x06\xb0"),
}
_SERIAL: dict[Word, bytes] = {word: serial_frame(message) for word, message in _MESSAGES.items()} | {
    Word.LINK_ACK: bytes([ACK]),
    Word.LINK_NAK: bytes([NAK]),
}


def words(line: QueryLine) -> Mapping[Word, bytes]:
    """All that can be said to a ZVT terminal."""
    return _MESSAGES if line.framing == Framing.NONE else _SERIAL


class ZvtConversation:
    """One command of the cashier's side and the terminal's lead through it."""

    def __init__(self, query: Query, line: QueryLine) -> None:
        self._serial = line.framing != Framing.NONE
        self._framer = framer_of(Framing.SERIAL if self._serial else Framing.NONE)
        self._first = Word.ASK_LAST_RESULT if query is Query.LAST_RESULT else Word.ASK_STATUS
        self._last = self._first
        self._resends = 0
        self._interrupted = self._aborting = self._ending = False
        self.done = False

    def begin(self) -> Sequence[Word]:
        """The command."""
        return [self._first]

    def hear(self, data: bytes) -> Sequence[Word]:
        """Acknowledge what comes, until the terminal has ended the command."""
        said: list[Word] = []
        for token in self._framer.feed(data):
            said += self._answer(token)
        return said

    def interrupt(self) -> Sequence[Word]:
        """Answer the terminal's next message with the wish to end the command; it ends it with 06 1E, or goes on.

        The terminal waits for an answer then, so that the wish can't cross its last message: what it said to a wish
        that came too late would reach the cashier application.
        """
        self._interrupted = True
        return []

    def _answer(self, token: Token) -> list[Word]:
        if isinstance(token, LinkAck):
            return self._linked(token.positive)
        if isinstance(token, Broken):
            return [Word.LINK_NAK]
        if not isinstance(token, Apdu):
            return []
        linked = [Word.LINK_ACK] if self._serial else []
        return linked + self._message(token)

    def _linked(self, positive: bool) -> list[Word]:
        if positive:
            self.done = self.done or self._ending
            return []
        self._resends += 1
        if self._resends > _RESENDS:
            self.done = True
            return []
        return [self._last]

    def _message(self, message: Apdu) -> list[Word]:
        if message.control in _ACCEPTED:
            return []
        if message.control[0] == 0x84:  # refused: the command, or our wish to end it
            self.done = self.done or not self._aborting
            return []
        if message.control in _ENDS:
            self._ending = True
            self.done = not self._serial
        elif self._interrupted and not self._aborting:
            self._aborting = True
            return [self._say(Word.ABORT)]
        return [self._say(Word.ACKNOWLEDGE)]

    def _say(self, word: Word) -> Word:
        self._last = word
        self._resends = 0
        return word


class ZvtProbe(ZvtConversation):
    """A status enquiry: whatever whole message comes back, its CRC fitting, is a ZVT terminal's."""

    def __init__(self, framing: Framing) -> None:
        super().__init__(Query.STATUS, QueryLine(framing))
        self.recognised = False

    def _message(self, message: Apdu) -> list[Word]:
        if message.control[0] not in _OF_A_TERMINAL:  # our own command: a loop, and what it says next is ours too
            self.done = True
            return []
        self.recognised = not self.done
        return super()._message(message)


def probe_words(framing: Framing) -> Mapping[Word, bytes]:
    """All that a probe can say."""
    known = words(QueryLine(framing))
    return {word: known[word] for word in _PROBE if word in known}


def finding(observations: Sequence[Observation]) -> Finding:
    """What a query, as it passed on the line, says about the terminal's last transaction."""
    asked = next((seen.message for seen in observations if isinstance(seen, Request)), "")
    query = _NAMES.get(asked, Query.STATUS)
    told = [seen for seen in observations if isinstance(seen, Answer)]
    ended = any(answer.final for answer in told)
    shown = next((answer for answer in told if not answer.final), None)
    if shown is not None:  # also when the receipts behind it did not come any more
        receipts = tuple(seen for seen in observations if isinstance(seen, Receipt) and seen.complete)
        code = shown.facts.response_code
        return Finding(
            query=query,
            said=Said.TRANSACTION,
            facts=shown.facts,
            outcome=shown.outcome,
            code=code,
            receipts=receipts,
        )
    if code := _refusal(observations):
        return Finding(query=query, said=Said.BUSY if code in _NOT_NOW else Said.REFUSED, code=code)
    code = next((answer.facts.response_code for answer in told if answer.final), None)
    if code == _ABORTED or not ended:
        return Finding(query=query, said=Said.NOTHING, code=code)
    if query is Query.STATUS and code is None:
        return Finding(query=query, said=Said.IDLE, facts=Facts(extra=told[-1].facts.extra))
    return Finding(query=query, said=Said.REFUSED, code=code)


def _refusal(observations: Sequence[Observation]) -> str | None:
    refused = [
        seen for seen in observations if isinstance(seen, Ack) and not seen.positive and seen.of is not Acked.END
    ]
    return next((ack.facts.response_code for ack in refused if ack.facts.response_code), None)


ASKING = Asking(
    queries=(Query.LAST_RESULT, Query.STATUS),
    words=words,
    converse=ZvtConversation,
    finding=finding,
    patience_s=5.0,
    longest_s=30.0,  # two receipts of 40 lines at 9600 baud take about 6 s; a terminal may print meanwhile
    policy=Policy.ASK,
    because={
        "en": "repeat receipt and status enquiry only read the terminal's memory",
        "zh-CN": "重打凭条与状态查询只读取终端内存",
    },
)
