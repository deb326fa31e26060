"""Asking a Concert terminal again: kind 3, the duplicate of its last receipt, with the last answer once more.

    > ENQ · < ACK · > STX request kind 3 ETX LRC · < ACK · > EOT
    < ENQ · > ACK · < STX answer ETX LRC · > ACK · < EOT

The default is to watch only: not every terminal has the duplicate, and once it has taken the request nothing can stop
it, so a cashier application that speaks then might hear an answer that is not its own. A site that has tried it with
its terminals sets `confirm.policy = "ask"`. Protocol E has no status query.

Source as in drivers/concert.py. A cashier application waits a second for the ACK of its ENQ (pyTeliumManager's
default).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache

from drivers import currencies
from drivers.framing_lrc import Byte, Control, Frame, LrcFramer, Token, frame
from drivers.observations import Ack, Acked, Answer, Observation, Outcome
from drivers.queries import Asking, Finding, Policy, Query, QueryLine, Said, Word

_DUPLICATE = "3"


@cache
def words(line: QueryLine) -> Mapping[Word, bytes]:
    """All that can be said to a Concert terminal."""
    currency = currencies.numeric(line.currency or "") or "978"
    return {
        Word.ENQUIRE: bytes([Byte.ENQ]),
        Word.ASK_LAST_RESULT: frame(f"010000000011{_DUPLICATE}{currency}{'':10}A010B010".encode("latin-1")),
        Word.ACKNOWLEDGE: bytes([Byte.ACK]),
        Word.LINK_NAK: bytes([Byte.NAK]),
        Word.END: bytes([Byte.EOT]),
    }


class ConcertConversation:
    """The pair of exchanges of a duplicate."""

    def __init__(self, query: Query, line: QueryLine) -> None:
        del query, line  # there is one query, and one framing
        self._framer = LrcFramer()
        self._waits_for = "enquiry"  # then request, answer, end
        self._interrupted = False
        self.done = False

    def begin(self) -> Sequence[Word]:
        """May I?"""
        return [Word.ENQUIRE]

    def hear(self, data: bytes) -> Sequence[Word]:
        """Follow the terminal through both exchanges."""
        said: list[Word] = []
        for token in self._framer.feed(data):
            if not self.done:
                said += self._answer(token)
        return said

    def interrupt(self) -> Sequence[Word]:
        """Before the request is out, EOT ends it; behind that the terminal's answer has to be waited for."""
        self._interrupted = True
        return []

    def _answer(self, token: Token) -> list[Word]:
        if isinstance(token, Frame):
            return self._frame(token)
        if not isinstance(token, Control):
            return []
        if self._waits_for in ("enquiry", "request"):
            return self._reply(token.byte)
        if token.byte is Byte.ENQ:
            return [Word.ACKNOWLEDGE]
        if token.byte is Byte.EOT:
            self.done = True
        return []

    def _reply(self, byte: Byte) -> list[Word]:
        """To our ENQ or to our request."""
        if byte is Byte.ACK and self._waits_for == "enquiry":
            self._waits_for = "request"
            self.done = self._interrupted
            return [Word.END if self.done else Word.ASK_LAST_RESULT]
        if byte is Byte.ACK:
            self._waits_for = "answer"
            return [Word.END]
        self.done = True  # busy, refused, or the terminal itself calls: its ENQ comes again, for whom it is meant
        return [Word.END] if byte is Byte.NAK and self._waits_for == "request" else []

    def _frame(self, got: Frame) -> list[Word]:
        if got.ok:
            self._waits_for = "end"
            return [Word.ACKNOWLEDGE]
        return [Word.LINK_NAK]


class ConcertProbe:
    """May I speak? Yes. Then not: ENQ, ACK, EOT, and once more. One ACK alone could be a byte of anything."""

    def __init__(self, framing: object) -> None:
        del framing  # there is one
        self._acknowledged = 0
        self.done = False

    @property
    def recognised(self) -> bool:
        """Both answers were an ACK, and nothing else came."""
        return self._acknowledged == 2

    def begin(self) -> Sequence[Word]:
        """May I?"""
        return [Word.ENQUIRE]

    def hear(self, data: bytes) -> Sequence[Word]:
        """Follow what comes byte by byte; anything but an ACK is of another protocol, or busy."""
        said: list[Word] = []
        for byte in data:
            if byte != Byte.ACK or self._acknowledged == 2:
                self._acknowledged = 0
                self.done = True
                return [*said, Word.END]
            self._acknowledged += 1
            said.append(Word.END)
            if self._acknowledged == 1:
                said.append(Word.ENQUIRE)
        return said

    def interrupt(self) -> Sequence[Word]:
        """EOT ends it at once."""
        self.done = True
        return [Word.END]


def probe_words(framing: object) -> Mapping[Word, bytes]:
    """All that a probe can say."""
    del framing
    return {Word.ENQUIRE: bytes([Byte.ENQ]), Word.END: bytes([Byte.EOT])}


def finding(observations: Sequence[Observation]) -> Finding:
    """What a duplicate, as it passed on the line, says about the terminal's last transaction."""
    query = Query.LAST_RESULT
    answer = next((seen for seen in observations if isinstance(seen, Answer) and seen.final), None)
    if answer is not None and answer.outcome is Outcome.APPROVED:
        return Finding(
            query=query,
            said=Said.TRANSACTION,
            facts=answer.facts,
            outcome=answer.outcome,
            code=answer.facts.response_code,
        )
    if answer is not None:  # a refusal is the duplicate's own, not that of the payment before
        return Finding(query=query, said=Said.REFUSED, code=answer.facts.response_code)
    refused = [seen.of for seen in observations if isinstance(seen, Ack) and not seen.positive]
    if Acked.REQUEST in refused:
        return Finding(query=query, said=Said.REFUSED)
    return Finding(query=query, said=Said.BUSY if Acked.ENQUIRY in refused else Said.NOTHING)


ASKING = Asking(
    queries=(Query.LAST_RESULT,),
    words=words,
    converse=ConcertConversation,
    finding=finding,
    patience_s=1.0,
    longest_s=15.0,  # a duplicate is printed before the answer comes
    policy=Policy.WATCH,
    because={
        "en": "not every Concert terminal has the duplicate, and none can be stopped once it prints one;"
        ' a site that has tried it sets confirm.policy = "ask"',
        "zh-CN": '并非所有 Concert 终端都支持重打，且一旦开始无法中止；现场验证过后可设置 confirm.policy = "ask"',
    },
)
