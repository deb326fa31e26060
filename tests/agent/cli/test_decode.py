"""`tillwatch decode`: the contract's JSON, the analyser's view, and its refusals."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from agent.cli import main
from drivers import registry
from drivers.framing_lrc import frame

REQUEST = frame(b"0700001234110978          A010B010").hex()
ANSWER = frame(b"07000001234" + b"1" + b"4975541234514970".ljust(55) + b"978A123456   ").hex()


def decode(capsys: pytest.CaptureFixture[str], *args: str) -> tuple[int, list[dict[str, object]]]:
    code = main(["decode", "--json", *args])
    out = capsys.readouterr()
    assert out.err == ""
    return code, [json.loads(line) for line in out.out.splitlines()]


def refusal(capsys: pytest.CaptureFixture[str], *args: str) -> tuple[int, str]:
    code = main(["decode", *args])
    out = capsys.readouterr()
    assert out.out == ""
    assert out.err.count("\n") == 1
    return code, out.err


@pytest.fixture(autouse=True)
def english(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TILLWATCH_AGENT__LANGUAGE", "en")


def test_a_request_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    code, (seen,) = decode(capsys, "--protocol", "concert", "--direction", "cashier", "--hex", REQUEST)
    assert code == 0
    assert set(seen) == {"kind", "direction", "checksum", "fields", "text"}
    assert (seen["kind"], seen["direction"], seen["checksum"], seen["text"]) == ("request", "cashier", "ok", [])
    fields = seen["fields"]
    assert isinstance(fields, dict)
    assert fields | {"kind": "purchase", "amount": 1234, "currency": "EUR", "checkout": "07"} == fields


def test_an_answer_as_json_has_its_card_masked(capsys: pytest.CaptureFixture[str]) -> None:
    _, (seen,) = decode(capsys, "--protocol", "concert", "--hex", ANSWER)
    fields = seen["fields"]
    assert isinstance(fields, dict)
    assert fields["card"] == {"masked": "497554******4970", "scheme": "Visa"}
    assert (fields["outcome"], fields["approval_code"]) == ("approved", "A123456")


def test_several_values_are_one_stream(capsys: pytest.CaptureFixture[str]) -> None:
    _, seen = decode(capsys, "--protocol", "concert", "--hex", "05" + ANSWER[:20], ANSWER[20:], "--hex", "04")
    assert [each["kind"] for each in seen] == ["progress", "answer", "progress"]


@pytest.mark.parametrize("text", ["05 06", "05:06", "0x05,0x06", "05-06", "0506"])
def test_hex_as_people_write_it(capsys: pytest.CaptureFixture[str], text: str) -> None:
    assert [each["kind"] for each in decode(capsys, "--protocol", "concert", "--hex", text)[1]] == ["progress", "ack"]


def test_bytes_that_mean_nothing_are_noise_and_exit_1(capsys: pytest.CaptureFixture[str]) -> None:
    code, seen = decode(capsys, "--protocol", "concert", "--hex", "00 01")
    assert (code, [each["kind"] for each in seen]) == (1, ["noise"])


def test_for_people_a_line_a_frame(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["decode", "--protocol", "concert", "--hex", ANSWER, "04"]) == 0
    answer, *meaning, end = capsys.readouterr().out.splitlines()
    assert answer.startswith("terminal <  answer")
    assert [line.strip() for line in meaning] == ["= 0: Approved", "= For a technician: Nothing to do."]
    assert '"accepted"' in answer
    assert "amount=12.34 EUR" in answer
    assert "card=497554******4970 (Visa)" in answer
    assert '"end of transmission"' in end


def test_what_a_code_means_and_what_to_do_stands_below_an_answer(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TILLWATCH_AGENT__LANGUAGE", "zh-CN")
    cases = json.loads((Path(__file__).parents[2] / "data" / "cn_frames.json").read_text(encoding="utf-8"))["cases"]
    unsure = next(case["hex"] for case in cases if case["id"] == "cup-sale-98-resp")
    assert main(["decode", "--protocol", "cup8583", "--hex", unsure]) == 0
    shown = capsys.readouterr().out
    assert "= 98: 交换中心收不到发卡方应答" in shown
    assert "请勿再次刷卡" in shown
    assert "给技术人员: 转接方等待发卡方超时" in shown


def test_a_broken_table_of_the_site_is_one_line_with_its_place(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "concert.toml").write_text('[0]\nclass = "aproved"\n', encoding="utf-8")
    monkeypatch.setenv("TILLWATCH_CODES", str(tmp_path))
    monkeypatch.setattr(registry, "_BOOKS", {})
    assert main(["decode", "--protocol", "concert", "--hex", ANSWER]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"tillwatch: {tmp_path}/concert.toml:2: code 0 has the class 'aproved'")


def test_what_a_terminal_sends_does_not_steer_the_screen(capsys: pytest.CaptureFixture[str]) -> None:
    hostile = frame(b"07000001234" + b"1" + b" " * 55 + b"978\x1b[2J      ").hex()
    main(["decode", "--protocol", "concert", "--hex", hostile])
    assert "\x1b" not in capsys.readouterr().out


LOG = """# tillwatch log 1
# Protocol: concert

