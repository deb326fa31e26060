"""`tillwatch check-profile` and `decode --profile`, and what becomes of a profile with mistakes everywhere else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from agent.cli import main
from drivers import registry
from tests.agent.configured import TERMINAL, configured
from tests.drivers.profiles.sample import changed, line_of, tutorial

REQUEST = "0230333730303030303030303030313238354849533030303120202020202020202020202020303031037B"


@pytest.fixture(autouse=True)
def english(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TILLWATCH_AGENT__LANGUAGE", "en")


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The site's folder of protocols."""
    folder = tmp_path / "protocols"
    folder.mkdir()
    monkeypatch.setenv("TILLWATCH_PROTOCOLS", str(folder))
    return folder


def written(folder: Path, text: str, name: str = "acme") -> Path:
    path = folder / f"{name}.toml"
    path.write_text(text, encoding="utf-8")
    return path


def ran(capsys: pytest.CaptureFixture[str], *args: str) -> tuple[int, str, str]:
    code = main(list(args))
    out = capsys.readouterr()
    assert "Traceback" not in out.err
    return code, out.out, out.err


@pytest.mark.parametrize("name", sorted(registry.profiles()))
def test_every_shipped_profile_is_right(capsys: pytest.CaptureFixture[str], name: str) -> None:
    code, out, err = ran(capsys, "check-profile", name)
    assert (code, err) == (0, "")
    assert ": ok. " in out


