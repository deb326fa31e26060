"""`tillwatch devices`: a table, blocks that can be pasted, and what to do when nothing is there."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest

from agent.cli import main
from agent.cli.devices import as_data, as_text, block
from agent.cli.layout import columns, width
from agent.config import load
from agent.texts import Texts
from drivers.links.discover import Device
from drivers.links.holders import Holder
from drivers.links.known import Likely

EN = Texts("en")
PROTOCOLS = ("concert", "zvt")
TERMINAL = Device(
    kind="serial",
    path="/dev/ttyACM0",
    stable="/dev/serial/by-id/usb-INGENICO-if00",
    description="iCT250",
    vid=0x0B00,
    pid=0x0060,
    manufacturer="INGENICO",
    owner="root",
    group="dialout",
    mode="crw-rw----",
    accessible=True,
    likely=Likely("0b00", "*", "terminal", "Ingenico payment terminal", "concert"),
)
CABLE = Device(
    kind="serial",
    path="/dev/ttyUSB0",
    stable=None,
    description="FT232R",
    owner="root",
    group="dialout",
    mode="crw-rw----",
    holders=(Holder(77, "ModemManager"),),
    likely=Likely("0403", "*", "cable", "FTDI USB-serial cable"),
)
BARE = Device(kind="usb", path=None, stable=None, description="VX 805", vid=0x11CA, pid=0x0220)


def test_the_table_says_what_who_may_and_who_has() -> None:
    lines = as_text([TERMINAL, CABLE, BARE], PROTOCOLS, EN)
    assert lines[0].split() == ["DEVICE", "WHAT", "USB", "ID", "ACCESS", "HELD", "BY"]
    assert "INGENICO iCT250 (likely: Ingenico payment terminal)" in lines[1]
    assert "root:dialout crw-rw---- (may open)" in lines[1]
    assert "(may not open)" in lines[2]
    assert "ModemManager (77)" in lines[2]
    assert lines[3].startswith("usb:11ca:0220")
    assert any("60-tillwatch.rules" in line and "dialout" in line for line in lines)
    assert any("serial (CDC) mode" in line for line in lines)


def test_a_block_can_be_pasted_and_loads(tmp_path: Path) -> None:
    text = "\n".join(block(device, place, ("concert",), EN) for place, device in enumerate((TERMINAL, CABLE, BARE), 1))
    path = tmp_path / "agent.toml"
    path.write_text(text)
    first, second, third = load(path, {}).terminals
    assert (first.name, first.protocol, first.device.text) == ("pos1", "concert", f"serial:{TERMINAL.stable}")
    assert (second.name, second.device.text) == ("pos2", "serial:/dev/ttyUSB0")
    assert (third.name, third.protocol, third.device.text) == ("pos3", "auto", "usb:11ca:0220")


def test_a_guess_is_called_likely_and_no_guess_is_left_to_people() -> None:
    assert "# likely; known: concert, zvt" in block(TERMINAL, 1, PROTOCOLS, EN)
    assert 'protocol = "auto"  # listens until it is clear' in block(CABLE, 1, PROTOCOLS, EN)
    assert 'protocol = "auto"' in block(TERMINAL, 1, ("zvt",), EN)  # its driver is not installed


def test_a_strange_path_stays_one_toml_text() -> None:
    odd = Device(kind="serial", path='/dev/a"\\b\n', stable=None, description="x")
    assert tomllib.loads(block(odd, 1, PROTOCOLS, EN))["terminal"][0]["device"] == 'serial:/dev/a"\\b\n'


def test_programs_get_everything() -> None:
    rows = json.loads(json.dumps(as_data([TERMINAL, CABLE, BARE], PROTOCOLS, EN)))
    assert [row["kind"] for row in rows] == ["serial", "serial", "usb"]
    assert rows[0]["usb_id"] == "0b00:0060"
    assert rows[0]["likely"] == {"name": "Ingenico payment terminal", "kind": "terminal", "protocol": "concert"}
    assert rows[1]["holders"] == [{"pid": 77, "name": "ModemManager"}]
    assert rows[2]["likely"] is None
    assert "[[terminal]]" in rows[0]["configuration"]


@pytest.mark.parametrize("language", ["en", "zh-CN"])
def test_nothing_found_says_what_to_plug_and_where_to_look(language: str) -> None:
    (text,) = as_text([], PROTOCOLS, Texts(language))
    for word in ("lsusb", "dmesg", "brltty", "ModemManager"):
        assert word in text


def test_the_verb_is_0_with_devices_and_1_without(capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["devices", "--json"])
    assert code == (0 if json.loads(capsys.readouterr().out) else 1)
    assert main(["devices"]) == code
    assert capsys.readouterr().out


def test_columns_stand_straight_with_chinese_in_them() -> None:
    lines = columns([["设备", "b"], ["a", "说明"], ["e\u0301", ""]])
    assert lines == ["设备  b", "a     说明", "e\u0301"]
    assert width("设备") == 4
    assert width("e\u0301") == 1
