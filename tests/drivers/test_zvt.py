"""The ZVT decoder against the published frames, and the rules of its exchange.

Long because it walks the specification message by message; parted, the same frames would be set up in each part.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from drivers import codes
from drivers.driver import Framing
from drivers.observations import (
    Ack,
    Acked,
    Answer,
    Checksum,
    Direction,
    Facts,
    Kind,
    Noise,
    Observation,
    Outcome,
    Phase,
    Progress,
    Receipt,
    ReceiptKind,
    Request,
    Settlement,
    Total,
    as_dict,
)
from drivers.zvt import COMMANDS, INTERMEDIATE, ZvtDecoder, kind_of_receipt
from drivers.zvt_framing import apdu, serial_frame
from tests.drivers.zvt_peer import (
    ABORT_COMMAND,
    DIAGNOSIS,
    END_OF_DAY,
    LOG_OFF,
    REPEAT_RECEIPT,
    STATUS_ENQUIRY,
    authorisation,
    bcd,
    refund,
    registration,
    reversal,
)

CASHIER, TERMINAL = Direction.CASHIER, Direction.TERMINAL
ROWS = json.loads((Path(__file__).parent.parent / "data" / "zvt_frames.json").read_text(encoding="utf-8"))
BY_NAME = {str(row["name"]): row for row in ROWS}
PAY, OK = authorisation(1234), apdu(b"\x80\x00")
COMPLETED = apdu(b"\x06\x0f")
Step = tuple[Direction, bytes]


def play(*steps: Step, decoder: ZvtDecoder | None = None) -> list[Observation]:
    decoder = decoder or ZvtDecoder(Framing.NONE)
    return [seen for direction, data in steps for seen in decoder.feed(direction, data)]


def says(*messages: bytes) -> list[Step]:
    """The terminal says these, each acknowledged."""
    return [step for message in messages for step in ((TERMINAL, message), (CASHIER, OK))]


def asks(command: bytes, *messages: bytes) -> list[Step]:
    """A command that the terminal takes, and what it says."""
    return [(CASHIER, command), (TERMINAL, OK), *says(*messages)]


def intermediate(status: int) -> bytes:
    return apdu(b"\x04\xff", bytes([status]))


def result(code: int, fields: bytes = b"") -> bytes:
    return apdu(b"\x04\x0f", bytes([0x27, code]) + fields)


def abort(code: int) -> bytes:
    return apdu(b"\x06\x1e", bytes([code]))


def print_line(line: bytes, attribute: int = 0) -> bytes:
    return apdu(b"\x06\xd1", bytes([attribute]) + line)


def answers(seen: list[Observation]) -> list[tuple[Outcome | None, bool]]:
    return [(each.outcome, each.final) for each in seen if isinstance(each, Answer)]


def outcomes(*steps: Step) -> list[Outcome]:
    return [outcome for outcome, _ in answers(play(*steps)) if outcome is not None]


def acks(seen: list[Observation]) -> list[tuple[Direction, bool, Acked]]:
    return [(each.direction, each.positive, each.of) for each in seen if isinstance(each, Ack)]


# --- the published frames ---


def observed(row: dict[str, object]) -> list[Observation]:
    framing = Framing(str(row["framing"]))
    direction = CASHIER if row["direction"] == "both" else Direction(str(row["direction"]))
    frames = row["frames"]
    assert isinstance(frames, list)
    decoder = ZvtDecoder(framing)
    seen = [each for frame in frames for each in decoder.feed(direction, bytes.fromhex(frame))]
    return seen + decoder.finish()


def facts_of_all(seen: list[Observation]) -> dict[str, object]:
    said: dict[str, object] = {}
    for each in seen:
        fields = as_dict(each)["fields"]
        assert isinstance(fields, dict)
        said |= fields
    return said


FACTS = {
    *("amount", "response_code", "trace", "terminal_id", "terminal_time", "card_name", "card_last4", "card_sequence"),
    *("expiry", "additional_text", "card_technology", "date", "aid"),
}
RECEIPTS = {"receipt_kind", "receipt_first_line", "receipt_contains"}
with_facts = [row for row in ROWS if set(row["expected"]) & FACTS]
with_receipts = [row for row in ROWS if set(row["expected"]) & RECEIPTS]
serial_rows = [row for row in ROWS if row["framing"] == "serial"]
CORRUPT = BY_NAME["ProcessData_CorruptLinesReceivedPackageToLarge_Successful"]


def name_of(row: dict[str, object]) -> str:
    return str(row["name"])


def test_every_published_frame_is_tried() -> None:
    tried = {name_of(row) for row in (*with_facts, *with_receipts, *serial_rows, CORRUPT)}
    assert tried == set(BY_NAME)
    known = {*FACTS, *RECEIPTS, "message", "note"}
    assert {field for row in ROWS for field in row["expected"]} <= known


@pytest.mark.parametrize("row", with_facts, ids=name_of)
def test_published_facts(row: dict[str, object]) -> None:
    said = facts_of_all(observed(row))
    expected = row["expected"]
    assert isinstance(expected, dict)
    assert {name: said.get(name) for name in expected} == expected


@pytest.mark.parametrize("row", with_receipts, ids=name_of)
def test_published_receipts(row: dict[str, object]) -> None:
    (receipt,) = [each for each in observed(row) if isinstance(each, Receipt)]
    expected = row["expected"]
    assert isinstance(expected, dict)
    assert receipt.complete
    assert str(receipt.receipt_kind) in str(expected["receipt_kind"]).split(" or ")
    assert receipt.text[0] == expected.get("receipt_first_line", receipt.text[0])
    assert str(expected.get("receipt_contains", "")) in "\n".join(receipt.text)


@pytest.mark.parametrize("row", serial_rows, ids=name_of)
def test_published_serial_frames(row: dict[str, object]) -> None:
    seen, *_ = observed(row)  # behind a line of print comes the receipt it is the whole of
    assert seen.checksum is Checksum.OK
    shown = facts_of_all([seen])
    expected = row["expected"]
    assert isinstance(expected, dict)
    wanted = str(expected["message"])
    said = str(shown["message"])
    if isinstance(seen, Progress):
        said += f" '{seen.text[0]}'"
    if seen.facts.amount is not None:
        said += f" {seen.facts.amount / 100:.2f} {seen.facts.currency}"
    assert said == wanted


def test_the_acknowledgement_is_the_same_from_both_sides() -> None:
    frame = bytes.fromhex(BY_NAME["positive acknowledgement"]["frames"][0])
    for direction in Direction:
        (seen,) = ZvtDecoder(Framing.SERIAL).feed(direction, frame)
        assert isinstance(seen, Ack)
        assert seen.positive


def test_the_published_frame_with_a_wrong_length() -> None:
    """Its length is four bytes less than what follows (the fixture's note has it the other way round)."""
    line, noise, receipt = observed(CORRUPT)
    assert line.text == receipt.text == ("** KASSENSCHNIT",)
    assert noise == Noise(direction=TERMINAL, length=4, reason="no frame")


# --- requests ---


@pytest.mark.parametrize(
    ("command", "kind", "message", "facts"),
    [
        (PAY, Kind.PURCHASE, "authorisation", {"amount": 1234, "currency": "EUR"}),
        (refund(500), Kind.REFUND, "refund", {"amount": 500, "currency": "EUR"}),
        (reversal(17), Kind.VOID, "reversal", {"receipt_number": "0017"}),
        (apdu(b"\x06\x22", b"\x04" + bcd(900, 6)), Kind.PREAUTHORISATION, "pre-authorisation", {"amount": 900}),
        (
            apdu(b"\x06\x24", b"\x87\x00\x09\x04" + bcd(900, 6)),
            Kind.COMPLETION,
            "booking of a pre-authorisation",
            {"amount": 900, "receipt_number": "0009"},
        ),
        (
            apdu(b"\x06\x25", bytes(3) + b"\x87\x00\x09"),
            Kind.VOID,
            "reversal of a pre-authorisation",
            {"receipt_number": "0009"},
        ),
        (apdu(b"\x06\x03", b"\x19\x40"), Kind.BALANCE, "account balance request", {}),
        (END_OF_DAY, Kind.SETTLEMENT, "end of day", {}),
        (registration(0xBA), None, "registration", {}),
        (REPEAT_RECEIPT, None, "repeat receipt", {}),
        (STATUS_ENQUIRY, None, "status enquiry", {}),
        (DIAGNOSIS, None, "diagnosis", {}),
        (LOG_OFF, None, "log-off", {}),
        (ABORT_COMMAND, None, "abort command", {}),
        (apdu(b"\x06\x7f"), None, "command 06 7F", {}),
    ],
    ids=lambda value: str(value) if isinstance(value, str) else "",
)
def test_requests(command: bytes, kind: Kind | None, message: str, facts: dict[str, object]) -> None:
    (seen,) = play((CASHIER, command))
    assert isinstance(seen, Request)
    assert (seen.kind, seen.message) == (kind, message)
    shown = as_dict(seen)["fields"]
    assert isinstance(shown, dict)
    assert {name: value for name, value in shown.items() if name not in ("kind", "message")} == facts


def test_every_command_has_a_name_and_few_move_money() -> None:
    assert all(name for _, name, _ in COMMANDS.values())
    moving = {control.hex() for control, (kind, _, _) in COMMANDS.items() if kind and kind.moves_money}
    assert moving == {"0601", "0622", "0623", "0624", "0625", "0630", "0631"}


# --- outcomes ---


@pytest.mark.parametrize(
    ("code", "outcome"),
    [
        (0x00, Outcome.APPROVED),
        (0x05, Outcome.DECLINED),
        (0x51, Outcome.DECLINED),
        (0x64, Outcome.DECLINED),
        (0x6C, Outcome.CANCELLED),
        (0x7D, Outcome.UNKNOWN),
        (0x9B, Outcome.UNKNOWN),
        (0xA0, Outcome.UNKNOWN),
        (0xA1, Outcome.UNKNOWN),
        (0xA3, Outcome.UNKNOWN),
        (0xFF, Outcome.DECLINED),
        (0x3F, Outcome.DECLINED),  # in no table: the terminal says that it has not approved
    ],
)
def test_result_codes(code: int, outcome: Outcome) -> None:
    end = COMPLETED if code == 0 else abort(code)
    seen = play(*asks(PAY, intermediate(0x0A), result(code), end))
    assert answers(seen) == [(outcome, False), (None, True)]
    assert next(each for each in seen if isinstance(each, Answer)).facts.response_code == f"{code:02X}"


@pytest.mark.parametrize("waiting", [0x04, 0x06, 0x17])
def test_a_system_error_after_the_terminal_waited_for_the_host_is_unknown(waiting: int) -> None:
    assert outcomes(*asks(PAY, intermediate(waiting), result(0xFF), abort(0xFF))) == [Outcome.UNKNOWN]


def test_waiting_for_the_host_is_forgotten_with_the_next_command() -> None:
    first = asks(PAY, intermediate(0x04), result(0x05), abort(0x05))
    assert outcomes(*first, *asks(PAY, result(0xFF), abort(0xFF))) == [Outcome.DECLINED, Outcome.DECLINED]


@pytest.mark.parametrize("end", [COMPLETED, abort(0x6C), abort(0x05), abort(0xFF), apdu(b"\x06\x1e")])
def test_an_end_without_status_information_is_unknown(end: bytes) -> None:
    assert answers(play(*asks(PAY, intermediate(0x0A), end))) == [(Outcome.UNKNOWN, True)]


@pytest.mark.parametrize("command", [refund(100), reversal(3), apdu(b"\x06\x22"), apdu(b"\x06\x24")])
def test_so_it_is_for_every_command_that_moves_money(command: bytes) -> None:
    assert outcomes(*asks(command, COMPLETED)) == [Outcome.UNKNOWN]


def test_status_information_of_an_earlier_command_does_not_count() -> None:
    steps = [*asks(PAY, result(0x00), COMPLETED), *asks(PAY, COMPLETED)]
    assert outcomes(*steps) == [Outcome.APPROVED, Outcome.UNKNOWN]


def test_an_abort_after_an_approval_is_unknown() -> None:
    assert outcomes(*asks(PAY, result(0x00), abort(0x66))) == [Outcome.APPROVED, Outcome.UNKNOWN]


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        ([intermediate(0x05), abort(0x05)], [Outcome.UNKNOWN]),
        ([result(0x00), intermediate(0x05), COMPLETED], [Outcome.APPROVED, Outcome.UNKNOWN]),
        ([intermediate(0x04), intermediate(0x05), result(0x05), abort(0x05)], [Outcome.DECLINED]),
        ([intermediate(0x05), result(0x7D), abort(0x7D)], [Outcome.UNKNOWN]),
    ],
    ids=["no result", "after the approval", "with its result", "its result in doubt"],
)
def test_an_announced_reversal(messages: list[bytes], expected: list[Outcome]) -> None:
    seen = play(*asks(PAY, *messages))
    assert [outcome for outcome, _ in answers(seen) if outcome] == expected
    assert Phase.REVERSING in [each.phase for each in seen if isinstance(each, Progress)]


