"""An ECR as ZVT wants one: it asks, and acknowledges whatever the terminal says. Sans-IO, for both framings."""

from __future__ import annotations

from drivers.driver import Framing
from drivers.zvt_framing import ACK, NAK, Apdu, BareFramer, Broken, LinkAck, SerialFramer, apdu, serial_frame

OK = b"\x80\x00"
STATUS_INFORMATION, INTERMEDIATE, PRINT_LINE, TEXT_BLOCK = b"\x04\x0f", b"\x04\xff", b"\x06\xd1", b"\x06\xd3"
COMPLETION, ABORT = b"\x06\x0f", b"\x06\x1e"
PASSWORD = bytes(3)


def bcd(number: int, size: int) -> bytes:
    return bytes.fromhex(f"{number:0{2 * size}}")


def registration(config: int = 0) -> bytes:
    return apdu(b"\x06\x00", PASSWORD + bytes([config]) + b"\x09\x78")


def authorisation(amount: int) -> bytes:
    return apdu(b"\x06\x01", b"\x04" + bcd(amount, 6) + b"\x49\x09\x78")


def refund(amount: int) -> bytes:
    return apdu(b"\x06\x31", PASSWORD + b"\x04" + bcd(amount, 6) + b"\x49\x09\x78")


def reversal(receipt: int) -> bytes:
    return apdu(b"\x06\x30", PASSWORD + b"\x87" + bcd(receipt, 2))


REPEAT_RECEIPT = apdu(b"\x06\x20", PASSWORD)
STATUS_ENQUIRY = apdu(b"\x05\x01", PASSWORD)
END_OF_DAY = apdu(b"\x06\x50", PASSWORD)
DIAGNOSIS = apdu(b"\x06\x70")
LOG_OFF = apdu(b"\x06\x02")
ABORT_COMMAND = apdu(b"\x06\xb0")


class ZvtPeer:
    """The cashier's end. `heard` are the terminal's messages, its acknowledgements included."""

    def __init__(self, framing: Framing) -> None:
        self._serial = framing is Framing.SERIAL
        self._framer: SerialFramer | BareFramer = SerialFramer() if self._serial else BareFramer()
        self.heard: list[Apdu] = []
        self.link_acks: list[bool] = []
        self.acknowledges = True

    def command(self, message: bytes) -> bytes:
        """The bytes of a command on the line."""
        return serial_frame(message) if self._serial else message

    def receive(self, data: bytes) -> bytes:
        """Bytes came from the terminal; returns what goes back."""
        replies = b""
        for token in self._framer.feed(data):
            if isinstance(token, LinkAck):
                self.link_acks.append(token.positive)
            elif isinstance(token, Broken):
                replies += bytes([NAK])
            elif isinstance(token, Apdu):
                self.heard.append(token)
                if self.acknowledges:
                    replies += self._acknowledgement(token)
        return replies

    def controls(self) -> list[bytes]:
        """The control fields of what was heard."""
        return [message.control for message in self.heard]

    def _acknowledgement(self, message: Apdu) -> bytes:
        link = bytes([ACK]) if self._serial else b""
        if message.control == OK or message.control[0] == 0x84:
            return link
        return link + self.command(apdu(OK))
