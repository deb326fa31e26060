"""Asks a terminal the harmless question of its driver's probe, and finds out why it does not answer as it should.

Several times in a row where something comes back, so that a cable that hurts one byte in a hundred is noticed; where
nothing comes, with the same words as a line of other settings carries them.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum

from agent.diag.garble import Parity, ParityEar, coded, is_seven_bit, stripped
from agent.diag.mouth import Gone, Interrupted, Mouth
from drivers.driver import Driver, Framing, LineDefaults
from drivers.observations import Checksum, Direction, Noise, Observation
from drivers.probing import Attempt, Verdict

LISTEN_S = 0.4  # a line on which nothing is said for so long may be asked
LONGEST_S = 6.0  # one try, whatever the terminal says
SETTLE_S = 0.06  # behind a try: what a terminal says late to it is not for the next one
TRIES = 12
SILENT_TRIES = 2
HOPELESS_TRIES = 6  # something comes, and never an answer: more of the same says no more
#: speeds of payment terminals, the usual ones first
SPEEDS = (9600, 115200, 19200, 57600, 38400, 4800, 2400, 1200)
_OTHER_PATIENCE_S = 0.6
_WITHDRAW_S = 0.25  # so long the cashier application may wait for that; behind it the bridge takes the line
_MORE_S = 0.1  # a terminal that has answered says the rest at once
#: of all tries, so many may go wrong by chance: this PC was busy
_CHANCE = 1


class Reply(StrEnum):
    """What came of asking."""

    ANSWERED = "answered"  # every time
    SOMETIMES = "sometimes"  # some tries were answered, others came back broken
    OTHER = "other"  # something came, and it was no answer of this protocol
    SILENT = "silent"
    ECHO = "echo"  # our own words came back
    HALF_DUPLEX = "half_duplex"  # our own words came back, and the terminal's answer behind them
    TALKING = "talking"  # something is said unasked
    INTERRUPTED = "interrupted"  # a payment, or the cashier application spoke
    GONE = "gone"  # the line ended meanwhile
    CLOSED = "closed"  # it can't be opened
    UNASKABLE = "unaskable"  # the protocol has no harmless question


@dataclass(frozen=True, slots=True)
class Try:
    """One question. `heard` is never shown: it is looked at for what wrong settings do to bytes."""

    verdict: Verdict
    opening: bytes = field(repr=False)  # the first of what was said
    said: bytes = field(repr=False)
    heard: bytes = field(repr=False)
    first_s: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """The result. `line`, `parity`, `protocol`: other ones than configured, with which it answers."""

    reply: Reply
    tries: int = 0
    answered: int = 0
    first_s: tuple[float, ...] = ()
    bytes_heard: int = 0
    line: LineDefaults | None = None
    parity: Parity | None = None
    protocol: str | None = None
    seen: tuple[Observation, ...] = ()  # of the last answer, as the protocol's decoder reads it
    before: dict[str, int] | None = None  # the port's error counters before and behind
    behind: dict[str, int] | None = None
    modem: dict[str, bool] | None = None
    detail: str = ""


def ask(mouth: Mouth, driver: Driver, framing: Framing) -> Asked:
    """Ask at the settings the line has."""
    before = mouth.counters()
    try:
        unasked = mouth.hear(LISTEN_S)
        tries = list(_tries(mouth, driver, framing)) if not unasked else []
        parity = _parity_by_asking(mouth, driver, framing, tries) if tries else _parity_of(unasked)
    except Interrupted:
        return Asked(reply=Reply.INTERRUPTED)
    except Gone as error:
        return Asked(reply=Reply.GONE, detail=str(error))
    read = [(each, _read(driver, framing, each)) for each in tries if each.verdict is Verdict.ANSWERED]
    good = [seen for _, seen in read if not any(map(_is_broken, seen))]
    return Asked(
        reply=Reply.TALKING if unasked else _reply(tries, len(good)),
        tries=len(tries),
        answered=len(good),
        first_s=tuple(each.first_s for each in tries if each.first_s is not None),
        bytes_heard=len(unasked) + sum(len(each.heard) for each in tries),
        parity=parity,
        seen=good[-1] if good else (),
        before=before,
        behind=mouth.counters(),
        modem=mouth.modem_lines(),
    )


def search(
    open_mouth: Callable[[LineDefaults], Mouth], driver: Driver, framing: Framing, configured: LineDefaults
) -> LineDefaults | None:
    """Other line settings with which the terminal answers, twice; None when it answers with none. Raises LinkError."""
    for line in _lines(driver, configured):
        mouth = open_mouth(line)
        try:
            mouth.hear(SETTLE_S)
            if all(_once(mouth, driver, framing, None, _OTHER_PATIENCE_S).verdict is Verdict.ANSWERED for _ in "12"):
                return line
        except (Gone, Interrupted):
            return None
        finally:
            mouth.close()
    return None


def protocol_of(mouth: Mouth, drivers: Sequence[tuple[Driver, Framing]]) -> str | None:
    """Another protocol whose question the terminal answers at these settings."""
    try:
        for driver, framing in drivers:
            mouth.hear(SETTLE_S)
            if all(_once(mouth, driver, framing, None, _OTHER_PATIENCE_S).verdict is Verdict.ANSWERED for _ in "12"):
                return driver.name
    except (Gone, Interrupted):
        pass
    return None


def _tries(mouth: Mouth, driver: Driver, framing: Framing) -> Iterator[Try]:
    verdicts: Counter[Verdict] = Counter()
    for number in range(1, TRIES + 1):
        done = _once(mouth, driver, framing, None)
        verdicts[done.verdict] += 1
        yield done
        if verdicts[Verdict.SILENT] >= SILENT_TRIES or (number >= HOPELESS_TRIES and not verdicts[Verdict.ANSWERED]):
            return


def _reply(tries: Sequence[Try], good: int) -> Reply:
    """`good`: how many were answered, and no frame of the answer was broken."""
    verdicts = {each.verdict for each in tries}
    if Verdict.ANSWERED in verdicts:
        return Reply.ANSWERED if good and len(tries) - good <= _CHANCE else Reply.SOMETIMES
    if verdicts == {Verdict.SILENT}:
        return Reply.SILENT
    heard = [each for each in tries if each.heard]
    if all(each.heard == each.said for each in heard):
        return Reply.ECHO
    return Reply.HALF_DUPLEX if all(each.heard.startswith(each.opening) for each in heard) else Reply.OTHER


def _is_broken(seen: Observation) -> bool:
    """Whether it came otherwise than it was sent; a frame that came well and says nothing to the decoder did not."""
    return seen.checksum is Checksum.BAD or (isinstance(seen, Noise) and seen.checksum is not Checksum.OK)


def _parity_by_asking(mouth: Mouth, driver: Driver, framing: Framing, tries: Sequence[Try]) -> Parity | None:
    """The parity of a terminal with 7 data bits: by what it said, or because it answers to words that bear it."""
    if any(each.verdict is Verdict.ANSWERED for each in tries):
        return None
    if found := _parity_of(b"".join(each.heard for each in tries)):
        return found
    if driver.probe is None or not all(is_seven_bit(word) for word in driver.probe.words(framing).values()):
        return None
    for parity in Parity:
        if all(_once(mouth, driver, framing, parity, _OTHER_PATIENCE_S).verdict is Verdict.ANSWERED for _ in "12"):
            return parity
    return None


def _parity_of(heard: bytes) -> Parity | None:
    ear = ParityEar()
    ear.feed(heard)
    return ear.heard


def _once(mouth: Mouth, driver: Driver, framing: Framing, parity: Parity | None, patience_s: float = 0.0) -> Try:
    """One question, in the coding of that parity. Raises Gone or Interrupted, and then has left the terminal alone."""
    assert driver.probe is not None  # noqa: S101  only drivers with a probe are asked
    attempt = Attempt(driver.probe, framing)
    opening = attempt.begin()
    said, heard = bytearray(), bytearray()

    def say(data: bytes) -> None:
        if data:
            said.extend(data)
            mouth.say(coded(data, parity) if parity else data)

    began = time.monotonic()
    first: float | None = None
    say(opening)
    try:
        while not attempt.done and time.monotonic() - began < LONGEST_S:
            recognised = attempt.verdict is Verdict.ANSWERED
            data = mouth.hear(_MORE_S if recognised else patience_s or driver.probe.patience_s)
            if not data:
                break
            first = first if first is not None else time.monotonic() - began
            heard += data
            if parity and coded(data, parity) != data:
                break
            say(attempt.hear(stripped(data) if parity else data))
    except Interrupted:
        _withdraw(mouth, attempt, say)
        raise
    say(attempt.end())
    while (late := mouth.hear(SETTLE_S)) and time.monotonic() - began < LONGEST_S:
        heard += late
    return Try(attempt.verdict, opening, bytes(said), bytes(heard), first)


def _withdraw(mouth: Mouth, attempt: Attempt, say: Callable[[bytes], None]) -> None:
    """The cashier application waits: end the question as the protocol does, so that no answer to it is left over."""
    with suppress(Interrupted, Gone):  # the bridge has ended it for us
        say(attempt.end())
        end = time.monotonic() + _WITHDRAW_S
        while not attempt.done and (left := end - time.monotonic()) > 0:
            say(attempt.hear(mouth.hear(left)))
        mouth.hear(SETTLE_S)


def _read(driver: Driver, framing: Framing, done: Try) -> tuple[Observation, ...]:
    """Question and answer as the decoder understands them."""
    decoder = driver.decoder(framing)
    seen = [*decoder.feed(Direction.CASHIER, done.said), *decoder.feed(Direction.TERMINAL, done.heard)]
    return (*seen, *decoder.finish())


def _lines(driver: Driver, configured: LineDefaults) -> Iterator[LineDefaults]:
    """The driver's own settings first, then the other speeds."""
    tried = {configured}
    own = driver.probe.lines if driver.probe else ()
    speeds = (LineDefaults(speed, configured.bytesize, configured.parity, configured.stopbits) for speed in SPEEDS)
    for line in (*own, *speeds):
        if line not in tried:
            tried.add(line)
            yield line