+0.000000 > 05
+0.010000 < 06
+2.500000 < ~ 3
+2.600000 ! unplugged
"""


def test_a_log_is_decoded_with_its_own_protocol_and_times(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "a.tlog"
    path.write_text(LOG)
    code, seen = decode(capsys, str(path))
    assert code == 0
    assert [each["kind"] for each in seen] == ["progress", "ack", "noise"]
    assert main(["decode", str(path)]) == 0
    head, *lines = capsys.readouterr().out.splitlines()
    assert head == "# concert, auto"
    assert lines[1].startswith("    0.010000  +0.010000    terminal <  ack")
    assert lines[2].startswith("    2.500000  +2.490000 !! terminal <  noise")
    assert lines[3] == "    2.600000  +0.100000  ! unplugged"


def test_the_bytes_of_a_log_masked(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """A log that somebody wrote by hand may hold a whole card number: what is shown does not."""
    path = tmp_path / "a.tlog"
    data = frame(b"070000012341" + b"4975541234514970".ljust(55) + b"978140891    ")
    path.write_text(LOG + f"+2.7 < {data.hex()}\n")
    assert main(["decode", str(path), "--bytes"]) == 0
    out = capsys.readouterr().out
    assert "0000  05 " in out
    assert "0000  ~ 3" in out
    assert "497554******4970" in out
    assert "35 34 31 32 33" not in out


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (["--protocol", "conzert", "--hex", "05"], "nearest is concert"),
        (["--protocol", "concert", "--hex", "0"], "'0' is not hexadecimal"),
        (["--protocol", "concert", "--hex", "xy"], "'xy' is not hexadecimal"),
        (["--protocol", "concert", "--hex", ""], "not hexadecimal"),
        (["--protocol", "concert", "--framing", "none", "--hex", "05"], "It knows: auto, serial"),
        (["--hex", "05"], "--protocol"),
        (["--protocol", "concert"], "--hex"),
        (["--protocol", "concert", "--hex", "05", "--json", "x.tlog"], "either"),
    ],
)
def test_wrong_usage(capsys: pytest.CaptureFixture[str], args: list[str], told: str) -> None:
    code, error = refusal(capsys, *args)
    assert code == 2
    assert told in error


def test_a_broken_log_names_file_and_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "a.tlog"
    path.write_text(LOG + "+1.0 > 05\n")
    code, error = refusal(capsys, str(path))
    assert code == 2
    assert f"{path}:8" in error


def test_a_log_that_is_not_there(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    code, error = refusal(capsys, str(tmp_path / "no.tlog"))
    assert code in (2, 3)
    assert "no.tlog" in error


def test_bytes_on_the_command_line_are_shown_beside_what_they_say(capsys: pytest.CaptureFixture[str]) -> None:
    request = frame(b"0700001234110978          A010B010")
    words = ["--protocol", "concert", "--direction", "cashier", "--hex", request.hex(), "06"]
    assert main(["decode", *words, "--bytes"]) == 0
    with_bytes = capsys.readouterr().out.splitlines()
    assert with_bytes[0].startswith("cashier  >  request     ok    ")
    assert with_bytes[1].split()[:4] == ["0000", "02", "30", "37"]
    assert with_bytes[-1].split() == ["0000", "06", "."]
    assert main(["decode", *words]) == 0
    assert capsys.readouterr().out.splitlines() == [with_bytes[0], with_bytes[-2]]
