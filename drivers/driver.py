"""What a terminal protocol offers: one `Driver` value a protocol, found by name in the registry.

The rules of a decoder:
- bytes in, observations out; no clock, no socket, no file, no thread;
- it never raises on input, whatever the bytes and however they are cut: what is no frame is Noise;
- the same bytes give the same observations whatever the chunking;
- its buffers are bounded, its time grows linearly with the input;
- card numbers are masked before an observation is built.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from drivers.codes import CodeMeaning
from drivers.masking import Masker
from drivers.observations import Direction, Observation
from drivers.queries import Asking, Conversation, Word


class Framing(StrEnum):
    """How messages are laid on the line. AUTO lets the decoder find out from the first bytes."""

    AUTO = "auto"
    SERIAL = "serial"
    NONE = "none"


class Maturity(StrEnum):
    """How well a driver is proven. Nothing is STABLE before a real terminal of several makers has used it."""

    EXPERIMENTAL = "experimental"
    BETA = "beta"
    STABLE = "stable"


class Decoder(Protocol):
    """Follows one line in both directions."""

    @property
    def idle(self) -> bool:
        """No partial frame is held and no exchange is under way: a new decoder would go on just the same."""
        ...

    def feed(self, direction: Direction, data: bytes) -> list[Observation]:
        """Take bytes that `direction` sent; return what they complete."""
        ...

    def silence(self, direction: Direction) -> list[Observation]:
        """The sender has been quiet for longer than `Driver.byte_gap_s`: give up a partial frame as Noise."""
        ...

    def reset(self) -> list[Observation]:
        """The line was cut or bytes were missed: give up partial frames and the exchange."""
        ...

    def finish(self) -> list[Observation]:
        """The input has ended: whatever is still held comes out."""
        ...


@dataclass(frozen=True, slots=True)
class Send:
    """A simulated terminal writes these bytes."""

    data: bytes


@dataclass(frozen=True, slots=True)
class HangUp:
    """A simulated terminal loses its line for that long (cable pulled, reboot), then is there again."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Log:
    """A simulated terminal says what it did, for people and tests: `{"event": "charged", "amount": …}`."""

    event: str
    facts: tuple[tuple[str, str | int | None], ...] = ()


Action = Send | HangUp | Log


class Scenario(StrEnum):
    """How a simulated terminal treats one payment."""

    APPROVE = "approve"
    DECLINE = "decline"
    CANCEL = "cancel"  # the patient presses the red key
    SLOW = "slow"  # approves after `Simulation.slow_s`
    SILENT = "silent"  # takes the request and never answers; nobody is charged
    LATE = "late"  # approves after `Simulation.late_s`, when the cashier application has given up
    LOST = "lost"  # charges, and the answer is lost: asking again finds it
    GARBAGE = "garbage"  # noise and a broken frame before the good answer
    REBOOT = "reboot"  # loses its line in mid-payment for `Simulation.reboot_s`; charges, and forgets to say so
    BROKEN = "broken"  # charges, and every try to answer arrives broken
    UNSURE = "unsure"  # charges, and answers with a result that does not say so
    BUSY = "busy"  # refuses to take a request


@dataclass(frozen=True, slots=True, kw_only=True)
class Simulation:
    """Settings of a simulated terminal. The scenarios are used in turn, over and over."""

    scenarios: tuple[Scenario, ...] = (Scenario.APPROVE,)
    think_s: float = 0.3  # from request to answer when nothing is wrong: card, PIN, host
    slow_s: float = 20.0
    late_s: float = 130.0
    reboot_s: float = 5.0
    card: str = "4975541234514970"  # passes the check digit; belongs to nobody
    currency: str = "EUR"
    framing: Framing = Framing.SERIAL
    terminal_id: str = "12345678"
    payments: int | None = None  # a terminal that nobody asks (it only prints) rests after so many; None: never
    seed: int = 1
    clock: Callable[[], datetime] | None = None  # local time; None: a clock of its own, the same in every run


class SimulatedTerminal(Protocol):
    """The terminal's end of the line, sans-IO: time is passed in, seconds of any monotonic clock."""

    def receive(self, data: bytes, now: float) -> Sequence[Action]:
        """Bytes came from the cashier's side."""
        ...

    def tick(self, now: float) -> Sequence[Action]:
        """Time has passed."""
        ...

    def deadline(self) -> float | None:
        """When `tick` wants to be called next; None: not before more bytes come."""
        ...


@dataclass(frozen=True, slots=True)
class LineDefaults:
    """Serial settings most terminals of a protocol use."""

    baudrate: int = 9600
    bytesize: int = 8
    parity: str = "N"
    stopbits: int = 1


class Recognising(Conversation, Protocol):
    """A conversation that only finds out whether the terminal speaks this protocol."""

    @property
    def recognised(self) -> bool:
        """It has answered as only a terminal of this protocol does."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """How to find out whether a silent terminal speaks a protocol: a closed list of words, none of which moves money.

    After it the terminal is as before. `lines` are the settings to try, the usual one first; `patience_s`: so long
    after the last byte there is no answer.
    """

    words: Callable[[Framing], Mapping[Word, bytes]]
    converse: Callable[[Framing], Recognising]
    lines: tuple[LineDefaults, ...]
    patience_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Driver:
    """A terminal protocol. Times are seconds, each with its source in the driver's file."""

    name: str
    title: str
    maturity: Maturity
    source: str
    line: LineDefaults
    framings: tuple[Framing, ...]  # those it knows, the usual one of a serial line first
    answer_timeout_s: float  # no answer after that long: the outcome is unknown
    delivery_timeout_s: float  # an answer not acknowledged after that long was not delivered
    byte_gap_s: float  # a frame never pauses for that long
    decoder: Callable[[Framing], Decoder]
    simulated: Callable[[Simulation], SimulatedTerminal] | None  # None: there is nothing to simulate
    masker: Callable[[Framing], Masker] | None = None  # without one, a line of it can't be recorded
    asking: Asking | None = None  # without it, a terminal can't be asked what became of a payment
    probe: Probe | None = None  # without it, `tillwatch devices --probe` does not ask for this protocol
    acknowledged: bool = True  # False: nobody says on this line that an answer was taken
    reverses: bool = False  # the terminal itself undoes a payment it got no answer to, before its next online one
    reprints_any: bool = False  # the cashier application can have any transaction repeated, not only the last
    codes: str | None = None  # the shipped table of response codes (config/codes); None: the one of the driver's name
    own_codes: Mapping[str, CodeMeaning] = field(default_factory=dict)  # a profile's own codes, over the table's
    listens_only: bool = False  # no exchange is understood: a printed receipt alone makes a transaction
    silence_ends: bool = False  # a message has no end of its own: it ends when the line is quiet for `byte_gap_s`