@pytest.mark.parametrize("command", [REPEAT_RECEIPT, STATUS_ENQUIRY, DIAGNOSIS, registration()])
def test_a_command_without_a_transaction_ends_without_an_outcome(command: bytes) -> None:
    assert answers(play(*asks(command, COMPLETED))) == [(None, True)]
    assert answers(play(*asks(command, abort(0x83)))) == [(None, True)]


def test_a_repeated_receipt_brings_the_last_result() -> None:
    seen = play(*asks(REPEAT_RECEIPT, result(0x00, b"\x04" + bcd(1234, 6) + b"\x0b\x00\x00\x07"), COMPLETED))
    assert answers(seen) == [(Outcome.APPROVED, False), (None, True)]
    answer = next(each for each in seen if isinstance(each, Answer))
    assert (answer.facts.amount, answer.facts.trace) == (1234, "000007")


def test_a_status_enquiry_tells_the_state_of_the_terminal() -> None:
    (answer,) = [each for each in play(*asks(STATUS_ENQUIRY, apdu(b"\x06\x0f", b"\xdc"))) if isinstance(each, Answer)]
    assert answer.facts == Facts(extra=(("status", "DC"),))


@pytest.mark.parametrize("code", ["7D", "9B", "A0", "A1", "A3", "FF"])
def test_the_table_calls_unknown_what_must_be_asked_again(code: str) -> None:
    meaning = codes.meaning("zvt", code)
    assert meaning is not None
    assert meaning.outcome is Outcome.UNKNOWN


