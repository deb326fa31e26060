"""What a profile says, as frozen values. drivers.profiles.load reads it; docs/profiles.md explains every key.

Sizes count bytes, times are seconds. Names of fields are the profile's own; `fact` ties one to what tillwatch knows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from drivers.codes import CodeMeaning
from drivers.driver import LineDefaults
from drivers.observations import Direction, Kind, Outcome, Phase, ReceiptKind


class Confidence(StrEnum):
    """How sure the source of a profile is."""

    HIGH = "high"  # read in public source code or in the maker's own page
    MEDIUM = "medium"  # one source, or a part of it derived
    LOW = "low"  # a part of it is an assumption


class Encoding(StrEnum):
    """How a field's bytes are written."""

    ASCII = "ascii"
    GBK = "gbk"
    UTF8 = "utf-8"
    BCD = "bcd"  # two digits a byte
    BINARY = "binary"  # unsigned, high byte first
    HEX = "hex"  # any bytes, shown in hexadecimal
    CUP8583 = "cup8583"  # an ISO 8583 message inside: its type, trace number and answer code are shown


class Fact(StrEnum):
    """What a field means to tillwatch. Those up to CHANNEL_ORDER are `Facts` of the same name."""

    AMOUNT = "amount"
    RESPONSE_CODE = "response_code"
    TRACE = "trace"
    BATCH = "batch"
    REFERENCE = "reference"
    APPROVAL_CODE = "approval_code"
    TERMINAL_ID = "terminal_id"
    MERCHANT_ID = "merchant_id"
    CARD = "card"
    ORDER = "order"
    CHANNEL_ORDER = "channel_order"
    DATE = "date"  # YYYYMMDD, YYMMDD or MMDD
    TIME = "time"  # hhmmss or hhmm
    DATETIME = "datetime"  # YYYYMMDDhhmmss, YYMMDDhhmmss or MMDDhhmmss
    KIND = "kind"  # the transaction code: looked up in [kinds]
    NONCE = "nonce"  # the answer repeats that of the request; another one marks a stale answer
    STATUS = "status"  # what became of the payment that a query asked about: looked up in [statuses]
    RESULT = "result"  # success or not where there is no response code: looked up in [results]
    RECEIPT = "receipt"  # text of a receipt
    TEXT = "text"  # a line for people
    SEQUENCE = "sequence"  # the sender's own counter; a built message bears the next one
    ACKNOWLEDGES = "acknowledges"  # the counter of the other side's last message
    TOTAL_COUNT = "total_count"  # of an end-of-day report; `total` names the row
    TOTAL_AMOUNT = "total_amount"


class Unit(StrEnum):
    """How an amount is written."""

    MINOR = "minor"  # 1285 is 12.85
    MAJOR = "major"  # 12.85, also behind letters: "RMB  12.85"


class Role(StrEnum):
    """What a message is in the exchange."""

    REQUEST = "request"
    QUERY = "query"  # a request that moves no money and opens no transaction
    ANSWER = "answer"
    PROGRESS = "progress"  # a sign of life
    ACK = "ack"
    NAK = "nak"


class Proves(StrEnum):
    """What the answer to a query proves about the payment it shows."""

    NOTHING = "nothing"  # a query that worked is not a payment that worked
    STATUS = "status"  # the answer's own status field says what became of it
    CODE = "code"  # the response code is the payment's own, not the query's


class LayoutKind(StrEnum):
    """How the fields of a message lie beside each other."""

    FIXED = "fixed"
    DELIMITED = "delimited"
    TLV = "tlv"
    JSON = "json"
    OPAQUE = "opaque"  # encrypted, or not known: nothing of it is read or kept


class PartKind(StrEnum):
    """What a part of a frame is."""

    BYTES = "bytes"
    FIELD = "field"
    LENGTH = "length"
    PAYLOAD = "payload"
    CHECK = "check"


