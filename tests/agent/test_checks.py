"""What `tillwatch check` finds: folders, disk, journal, devices, ports, a real broker, certificates, the clock."""

from __future__ import annotations

import os
import pty
import socket
import sqlite3
import subprocess
import sys
import threading
import tty
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from agent.checks import Check, State, Who, all_checks, host, lines, places
from agent.checks import broker as broker_checks
from agent.checks.certificate import validity, validity_of_file
from agent.config import Config, Mqtt, Terminal, load
from agent.journal import FILE_NAME, Journal
from agent.texts import Texts
from tests.broker import Broker, Tls
from tests.certificates import Authority

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
ME = Who.service()
NOBODY = Who("nobody", 65534, frozenset({65534}))


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def device() -> Iterator[Path]:
    """A serial device that works: the terminal's end of a pty."""
    ours, theirs = pty.openpty()
    tty.setraw(theirs)
    path = Path(os.ttyname(theirs))
    os.close(theirs)
    yield path
    os.close(ours)


@pytest.fixture(scope="module")
def users(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    with Broker(tmp_path_factory.mktemp("users"), users={"cashier-07": "secret"}) as broker:
        yield broker


def configured(folder: Path, device: str = "serial:/dev/nowhere", more: str = "", mqtt: str = "") -> Config:
    path = folder / "agent.toml"
    path.write_text(
        f'[agent]\nid = "cashier-07"\nstate_dir = "{folder}/state"\nrun_dir = "{folder}/run"\n'
        f'[[terminal]]\nname = "pos1"\nprotocol = "concert"\ndevice = "{device}"\n{more}\n{mqtt}'
    )
    return load(path, {})


def terminal_of(folder: Path, device: str = "serial:/dev/nowhere", more: str = "") -> Terminal:
    return configured(folder, device, more).terminals[0]


def settings(folder: Path, broker: Broker, *, password: str | None = None, url: str = "", more: str = "") -> Mqtt:
    mqtt = f'[mqtt]\nurl = "{url or broker.url}"\n{more}\n'
    if password is not None:
        file = folder / "password"
        file.write_text(password + "\n")
        file.chmod(0o600)
        mqtt += f'username = "cashier-07"\npassword_file = "{file}"\n'
    found = configured(folder, mqtt=mqtt).mqtt
    assert found is not None
    return found


def said(check: Check, language: str = "en") -> str:
    """The whole line, as people read it; each is good in both languages."""
    for texts in (Texts("en"), Texts("zh-CN")):
        line = f"{check.title(texts)}: {check.what.say(texts)} {check.mend(texts) or ''}"
        assert "check." not in line
        assert "{" not in line
        assert "\n" not in line
        assert check.state is State.OK or check.mend(texts) or check.what.key == "check.journal_large"
    texts = Texts(language)
    return f"{check.what.say(texts)} → {check.mend(texts)}"


# -- folders and disk -------------------------------------------------------------------------------------


def test_a_folder_that_can_be_written_is_ok(tmp_path: Path) -> None:
    assert places.folder("state_dir", tmp_path, ME).state is State.OK


def test_a_folder_that_can_be_made_is_ok(tmp_path: Path) -> None:
    check = places.folder("state_dir", tmp_path / "a/b", ME)
    assert (check.state, check.what.key) == (State.OK, "check.folder_later")
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize(
    ("mode", "who", "state"),
    [
        (0o755, Who("u", 1, frozenset({1})), State.FAIL),
        (0o777, Who("u", 1, frozenset({1})), State.OK),
        (0o770, Who("u", 1, frozenset({os.getgid()})), State.OK),
        (0o757, Who("u", 1, frozenset({os.getgid()})), State.FAIL),  # the group's bits count, not everybody's
        (0o500, Who("u", os.getuid() or 1, frozenset()), State.FAIL),
    ],
)
def test_the_rights_of_the_services_user_count(tmp_path: Path, mode: int, who: Who, state: State) -> None:
    folder = tmp_path / "state"
    folder.mkdir()
    folder.chmod(mode)
    check = places.folder("state_dir", folder, who)
    assert check.state is state
    if state is State.FAIL:
        assert f"chown {who.name} {folder}" in said(check)


def test_a_folder_that_nobody_can_make_says_how(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    check = places.folder("run_dir", tmp_path / "run", NOBODY)
    assert check.state is State.WARN
    assert f"install -d -o nobody -m 750 {tmp_path}/run" in said(check)


def test_a_file_in_the_place_of_a_folder_fails(tmp_path: Path) -> None:
    (tmp_path / "state").touch()
    assert "is a file" in said(places.folder("state_dir", tmp_path / "state", ME))


@pytest.mark.parametrize(
    ("free", "state", "shown"),
    [
        (5 * places.GIB, State.OK, "5.0 GiB"),
        (places.GIB, State.OK, "1.0 GiB"),
        (places.GIB - 1, State.WARN, "1023 MiB"),
        (64 * places.MIB, State.WARN, "64 MiB"),
        (64 * places.MIB - 1, State.FAIL, "63 MiB"),
        (0, State.FAIL, "0 MiB"),
    ],
)
def test_the_disk_has_room(free: int, state: State, shown: str) -> None:
    check = places.space(Path("/var/lib/tillwatch"), free)
    assert check.state is state
    assert shown in said(check)


def test_a_journal_on_a_disk_that_forgets_is_told(tmp_path: Path) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text(f"none / ext4 rw 0 0\nnone {tmp_path.resolve()} tmpfs rw 0 0\nnone /else xfs rw 0 0\n")
    assert places.file_system(tmp_path / "state", mounts) == "tmpfs"
    assert places.file_system(Path("/"), mounts) == "ext4"
    assert places.free_bytes(tmp_path / "not/yet") > 0


def test_a_sound_journal_is_ok_also_while_the_agent_writes(tmp_path: Path) -> None:
    assert places.journal(tmp_path / FILE_NAME).what.key == "check.journal_none"
    journal = Journal(tmp_path, "site", "agent")
    try:
        assert places.journal(tmp_path / FILE_NAME).what.key == "check.journal_ok"
        assert host.lock_holder(tmp_path / "journal.lock") == os.getpid()
    finally:
        journal.close()
    assert host.lock_holder(tmp_path / "journal.lock") is None
    assert host.lock_holder(tmp_path / "no.lock") is None


@pytest.mark.parametrize("at", [0, 4096 + 8], ids=["head", "page"])
def test_a_damaged_journal_fails(tmp_path: Path, at: int) -> None:
    Journal(tmp_path, "site", "agent").close()
    path = tmp_path / FILE_NAME
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA journal_mode = DELETE")
    db.close()
    with path.open("r+b") as file:
        file.seek(at)
        file.write(b"\xa5" * 600)
    check = places.journal(path)
    assert check.state is State.FAIL
    assert said(check)


# -- devices and cashier ports ----------------------------------------------------------------------------


def test_a_device_that_is_not_there_says_so(tmp_path: Path) -> None:
    terminal = terminal_of(tmp_path)
    check = lines.serial_port("device", terminal, Path("/dev/nowhere"), ME, None)
    assert check.terminal == "pos1"
    assert "/dev/nowhere is not there → plug the terminal in" in said(check)


def test_a_file_is_no_device(tmp_path: Path) -> None:
    (tmp_path / "tty").touch()
    check = lines.serial_port("device", terminal_of(tmp_path), tmp_path / "tty", ME, None)
    assert "is no device" in said(check)


def test_a_device_that_may_not_be_opened_names_group_and_rule(tmp_path: Path, device: Path) -> None:
    device.chmod(0o600)
    check = lines.serial_port("device", terminal_of(tmp_path), device, NOBODY, None)
    assert check.state is State.FAIL
    assert "nobody may not open" in said(check)
    assert "60-tillwatch.rules" in said(check)
    assert "(group " in said(check)


def test_a_good_device_opens_with_its_settings(tmp_path: Path, device: Path) -> None:
    terminal = terminal_of(tmp_path, f"serial:{device}", 'baudrate = "follow"')
    check = lines.serial_port("device", terminal, device, ME, None)
    assert check.state is State.OK
    assert "9600 8N1" in said(check)


def test_a_device_held_by_another_program_names_it(tmp_path: Path, device: Path) -> None:
    code = (
        "import fcntl, os, sys, termios; fd = os.open(sys.argv[1], os.O_RDWR | os.O_NOCTTY);"
        "fcntl.ioctl(fd, termios.TIOCEXCL); print(flush=True); sys.stdin.read()"
    )
    arguments = [sys.executable, "-c", code, str(device)]
    with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        other.stdout.readline()
        terminal = terminal_of(tmp_path, f"serial:{device}")
        alone = lines.serial_port("device", terminal, device, ME, None)
        beside = lines.serial_port("device", terminal, device, ME, os.getpid())
        ours = lines.serial_port("device", terminal, device, ME, other.pid)
        other.communicate()
    if os.geteuid() == 0:  # root may open what is marked exclusive, but the mark is seen
        assert f"pid {other.pid}" in said(alone)
    assert alone.state is State.FAIL
    assert beside.state is State.FAIL
    assert f"pid {other.pid}" in said(beside)
    assert (ours.state, ours.what.key) == (State.OK, "check.device_ours")
    assert f"process {other.pid}" in said(ours)


def test_a_bridge_without_its_device_is_told(tmp_path: Path, device: Path) -> None:
    check = lines.serial_port("device", terminal_of(tmp_path), device, ME, os.getpid())
    assert (check.state, check.what.key) == (State.WARN, "check.device_not_ours")
    assert "restart" in said(check)


def test_a_terminal_on_the_network(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"tcp:127.0.0.1:{server.getsockname()[1]}"
        terminal = terminal_of(tmp_path, address)
        assert lines.remote("device", terminal, terminal.device, None).state is State.OK
    gone = lines.remote("device", terminal, terminal.device, None)
    assert f"{address} can't be reached (Connection refused)" in said(gone)
    # A terminal with one connection is not asked while the bridge has it.
    assert lines.remote("device", terminal, terminal.device, 7).what.key == "check.remote_ours"


def test_the_link_of_the_virtual_port_can_be_made(tmp_path: Path) -> None:
    terminal = terminal_of(tmp_path, more=f'cashier = "pty:{tmp_path}/ports/pos1"')
    assert lines.virtual_port(terminal, tmp_path / "run", ME).state is State.OK
    assert lines.virtual_port(terminal_of(tmp_path), tmp_path / "run", NOBODY).state is State.OK  # run_dir is made


def test_a_link_of_an_earlier_run_is_no_obstacle_but_a_file_is(tmp_path: Path) -> None:
    terminal = terminal_of(tmp_path, more=f'cashier = "pty:{tmp_path}/pos1"')
    (tmp_path / "pos1").symlink_to("/dev/pts/4711")
    assert lines.virtual_port(terminal, tmp_path / "run", ME).state is State.OK
    (tmp_path / "pos1").unlink()
    (tmp_path / "pos1").touch()
    check = lines.virtual_port(terminal, tmp_path / "run", ME)
    assert check.state is State.FAIL
    assert "move it away" in said(check)


def test_a_folder_where_the_link_can_not_be_made_fails(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    for place, key in ((tmp_path / "pos1", "check.link_closed"), (tmp_path / "a/pos1", "check.link_no_folder")):
        terminal = terminal_of(tmp_path, more=f'cashier = "pty:{place}"')
        check = lines.virtual_port(terminal, tmp_path / "run", NOBODY)
        assert (check.state, check.what.key) == (State.FAIL, key)
        assert said(check)


@pytest.mark.parametrize(
    ("more", "warned"),
    [
        ("bytesize = 7\nparity = 'E'", "7E1"),
        ("parity = 'O'", "8O1"),
        ("", None),
        ("parity = 'E'\ncashier = 'none'", None),
    ],
)
def test_a_virtual_port_carries_no_parity(tmp_path: Path, more: str, warned: str | None) -> None:
    checks = lines.checks(terminal_of(tmp_path, more=more), tmp_path / "run", ME, None)
    found = [check for check in checks if check.name == "parity"]
    if warned is None:
        assert found == []
    else:
        assert found[0].state is State.WARN
        assert warned in said(found[0])
        assert "8N1" in said(found[0])


def test_a_cashier_port_on_tcp_is_free_or_taken(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        terminal = terminal_of(tmp_path, more=f'cashier = "tcp:127.0.0.1:{port}"')
        taken = lines.listening(terminal, None)
        assert taken.state is State.FAIL
        assert f"sport = :{port}" in said(taken)
        assert lines.listening(terminal, 7).what.key == "check.port_ours"
    assert lines.listening(terminal, None).state is State.OK


@pytest.mark.parametrize("host_name", ["192.0.2.1", "no-such-host.invalid"])
def test_a_cashier_port_at_another_host_fails(tmp_path: Path, host_name: str) -> None:
    terminal = terminal_of(tmp_path, more=f'cashier = "tcp:{host_name}:5000"')
    assert "address of this PC" in said(lines.listening(terminal, None))


def test_a_cashier_on_a_serial_port_is_checked_like_a_device(tmp_path: Path) -> None:
    found = list(lines.checks(terminal_of(tmp_path, more='cashier = "serial:/dev/none-either"'), tmp_path, ME, None))
    assert [(check.name, check.state) for check in found] == [("device", State.FAIL), ("cashier", State.FAIL)]
    assert "/dev/none-either" in said(found[1])


# -- broker -----------------------------------------------------------------------------------------------


def test_the_right_password_is_let_in(tmp_path: Path, users: Broker) -> None:
    found = list(broker_checks.checks(configured(tmp_path, mqtt=_mqtt(tmp_path, users, "secret"))))
    assert [(check.name, check.state) for check in found] == [("broker", State.OK), ("login", State.OK)]
    assert "lets cashier-07 in" in said(found[1])


def _mqtt(folder: Path, broker: Broker, password: str) -> str:
    file = folder / "password"
    file.write_text(password)
    file.chmod(0o600)
    return f'[mqtt]\nurl = "{broker.url}"\nusername = "cashier-07"\npassword_file = "{file}"\n'


@pytest.mark.parametrize("password", ["wrong", None])
def test_a_wrong_or_missing_password_fails_in_words(tmp_path: Path, users: Broker, password: str | None) -> None:
    check = broker_checks.log_in(settings(tmp_path, users, password=password), "cashier-07")
    assert check.state is State.FAIL
    assert "not authorised" in said(check)
    assert "password_file" in said(check)
    assert "wrong" not in str(check.what.values)


def test_the_check_does_not_throw_the_running_agent_out(tmp_path: Path, users: Broker) -> None:
    mqtt = settings(tmp_path, users, password="secret")
    broker_checks.log_in(mqtt, "cashier-07")
    text = users.log.read_text()
    assert " as cashier-07-check-" in text
    assert " as cashier-07 (" not in text


def test_a_broker_that_is_down_says_so(tmp_path: Path) -> None:
    dead = Broker(tmp_path / "dead")
    check = broker_checks.connection(settings(tmp_path, dead))
    assert f"127.0.0.1 port {dead.port}: Connection refused" in said(check)


def test_a_name_that_nobody_knows_says_so(tmp_path: Path) -> None:
    check = broker_checks.connection(settings(tmp_path, Broker(tmp_path), url="mqtt://no-such-host.invalid"))
    assert "no-such-host.invalid is not known" in said(check)


def test_something_that_is_no_broker_fails(tmp_path: Path) -> None:
    def hang_up() -> None:
        server.accept()[0].close()

    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"mqtt://127.0.0.1:{server.getsockname()[1]}"
        mqtt = settings(tmp_path, Broker(tmp_path), url=url)
        other = threading.Thread(target=hang_up)
        other.start()
        check = broker_checks.log_in(mqtt, "cashier-07")
        other.join()
    assert check.state is State.FAIL
    assert "ended the connection" in said(check)


def test_without_a_broker_and_without_encryption_is_a_warning(tmp_path: Path) -> None:
    alone = list(broker_checks.checks(configured(tmp_path)))
    assert [(check.name, check.state) for check in alone] == [("broker", State.WARN)]
    plain = list(broker_checks.checks(configured(tmp_path, mqtt='[mqtt]\nurl = "mqtt://no-such-host.invalid"\n')))
    assert [(check.name, check.state) for check in plain] == [("encryption", State.WARN), ("broker", State.FAIL)]
    assert "use mqtts://" in said(plain[0])


def _tls_checks(
    folder: Path, authority: Authority, ends: datetime | None = None, name: str = "127.0.0.1"
) -> list[Check]:
    certificate, key = authority.sign(name, begins=datetime(2020, 1, 1, tzinfo=UTC), ends=ends)
    with Broker(folder / "tls", tls=Tls(certificate, key)) as broker:
        mqtt = f'[mqtt]\nurl = "{broker.url}"\nca_file = "{authority.certificate}"\n'
        return list(broker_checks.checks(configured(folder, mqtt=mqtt)))


def test_a_good_certificate_is_ok_and_its_date_told(tmp_path: Path, authority: Authority) -> None:
    found = _tls_checks(tmp_path, authority, datetime(2099, 5, 4, tzinfo=UTC))
    assert [(check.name, check.state) for check in found] == [
        ("broker", State.OK),
        ("certificate", State.OK),
        ("login", State.OK),
    ]
    assert "valid until 2099-05-04" in said(found[1])


def test_an_expired_certificate_fails_with_its_date(tmp_path: Path, authority: Authority) -> None:
    found = _tls_checks(tmp_path, authority, datetime(2021, 2, 3, tzinfo=UTC))
    assert [(check.name, check.state) for check in found] == [("broker", State.OK), ("certificate", State.FAIL)]
    assert "expired on 2021-02-03" in said(found[1])
    assert "2021-02-03" in said(found[1], "zh-CN")


def test_a_certificate_that_ends_soon_is_a_warning(tmp_path: Path, authority: Authority) -> None:
    found = _tls_checks(tmp_path, authority, datetime.now(UTC) + timedelta(days=10, hours=1))
    assert found[1].state is State.WARN
    assert "10 days from now" in said(found[1])


def test_a_certificate_of_another_name_fails(tmp_path: Path, authority: Authority) -> None:
    found = _tls_checks(tmp_path, authority, name="broker.example")
    assert found[-1].what.key == "check.certificate_distrusted"
    assert "127.0.0.1" in said(found[-1])


def test_a_certificate_of_a_stranger_fails(tmp_path: Path, authority: Authority) -> None:
    certificate, key = authority.sign("127.0.0.1")
    stranger = Authority(tmp_path / "stranger")
    with Broker(tmp_path / "tls", tls=Tls(certificate, key)) as broker:
        mqtt = settings(tmp_path, broker, more=f'ca_file = "{stranger.certificate}"')
        found = list(broker_checks.tls(mqtt, datetime.now(UTC)))
    assert [check.state for check in found] == [State.FAIL]
    assert "ca_file" in said(found[0])


def test_a_port_without_tls_says_so(tmp_path: Path, users: Broker) -> None:
    mqtt = settings(tmp_path, users, url=users.url.replace("mqtt:", "mqtts:"))
    found = list(broker_checks.tls(mqtt, NOW))
    assert found[-1].what.key == "check.tls_failed"
    assert "8883" in said(found[-1])


def test_a_client_certificate_logs_in_and_its_date_is_told(tmp_path: Path, authority: Authority) -> None:
    server = authority.sign("127.0.0.1")
    own = authority.sign("cashier-07", ends=datetime(2088, 1, 1, tzinfo=UTC))
    with Broker(tmp_path / "tls", tls=Tls(*server, ca=authority.certificate)) as broker:
        files = f'ca_file = "{authority.certificate}"\ncert_file = "{own[0]}"\nkey_file = "{own[1]}"\n'
        found = list(broker_checks.checks(configured(tmp_path, mqtt=f'[mqtt]\nurl = "{broker.url}"\n{files}')))
        without = settings(tmp_path, broker, more=f'ca_file = "{authority.certificate}"')
        refused = broker_checks.log_in(without, "cashier-07")
    assert [(check.name, check.state) for check in found] == [
        ("broker", State.OK),
        ("own_certificate", State.OK),
        ("certificate", State.OK),
        ("login", State.OK),
    ]
    assert "2088-01-01" in said(found[1])
    assert refused.state is State.FAIL
    assert said(refused)


def test_files_that_are_no_certificates_fail(tmp_path: Path, authority: Authority) -> None:
    junk = tmp_path / "junk.pem"
    junk.write_text("no certificate")
    junk.chmod(0o600)
    dead = Broker(tmp_path / "dead")
    url = f'[mqtt]\nurl = "mqtts://127.0.0.1:{dead.port}"\n'
    for more, key in (
        (f'ca_file = "{junk}"', "check.certificate_files"),
        (f'cert_file = "{junk}"\nkey_file = "{junk}"', "check.certificate_unreadable"),
    ):
        mqtt = configured(tmp_path, mqtt=url + more).mqtt
        assert mqtt is not None
        found = list(broker_checks.tls(mqtt, NOW))
        assert (found[-1].state, found[-1].what.key) == (State.FAIL, key)
        assert said(found[-1])


def test_dates_are_read_from_any_certificate(tmp_path: Path, authority: Authority) -> None:
    begins, ends = datetime(1999, 12, 31, tzinfo=UTC), datetime(2055, 6, 7, 8, 9, 10, tzinfo=UTC)
    certificate, key = authority.sign("x", begins, ends)  # before 2050 one form of time, after it the other
    found = validity_of_file(certificate)
    assert found is not None
    assert (found.begins, found.ends) == (begins, ends)
    assert validity_of_file(key) is None
    assert validity_of_file(tmp_path / "missing") is None


@pytest.mark.parametrize(
    "data", [b"", b"0", b"0\x82", b"0\x03\x30\x01\x00", b"\x30\x84\xff\xff\xff\xff", os.urandom(300)]
)
def test_bytes_that_are_no_certificate_have_no_dates(data: bytes) -> None:
    assert validity(data) is None


# -- the PC -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("now", "synchronised", "state", "text"),
    [
        (NOW, True, State.OK, "synchronised"),
        (NOW, False, State.WARN, "set-ntp true"),
        (NOW, None, State.WARN, "can't be found out"),
        (NOW.replace(year=1970), True, State.FAIL, "can't be right"),
        (NOW.replace(year=2106), None, State.FAIL, "battery"),
    ],
)
def test_the_clock(now: datetime, synchronised: bool | None, state: State, text: str) -> None:
    check = host.clock(now, synchronised)
    assert check.state is state
    assert text in said(check)


def test_the_kernel_is_asked_whether_the_clock_is_right() -> None:
    assert host.synchronised() in (True, False, None)


@pytest.mark.parametrize(
    ("names", "rule", "expected"),
    [
        (set(), False, [(State.OK, "none")]),
        ({"ModemManager"}, False, [(State.WARN, "60-tillwatch.rules")]),
        ({"ModemManager"}, True, [(State.OK, "leave terminals alone")]),
        ({"brltty"}, True, [(State.WARN, "braille")]),
        ({"ModemManager", "brltty"}, False, [(State.WARN, "ModemManager"), (State.WARN, "brltty")]),
    ],
)
def test_programs_that_disturb_serial_ports(names: set[str], rule: bool, expected: list[tuple[State, str]]) -> None:
    found = list(host.disturbers(names | {"systemd"}, rule))
    assert [check.state for check in found] == [state for state, _ in expected]
    for check, (_, text) in zip(found, expected, strict=True):
        assert text in said(check)


def test_processes_are_found_by_name() -> None:
    assert (Path("/proc/self/comm").read_text().strip()) in host.process_names()


def test_a_bridge_is_found_by_its_socket(tmp_path: Path) -> None:
    assert host.bridge_pid(tmp_path) is None
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "bridge.sock"))
        assert host.bridge_pid(tmp_path) is None  # a socket left behind
        server.listen()
        assert host.bridge_pid(tmp_path) == os.getpid()


# -- all together -----------------------------------------------------------------------------------------


def test_a_good_machine_has_no_failure(tmp_path: Path, device: Path, users: Broker) -> None:
    config = configured(tmp_path, f"serial:{device}", mqtt=_mqtt(tmp_path, users, "secret"))
    found = list(all_checks(config, ME))
    assert [said(check) for check in found if check.state is State.FAIL] == []
    assert {check.name for check in found} >= {
        "configuration", "state_dir", "disk", "journal", "run_dir", "device", "cashier", "broker", "login", "clock",
        "programs", "bridge", "agent",
    }  # fmt: skip


def test_root_asks_for_the_services_user() -> None:
    assert (ME.name == "tillwatch") or (ME.uid == os.geteuid())


def test_a_broker_of_the_tests_comes_back_on_its_port(tmp_path: Path) -> None:
    broker = Broker(tmp_path, persistence=True)
    assert broker.pid is None
    with broker:
        first, port = broker.pid, broker.port
        broker.kill()
        assert broker.pid is None
        broker.restart()
        assert broker.pid not in (None, first)
        assert broker.port == port
    assert broker.pid is None