def test_the_table_is_whole() -> None:
    named = (
        "00 05 64 65 66 6C 6F 71 72 77 78 79 7A 7D 83 85 9A 9B 9C A0 A1 A3 B1 B2 B4 B5 B7 B8 C2 C3 CC DC E0 E2 F0 FA"
    )
    table = codes.table("zvt")
    assert {*named.split(), "FC", "FF"} <= set(table)
    assert all(meaning.text["en"] and meaning.text["zh-CN"] for meaning in table.values())
    assert [code for code, meaning in table.items() if meaning.outcome is Outcome.APPROVED] == ["00"]


# --- acknowledgements ---


def test_what_is_acknowledged() -> None:
    decoder = ZvtDecoder(Framing.NONE)
    steps = asks(PAY, intermediate(0x0A), result(0x00), print_line(b"x", 0x81), COMPLETED)
    assert acks(play(*steps, decoder=decoder)) == [
        (TERMINAL, True, Acked.REQUEST),
        (CASHIER, True, Acked.OTHER),
        (CASHIER, True, Acked.ANSWER),
        (CASHIER, True, Acked.OTHER),
        (CASHIER, True, Acked.END),
    ]
    assert decoder.idle


def test_what_is_acknowledged_on_a_serial_line() -> None:
    steps = [(direction, serial_frame(data)) for direction, data in asks(PAY, result(0x00), COMPLETED)]
    framed = [part for direction, data in steps for part in ((direction, data), (direction.opposite, b"\x06"))]
    found = [ack for ack in acks(play(*framed, decoder=ZvtDecoder(Framing.SERIAL))) if ack[2] is not Acked.OTHER]
    assert found == [
        (TERMINAL, True, Acked.REQUEST), (CASHIER, True, Acked.ANSWER), (CASHIER, True, Acked.END),
    ]  # fmt: skip


