"""The configuration: what each bad one is told."""

# ruff: noqa: E501  one bad configuration a line

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.cli import main
from agent.config import InvalidConfigError, load, problems
from agent.errors import ConfigError
from agent.texts import Texts
from tests.agent.configured import TERMINAL, configured


@dataclass(frozen=True)
class Bad:
    id: str
    text: str
    key: str | None  # as the message names it
    line: int | None
    says: str
    environ: dict[str, str] = field(default_factory=dict)


BAD = [
    Bad("unknown-table", "[agnt]\n" + TERMINAL, "agnt", 1, "[agent]"),
    Bad("unknown-key", '[agent]\nsight = "x"\n' + TERMINAL, "agent.sight", 2, "nearest is site"),
    Bad("key-of-another-table", '[agent]\nurl = "mqtt://x"\n' + TERMINAL, "agent.url", 2, "nearest is mqtt.url"),
    Bad("unknown-terminal-key", TERMINAL + "baud = 9600\n", "terminal.pos1.baud", 5, "nearest is baudrate"),
    Bad("unknown-confirm-key", TERMINAL + '[terminal.confirm]\nquite = "2s"', "terminal.pos1.confirm.quite", 6, "quiet"),
    Bad("unknown-subtable", TERMINAL + "[terminal.confrim]\n", "terminal.pos1.confrim", 5, "nearest is confirm"),
    Bad("unknown-quoted-key", '[log]\n"a\\nb" = 1\n' + TERMINAL, "log.'a\\nb'", 2, "nearest"),
    Bad("key-at-top", 'id = "x"\n' + TERMINAL, "id", 1, "no such table"),
    Bad("no-terminal", "[agent]\n", "terminal", None, "[[terminal]]"),
    Bad("empty", "", "terminal", None, "tillwatch devices"),
    Bad("terminal-is-a-table", TERMINAL.replace("[[terminal]]", "[terminal]"), "terminal", 1, "[[terminal]]"),
    Bad("terminals-are-numbers", "terminal = [1, 2]\n", "terminal", 1, "[[terminal]]"),
    Bad("agent-is-a-text", 'agent = "x"\n' + TERMINAL, "agent", 1, "[agent]"),
    Bad("confirm-is-a-text", TERMINAL + 'confirm = "x"\n', "terminal.pos1.confirm", 5, "[terminal.confirm]"),
    Bad("no-name", TERMINAL.replace('name = "pos1"\n', ""), "terminal[1].name", 1, "is missing"),
    Bad("no-protocol", TERMINAL.replace('protocol = "concert"\n', ""), "terminal.pos1.protocol", 1, "is missing"),
    Bad("no-device", TERMINAL[: TERMINAL.index("device")], "terminal.pos1.device", 1, "serial:/dev/…"),
    Bad("no-url", TERMINAL + '[mqtt]\nusername = "x"\n', "mqtt.url", 5, "mqtts://HOST"),
    Bad("unknown-protocol", TERMINAL.replace("concert", "concrt"), "terminal.pos1.protocol", 3, "nearest is concert"),
    Bad("protocol-is-no-driver", TERMINAL.replace("concert", "cards"), "terminal.pos1.protocol", 3, "concert"),
    Bad("protocol-is-a-number", TERMINAL.replace('"concert"', "7"), "terminal.pos1.protocol", 3, "text in quotes"),
    Bad("id-alphabet", '[agent]\nid = "cashier 07"\n' + TERMINAL, "agent.id", 2, "letters, digits"),
    Bad("id-slash", '[agent]\nid = "a/b"\n' + TERMINAL, "agent.id", 2, "'a/b'"),
    Bad("id-too-long", f'[agent]\nid = "{"x" * 65}"\n' + TERMINAL, "agent.id", 2, "1 to 64"),
    Bad("site-empty", '[agent]\nsite = ""\n' + TERMINAL, "agent.site", 2, "not empty"),
    Bad("id-control-character", '[agent]\nid = "a\\u001b[31m"\n' + TERMINAL, "agent.id", 2, "control characters"),
    Bad("name-alphabet", TERMINAL.replace("pos1", "pos 1"), "terminal.pos 1.name", 2, "letters, digits"),
    Bad("language", '[agent]\nlanguage = "zh"\n' + TERMINAL, "agent.language", 2, "nearest is zh-CN"),
    Bad("state-dir-relative", '[agent]\nstate_dir = "var"\n' + TERMINAL, "agent.state_dir", 2, "absolute path"),
    Bad("baudrate-zero", TERMINAL + "baudrate = 0\n", "terminal.pos1.baudrate", 5, "from 1 to"),
    Bad("baudrate-negative", TERMINAL + "\n\nbaudrate = -9600\n", "terminal.pos1.baudrate", 7, "-9600"),
    Bad("baudrate-text", TERMINAL + 'baudrate = "9600"\n', "terminal.pos1.baudrate", 5, "'9600'"),
    Bad("baudrate-truth", TERMINAL + "baudrate = true\n", "terminal.pos1.baudrate", 5, "True"),
    Bad("baudrate-fraction", TERMINAL + "baudrate = 9600.5\n", "terminal.pos1.baudrate", 5, "9600.5"),
    Bad("parity", TERMINAL + 'parity = "X"\n', "terminal.pos1.parity", 5, "N, E, O, M, S"),
    Bad("bytesize", TERMINAL + "bytesize = 9\n", "terminal.pos1.bytesize", 5, "from 5 to 8"),
    Bad("stopbits", TERMINAL + "stopbits = 3\n", "terminal.pos1.stopbits", 5, "from 1 to 2"),
    Bad("flow", TERMINAL + 'flow = "rtscst"\n', "terminal.pos1.flow", 5, "nearest is rtscts"),
    Bad("framing", TERMINAL + 'framing = "cereal"\n', "terminal.pos1.framing", 5, "nearest is serial"),
    Bad("framing-of-protocol", TERMINAL + 'framing = "none"\n', "terminal.pos1.framing", 5, "concert knows"),
    Bad("currency", TERMINAL + 'currency = "yuan"\n', "terminal.pos1.currency", 5, "three capital letters"),
    Bad("device-usb", TERMINAL.replace("serial:/dev/ttyUSB0", "usb:0b00"), "terminal.pos1.device", 4, "usb:VVVV:PPPP"),
    Bad("device-no-scheme", TERMINAL.replace("serial:", ""), "terminal.pos1.device", 4, "tcp:HOST:PORT"),
    Bad("device-pty", TERMINAL.replace("serial:", "pty:"), "terminal.pos1.device", 4, "usb:VVVV"),
    Bad("device-relative", TERMINAL.replace("/dev/", ""), "terminal.pos1.device", 4, "serial:ttyUSB0"),
    Bad("tcp-port-range", TERMINAL + 'cashier = "tcp:127.0.0.1:65536"\n', "terminal.pos1.cashier", 5, "tcp:HOST:PORT"),
    Bad("tcp-port-zero", TERMINAL + 'cashier = "tcp:127.0.0.1:0"\n', "terminal.pos1.cashier", 5, "tcp:HOST:PORT"),
    Bad("tcp-name", TERMINAL + 'cashier = "tcp:a..b:1"\n', "terminal.pos1.cashier", 5, "tcp:HOST:PORT"),
    Bad("tcp-no-port", TERMINAL + 'cashier = "tcp:localhost"\n', "terminal.pos1.cashier", 5, "tcp:HOST:PORT"),
    Bad("cashier-usb", TERMINAL + 'cashier = "usb:0b00:0060"\n', "terminal.pos1.cashier", 5, "pty:/run/…"),
    Bad("device-file-no-name", TERMINAL.replace("serial:/dev/ttyUSB0", "file:/his/"), "terminal.pos1.device", 4, "file:/fo"),
    Bad("cashier-file", TERMINAL + 'cashier = "file:/his/REQ.TXT"\n', "terminal.pos1.cashier", 5, "file: device goes with"),
    Bad("both-ends-one-port", TERMINAL + 'cashier = "serial:/dev/ttyUSB0"\n', "terminal.pos1.cashier", 5, "its own"),
    Bad(
        "follow-without-pty",
        TERMINAL + 'baudrate = "follow"\ncashier = "none"\n',
        "terminal.pos1.baudrate",
        5,
        "needs a serial: device and a pty:",
    ),
    Bad("same-name", TERMINAL + TERMINAL.replace("USB0", "USB1"), "terminal.pos1.name", 6, "its own name"),
    Bad("same-device", TERMINAL + TERMINAL.replace("pos1", "pos2"), "terminal.pos2.device", 8, "pos1 already"),
    Bad(
        "same-cashier-port",
        TERMINAL
        + 'cashier = "tcp:localhost:5000"\n'
        + TERMINAL.replace("pos1", "pos2").replace("USB0", "USB1")
        + 'cashier = "tcp:LOCALHOST:5000"\n',
        "terminal.pos2.cashier",
        10,
        "belongs to terminal pos1",
    ),
    Bad("duration-number", TERMINAL + "[terminal.confirm]\nquiet = 2\n", "terminal.pos1.confirm.quiet", 6, "500ms"),
    Bad("duration-unit", TERMINAL + '[terminal.confirm]\nquiet = "2w"\n', "terminal.pos1.confirm.quiet", 6, "24h"),
    Bad("duration-zero", TERMINAL + '[terminal.confirm]\nquiet = "0s"\n', "terminal.pos1.confirm.quiet", 6, "'0s'"),
    Bad(
        "quiet-longer-than-give-up",
        TERMINAL + '[terminal.confirm]\nquiet = "2h"\ngive_up_after = "1h"\n',
        "terminal.pos1.confirm.quiet",
        6,
        "give_up_after",
    ),
    Bad(
        "first-delay-longer-than-max",
        TERMINAL + '[terminal.confirm]\nfirst_delay = "6m"\n',
        "terminal.pos1.confirm.first_delay",
        6,
        "max_delay",
    ),
    Bad("policy", TERMINAL + '[terminal.confirm]\npolicy = "listen"\n', "terminal.pos1.confirm.policy", 6, "watch, ask"),
    Bad("url-scheme", TERMINAL + '[mqtt]\nurl = "http://x"\n', "mqtt.url", 6, "mqtt://HOST"),
    Bad("url-no-host", TERMINAL + '[mqtt]\nurl = "mqtt://"\n', "mqtt.url", 6, "mqtt://HOST"),
    Bad("url-port", TERMINAL + '[mqtt]\nurl = "mqtt://x:70000"\n', "mqtt.url", 6, "mqtt://HOST"),
    Bad("url-long-name", TERMINAL + f'[mqtt]\nurl = "mqtt://{"x" * 64}.example"\n', "mqtt.url", 6, "mqtt://HOST"),
    Bad("url-empty-part", TERMINAL + '[mqtt]\nurl = "mqtt://a..b"\n', "mqtt.url", 6, "mqtt://HOST"),
    Bad("url-brackets", TERMINAL + '[mqtt]\nurl = "mqtt://[x"\n', "mqtt.url", 6, "mqtt://HOST"),
    Bad("url-user", TERMINAL + '[mqtt]\nurl = "mqtt://me:secret@x"\n', "mqtt.url", 6, "username and password_file"),
    Bad("ca-without-tls", TERMINAL + '[mqtt]\nca_file = "/etc/hostname"\nurl = "mqtt://x"\n', "mqtt.url", 7, "mqtts://"),
    Bad("ca-missing", TERMINAL + '[mqtt]\nurl = "mqtts://x"\nca_file = "/no/ca"\n', "mqtt.ca_file", 7, "/no/ca can't be opened"),
    Bad("ca-is-a-folder", TERMINAL + '[mqtt]\nurl = "mqtts://x"\nca_file = "/etc"\n', "mqtt.ca_file", 7, "is no file"),
    Bad("cert-alone", TERMINAL + '[mqtt]\nurl = "mqtts://x"\ncert_file = "/etc/hostname"\n', "mqtt.cert_file", 7, "key_file"),
    Bad("keepalive", TERMINAL + '[mqtt]\nurl = "mqtt://x"\nkeepalive = "1d"\n', "mqtt.keepalive", 7, "65535s"),
    Bad("level", '[log]\nlevel = "warn"\n' + TERMINAL, "log.level", 2, "nearest is warning"),
    Bad("format", '[log]\nformat = "xml"\n' + TERMINAL, "log.format", 2, "auto, console, json"),
    Bad("syntax", "[agent]\nid = cashier\n", None, 2, "not TOML"),
    Bad("syntax-at-the-end", "[agent]\n\nid = ", None, 3, "not TOML"),
    Bad("key-twice", '[agent]\nid = "a"\nid = "b"\n', None, 3, "not TOML"),
    Bad("nested-too-deeply", "a = " + "[" * 3000 + "]" * 3000, None, None, "nested too deeply"),
    Bad("huge-number", f"a = {'9' * 5000}\n", None, None, "not TOML"),
    Bad("nul", "a = 1\0", None, None, "no text file"),
    Bad("environment-type", TERMINAL, "terminal.pos1.baudrate", None, "'fast'", {"TILLWATCH_TERMINAL__POS1__BAUDRATE": "fast"}),
    Bad("environment-value", TERMINAL, "agent.id", None, "letters, digits", {"TILLWATCH_AGENT__ID": "a b"}),
    Bad("environment-bytes", TERMINAL, "agent.id", None, "control characters", {"TILLWATCH_AGENT__ID": "\udcff"}),
    Bad("environment-key", TERMINAL, None, None, "nearest is TILLWATCH_MQTT__URL", {"TILLWATCH_MQTT__URLL": "mqtt://x"}),
    Bad("environment-table", TERMINAL, None, None, "TILLWATCH_AGENT__ID", {"TILLWATCH_AGEND__ID": "x"}),
    Bad("environment-terminal", TERMINAL, None, None, "TILLWATCH_TERMINAL__POS1__BAUDRATE", {"TILLWATCH_TERMINAL__POS9__BAUDRATE": "1"}),
    Bad("environment-no-url", TERMINAL, "mqtt.url", None, "is missing", {"TILLWATCH_MQTT__USERNAME": "x"}),
]  # fmt: skip


