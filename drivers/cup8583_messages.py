"""What a UnionPay message says, as observations: types and processing codes to kinds, fields to facts.

    request  answer  field 3  60.1  25  meaning
    0200     0210    00       22    00  sale                     0200 31 01      balance
                     20       23    00  void                     0400    0410    reversal of any of these
                     00       20    06  completion               0500    0510    settlement
                     20       21    06  void of a completion     0320    0330    batch upload
    0100     0110    03       10    06  preauthorisation         0800    0810    sign-in, downloads
                     20       11    06  void of one              0820    0830    sign-off, echo test
    0220     0230    20       25    00  refund                   0620, 0920      script result, signature
                     00       24    06  completion as advice     0220 30 36      offline sale

Field 60.1 tells most; vendors' own values (payments by code) fall back on fields 3 and 25. A reversal bears the numbers
of the transaction that it undoes (11, 4, 41, 60.2), and in field 39 why.
"""

from __future__ import annotations

from dataclasses import dataclass

from drivers import codes, currencies
from drivers.iso8583 import Message
from drivers.observations import (
    Answer,
    Checksum,
    Direction,
    Facts,
    Kind,
    Observation,
    Outcome,
    Request,
    Reversal,
    Settlement,
    Total,
)

#: (message type of the request, field 60.1) → what it is, and its name
TRANSACTIONS: dict[tuple[str, str], tuple[Kind, str]] = {
    ("0200", "01"): (Kind.BALANCE, "balance"),
    ("0200", "22"): (Kind.PURCHASE, "sale"),
    ("0200", "23"): (Kind.VOID, "void"),
    ("0200", "20"): (Kind.COMPLETION, "preauth_completion"),
    ("0200", "21"): (Kind.VOID, "preauth_completion_void"),
    ("0100", "10"): (Kind.PREAUTHORISATION, "preauth"),
    ("0100", "11"): (Kind.VOID, "preauth_void"),
    ("0220", "25"): (Kind.REFUND, "refund"),
    ("0220", "24"): (Kind.COMPLETION, "preauth_completion_advice"),
    ("0220", "30"): (Kind.PURCHASE, "offline_advice"),
    ("0220", "36"): (Kind.PURCHASE, "offline_advice"),
    ("0220", "32"): (Kind.OTHER, "offline_adjustment"),
    ("0220", "34"): (Kind.OTHER, "tip_adjustment"),
}
#: (message type of the request, first two digits of field 3, field 25 is 06) → the same, where 60.1 is a vendor's own
_BY_PROCESSING: dict[tuple[str, str, bool], tuple[Kind, str]] = {
    ("0200", "31", False): (Kind.BALANCE, "balance"),
    ("0200", "00", False): (Kind.PURCHASE, "sale"),
    ("0200", "20", False): (Kind.VOID, "void"),
    ("0200", "00", True): (Kind.COMPLETION, "preauth_completion"),
    ("0200", "20", True): (Kind.VOID, "preauth_completion_void"),
    ("0100", "03", True): (Kind.PREAUTHORISATION, "preauth"),
    ("0100", "20", True): (Kind.VOID, "preauth_void"),
    ("0220", "20", False): (Kind.REFUND, "refund"),
    ("0220", "00", True): (Kind.COMPLETION, "preauth_completion_advice"),
    ("0220", "00", False): (Kind.PURCHASE, "offline_advice"),
}
_OTHERS = {
    "0320": "batch_upload",
    "0400": "reversal",
    "0500": "settlement",
    "0620": "script_result",
    "0800": "download",
    "0820": "status",
    "0920": "signature",
}
#: field 60.3 of 0800 and 0820
_NETWORK = {"001": "sign_in", "003": "sign_in", "004": "sign_in", "002": "sign_off", "301": "echo_test"}
_REASONS = {"98": Reversal.NO_ANSWER, "A0": Reversal.BAD_ANSWER}
#: field 48 of a settlement, for home and foreign cards each: amounts of 12 digits, counts of 3, and the verdict
_PART = 31
_PARTS = ("", "foreign ")


@dataclass(frozen=True, slots=True)
class Parts60:
    """Field 60 as far as it is long: kind of transaction, batch, network management."""

    kind: str | None
    batch: str | None
    network: str | None


def observations(message: Message, direction: Direction, checksum: Checksum) -> list[Observation]:
    """What the message says; `direction` is who sent it on this line."""
    asks = message.mti[2] in "02"
    base = message.mti if asks else f"{message.mti[:2]}{int(message.mti[2]) - 1}0"
    base = f"{base[:3]}0"
    kind, name = _meant(message, base)
    facts = _facts(message, base)
    if asks:
        reverses = _REASONS.get(facts.response_code or "", Reversal.OTHER) if base == "0400" else None
        return [
            Request(direction=direction, checksum=checksum, kind=kind, message=name, facts=facts, reverses=reverses)
        ]
    seen: list[Observation] = []
    if base == "0500" and (totals := _totals(message)):
        balanced = _balanced(message)
        seen.append(Settlement(direction=direction, checksum=checksum, totals=totals, balanced=balanced))
    answer = Answer(
        direction=direction,
        checksum=checksum,
        outcome=_outcome(facts.response_code, base),
        final=True,
        message=name,
        facts=facts,
        reverses=True if base == "0400" else None,
    )
    return [*seen, answer]