@pytest.mark.parametrize("positive", [True, False])
def test_a_link_acknowledgement_acknowledges_nothing_of_a_payment(positive: bool) -> None:
    byte = b"\x06" if positive else b"\x15"
    decoder = ZvtDecoder(Framing.SERIAL)
    play((CASHIER, serial_frame(PAY)), decoder=decoder)
    (seen,) = decoder.feed(TERMINAL, byte)
    assert seen == Ack(direction=TERMINAL, positive=positive, of=Acked.OTHER)
    assert not decoder.idle


@pytest.mark.parametrize(("code", "text"), [(0xA0, "receiver not ready"), (0x83, "function not possible")])
def test_a_refused_request(code: int, text: str) -> None:
    decoder = ZvtDecoder(Framing.NONE)
    seen = play((CASHIER, PAY), (TERMINAL, apdu(bytes([0x84, code]))), decoder=decoder)
    assert acks(seen) == [(TERMINAL, False, Acked.REQUEST)]
    assert seen[-1].facts.response_code == f"{code:02X}"
    assert dict(seen[-1].facts.extra)["message"] == f"negative acknowledgement, {text}"
    assert decoder.idle


def test_please_wait_is_no_refusal() -> None:
    decoder = ZvtDecoder(Framing.NONE)
    seen = play((CASHIER, PAY), (TERMINAL, apdu(b"\x84\x9c")), decoder=decoder)
    assert acks(seen) == [(TERMINAL, False, Acked.REQUEST)]
    assert not decoder.idle
    assert answers(play(*says(result(0x00), COMPLETED), decoder=decoder)) == [(Outcome.APPROVED, False), (None, True)]


