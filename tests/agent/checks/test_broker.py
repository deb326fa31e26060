"""A real broker: reachable, trusted, and willing to let us in."""

from __future__ import annotations

import os
import socket
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from agent.checks import Check, State
from agent.checks import broker as broker_checks
from agent.checks.certificate import validity, validity_of_file
from agent.checks.login import log_in
from agent.config import Mqtt
from tests.agent.checks.checked import configured, said, with_password
from tests.broker import Broker, Tls
from tests.certificates import Authority

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


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


def test_the_right_password_is_let_in(tmp_path: Path, users: Broker) -> None:
    found = list(broker_checks.checks(configured(tmp_path, mqtt=with_password(tmp_path, users, "secret"))))
    assert [(check.name, check.state) for check in found] == [("broker", State.OK), ("login", State.OK)]
    assert "lets cashier-07 in" in said(found[1])


@pytest.mark.parametrize("password", ["wrong", None])
def test_a_wrong_or_missing_password_fails_in_words(tmp_path: Path, users: Broker, password: str | None) -> None:
    check = log_in(settings(tmp_path, users, password=password), "cashier-07", None)
    assert check.state is State.FAIL
    assert "not authorised" in said(check)
    assert "password_file" in said(check)
    assert "wrong" not in str(check.what.values)


def test_the_check_does_not_throw_the_running_agent_out(tmp_path: Path, users: Broker) -> None:
    mqtt = settings(tmp_path, users, password="secret")
    log_in(mqtt, "cashier-07", None)
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
        check = log_in(mqtt, "cashier-07", None)
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
        refused = log_in(without, "cashier-07", None)
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
