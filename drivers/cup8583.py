"""UnionPay terminals that reach their host through this PC: ISO 8583 as it passes, read and never spoken.

    terminal                     cashier PC                      host of the acquirer
      0200 sale          ──→   serial line or TCP   ──→
                         ←──                        ←──          0210 answer
      0400 reversal      ──→   (only before its next online transaction)
                         ←──                                     0410

Who asks and who answers is told by the message type, never by the side of the line: where the terminal is the device,
requests come from the terminal's side; where the host is (a terminal dials into the PC), from the cashier's.

Most smart terminals have a way of their own to the host; then nothing of this passes the PC (docs/cup8583.md).

Nobody acknowledges an answer on this line, so whether the terminal took it is known only later: a terminal keeps a
reversal of every payment until its answer has passed all checks, and sends it right before its next online
transaction. The bytes of card data and keys never become values (drivers/iso8583.py).

Source: LiaoYang_POS, hehe02921/qqq, public dumps (docs/cup8583.md). Confidence: high for framing and fields, medium for
when reversals are sent.
"""

from __future__ import annotations

from drivers.cup8583_masking import Iso8583Masker
from drivers.cup8583_messages import observations
from drivers.driver import Decoder, Driver, Framing, LineDefaults, Maturity, SimulatedTerminal, Simulation
from drivers.framing_length import Byte, Control, LengthFramer, Stray, Token
from drivers.iso8583 import read, whole
from drivers.masking import Masker
from drivers.observations import Ack, Acked, Checksum, Direction, Noise, Observation, Progress

_CHECKS = {True: Checksum.OK, False: Checksum.BAD, None: Checksum.NONE}


class Cup8583Decoder:
    """Follows a line that carries ISO 8583 in both directions."""

    def __init__(self, framing: Framing) -> None:
        self._framers = {direction: LengthFramer(bare=framing is not Framing.SERIAL) for direction in Direction}

    @property
    def idle(self) -> bool:
        """No partial frame is held. Each message says itself what it belongs to."""
        return all(framer.idle for framer in self._framers.values())

    def feed(self, direction: Direction, data: bytes) -> list[Observation]:
        """Take bytes that `direction` sent; return what they complete."""
        return self._observed(direction, self._framers[direction].feed(data))

    def silence(self, direction: Direction) -> list[Observation]:
        """The sender paused within a frame: the rest of it will not come."""
        return self._observed(direction, self._framers[direction].give_up())

    def reset(self) -> list[Observation]:
        """The line was cut: give up partial frames."""
        return self.finish()

    def finish(self) -> list[Observation]:
        """The input has ended: whatever is still held comes out."""
        return [seen for direction in Direction for seen in self.silence(direction)]

    def _observed(self, direction: Direction, tokens: list[Token]) -> list[Observation]:
        return [seen for token in tokens for seen in _observe(direction, token)]


def _observe(direction: Direction, token: Token) -> list[Observation]:
    if isinstance(token, Stray):
        return [Noise(direction=direction, length=token.length, reason=token.reason)]
    if isinstance(token, Control):
        if token.byte is Byte.ENQ:
            return [Progress(direction=direction, message="enquiry")]
        # A frame's acknowledgement says nothing of whether the terminal trusts the answer in it.
        return [Ack(direction=direction, positive=token.byte is Byte.ACK, of=Acked.OTHER)]
    checksum, length = _CHECKS[token.ok], len(token.data)
    if token.ok is False:
        return [Noise(direction=direction, checksum=checksum, length=length, reason="bad LRC")]
    begin, end = token.message
    message = read(token.data[:end], begin)
    if message is None or not whole(message, end):
        return [Noise(direction=direction, checksum=checksum, length=length, reason="unknown layout")]
    return observations(message, direction, checksum)


def _decoder(framing: Framing) -> Decoder:
    return Cup8583Decoder(framing)


def _masker(framing: Framing) -> Masker:
    return Iso8583Masker(framing)


def _simulated(settings: Simulation) -> SimulatedTerminal:
    # Imported when used: the bridge and the agent never simulate.
    from drivers.simulated.cup8583 import SimulatedCup8583

    return SimulatedCup8583(settings)


DRIVER = Driver(
    name="cup8583",
    title="UnionPay ISO 8583 through this PC (China)",
    maturity=Maturity.EXPERIMENTAL,
    source="LiaoYang_POS, hehe02921/qqq, public dumps",
    line=LineDefaults(baudrate=9600, bytesize=8, parity="N", stopbits=1),
    framings=(Framing.SERIAL, Framing.NONE),
    answer_timeout_s=65.0,  # terminals wait 60 s for the host, by default; and a margin
    delivery_timeout_s=0.8,  # not used: nobody acknowledges
    byte_gap_s=1.0,  # the longest frame takes 1.3 s at 9600 baud, without a pause in it
    decoder=_decoder,
    simulated=_simulated,
    masker=_masker,
    acknowledged=False,
    reverses=True,
    codes="cup",
)