def test_the_other_form_of_the_positive_acknowledgement() -> None:
    """Some terminals say 84 00 00, as Portalum.Zvt knows: taking it for a refusal would lose the payment."""
    decoder = ZvtDecoder(Framing.NONE)
    seen = play((CASHIER, PAY), (TERMINAL, apdu(b"\x84\x00")), decoder=decoder)
    assert acks(seen) == [(TERMINAL, True, Acked.REQUEST)]
    assert seen[-1].facts.response_code is None
    assert not decoder.idle


def test_an_answer_that_the_cashier_application_refuses() -> None:
    seen = play((CASHIER, PAY), (TERMINAL, OK), (TERMINAL, result(0)), (CASHIER, apdu(b"\x84\x66")))
    assert acks(seen)[-1] == (CASHIER, False, Acked.ANSWER)


def test_a_refused_abort_command_refuses_no_payment() -> None:
    decoder = ZvtDecoder(Framing.NONE)
    play((CASHIER, PAY), (TERMINAL, OK), decoder=decoder)
    seen = play((CASHIER, ABORT_COMMAND), (TERMINAL, apdu(b"\x84\x83")), decoder=decoder)
    assert acks(seen) == [(TERMINAL, False, Acked.OTHER)]
    assert not decoder.idle
    assert answers(play(*says(result(0x00), COMPLETED), decoder=decoder)) == [(Outcome.APPROVED, False), (None, True)]