class Style(StrEnum):
    """How messages are told apart on the line."""

    FRAME = "frame"
    CALL = "call"  # no framing: what one side says until it is quiet or the other speaks is one message


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One field of a message, or of a frame's head."""

    name: str
    encoding: Encoding = Encoding.ASCII
    fact: Fact | None = None
    size: int | None = None
    tag: bytes | None = None
    path: str | None = None
    rest: bool = False  # takes all that is left
    unit: Unit = Unit.MINOR
    prefix: str = ""  # stands before the value
    never: bool = False  # secret: dropped in the decoder, blanked in recordings
    layout: str | None = None  # the field holds fields itself
    skip: int = 0  # a delimited layout: so many parts that nobody reads
    only: Direction | None = None  # a message of the other side is never built with it
    total: str | None = None
    copy: ReceiptKind | None = None
    values: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Layout:
    """How the fields of a message lie. `separator` for delimited, `tag_size` for TLV."""

    name: str
    kind: LayoutKind
    fields: tuple[Field, ...] = ()
    separator: bytes = b""
    terminated: bool = False
    tag_size: int = 2
    encoding: Encoding = Encoding.ASCII


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One part of a frame, in the order in which it stands on the line."""

    kind: PartKind
    name: str
    size: int = 0  # of a payload: 0 where it varies
    value: bytes = b""
    encoding: Encoding = Encoding.BINARY
    little: bool = False  # low byte first
    counts: tuple[str, ...] = ()  # a length: the parts whose bytes it counts
    algorithm: str = ""
    first: str = ""  # a check covers the parts from here …
    last: str = ""  # … to here
    field: Field | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Framing:
    """How messages are cut out of the line. `control`: single bytes outside frames, by their meaning."""

    style: Style
    parts: tuple[Part, ...] = ()
    longest: int = 2048  # bytes of payload
    text: bool = False  # what is said is text: with control characters in it, it is no message
    control: Mapping[int, str] = field(default_factory=dict)
    acknowledged: bool = False  # the cashier application acknowledges an answer


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message. The first whose sender, layout and `match` fit is the one."""

    name: str
    role: Role
    senders: tuple[Direction, ...]
    layout: str | None
    match: Mapping[str, tuple[str, ...]]
    needs: tuple[str, ...] = ()  # fields that must be there, blank or not
    begins: bytes = b""  # the payload has these bytes …
    within: int = 0  # … at most so far from its beginning
    unchecked: bool = False  # also where the frame's check is wrong
    kind: Kind | None = None
    phase: Phase | None = None
    outcome: Outcome | None = None
    more: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # fields that say: another part follows
    sets: Mapping[str, str] = field(default_factory=dict)  # constants when the simulator or a question builds it
    proves: Proves | None = None  # an answer that answers queries only
    reply: str | None = None  # the message with which a simulated terminal replies to this one


@dataclass(frozen=True, slots=True, kw_only=True)
class Transaction:
    """What one transaction code asks for. `kind` None: a query; `proves`: what its answer says about a payment."""

    code: str
    name: str
    kind: Kind | None
    proves: Proves


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """How a terminal of the profile is asked for its last transaction. Texts by language."""

    message: str
    sets: Mapping[str, str]
    proves: Proves
    watch: bool  # it prints or acts: only watched unless the site says otherwise
    because: Mapping[str, str]
    patience_s: float
    longest_s: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Profile:
    """A protocol."""

    path: Path
    title: str
    provenance: str
    confidence: Confidence
    unproven: str
    currency: str | None
    opaque: bool
    line: LineDefaults
    answer_timeout_s: float
    delivery_timeout_s: float
    byte_gap_s: float
    framing: Framing
    layouts: Mapping[str, Layout]
    messages: tuple[Message, ...]
    kinds: Mapping[str, Transaction]
    statuses: Mapping[str, Outcome]
    results: Mapping[str, Outcome]
    codes: Mapping[str, CodeMeaning]
    codes_from: str | None  # the table under config/codes that this one adds to
    codes_default: Outcome
    question: Question | None
    simulated: Mapping[str, str]

    @property
    def name(self) -> str:
        """The protocol's name: that of the file."""
        return self.path.stem

    def message(self, name: str) -> Message | None:
        """The message of that name."""
        return next((message for message in self.messages if message.name == name), None)
