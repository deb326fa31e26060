"""Publishing: signed here or elsewhere, only what agents will take, one version above the other."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest

from agent.cli import main
from collector.access.people import CONSOLE
from collector.enrol.authority import Authority, fleet_public
from collector.enrol.errors import AuthorityError
from collector.enrol.fleet import BadDocumentError, FleetDesk, SignedDocument, sign
from collector.errors import CollectorUsageError
from tests.collector.conftest import FixedClock

BODY = "[[group]]\n[group.log]\nlevel = 'debug'\n"


def test_signed_elsewhere_with_the_pinned_key_only(
    fleet_desk: FleetDesk, authority: Authority, tmp_path: Path, clock: FixedClock
) -> None:
    key = authority.folder / "fleet.key"
    signed = sign(BODY, 5, clock() + timedelta(days=30), key)
    assert SignedDocument.from_json(signed.to_json()) == signed
    key.rename(tmp_path / "offline.key")
    assert not fleet_desk.key_here
    with pytest.raises(AuthorityError, match="sign where it is"):
        fleet_desk.publish_text(CONSOLE, BODY)
    assert fleet_desk.publish(CONSOLE, signed).version == 5
    found = fleet_desk.newer_than(4)
    assert found is not None
    assert (found.document, found.signature) == (signed.document, signed.signature)

    false = Authority.init(tmp_path / "false", "False", clock())
    for bad in (
        sign(BODY, 6, clock() + timedelta(days=30), false.folder / "fleet.key"),  # a key that nobody pinned
        SignedDocument(signed.document + " ", signed.signature),
        sign(BODY, 5, clock() + timedelta(days=30), tmp_path / "offline.key"),  # not newer
        sign(BODY, 6, clock() - timedelta(days=1), tmp_path / "offline.key"),  # over already
    ):
        with pytest.raises(CollectorUsageError):
            fleet_desk.publish(CONSOLE, bad)
    assert fleet_desk.next_version() == 6
    assert fleet_public(false.folder) != fleet_public(authority.folder)


def test_what_no_agent_would_take_is_not_published(fleet_desk: FleetDesk) -> None:
    for text in ("[[group]]\n[group.agent]\nid = 'x'\n", "[[group", "[other]\n", "[[group]]\n[group.log]\nlevel = 1\n"):
        with pytest.raises(BadDocumentError) as caught:
            fleet_desk.publish_text(CONSOLE, text)
        assert "\n" not in str(caught.value)
    assert fleet_desk.next_version() == 1


def test_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    database, ca = f"sqlite:///{tmp_path}/l.sqlite", str(tmp_path / "ca")

    def collector(*words: str) -> tuple[int, str, str]:
        code = main(["collector", *words])
        out, err = capsys.readouterr()
        return code, out, err

    common = ("--database", database, "--ca", ca)
    assert collector("fleet", "publish", "x", *common)[0] in (2, 3)
    assert collector("ca", "init", "Hospital", "--ca", ca)[0] == 0
    assert collector("ca", "init", "--ca", ca)[0] == 3
    assert collector("ca", "server", "broker.example", "10.0.0.1", "--ca", ca, "-o", str(tmp_path))[0] == 0
    assert (tmp_path / "broker.example.key").stat().st_mode & 0o777 == 0o600
    for refused in (["cashier-07"], ["collector", "operations"], ["collector-../x"], ["operations2"]):  # agents enrol
        assert collector("ca", "client", *refused, "--ca", ca)[0] == 2
    for name in ("operations", "operations-2"):  # a second tool: one name is connected once
        assert collector("ca", "client", name, "--ca", ca, "-o", str(tmp_path))[0] == 0
        assert (tmp_path / f"{name}.pem").exists()
    assert collector("enrol-token", "--agent", "operations-2", "--site", "here", *common)[0] == 2
    assert collector("ca", "show", "--ca", ca)[1].startswith("-----BEGIN CERTIFICATE")

    for bad in ("", "a/b", "../x", "x" * 64, ".".join("x" * 60 for _ in range(5)), "中文.example"):
        code, _, err = collector("ca", "server", bad, "--ca", ca, "-o", str(tmp_path))
        assert (code, err.count("\n")) == (2, 1)
    long = f"{'x' * 60}.example.internal"  # longer than a common name may be
    assert collector("ca", "server", long, "2001:DB8::1", "--ca", ca, "-o", str(tmp_path))[0] == 0
    for bad in ("x" * 65, "医" * 22, " "):
        code, _, err = collector("ca", "init", bad, "--ca", str(tmp_path / "other"))
        assert (code, err.count("\n")) == (2, 1)
    assert not list(tmp_path.glob(".*"))

    text = tmp_path / "fleet.toml"
    text.write_text(BODY)
    signed = tmp_path / "signed.json"
    assert collector("fleet", "publish", str(text), *common)[0] == 0
    words = ("--key", f"{ca}/fleet.key", "--version-number", "2", "-o", str(signed))
    assert collector("fleet", "sign", str(text), *words)[0] == 0
    assert collector("fleet", "publish", str(signed), *common)[0] == 0
    assert collector("fleet", "publish", str(signed), *common)[0] == 2
    assert "version = 2\n" in collector("fleet", "show", *common)[1]
    assert collector("fleet", "show", "7", *common)[0] == 1
    assert len(collector("fleet", "list", *common)[1].splitlines()) == 3
    listed = [json.loads(line) for line in collector("fleet", "list", "--json", *common)[1].splitlines()]
    assert [row["version"] for row in listed] == [2, 1]
    assert json.loads(collector("fleet", "show", "1", "--json", *common)[1])["document"].startswith("version = 1\n")
    Path(f"{ca}/fleet.key").chmod(0o640)
    code, _, err = collector("fleet", "publish", str(text), *common)
    assert (code, "chmod 600" in err) == (3, True)
    Path(f"{ca}/fleet.key").chmod(0o600)

    agents = tmp_path / "agents.csv"
    agents.write_text("agent,site\na-1,s\na-2,s\n")
    code, out, _ = collector("enrol-token", "--from", str(agents), *common)
    assert (code, out.splitlines()[0], len(out.splitlines())) == (0, "agent,site,token", 3)
    for bad in ((), ("--agent", "a"), ("--agent", "a b", "--site", "s"), ("--from", str(tmp_path / "none"))):
        code, _, err = collector("enrol-token", *bad, *common)
        assert (code, err.count("\n")) == (2, 1)
    assert collector("enrol-token", "--agent", "a", "--site", "s", "--valid", "90d", *common)[0] == 2
    assert collector("revoke", "a-1", *common)[0] == 0
    assert collector("revoke", "a-1", *common)[0] == 1
    assert collector("revoke", "--crl", str(tmp_path / "crl.pem"), *common)[0] == 0
    assert (tmp_path / "crl.pem").read_text().startswith("-----BEGIN X509 CRL")
    assert collector("revoke", "--list", *common)[0] == 0