@pytest.mark.parametrize("command", [registration(), STATUS_ENQUIRY, DIAGNOSIS, REPEAT_RECEIPT])
def test_the_acknowledged_end_of_a_service_command_delivers_no_payment(command: bytes) -> None:
    """It may come after a payment whose answer the cashier application never took."""
    seen = play((CASHIER, PAY), (TERMINAL, OK), (TERMINAL, result(0)), *asks(command, COMPLETED))
    assert not {Acked.ANSWER, Acked.END} & {of for _, _, of in acks(seen)}


def test_a_repeated_result_that_is_acknowledged_is_delivered() -> None:
    seen = play(*asks(REPEAT_RECEIPT, result(0), COMPLETED))
    assert [of for direction, _, of in acks(seen) if direction is CASHIER] == [Acked.ANSWER, Acked.END]


def test_an_acknowledgement_of_nothing_is_told_as_such() -> None:
    assert acks(play((CASHIER, OK), (TERMINAL, OK))) == [(CASHIER, True, Acked.OTHER), (TERMINAL, True, Acked.OTHER)]


def test_a_message_is_acknowledged_once() -> None:
    seen = play(*asks(PAY, result(0)), (CASHIER, OK))
    assert [of for direction, _, of in acks(seen) if direction is CASHIER] == [Acked.ANSWER, Acked.OTHER]


# --- idle, silence, reset ---


def test_idle_from_the_acknowledged_end_to_the_next_command() -> None:
    decoder = ZvtDecoder(Framing.NONE)
    assert decoder.idle
    *before, last = asks(PAY, intermediate(0x0A), result(0x00), COMPLETED)
    for direction, data in before:
        decoder.feed(direction, data)
        assert not decoder.idle
    decoder.feed(*last)
    assert decoder.idle


def test_a_log_off_needs_no_completion() -> None:
    decoder = ZvtDecoder(Framing.NONE)
    play((CASHIER, LOG_OFF), (TERMINAL, OK), decoder=decoder)
    assert decoder.idle


def test_a_message_cut_by_silence_is_noise() -> None:
    decoder = ZvtDecoder(Framing.NONE)
    assert decoder.feed(TERMINAL, result(0)[:4]) == []
    assert decoder.silence(CASHIER) == []
    assert decoder.silence(TERMINAL) == [Noise(direction=TERMINAL, length=4, reason="frame broke off")]


def test_reset_forgets_the_exchange_and_ends_the_receipt() -> None:
    decoder = ZvtDecoder(Framing.NONE)
    play(*asks(PAY, intermediate(4), print_line(b"Betrag 12,34")), (TERMINAL, result(0)[:3]), decoder=decoder)
    noise, receipt = decoder.reset()
    assert isinstance(noise, Noise)
    assert receipt == Receipt(direction=TERMINAL, text=("Betrag 12,34",), receipt_kind=None, complete=False)
    assert decoder.idle
    assert answers(play(*says(result(0xFF)), decoder=decoder)) == [(Outcome.DECLINED, False)]


def test_a_broken_frame_is_noise_with_its_checksum() -> None:
    decoder = ZvtDecoder(Framing.SERIAL)
    (bad,) = decoder.feed(TERMINAL, serial_frame(result(0), wrong=1))
    assert bad == Noise(direction=TERMINAL, checksum=Checksum.BAD, length=5, reason="bad CRC")
    (odd,) = decoder.feed(TERMINAL, serial_frame(b"\x04\x0f\x09\x27"))
    assert odd == Noise(direction=TERMINAL, checksum=Checksum.OK, length=4, reason="length does not fit")
    assert decoder.idle


# --- progress ---


