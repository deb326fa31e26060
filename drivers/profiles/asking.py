"""Asking a profile's terminal for its last transaction: one message, made once, and the acknowledgement of the answer.

    > question · < ACK (where the profile has one) · < answer · > ACK

Which message it is, what its answer proves and whether it prints stands in the profile ([question]). The message is
read with the profile itself before it is ever used: one that opens a transaction or names an amount is refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache

from drivers.codes import CodeBook
from drivers.observations import Ack, Acked, Answer, Direction, Observation, Outcome, Receipt, Request
from drivers.profiles.compose import compose
from drivers.profiles.decoder import ProfileDecoder
from drivers.profiles.errors import Mistake, ProfileError
from drivers.profiles.framing import Control, Frame, Framer, Shape
from drivers.profiles.messages import recognise
from drivers.profiles.schema import Message, Profile, Question, Role, Style
from drivers.queries import Asking, Conversation, Finding, Policy, Query, QueryLine, Said, Word


def asking_of(profile: Profile, codes: CodeBook) -> Asking | None:
    """How the profile's terminals are asked; None where the profile names no question.

    Raises ProfileError when its message could be taken for a payment.
    """
    question = profile.question
    if question is None or profile.framing.style is Style.CALL:
        return None
    table = words(profile, question)
    if not harmless(profile, codes, table[Word.ASK_LAST_RESULT]):
        raise ProfileError(profile.path, [Mistake(1, "question.message", "question_moves_money")])

    def said(line: QueryLine) -> Mapping[Word, bytes]:  # noqa: ARG001  a profile knows one framing only
        return table

    def converse(query: Query, line: QueryLine) -> Conversation:  # noqa: ARG001  there is one question
        return ProfileConversation(profile, table)

    return Asking(
        queries=(Query.LAST_RESULT,),
        words=said,
        converse=converse,
        finding=finding,
        patience_s=question.patience_s,
        longest_s=question.longest_s,
        policy=Policy.WATCH if question.watch else Policy.ASK,
        because=question.because,
    )


def words(profile: Profile, question: Question) -> Mapping[Word, bytes]:
    """All that is ever said to such a terminal."""
    shape = Shape(profile.framing)
    message = profile.message(question.message)
    if message is None:
        raise RuntimeError(f"no message {question.message}")  # the loader has checked it: a bug of this file
    table = {Word.ASK_LAST_RESULT: compose(profile, shape, Direction.CASHIER, message, {}, question.sets)}
    for byte, name in profile.framing.control.items():
        if name in _CONTROL_WORDS:
            table[_CONTROL_WORDS[name]] = bytes([byte])
    if Word.ACKNOWLEDGE not in table and (acknowledgement := _acknowledgement(profile)) is not None:
        table[Word.ACKNOWLEDGE] = compose(profile, shape, Direction.CASHIER, acknowledgement, {})
    return table


_CONTROL_WORDS = {"ack": Word.ACKNOWLEDGE, "nak": Word.LINK_NAK}


def _acknowledgement(profile: Profile) -> Message | None:
    said = (
        message for message in profile.messages if message.role is Role.ACK and Direction.CASHIER in message.senders
    )
    return next(said, None)


def harmless(profile: Profile, codes: CodeBook, data: bytes) -> bool:
    """Whether a terminal that reads these bytes as the profile does moves no money: a query, without an amount."""
    decoder = ProfileDecoder(profile, codes)
    seen = decoder.feed(Direction.CASHIER, data) + decoder.finish()
    quiet = [isinstance(each, Request) and each.kind is None and not each.facts.amount for each in seen]
    return bool(quiet) and all(quiet)


class ProfileConversation:
    """One question; see drivers.queries.Conversation."""

    def __init__(self, profile: Profile, table: Mapping[Word, bytes]) -> None:
        self._profile = profile
        self._table = table
        self._shape = Shape(profile.framing)
        self._framer = Framer(self._shape)
        self.done = False

    def begin(self) -> Sequence[Word]:
        """The question."""
        return [Word.ASK_LAST_RESULT]

    def hear(self, data: bytes) -> Sequence[Word]:
        """Wait for the answer, and acknowledge it."""
        said: list[Word] = []
        for token in self._framer.feed(data):
            if not self.done:
                said += self._heard(token)
        return [word for word in said if word in self._table]

    def interrupt(self) -> Sequence[Word]:
        """Nothing can stop a terminal that has been asked; its answer has to be waited for."""
        return []

    def _heard(self, token: object) -> list[Word]:
        if isinstance(token, Control):
            self.done = token.name == "nak"  # busy, or it does not know the question
            return []
        if not isinstance(token, Frame):
            return []
        reading = recognise(self._profile, self._shape, Direction.TERMINAL, token)
        if reading is None:
            return [Word.LINK_NAK] if token.ok is False else []
        if reading.message.role is Role.NAK:
            self.done = True
        if reading.message.role is not Role.ANSWER:
            return []
        self.done = True
        return [Word.ACKNOWLEDGE] if self._profile.framing.acknowledged else []


@cache
def _nothing(said: Said) -> Finding:
    return Finding(query=Query.LAST_RESULT, said=said)


def finding(observations: Sequence[Observation]) -> Finding:
    """What the answer, as it passed on the line, says about the terminal's last transaction."""
    answer = next((seen for seen in observations if isinstance(seen, Answer) and seen.final), None)
    if answer is None:
        refused = any(isinstance(seen, Ack) and not seen.positive and seen.of is Acked.REQUEST for seen in observations)
        return _nothing(Said.REFUSED if refused else Said.NOTHING)
    if answer.outcome in (None, Outcome.UNKNOWN) or answer.facts.amount is None:
        return Finding(query=Query.LAST_RESULT, said=Said.REFUSED, code=answer.facts.response_code)
    return Finding(
        query=Query.LAST_RESULT,
        said=Said.TRANSACTION,
        facts=answer.facts,
        outcome=answer.outcome,
        code=answer.facts.response_code,
        receipts=tuple(seen for seen in observations if isinstance(seen, Receipt)),
    )
