"""The door as agents meet it: TLS of our authority, the token told to nobody else, refusals in the agent's words."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import tomllib
from pathlib import Path
from typing import Any

import pytest

from agent.cli import main
from agent.enroll import enrol as first_time
from agent.enroll.door import Door as Client
from agent.enroll.enrol import enrol
from agent.enroll.errors import DoorError, EnrolError
from agent.enroll.identity import Identity
from agent.enroll.token import EnrolToken
from agent.errors import UsageError
from agent.texts import Texts
from collector.access.people import CONSOLE
from collector.enrol import door as door_module
from collector.enrol.authority import Authority
from collector.enrol.certificate import DoorCertificate
from collector.enrol.desk import EnrolDesk
from collector.enrol.door import Door
from collector.enrol.fleet import FleetDesk
from collector.ledger import Ledger, utc_now
from tests.collector.conftest import FixedClock
from tests.collector.enrol.conftest import BROKER
from tests.waits import until

HOST = "127.0.0.1"


@pytest.fixture
def database(tmp_path: Path, empty_sqlite: Path) -> str:
    """The ledger's part is tested on both databases in test_desk.py; here one is enough."""
    path = tmp_path / "ledger.sqlite"
    path.write_bytes(empty_sqlite.read_bytes())
    return f"sqlite:///{path}"


@pytest.fixture
def clock() -> FixedClock:
    """TLS looks at the machine's clock, so the authority must live now."""
    return FixedClock(utc_now())


@pytest.fixture
def url(door: Door) -> str:
    return f"https://{HOST}:{door.port}"


def one(desk: EnrolDesk, agent: str = "cashier-07") -> EnrolToken:
    return desk.new_tokens(CONSOLE, [(agent, "outpatient-1")])[0]


def test_enrolled_through_the_door(url: str, desk: EnrolDesk, tmp_path: Path) -> None:
    token = one(desk)
    done = enrol(url, token, tmp_path / "state")
    assert (done.agreed.broker, done.agreed.agent, done.agreed.site) == (BROKER, "cashier-07", "outpatient-1")
    assert Identity.below(tmp_path / "state").enrolment() == done.agreed
    assert {path.stat().st_mode & 0o777 for path in done.identity.folder.iterdir()} == {0o600}
    assert not done.identity.next_key.exists()
    with pytest.raises(EnrolError, match="was used on"):
        enrol(url, token, tmp_path / "another-pc")