@pytest.mark.parametrize("status", [*INTERMEDIATE, 0x7E])
def test_intermediate_status(status: int) -> None:
    phase, shown = INTERMEDIATE.get(status, (None, "status 7E"))
    (seen,) = play((TERMINAL, intermediate(status)))
    assert isinstance(seen, Progress)
    assert (seen.phase, seen.message) == (phase, "intermediate status")
    assert dict(seen.facts.extra) == {"status": f"{status:02X}", "status_text": shown}


def test_display_texts_and_unknown_messages_are_steps() -> None:
    seen = play((TERMINAL, apdu(b"\x06\xe0", b"\x00\x00")), (TERMINAL, apdu(b"\x04\x0d")))
    assert [each.message for each in seen if isinstance(each, Progress)] == ["display text", "message 04 0D"]


# --- receipts ---


def receipts(*steps: Step) -> list[Receipt]:
    return [each for each in play(*steps) if isinstance(each, Receipt)]


def text_block(kind: int, *lines: bytes) -> bytes:
    inner = b"".join(b"\x07" + bytes([len(line)]) + line for line in lines)
    container = b"\x1f\x07\x01" + bytes([kind]) + b"\x25" + bytes([len(inner)]) + inner
    return apdu(b"\x06\xd3", b"\x06" + bytes([len(container)]) + container)


def test_lines_become_receipts_at_the_last_line() -> None:
    lines = [b"H\x84NDLERBELEG", b"", b"Summe 12,34", b"KUNDENBELEG"]
    merchant = [*map(print_line, lines[:3]), print_line(b"", 0x81)]
    customer = [print_line(lines[3]), print_line(b"Danke", 0x81)]
    seen = receipts(*asks(PAY, result(0), *merchant, *customer, COMPLETED))
    assert [(each.receipt_kind, each.text, each.complete) for each in seen] == [
        (ReceiptKind.MERCHANT, ("HäNDLERBELEG", "", "Summe 12,34"), True),
        (ReceiptKind.CUSTOMER, ("KUNDENBELEG", "Danke"), True),
    ]


def test_lines_without_a_last_one_end_with_the_command() -> None:
    (receipt,) = receipts(*asks(PAY, result(0), print_line(b"KUNDENBELEG"), COMPLETED))
    assert receipt.complete


def test_lines_that_the_next_command_cuts_off() -> None:
    (receipt,) = receipts(*asks(PAY, print_line(b"KUNDENBELEG")), (CASHIER, PAY))
    assert (receipt.text, receipt.complete) == (("KUNDENBELEG",), False)


def test_text_blocks_are_receipts_of_their_own() -> None:
    seen = receipts(*asks(PAY, result(0), text_block(1, b"a", b"b"), text_block(2, b"c"), COMPLETED))
    assert [(each.receipt_kind, each.text) for each in seen] == [
        (ReceiptKind.MERCHANT, ("a", "b")), (ReceiptKind.CUSTOMER, ("c",)),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("lines", "kind"),
    [
        (("** KUNDENBELEG **",), ReceiptKind.CUSTOMER),
        (("Customer copy",), ReceiptKind.CUSTOMER),
        (("Händlerbeleg",), ReceiptKind.MERCHANT),
        (("HAENDLERBELEG",), ReceiptKind.MERCHANT),
        (("MERCHANT RECEIPT",), ReceiptKind.MERCHANT),
        (("** KASSENSCHNITT **",), ReceiptKind.ADMINISTRATION),
        (("Diagnose",), ReceiptKind.ADMINISTRATION),
        (("Summe 12,34",), None),
    ],
)
def test_whose_copy_the_lines_are(lines: tuple[str, ...], kind: ReceiptKind | None) -> None:
    assert kind_of_receipt(lines) is kind


