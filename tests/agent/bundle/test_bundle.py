"""The support bundle: what is in it, and canaries that must keep it from being written."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import re
import stat
import sys
import zipfile
from dataclasses import fields
from pathlib import Path
from typing import Any, get_type_hints

import pytest

from agent import config as configuration
from agent import tlog
from agent.bundle import machine, past
from agent.bundle.build import Leave, Wanted, gather
from agent.bundle.settings import SHOWN, WITHHELD
from agent.cli import diag_bundle, main
from agent.commands import Command
from agent.config import Config, load
from agent.events import Draft, EventType, ReceiptData
from agent.jobs import Jobs
from agent.journal import Journal
from agent.playback import observe
from drivers.concert import DRIVER
from drivers.driver import Framing
from drivers.observations import Answer, ReceiptKind
from tests.agent.bench import CARD, bench, pay
from tests.agent.lines import Play, answer, cashier_ack, request
from tests.agent.shut import shut
from tests.drivers.pans import with_check_digit
from tests.waits import until

PAN = "4975541234514970"
PASSWORD = "correct-horse-battery"


def receipt(*lines: str) -> Draft:
    data = ReceiptData(transaction=None, terminal="pos1", receipt_kind=ReceiptKind.CUSTOMER, complete=True, text=lines)
    return Draft(EventType.RECEIPT_CAPTURED, data, 4_000_000_000_000_000_000)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A PC that was in use: a journal, a broker with a password, a comment with a card number."""
    journal = Journal(tmp_path / "state", "site", "pc-1")
    play = Play()
    play.see(request(), answer(), cashier_ack())
    journal.commit([*play.drafts, receipt("SALE", "497554******4970")])
    journal.close()
    password = tmp_path / "mqtt.password"
    password.write_text(PASSWORD + "\n")
    password.chmod(0o600)
    path = tmp_path / "agent.toml"
    path.write_text(
        f"""# the card of the test was {PAN}
[agent]
id = "pc-1"
site = "site"
state_dir = "{tmp_path}/state"
run_dir = "{tmp_path}/run"
language = "en"

[[terminal]]
name = "pos1"
protocol = "concert"
device = "serial:{tmp_path}/no-device"

[mqtt]
url = "mqtt://127.0.0.1:1"
username = "cashier-of-the-ward"
password_file = "{password}"
""",
        encoding="utf-8",
    )
    return path


def made(config: Path, *options: str, code: int = 0) -> dict[str, str]:
    """The bundle's files by name."""
    path = config.parent / "bundle.zip"
    assert main(["diag", "--bundle", str(path), "--config", str(config), "--days", "9999", *options]) == code
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name).decode() for name in archive.namelist()}


def test_a_bundle_says_how_the_pc_fares_and_bears_no_secret(
    config: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    files = made(config)
    assert stat.S_IMODE((tmp_path / "bundle.zip").stat().st_mode) == 0o600
    manifest = json.loads(files["manifest.json"])
    for each in manifest["files"]:
        data = files[each["name"]].encode()
        assert (each["bytes"], each["sha256"]) == (len(data), hashlib.sha256(data).hexdigest())
    assert {each["name"] for each in manifest["files"]} | {"manifest.json"} == files.keys()
    assert manifest["agent"] == "pc-1"
    told = json.loads(files["configuration.json"])
    assert told["mqtt"]["host"] == "127.0.0.1"
    assert told["mqtt"]["password_file"] == "(set)"
    everything = "".join(files.values())
    for secret in (PAN, PASSWORD, "cashier-of-the-ward"):
        assert secret not in everything
    assert any(each["check"] == "broker" and each["state"] == "fail" for each in json.loads(files["checks.json"]))
    assert [json.loads(line)["type"] for line in files["journal/events.jsonl"].splitlines()][-1] == "receipt.captured"
    assert "state/agent.json" in {each["name"] for each in manifest["missing"]}
    assert "no card number and no key" in capsys.readouterr().out


def test_json_for_programs(config: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    made(config, "--json")
    told = json.loads(capsys.readouterr().out)
    assert told["sha256"] == hashlib.sha256((tmp_path / "bundle.zip").read_bytes()).hexdigest()
    assert "configuration.json" in told["files"]


def refused(config: Path, capsys: pytest.CaptureFixture[str], *options: str) -> list[dict[str, object]]:
    path = config.parent / "bundle.zip"
    assert main(["diag", "--bundle", str(path), "--config", str(config), *options, "--json"]) == 1
    shown = capsys.readouterr()
    assert PAN not in shown.out + shown.err
    assert [each.name for each in config.parent.iterdir() if "zip" in each.name or each.suffix == ".part"] == []
    found: list[dict[str, object]] = json.loads(shown.out)["found"]
    return found


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        (f"card={PAN}", "card"),
        ("card=4975 5412 3451 4970", "card"),
        (PAN.encode().hex(" "), "card"),
        ("-----BEGIN PRIVATE KEY-----", "key"),
        (f"login with {PASSWORD} failed", "password"),
    ],
)
def test_a_canary_in_a_log(config: Path, capsys: pytest.CaptureFixture[str], line: str, kind: str) -> None:
    log = config.parent / "cashier.log"
    log.write_text(f"fine\n{line}\n")
    found = refused(config, capsys, "--log", str(log))
    assert {(each["file"], each["line"], each["kind"]) for each in found} == {("logs/cashier.log", 2, kind)}