@pytest.mark.parametrize("bad", BAD, ids=lambda bad: bad.id)
def test_a_bad_configuration_is_refused_in_one_line(tmp_path: Path, bad: Bad) -> None:
    with pytest.raises(ConfigError) as caught:
        configured(tmp_path, bad.text, bad.environ)
    error = caught.value
    assert isinstance(error, InvalidConfigError)
    assert error.exit_code == 2
    problem = error.problems[0]
    assert (problem.key, problem.line) == (bad.key, bad.line)
    path = str(tmp_path / "agent.toml")
    variable = next(iter(bad.environ), path)
    assert problem.where.startswith((path, variable))
    if bad.line is not None:
        assert problem.where.startswith(f"{path}:{bad.line}")
    line = error.text(Texts("en"))
    assert bad.says in line
    for language in ("en", "zh-CN"):
        said = error.text(Texts(language))
        assert len(said.splitlines()) == 1
        assert said.isprintable()
        assert "{" not in said


def test_a_password_in_the_url_is_not_repeated(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        configured(tmp_path, TERMINAL + '[mqtt]\nurl = "mqtt://me:secret@x"\n')
    assert "secret" not in str(caught.value)


def test_a_syntax_error_names_line_and_column(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"agent\.toml:2:6: not TOML"):
        configured(tmp_path, "[agent]\nid = cashier\n")


def test_the_first_problem_is_told_with_the_number_of_the_others(tmp_path: Path) -> None:
    text = '[agent]\nid = "a b"\nsight = 1\n[log]\nlevel = "x"\n' + TERMINAL
    with pytest.raises(ConfigError) as caught:
        configured(tmp_path, text)
    line = caught.value.text(Texts("en"))
    assert "agent.id" in line
    assert line.endswith("(and 2 more: tillwatch check lists all)")
    found = problems(tmp_path / "agent.toml", {})
    assert [problem.key for problem in found] == ["agent.id", "agent.sight", "log.level"]


def test_problems_stand_in_the_order_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "agent.toml"
    path.write_text(TERMINAL + "stopbits = 7\n[mqtt]\nurl = 1\n[agent]\nid = 1\n")
    assert [problem.line for problem in problems(path, {})] == [5, 7, 9]


def test_lines_are_found_behind_long_texts_and_comments(tmp_path: Path) -> None:
    text = (
        '# [agent]\n[agent]\nsite = """\nid = "x"\n"""\n'
        + TERMINAL.replace("pos1", "a # b")
        + "# baudrate\n'baudrate' = 0"
    )
    path = tmp_path / "agent.toml"
    path.write_text(text)
    assert [(p.key, p.line) for p in problems(path, {})] == [
        ("agent.site", 3),
        ("terminal.a # b.name", 7),
        ("terminal.a # b.baudrate", 11),
    ]


def test_the_second_terminals_table_has_its_own_lines(tmp_path: Path) -> None:
    second = TERMINAL.replace("pos1", "pos2").replace("USB0", "USB1")
    path = tmp_path / "agent.toml"
    path.write_text(TERMINAL + '[terminal.confirm]\nquiet = "1s"\n' + second + '[terminal.confirm]\nquiet = "x"\n')
    assert [(p.key, p.line) for p in problems(path, {})] == [("terminal.pos2.confirm.quiet", 12)]


def test_a_stable_name_and_the_tty_behind_it_are_one_device(tmp_path: Path) -> None:
    (tmp_path / "tty").touch()
    (tmp_path / "by-id").symlink_to(tmp_path / "tty")
    first = TERMINAL.replace("/dev/ttyUSB0", str(tmp_path / "tty"))
    second = TERMINAL.replace("/dev/ttyUSB0", str(tmp_path / "by-id")).replace("pos1", "pos2")
    with pytest.raises(ConfigError, match="pos1 already"):
        configured(tmp_path, first + second)


@pytest.mark.parametrize(("mode", "refused"), [(0o644, True), (0o604, True), (0o640, False), (0o600, False)])
def test_a_password_that_everybody_may_read_is_refused(tmp_path: Path, mode: int, refused: bool) -> None:
    password = tmp_path / "password"
    password.write_text("secret")
    password.chmod(mode)
    text = TERMINAL + f'[mqtt]\nurl = "mqtt://x"\nusername = "u"\npassword_file = "{password}"\n'
    if refused:
        with pytest.raises(ConfigError, match="chmod o= "):
            configured(tmp_path, text)
    else:
        assert configured(tmp_path, text).mqtt is not None


def test_a_password_needs_a_user(tmp_path: Path) -> None:
    password = tmp_path / "password"
    password.touch(0o600)
    with pytest.raises(ConfigError, match=r"mqtt\.password_file: needs a username"):
        configured(tmp_path, TERMINAL + f'[mqtt]\nurl = "mqtt://x"\npassword_file = "{password}"\n')


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda path: None, "no such file"),
        (lambda path: path.mkdir(), "directory"),
        (lambda path: path.write_bytes(b"[agent]\nid = '\xff'\n"), "UTF-8"),
        (lambda path: path.write_bytes(b"\x7fELF\0\0"), "no text file"),
        (lambda path: path.write_bytes(b"#" * (1 << 21)), "no text file"),
        (lambda path: path.symlink_to(path), "can't be read"),
    ],
    ids=["missing", "directory", "latin-1", "program", "too-large", "link-to-itself"],
)
def test_what_is_no_configuration_is_told_with_what_to_do(
    tmp_path: Path, make: object, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "agent.toml"
    make(path)  # type: ignore[operator]
    assert main(["check", "--config", str(path)]) == 2
    line = capsys.readouterr().err
    assert line.count("\n") == 1
    assert str(path) in line
    assert says in line


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_a_file_that_may_not_be_read_says_so(tmp_path: Path) -> None:
    path = tmp_path / "agent.toml"
    path.write_text(TERMINAL)
    path.chmod(0o600)
    os.seteuid(65534)
    try:
        with pytest.raises(ConfigError, match="may not be read"):
            load(path, {})
    finally:
        os.seteuid(0)


def told_in_one_line(path: Path, environ: dict[str, str]) -> bool:
    try:
        load(path, environ)
    except ConfigError as error:
        return len(str(error).splitlines()) == 1
    return True


_PIECES = st.sampled_from(
    [
        "[agent]\n", "[[terminal]]\n", "[terminal.confirm]\n", "[mqtt]\n", "[log]\n", "[[agent]]\n", "terminal = ", "agent.",
        "name = ", "id = ", "device = ", "url = ", "quiet = ", "baudrate = ", "confirm = ", '"pos1"', '"concert"', '"tcp:a:1"',
        '"serial:/dev/x"', "9600", "-1", "true", "[]", "{}", "[", "]", "{", "}", "=", ".", ",", '"', "'", '"""', "'''", "#", "\n",
        "1979-05-27", "nan", "\\", "'a'.", "\"\\u0000\"",
    ]
)  # fmt: skip


@given(st.lists(_PIECES | st.text(max_size=8), max_size=30).map("".join))
def test_no_text_gives_anything_but_a_configuration_or_a_refusal(
    tmp_path_factory: pytest.TempPathFactory, text: str
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.toml"
    path.write_text(text, encoding="utf-8", errors="replace")
    assert told_in_one_line(path, {})


@given(st.binary(max_size=200))
def test_no_bytes_give_anything_but_a_refusal(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "bytes.toml"
    path.write_bytes(data)
    with pytest.raises(ConfigError):
        load(path, {})


@given(st.text(max_size=30), st.text(max_size=30))
def test_no_variable_gives_anything_but_a_configuration_or_a_refusal(
    tmp_path_factory: pytest.TempPathFactory, name: str, value: str
) -> None:
    path = tmp_path_factory.getbasetemp() / "environment.toml"
    path.write_text(TERMINAL)
    for variable in (f"TILLWATCH_{name}", f"TILLWATCH_TERMINAL__POS1__{name}", "TILLWATCH_MQTT__URL"):
        assert told_in_one_line(path, {variable: value})