@pytest.mark.parametrize("encoding", ["cp437", "latin-1", "utf-8"])
@pytest.mark.parametrize("shown", ["Größe", "Münchner Straße", "Köln", "Überweisung für"])
def test_umlauts(encoding: str, shown: str) -> None:
    encoded = shown.encode(encoding)
    (by_line,) = receipts(*asks(PAY, print_line(encoded, 0x81)))
    (by_block,) = receipts(*asks(PAY, text_block(3, encoded)))
    assert by_line.text == by_block.text == (shown,)


def test_a_receipt_masks_the_card() -> None:
    seen = play(*asks(PAY, print_line(b"Karte 4975 5412 3451 4970", 0x81), text_block(2, b"4975541234514970")))
    assert [each.text for each in seen if isinstance(each, Receipt)] == [
        ("Karte 4975 54** **** 4970",), ("497554******4970",),
    ]  # fmt: skip
    assert "4975541234514970" not in repr(seen).replace(" ", "")


# --- secrets ---

PAN = "4975541234514970"
TRACK_2 = bytes.fromhex(PAN + "D2512101987650FF")


def ll(tag: int, value: bytes, digits: int = 2) -> bytes:
    return bytes([tag, *(0xF0 | int(digit) for digit in f"{len(value):0{digits}}")]) + value


@pytest.mark.parametrize(
    "field",
    [
        ll(0x22, bytes.fromhex(PAN)),
        ll(0x23, TRACK_2),
        ll(0x24, TRACK_2, 3),
        ll(0x2D, b"B" + PAN.encode() + b"^DOE^2512101"),
        b"\x3a\x09\x87",
        ll(0xD1, TRACK_2),
    ],
    ids=["22", "23", "24", "2D", "3A", "D1"],
)
@pytest.mark.parametrize("direction", list(Direction))
def test_secrets_are_never_in_an_observation(field: bytes, direction: Direction) -> None:
    body = b"\x04" + bcd(1234, 6) + field
    message = apdu(b"\x06\x01", body) if direction is CASHIER else apdu(b"\x04\x0f", b"\x27\x00" + body)
    (seen,) = play((direction, message))
    assert seen.facts.amount == 1234
    for secret in (PAN, PAN[6:12], "98765", "0987", "DOE"):
        assert secret not in repr(seen)
        assert secret not in json.dumps(as_dict(seen))


# --- settlement ---


def test_the_totals_of_an_end_of_day() -> None:
    groups = b"\x02" + bcd(3000, 6) + bytes(21) + b"\x01" + bcd(1234, 6) + bytes(14)
    fields = b"\x04" + bcd(4234, 6) + ll(0x60, b"\x00\x01\x00\x03" + groups, 3)
    seen = play(*asks(END_OF_DAY, result(0, fields), print_line(b"KASSENSCHNITT", 0x81), COMPLETED))
    (settled,) = [each for each in seen if isinstance(each, Settlement)]
    assert settled.totals == (Total("girocard", 2, 3000), Total("Visa", 1, 1234))
    assert answers(seen) == [(Outcome.APPROVED, False), (Outcome.APPROVED, True)]


def test_an_end_of_day_that_states_only_its_sum() -> None:
    seen = play(*asks(END_OF_DAY, result(0, b"\x04" + bcd(4234, 6)), COMPLETED))
    (settled,) = [each for each in seen if isinstance(each, Settlement)]
    assert settled.totals == (Total("total", None, 4234),)


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        ([COMPLETED], [(Outcome.APPROVED, True)]),
        ([abort(0x77)], [(Outcome.DECLINED, True)]),
        ([result(0x77), abort(0x77)], [(Outcome.DECLINED, False), (Outcome.DECLINED, True)]),
        ([abort(0xA3)], [(Outcome.UNKNOWN, True)]),
    ],
)
def test_how_an_end_of_day_ends(messages: list[bytes], expected: list[tuple[Outcome, bool]]) -> None:
    seen = play(*asks(END_OF_DAY, *messages))
    assert answers(seen) == expected
    assert not [each for each in seen if isinstance(each, Settlement)]