def test_a_canary_in_the_journal(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    journal = Journal(config.parent / "state", "site", "pc-1")
    journal.commit([receipt("SALE", f"CARD {PAN}")])
    journal.close()
    (found,) = refused(config, capsys)
    assert (found["file"], found["kind"]) == ("journal/events.jsonl", "card")
    files = made(config, "--without", "journal")
    assert "journal/events.jsonl" not in files


def test_a_canary_in_what_a_diagnosis_left(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (config.parent / "state" / "diag-pos1.json").write_text(json.dumps({"heard": PAN}))
    (found,) = refused(config, capsys)
    assert found["file"] == "diag/pos1.json"


def test_a_refusal_for_people_says_where_and_what_to_do(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = config.parent / "a.log"
    log.write_text(f"{PAN}\n" * 30)
    path = config.parent / "bundle.zip"
    assert main(["diag", "--bundle", str(path), "--config", str(config), "--log", str(log)]) == 1
    out = capsys.readouterr().out
    assert "logs/a.log, line 1, column 1: a card number" in out
    assert "and 10 more" in out
    assert "--without logs" in out


def test_an_order_number_that_looks_like_a_card_s_is_cut() -> None:
    """The hospital's own numbers may pass the check digit; a bundle is not refused for them, and does not show them."""
    merchant = with_check_digit("89844037372000")
    body = {"data": {"order": PAN, "merchant_id": "898440373720001", "text": [f"MERCHANT {merchant}", f"CARD {PAN}"]}}
    cleaned = past._clean(body)["data"]
    assert cleaned["order"] == "497554******4970"
    assert cleaned["merchant_id"] == "898440373720001"
    assert cleaned["text"] == [f"MERCHANT 898440*****{merchant[-4:]}", f"CARD {PAN}"]  # a card's own is to be found


def test_every_key_of_the_configuration_is_shown_or_withheld() -> None:
    sections = {
        "agent": configuration.Agent,
        "terminal": configuration.Terminal,
        "confirm": configuration.Confirm,
        "mqtt": configuration.Mqtt,
        "log": configuration.Log,
        "proof": configuration.Proof,
    }
    assert {f.name for f in fields(Config)} - {"terminals", "path", "fleet_version"} <= sections.keys()
    for name, section in sections.items():
        known = {f.name for f in fields(section)} - ({"confirm"} if name == "terminal" else set())
        assert known == SHOWN[name] | WITHHELD.get(name, frozenset()), name
        assert get_type_hints(section)


def test_a_configuration_that_can_t_be_used_gives_a_bundle_too(config: Path) -> None:
    config.write_text(f'[mqtt]\npassword = "{PASSWORD}"\n')
    files = made(config)
    told = json.loads(files["configuration.json"])
    assert told["usable"] is False
    assert any(each["key"] == "mqtt.password" for each in told["problems"])
    assert PASSWORD not in "".join(files.values())


def test_as_asked_over_mqtt_it_goes_with_the_answer_and_the_newest_are_kept(config: Path) -> None:
    folder = config.parent / "state" / "bundles"
    folder.mkdir()
    for number in range(9):
        (folder / f"pc-1-2026010{number}T000000.000000Z.zip").write_bytes(b"old")
    jobs = Jobs(config)
    ended: list[tuple[str | None, Any]] = []
    assert jobs.start(Command("bundle", "b1", expired=False), lambda *told: ended.append(told)) is None
    until(lambda: ended, 120, "the job has ended")
    jobs.close()
    ((error, result),) = ended
    assert error is None
    with zipfile.ZipFile(io.BytesIO(base64.b64decode(result["zip"]))) as archive:
        assert json.loads(archive.read("manifest.json"))["agent"] == "pc-1"
    assert (Path(result["bundle"]).read_bytes()) == base64.b64decode(result["zip"])
    assert len(list(folder.iterdir())) == 5
    assert stat.S_IMODE(Path(result["bundle"]).stat().st_mode) == 0o600


def test_a_large_one_stays_on_the_pc(
    config: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(diag_bundle, "_MOST_SENT", 10)
    assert main(["diag", "--send", "--json", "--config", str(config)]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["zip"] is None
    assert Path(told["bundle"]).exists()


@pytest.mark.parametrize(("name", "code"), [("there.zip", 2), ("no/such/folder.zip", 3)])
def test_a_file_that_can_t_be_written(config: Path, capsys: pytest.CaptureFixture[str], name: str, code: int) -> None:
    there = config.parent / "there.zip"
    there.write_text("precious")
    assert main(["diag", "--bundle", str(config.parent / name), "--config", str(config)]) == code
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("tillwatch: ")
    assert there.read_text() == "precious"


def test_a_full_disk_leaves_nothing_behind(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    assert main(["diag", "--bundle", str(config.parent / "bundle.zip"), "--config", str(config)]) == 3
    assert not [each for each in config.parent.iterdir() if "zip" in each.name]


def test_the_lines_last_minutes_are_in_it_masked(tmp_path: Path) -> None:
    with bench(tmp_path) as path:
        pay(tmp_path)
        wanted = Wanted(without=frozenset({Leave.LOGS, Leave.JOURNAL}))
        bundle = gather(load(path), wanted)
    assert bundle.found == ()
    parts = {part.name: part.data.decode() for part in bundle.parts}
    assert json.loads(parts["state/bridge.json"])["lines"]["pos1"]["link"] == "up"
    recording = parts["recordings/pos1.tlog"]
    assert CARD not in recording
    assert CARD.encode().hex(" ") not in recording
    log = tlog.parse(recording, "pos1.tlog")
    assert log.cut is None
    seen = [each.observation for each in observe(log.records, DRIVER, Framing.SERIAL)]
    (paid,) = [each for each in seen if isinstance(each, Answer)]
    assert paid.facts.card is not None
    assert paid.facts.card.masked == "497554******4970"


def test_a_zip_bears_no_time_of_its_own(config: Path) -> None:
    made(config)
    with zipfile.ZipFile(io.BytesIO((config.parent / "bundle.zip").read_bytes())) as archive:
        assert {entry.date_time for entry in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def test_where_who_asks_may_not_look_a_bundle_is_written_all_the_same(config: Path, tmp_path: Path) -> None:
    loaded = load(str(config), {}, secrets=False)
    gather(loaded, Wanted())  # brings what it imports
    with shut(tmp_path / "state"):
        bundle = gather(loaded, Wanted())
    reasons = {each.name: each.reason for each in bundle.missing}
    assert "agent's user or as root" in reasons["journal"]
    platform = next(part for part in bundle.parts if part.name == "platform.json")
    assert "state_disk_free_mib" in json.loads(platform.data)


def test_a_link_in_the_place_of_the_bundle_is_not_followed(config: Path, tmp_path: Path) -> None:
    (tmp_path / "b.zip").symlink_to(tmp_path / "nowhere")
    assert main(["diag", "--bundle", str(tmp_path / "b.zip"), "--config", str(config)]) == 2
    assert not (tmp_path / "nowhere").exists()


def test_of_what_a_program_prints_the_end_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "MOST_LOG", 100)
    count = "[print(f'line {n}') for n in range(20000)]"
    lines = (machine._output(sys.executable, "-c", count) or "").splitlines()
    assert lines[-1] == "line 19999"
    assert 8 <= len(lines) <= 10
    assert all(re.fullmatch(r"line \d+", line) for line in lines)
    assert machine._output("/nowhere/program") is None


def test_a_program_that_does_not_end_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "_PROGRAM_S", 0.2)
    assert machine._output("sleep", "60") is None


def test_a_log_that_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    found = list(machine.logs(1.0, (tmp_path / "pipe", tmp_path)))[1:]
    assert [(type(each).__name__, each.name) for each in found] == [
        ("Missing", "logs/pipe"),
        ("Missing", f"logs/{tmp_path.name}"),
    ]