def test_a_broker_that_is_no_address_changes_nothing_and_uses_nothing_up(
    url: str, desk: EnrolDesk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = one(desk)
    monkeypatch.setattr(desk, "_broker", "broker.example")
    with pytest.raises(EnrolError, match="set broker in"):
        enrol(url, token, tmp_path / "state")
    assert Identity.below(tmp_path / "state").enrolment() is None
    monkeypatch.undo()
    assert enrol(url, token, tmp_path / "state").agreed.broker == BROKER


def test_what_cannot_be_written_is_shown(
    url: str, desk: EnrolDesk, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The token is used by then: the lines to paste must not be lost."""
    config = tmp_path / "agent.toml"
    text = f'agent.state_dir = "{tmp_path}/state"\n'
    config.write_text(text)
    for more in ((), ("--json",)):
        words = ("enroll", url, "--token", str(one(desk)), "--config", str(config), "--write", *more)
        assert main(list(words)) == 1
        out, err = capsys.readouterr()
        assert "by hand" in err
        shown = json.loads(out)["key"] if more else tomllib.loads(out)["mqtt"]["key_file"]
        assert shown == f"{tmp_path}/state/identity/agent.key"
        assert config.read_text() == text


def test_a_lost_answer_is_asked_for_again(
    url: str, desk: EnrolDesk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    token, real = one(desk), Client.ask

    def cut(self: Client, method: str, path: str, body: dict[str, str] | None = None) -> Any:
        answer = real(self, method, path, body)
        if method == "POST":
            raise DoorError("enroll.silent", url="", host="h", port=1)
        return answer

    monkeypatch.setattr(first_time.Door, "ask", cut)
    with pytest.raises(DoorError):
        enrol(url, token, tmp_path / "state")
    monkeypatch.undo()
    assert enrol(url, token, tmp_path / "state").agreed.agent == "cashier-07"


def test_a_false_collector_is_told_nothing(desk: EnrolDesk, ledger: Ledger, tmp_path: Path, clock: FixedClock) -> None:
    token = one(desk)
    false = Authority.init(tmp_path / "false", "First Hospital", clock())
    own_pem = false.pem
    heard: list[str] = []

    class Listening(EnrolDesk):
        def enrol(self, wanted: Any, address: str) -> Any:
            heard.append(wanted.secret)
            return super().enrol(wanted, address)

    own = Listening(ledger, false, BROKER)
    door = Door((HOST, 0), own, FleetDesk(ledger, false.folder), DoorCertificate(false, (HOST,), clock))
    door.start()
    try:
        with pytest.raises(EnrolError, match="not the collector that made this token"):
            enrol(f"https://{HOST}:{door.port}", token, tmp_path / "state")
        # One that shows the true authority's certificate, but can't speak for it.
        false.pem = desk.authority.pem
        with pytest.raises(EnrolError, match="not of the authority"):
            enrol(f"https://{HOST}:{door.port}", token, tmp_path / "state")
        # One that shows both: the one that the token names, and the one that its own certificate is of.
        false.pem = f"{desk.authority.pem}{own_pem}"
        with pytest.raises(EnrolError, match="not the collector that made this token"):
            enrol(f"https://{HOST}:{door.port}", token, tmp_path / "state")
    finally:
        door.stop()
    assert heard == []


def test_names_clocks_and_addresses_that_are_wrong(
    url: str, desk: EnrolDesk, tmp_path: Path, clock: FixedClock
) -> None:
    token = one(desk)
    now = clock().timestamp()
    for off, word in ((-3600, "60 min behind"), (3600, "60 min ahead")):
        with pytest.raises(EnrolError, match=word):
            enrol(url, token, tmp_path / "state", now + off)
    with pytest.raises(EnrolError, match="not for localhost"):
        enrol(url.replace(HOST, "localhost"), token, tmp_path / "state")
    for bad in (url.replace("https", "http"), f"{url}/x", "https://me:secret@x", "https://x:0", "https://x:99999", ""):
        with pytest.raises(UsageError, match="https://HOST:PORT") as caught:
            enrol(bad, token, tmp_path / "state")
        assert "secret" not in str(caught.value)
    for name in ("no-such-host.invalid", "x" * 70 + ".example", "a..b"):
        with pytest.raises(DoorError, match="no known name"):
            enrol(f"https://{name}:8443", token, tmp_path / "state")
    with socket.create_server((HOST, 0)) as closed:
        port = closed.getsockname()[1]
    with pytest.raises(DoorError, match="can't be reached"):
        enrol(f"https://{HOST}:{port}", token, tmp_path / "state")
    assert enrol(url, token, tmp_path / "state", now)  # none of this used the token up


def ask(url: str, authority: Authority, raw: bytes) -> bytes:
    context = ssl.create_default_context(cadata=authority.pem)
    place = (HOST, int(url.rsplit(":", 1)[1]))
    with socket.create_connection(place, 10) as plain, context.wrap_socket(plain, server_hostname=HOST) as line:
        line.sendall(raw)
        answer = b""
        while data := line.recv(65536):
            answer += data
    return answer


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"{}", b'{"token": 1}', b"\xff", b"[" * 9000, b'{"token":"a","agent":"b","site":"c","request":"d"}'],
)
def test_nonsense_is_refused_in_words(url: str, authority: Authority, body: bytes) -> None:
    head = f"POST /agents/1/certificates HTTP/1.1\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    answer = ask(url, authority, head + body)
    status, told = answer.split(b"\r\n", 1)[0], json.loads(answer.partition(b"\r\n\r\n")[2])
    assert b" 40" in status
    assert Texts("zh-CN").has(f"enroll.{told['refused']}")


def test_a_broker_fetches_the_revocation_list(url: str, authority: Authority) -> None:
    answer = ask(url, authority, b"GET /agents/1/revoked.pem HTTP/1.1\r\n\r\n")
    assert answer.partition(b"\r\n\r\n")[2].startswith(b"-----BEGIN X509 CRL-----")
    assert b" 404 " in ask(url, authority, b"GET /api/transactions HTTP/1.1\r\n\r\n").split(b"\r\n", 1)[0]


def test_an_agents_certificate_plays_no_collector(desk: EnrolDesk, tmp_path: Path, url: str) -> None:
    """Stolen from one PC, it would be of the right authority; but it is not for servers."""
    identity = enrol(url, one(desk), tmp_path / "state").identity
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(identity.certificate, identity.key)
    client, server = ssl.create_default_context(cafile=str(identity.authority)), ssl.MemoryBIO()
    client.check_hostname = False
    to_client = ssl.MemoryBIO()
    ours = client.wrap_bio(to_client, server)
    theirs = context.wrap_bio(server, to_client, server_side=True)
    with pytest.raises(ssl.SSLCertVerificationError, match="purpose"):
        shake_hands(ours, theirs)


def shake_hands(*sides: ssl.SSLObject) -> None:
    for _ in range(4):
        for side in sides:
            with contextlib.suppress(ssl.SSLWantReadError):
                side.do_handshake()


def test_what_is_too_long_is_not_read(url: str, authority: Authority) -> None:
    answer = ask(url, authority, b"POST /agents/1/renewals HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n")
    assert b" 400 " in answer.split(b"\r\n", 1)[0]


def test_slow_clients_do_not_hold_the_door(
    url: str, desk: EnrolDesk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each sends a byte now and then, so that it never is silent for long: all places are taken, and freed again."""
    monkeypatch.setattr(door_module, "_WHOLE_S", 1.0)
    place = (HOST, int(url.rsplit(":", 1)[1]))
    with contextlib.ExitStack() as stack:
        slow = [stack.enter_context(socket.create_connection(place, 10)) for _ in range(door_module._AT_ONCE)]
        for line in slow:
            line.sendall(b"\x16\x03\x01\x02\x00")  # a handshake that is never finished

        def others() -> bool:
            for line in slow:
                with contextlib.suppress(OSError):
                    line.send(b"\x00")
            return enrolled(url, desk, tmp_path)

        until(others, what="somebody else gets in")


def enrolled(url: str, desk: EnrolDesk, folder: Path) -> bool:
    try:
        return enrol(url, one(desk), folder / "state").agreed.agent == "cashier-07"
    except DoorError:
        return False


def test_a_failing_ledger_is_answered_too(url: str, authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(_desk: EnrolDesk) -> str:
        raise RuntimeError("the disk is full")

    monkeypatch.setattr(EnrolDesk, "revocations", fails)
    monkeypatch.setattr(EnrolDesk, "now_s", fails)
    for path in ("revoked.pem", "authority"):
        answer = ask(url, authority, f"GET /agents/1/{path} HTTP/1.1\r\n\r\n".encode())
        assert b" 500 " in answer.split(b"\r\n", 1)[0]
        assert json.loads(answer.partition(b"\r\n\r\n")[2])["refused"] == "collector_failed"


def test_the_configuration_is_for_those_with_a_good_certificate(
    url: str, desk: EnrolDesk, fleet_desk: FleetDesk, tmp_path: Path
) -> None:
    done = enrol(url, one(desk), tmp_path / "state")
    identity = done.identity
    mine = Client(url, identity.authority, (identity.certificate, identity.key))
    assert mine.ask("GET", "/agents/1/configuration?have=0").status == 204
    fleet_desk.publish_text(CONSOLE, "[[group]]\n")
    assert mine.ask("GET", "/agents/1/configuration?have=0").body["version"] == 1
    assert mine.ask("GET", "/agents/1/configuration?have=1").status == 204
    with pytest.raises(EnrolError, match="does not accept"):
        Client(url, identity.authority).ask("GET", "/agents/1/configuration?have=0")
    desk.revoke(CONSOLE, "cashier-07")
    with pytest.raises(EnrolError, match="does not accept"):
        mine.ask("GET", "/agents/1/configuration?have=0")


def test_an_ended_certificate_and_damaged_files_are_told_as_what_they_are(
    url: str, desk: EnrolDesk, tmp_path: Path, clock: FixedClock
) -> None:
    now = clock()
    clock.advance(days=-91)
    identity = enrol(url, one(desk), tmp_path / "state", clock().timestamp()).identity
    clock.advance(seconds=(now - clock()).total_seconds())
    mine = Client(url, identity.authority, (identity.certificate, identity.key))
    with pytest.raises(EnrolError, match="does not accept"):
        mine.ask("GET", "/agents/1/configuration?have=0")
    for path in (identity.certificate, identity.authority):
        path.write_text("x")
        with pytest.raises(EnrolError, match="enrol again"):
            mine.ask("GET", "/agents/1/configuration?have=0")
        path.unlink()
        with pytest.raises(EnrolError, match="enrol again"):
            mine.ask("GET", "/agents/1/configuration?have=0")


def test_the_doors_certificate_is_made_anew_in_time(authority: Authority, clock: FixedClock) -> None:
    certificate = DoorCertificate(authority, (HOST, "collector.example"), clock)
    before = (authority.folder / "door.pem").read_text()
    assert not certificate.refresh()
    DoorCertificate(authority, ("collector.example", HOST), clock)
    assert (authority.folder / "door.pem").read_text() == before  # a restart makes none
    clock.advance(days=397 - 90)
    context = certificate.context()
    assert certificate.refresh()
    assert certificate.context() is not context
    assert (authority.folder / "door.pem").read_text() != before
    DoorCertificate(authority, ("other.example",), clock)
    assert "other.example" in names_of(authority.folder / "door.pem")


def test_an_address_is_the_same_however_it_is_written(authority: Authority, clock: FixedClock) -> None:
    certificate = DoorCertificate(authority, ("2001:DB8:0::1", "collector.example"), clock)
    assert not certificate.refresh()  # it would be made anew each minute


def names_of(path: Path) -> str:
    from cryptography import x509

    found = x509.load_pem_x509_certificate(path.read_bytes())
    return str(found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
