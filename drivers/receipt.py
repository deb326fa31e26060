"""Receipts alone: a printer tap, where no protocol of the terminal is understood. Listens, and says nothing ever.

A printed slip is a message: it ends with its cut, or when the printer falls silent. Both directions are followed,
because some lines lead from the terminal to its printer and others from the cashier application to one on the PC.
What is read from a slip, and when it proves a payment: drivers/receipts/slip.py.

Source: labels and layouts of UnionPay terminals' slips in public firmware and demos; ESC/POS as public printer
libraries have it. Confidence: high for labels, medium for single acquirers' layouts (docs/receipts.md).
"""

from __future__ import annotations

from drivers.driver import Decoder, Driver, Framing, LineDefaults, Maturity, SimulatedTerminal, Simulation
from drivers.masking import Masker
from drivers.observations import Direction, Observation
from drivers.receipts.paper import Paper
from drivers.receipts.slip import CODES


class ReceiptDecoder:
    """Two papers, one a direction."""

    def __init__(self) -> None:
        self._papers = {direction: Paper(direction) for direction in Direction}

    @property
    def idle(self) -> bool:
        """No slip has begun."""
        return all(paper.idle for paper in self._papers.values())

    def feed(self, direction: Direction, data: bytes) -> list[Observation]:
        """Take bytes that `direction` sent; return the slips that they end."""
        return self._papers[direction].feed(data)

    def silence(self, direction: Direction) -> list[Observation]:
        """The printer has been quiet: the slip is over."""
        return self._papers[direction].end()

    def reset(self) -> list[Observation]:
        """The line was cut: a slip begun is not whole."""
        return [seen for paper in self._papers.values() for seen in paper.end(complete=False)]

    def finish(self) -> list[Observation]:
        """The input has ended, and with it the slip."""
        return [seen for paper in self._papers.values() for seen in paper.end()]


def _decoder(framing: Framing) -> Decoder:  # noqa: ARG001  paper has no framing
    return ReceiptDecoder()


def _masker(framing: Framing) -> Masker:  # noqa: ARG001
    # Imported when used: only recordings are masked this way.
    from drivers.receipts.masking import PaperMasker

    return PaperMasker()


def _simulated(settings: Simulation) -> SimulatedTerminal:
    # Imported when used: the bridge and the agent never simulate.
    from drivers.simulated.receipt import SimulatedPrinter

    return SimulatedPrinter(settings)


DRIVER = Driver(
    name="receipt",
    title="Printed receipts (签购单), any terminal that prints",
    maturity=Maturity.EXPERIMENTAL,
    source="receipts.md: firmware and demos of UnionPay terminals, ESC/POS",
    line=LineDefaults(baudrate=9600, bytesize=8, parity="N", stopbits=1),
    framings=(Framing.NONE,),
    answer_timeout_s=120.0,  # never waited for: a slip is question and answer in one
    delivery_timeout_s=1.0,  # likewise
    byte_gap_s=2.0,  # printing programs pause between lines, not for seconds; the usual idle time that ends a slip
    decoder=_decoder,
    simulated=_simulated,
    masker=_masker,
    codes=CODES,
    listens_only=True,
    silence_ends=True,
)
