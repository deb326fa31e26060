"""Every frame of a profile's format in tests/data/cn_frames.json decodes to what is expected of it.

The file's short names are mapped to the contract's here; what is left has the profile's own names.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from drivers import registry
from drivers.driver import Framing
from drivers.observations import Direction, Noise, Observation, as_dict

FILE = Path(__file__).parents[2] / "data" / "cn_frames.json"
CASES: list[dict[str, Any]] = json.loads(FILE.read_text(encoding="utf-8"))["cases"]

#: format in the file → profile
PROFILES = {
    "mis/ingtlv": "ing-tlv",
    "mis/wizarpos_opc": "wizarpos-opc",
    "mis/paycloud": "paycloud",
    "mis/wonder": "wonder",
    "mis/bankall": "ums-bankall",
    "mis/landi_pipe": "landi-pipe",
    "mis/icbc_fixed": "icbc-std",
    "mis/keeper_csv": "keeper-csv",
}
#: formats whose framing is an assumption: no profile is shipped, test_calls.py reads them with one of its own
ASSUMED = {"mis/newpos_crc"}
NAMES = {
    "stan": "trace",
    "rrn": "reference",
    "auth": "approval_code",
    "amount_fen": "amount",
    "resp": "response_code",
    "local_code": "response_code",
    "tid": "terminal_id",
    "mid": "merchant_id",
    "order_no": "channel_order",
    "qr_order": "channel_order",
    "his_order": "order",
    "voucher": "trace",
}
#: in a request these are the numbers of the payment that is to be undone, and not its own
OF_THE_ORIGINAL = {"rrn": "original_reference", "date": "original_date", "vou": "original_voucher"}
OUTCOMES = {
    "final_approved": "approved",
    "final_declined": "declined",
    "outcome_unknown": "unknown",
    "reversed": "reversed",
    "terminal_aborted": "not_executed",
}
#: `kind` of the file → kind of the observation, and its message where the profile has a word for it
KINDS = {
    "sale": ("request", None),
    "nak": ("ack", None),
    "host_response": ("progress", "host_response"),
    "host_request": ("progress", "host_reversal"),
}
NOT_OF_THE_FRAME = {"note"}
#: what only the request before it shows: test_calls.py
NEEDS_ITS_REQUEST = {"ums-bankall-lrcmismatch"}


def seen_in(case: dict[str, Any]) -> list[Observation]:
    driver = registry.get(PROFILES[case["protocol"]])
    decoder = driver.decoder(Framing.AUTO)
    direction = Direction.CASHIER if case["direction"].startswith("pc") else Direction.TERMINAL
    return decoder.feed(direction, bytes.fromhex(case["hex"])) + decoder.finish()


def check(name: str, wanted: object, shown: dict[str, Any]) -> None:
    fields = shown["fields"]
    if name == "kind":
        kind, message = KINDS[str(wanted)]
        assert (shown["kind"], fields.get("message") if message else None) == (kind, message)
        assert wanted != "nak" or fields["positive"] is False
        assert wanted != "sale" or fields["kind"] == "purchase"
    elif name == "outcome":
        assert fields["outcome"] == OUTCOMES[str(wanted)]
    elif name == "card_masked":
        assert fields["card"]["masked"] == wanted
    elif shown["kind"] == "request" and name in OF_THE_ORIGINAL:
        assert fields[OF_THE_ORIGINAL[name]] == wanted
        assert "reference" not in fields
    else:
        assert fields[NAMES.get(name, name)] == wanted


@pytest.mark.parametrize(
    "case",
    [pytest.param(c, id=c["id"]) for c in CASES if c["protocol"] in PROFILES and c["id"] not in NEEDS_ITS_REQUEST],
)
def test_a_known_frame_decodes_to_its_fields(case: dict[str, Any]) -> None:
    seen = seen_in(case)
    assert not any(isinstance(each, Noise) for each in seen)
    shown = as_dict(seen[-1])
    call = registry.get(PROFILES[case["protocol"]]).silence_ends
    assert shown["checksum"] == ("none" if len(case["hex"]) == 2 or call else "ok")
    for name, wanted in case["expect"].items():
        if name not in NOT_OF_THE_FRAME:
            check(name, wanted, shown)


def test_an_acknowledgement_glued_to_a_frame_is_one_of_its_own() -> None:
    (case,) = [case for case in CASES if case["id"] == "ing-sale-ok-ackprefix"]
    assert [type(seen).__name__ for seen in seen_in(case)] == ["Ack", "Answer"]


def test_no_format_of_the_file_is_forgotten() -> None:
    """Each MIS row has a profile, but the one whose CRC is not known."""
    formats = {case["protocol"] for case in CASES if case["protocol"].startswith("mis/")}
    shipped = registry.profiles()
    assert all(name in shipped for name in PROFILES.values())
    assert formats - PROFILES.keys() == ASSUMED