def _meant(message: Message, base: str) -> tuple[Kind | None, str]:
    """What a message of this request's type is about."""
    parts = parts_of_60(message)
    if base in ("0800", "0820"):
        return None, _NETWORK.get(parts.network or "", _OTHERS[base])
    if base == "0500":
        return Kind.SETTLEMENT, _OTHERS[base]
    if base in _OTHERS:
        return None, _OTHERS[base]
    if found := TRANSACTIONS.get((base, parts.kind or "")):
        return found
    values = message.values
    processing = (base, values.get(3, "")[:2], values.get(25) == "06")
    return _BY_PROCESSING.get(processing, (Kind.OTHER, f"{base} {values.get(3, '')}".strip()))


def _outcome(code: str | None, base: str) -> Outcome:
    """By the code; one that nobody wrote down, or none, leaves it unknown."""
    meaning = codes.meaning("cup_reversal" if base == "0400" else "cup", code or "")
    return meaning.outcome if meaning else Outcome.UNKNOWN


def parts_of_60(message: Message) -> Parts60:
    """Field 60 cut into its parts."""
    digits = message.values.get(60, "")
    return Parts60(digits[:2] or None, digits[2:8] if len(digits) >= 8 else None, digits[8:11] or None)


def _facts(message: Message, base: str) -> Facts:
    values = message.values
    amount = values.get(4)
    return Facts(
        amount=int(amount) if amount else None,
        currency=currencies.alpha(values[49]) if values.get(49, "").isdecimal() else None,
        response_code=values.get(39),
        trace=values.get(11),
        batch=parts_of_60(message).batch,
        reference=values.get(37),
        approval_code=values.get(38),
        terminal_id=values.get(41),
        merchant_id=values.get(42),
        card=message.card,
        terminal_time=_moment(values.get(13), values.get(12)),
        extra=tuple(_extra(message, base)),
    )


def _extra(message: Message, base: str) -> list[tuple[str, str | int]]:
    values = message.values
    parts = parts_of_60(message)
    original = values.get(61, "")
    named: list[tuple[str, str | None]] = [
        ("mti", message.mti),
        ("proc_code", values.get(3)),
        ("f60_type", parts.kind),
        ("f60_net", parts.network),
        ("entry_mode", values.get(22)),
        ("settlement_date", values.get(15)),
        ("acquirer", values.get(32)),
        ("original_batch", original[:6] or None),
        ("original_trace", original[6:12] or (values.get(11) if base == "0400" else None)),
        ("original_date", original[12:16] or None),
        ("institutions", values.get(44)),
        ("additional_text", values.get(63)),
        ("settle_flag", _flags(message)[:1] or None if base == "0500" else None),
        ("head", message.head),
        ("tpdu", message.tpdu),
    ]
    extra: list[tuple[str, str | int]] = [(name, value) for name, value in named if value]
    if message.stopped:
        extra.append(("not_understood_from_field", message.stopped.field))
    return extra


def _moment(date: str | None, time: str | None) -> str | None:
    """The host's local time, `06-07 09:30:15`."""
    if date is None or time is None:
        return None
    return f"{date[:2]}-{date[2:]} {time[:2]}:{time[2:4]}:{time[4:]}"


def _totals(message: Message) -> tuple[Total, ...]:
    """Debits and credits of field 48, for home and foreign cards."""
    digits = message.values.get(48, "")
    totals = []
    for number, prefix in enumerate(_PARTS):
        part = digits[number * _PART : (number + 1) * _PART]
        if len(part) < _PART or (number and not part[:30].strip("0")):
            continue
        totals.append(Total(f"{prefix}debit", int(part[12:15]), int(part[:12]), Kind.PURCHASE))
        totals.append(Total(f"{prefix}credit", int(part[27:30]), int(part[15:27]), Kind.REFUND))
    return tuple(totals)


def _flags(message: Message) -> str:
    """The verdicts in field 48: 1 the totals agree, 2 they do not, 3 the host could not tell; 0 in a request."""
    digits = message.values.get(48, "")
    return digits[_PART - 1 : _PART] + digits[2 * _PART - 1 : 2 * _PART]


def _balanced(message: Message) -> bool | None:
    flags = _flags(message).replace("0", "")
    if not flags or "3" in flags:
        return None
    return set(flags) == {"1"}