def test_a_right_profile_says_what_it_can_do(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    code, out, _ = ran(capsys, "check-profile", "--json", str(written(tmp_path, tutorial())))
    shown = json.loads(out)
    assert code == 0
    assert (shown["name"], shown["mistakes"], shown["asking"], shown["codes"]) == ("acme", [], "ask", 4)


def test_all_mistakes_by_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    text = changed(("acknowledged", "acknowledgd"), ('fact = "amount"', 'fact = "amuont"'))
    path = written(tmp_path, text)
    code, out, err = ran(capsys, "check-profile", str(path))
    assert (code, out) == (2, "")
    first, second = err.splitlines()
    assert first.startswith(f"{path}:{line_of(text, 'acknowledgd')}: framing.acknowledgd: ")
    assert "`acknowledged`" in first
    assert second.startswith(f"{path}:{line_of(text, 'amuont')}: layouts.request.fields[2].fact: ")
    code, out, _ = ran(capsys, "check-profile", "--json", str(path))
    assert code == 2
    assert [mistake["mistake"] for mistake in json.loads(out)["mistakes"]] == ["unknown_key", "unknown_value"]


def test_a_question_that_moves_money_is_a_mistake(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = written(tmp_path, changed(('sets = { type = "07"', 'sets = { type = "00"')))
    code, _, err = ran(capsys, "check-profile", str(path))
    assert code == 2
    assert "the agent will not send it" in err


def test_in_chinese(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TILLWATCH_AGENT__LANGUAGE", "zh-CN")
    _, _, err = ran(capsys, "check-profile", str(written(tmp_path, changed(("acknowledged", "acknowledgd")))))
    assert "没有这个键" in err


@pytest.mark.parametrize("wanted", ["nosuch", "/nosuch/acme.toml"])
@pytest.mark.parametrize("verb", [["check-profile"], ["decode", "--hex", "06", "--profile"]])
def test_a_file_that_is_not_there(capsys: pytest.CaptureFixture[str], verb: list[str], wanted: str) -> None:
    code, out, err = ran(capsys, *verb, wanted)
    assert (code, out) == (3, "")
    assert err.count("\n") == 1
    assert "ing-tlv" in err


def test_a_frame_field_by_field(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = str(written(tmp_path, tutorial()))
    half = len(REQUEST) // 4 * 2
    args = ["--json", "--direction", "cashier", "--hex", REQUEST[:half], REQUEST[half:], "06FF"]
    code, out, _ = ran(capsys, "decode", "--profile", path, *args)
    frame, ack, noise = [json.loads(line) for line in out.splitlines()]
    assert code == 0
    assert (frame["message"], frame["role"], frame["checksum"]) == ("request", "request", "ok")
    by_name = {field["name"]: field for field in frame["fields"]}
    assert by_name["amount"] == {
        "offset": 6, "bytes": "303030303030303031323835", "name": "amount", "value": "000000001285", "fact": "amount",
    }  # fmt: skip
    assert by_name["lrc"]["value"] == "ok"
    assert frame["observations"][0]["fields"]["amount"] == 1285
    assert (ack["message"], ack["offset"], noise["message"], noise["problem"]) == ("ack", 43, None, "no frame")


def test_the_wrong_direction_is_told(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    text = changed(('layout = "answer"', 'layout = "answer"\nmatch = { code = "51" }'))
    refund = "02" + "303337" + "3032" + REQUEST[12:-4]
    check = 0
    for byte in bytes.fromhex(refund + "03")[1:]:
        check ^= byte
    code, out, _ = ran(capsys, "decode", "--profile", str(written(tmp_path, text)), "--hex", f"{refund}03{check:02X}")
    assert code == 1
    assert 'no message of the terminal fits; from the cashier it would be "request"' in out


def test_a_wrong_check_says_what_would_be_right(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = str(written(tmp_path, tutorial()))
    code, out, _ = ran(capsys, "decode", "--profile", path, "--direction", "cashier", "--hex", REQUEST[:-2] + "7C")
    assert code == 1
    assert "bad check, check BAD" in out
    assert "wrong, 7B would be right" in out


def test_a_recorded_log_by_another_profile(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = written(tmp_path, tutorial())
    log = Path(__file__).parents[2] / "logs" / "simulated-ing-tlv-approved.tlog"
    _, by_name, _ = ran(capsys, "decode", "--json", str(log))
    _, by_profile, _ = ran(capsys, "decode", "--json", "--profile", "ing-tlv", str(log))
    assert by_name == by_profile
    code, out, _ = ran(capsys, "decode", "--profile", str(path), str(log))
    assert code == 0, "its control bytes are still understood"
    assert "<  answer" not in out


def test_a_profile_in_the_site_s_folder_is_a_protocol(capsys: pytest.CaptureFixture[str], site: Path) -> None:
    written(site, tutorial())
    code, out, _ = ran(capsys, "simulate", "--list")
    assert code == 0
    assert "acme" in out
    assert configured(site.parent, TERMINAL.replace("concert", "acme")).terminals[0].protocol == "acme"
    _, out, _ = ran(capsys, "decode", "--json", "--protocol", "acme", "--direction", "cashier", "--hex", REQUEST)
    assert json.loads(out)["fields"]["order"] == "HIS0001"


def test_the_site_s_profile_takes_the_place_of_a_shipped_one(site: Path) -> None:
    written(site, tutorial(), "ing-tlv")
    assert registry.get("ing-tlv").title == "ACME MIS (an example)"


def test_a_broken_profile_stops_what_needs_it_with_one_line(capsys: pytest.CaptureFixture[str], site: Path) -> None:
    path = written(site, changed(("acknowledged", "acknowledgd"), ('fact = "amount"', 'fact = "amuont"')))
    told = f"{path}:11: framing.acknowledgd"
    config = site.parent / "agent.toml"
    config.write_text(TERMINAL.replace("concert", "acme"), encoding="utf-8")
    for args in (
        ["decode", "--protocol", "acme", "--hex", "06"],
        ["simulate", "acme"],
        ["run", "--config", str(config)],
    ):
        code, _, err = ran(capsys, *args)
        assert code == 2
        assert err.count("\n") == 1
        assert told in err
        assert "2 mistakes" in err


def test_a_broken_profile_does_not_hide_the_others(capsys: pytest.CaptureFixture[str], site: Path) -> None:
    written(site, "profile = 1")
    code, out, err = ran(capsys, "simulate", "--list")
    assert code == 0
    assert "ing-tlv" in out
    assert "acme.toml:1: profile: must be a table" in err
