"""What `--write` makes of people's configuration files, and what a token looks like."""

from __future__ import annotations

import ssl
import tomllib
from pathlib import Path

import pytest

from agent.cli import main
from agent.config import load
from agent.enroll.enrol import Enrolled
from agent.enroll.errors import EnrolError
from agent.enroll.identity import Enrolment, Identity
from agent.enroll.settings import lines, place_of, write
from agent.enroll.token import EnrolToken, fingerprint, parse, pinned
from agent.errors import ConfigError

TOKEN = EnrolToken("cashier-07", "out-1", "f" * 43, "s" * 43)


def enrolled(folder: Path, broker: str = "mqtts://broker.example:8883") -> Enrolled:
    agreed = Enrolment("https://collector.example:8443", "cashier-07", "out-1", broker, "")
    identity = Identity.below(folder / "state")
    identity.make_folder()
    for path in (identity.key, identity.certificate, identity.authority):
        identity.write(path, "x")
    return Enrolled(identity, agreed)


def written(folder: Path, text: str) -> str:
    path = folder / "agent.toml"
    path.write_text(text, encoding="utf-8")
    write(place_of(path, {}), enrolled(folder))
    return path.read_text(encoding="utf-8")


TERMINAL = '[[terminal]]  # the blue one\nname = "pos1"\nprotocol = "concert"\ndevice = "tcp:127.0.0.1:1"\n'


def test_a_file_without_the_tables_gets_them(tmp_path: Path) -> None:
    text = written(tmp_path, TERMINAL)
    assert text.startswith(TERMINAL)
    config = load(tmp_path / "agent.toml", {})
    assert (config.agent.id, config.agent.site) == ("cashier-07", "out-1")
    assert config.mqtt is not None
    assert config.mqtt.key_file == tmp_path / "state/identity/agent.key"
    again = enrolled(tmp_path)
    write(place_of(tmp_path / "agent.toml", {}), again)
    assert (tmp_path / "agent.toml").read_text() == text


def test_what_people_wrote_stays(tmp_path: Path) -> None:
    before = (
        '# ours\n[agent]  # this PC\nid = "old"\nlanguage = "zh-CN"  # 中文\n\n'
        '[mqtt]\n# the broker\nurl = "mqtt://x"\nusername = "u"\nkey_file = "/old"\nkeepalive = "10s"\n' + TERMINAL
    )
    text = written(tmp_path, before)
    data = tomllib.loads(text)
    assert data["agent"] == {"id": "cashier-07", "site": "out-1", "language": "zh-CN"}
    assert (data["mqtt"]["username"], data["mqtt"]["keepalive"]) == ("u", "10s")
    assert data["mqtt"]["url"] == "mqtts://broker.example:8883"
    for kept in ("# ours", "[agent]  # this PC", "# 中文", "# the broker", "# the blue one"):
        assert kept in text


@pytest.mark.parametrize("text", ['mqtt = { url = "mqtt://x" }\n', 'agent.id = "x"\n', '[mqtt]\nurl = """\nx"""\n'])
def test_a_file_that_cannot_be_changed_safely_stays_as_it_was(tmp_path: Path, text: str) -> None:
    with pytest.raises(EnrolError, match="by hand"):
        written(tmp_path, text)
    assert (tmp_path / "agent.toml").read_text() == text


def test_a_missing_file_is_made_and_the_lines_to_paste_say_the_same(tmp_path: Path) -> None:
    done = enrolled(tmp_path)
    write(place_of(tmp_path / "etc" / "agent.toml", {}), done)
    assert tomllib.loads((tmp_path / "etc/agent.toml").read_text()) == tomllib.loads(lines(done))
    plain = Enrolled(done.identity, Enrolment("https://c", "a", "s", "mqtt://broker", ""))
    assert tomllib.loads(lines(plain))["mqtt"] == {"url": "mqtt://broker"}


def test_who_this_pc_is(tmp_path: Path) -> None:
    path = tmp_path / "agent.toml"
    assert place_of(path, {}).agent is None
    path.write_text('[agent]\nid = "a"\nstate_dir = "/x"\n')
    assert (place_of(path, {}).agent, place_of(path, {}).state_dir) == ("a", Path("/x"))
    assert place_of(path, {"TILLWATCH_AGENT__ID": "b"}).agent == "b"
    for text in ("[agent", '[agent]\nid = "no good"\n'):
        path.write_text(text)
        with pytest.raises(ConfigError):
            place_of(path, {})


def test_a_token_is_whole_or_none() -> None:
    assert parse(f" {TOKEN}\n") == TOKEN
    assert TOKEN.secret not in repr(TOKEN)
    for text in ("", "twe1", str(TOKEN)[:-1], f"{TOKEN}x", str(TOKEN).replace("twe1", "twe2"), "twe1.a.b.c.d"):
        with pytest.raises(EnrolError):
            parse(text)


def test_what_is_trusted_is_what_was_compared() -> None:
    """Readers of PEM differ: one stops at the padding of the first certificate, TLS takes all that follow it, too."""
    true, false = ssl.DER_cert_to_PEM_cert(b"t" * 100), ssl.DER_cert_to_PEM_cert(b"f" * 100)
    expected = fingerprint(true)
    assert pinned(f"\n{true}\n", expected) == true
    assert pinned(true.replace("\n", "\r\n"), expected) == true
    for text in (true + false, false + true, true + true, "x" + true, true + "x", true.replace("dHR0", "dH-R0", 1), ""):
        assert pinned(text, expected) is None


def test_bad_input_is_one_line_and_its_exit_code(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "agent.toml"
    config.write_text(f'[agent]\nid = "cashier-08"\nstate_dir = "{tmp_path}/state"\n')
    for words, code in (
        (("https://127.0.0.1:1", "--token", "nonsense"), 1),
        (("https://127.0.0.1:1", "--token", str(TOKEN)), 1),  # the token of another PC
        (("https://127.0.0.1:1", "--token-file", str(tmp_path / "none")), 2),
    ):
        assert main(["enroll", *words, "--config", str(config)]) == code
        assert len(capsys.readouterr().err.splitlines()) == 1
    config.write_text(f'[agent]\nstate_dir = "{tmp_path}/state"\n')
    assert main(["enroll", "https://127.0.0.1:1", "--token", str(TOKEN), "--config", str(config)]) == 3
    assert "can't be reached" in capsys.readouterr().err
    assert not (tmp_path / "state").exists()
