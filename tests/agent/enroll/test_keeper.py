"""The keeper's thread: renews after two thirds of a life, goes on when the collector is away or answers badly."""

from __future__ import annotations

import os
import random
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import tenacity

from agent.checks.certificate import validity_of_file
from agent.enroll import keeper as keeper_module
from agent.enroll import keys, renewal
from agent.enroll.door import Answer, Door
from agent.enroll.errors import DoorError, EnrolError
from agent.enroll.identity import Enrolment, Identity
from agent.enroll.keeper import Keeper, keeper_of
from agent.enroll.renewal import due, renew
from agent.log import logger
from tests.certificates import Authority
from tests.waits import until

AGREED = Enrolment("https://collector.example:8443", "cashier-07", "out-1", "mqtts://b", "")
DAY = timedelta(days=1)


class Pc:
    """An identity whose certificate was made so many days ago, and a collector that answers what a test says."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.authority = Authority(folder / "ca")
        self.identity = Identity.below(folder / "state")
        self.identity.make_folder()
        self.now = datetime.now(UTC)
        self.answers: list[str | Exception] = []
        self.asked = 0
        monkeypatch.setattr(Door, "ask", lambda _door, _method, _path, body=None: self._answer(body))

    def signed(self, begins: datetime, ends: datetime) -> tuple[str, Path]:
        certificate, key = self.authority.sign("cashier-07", begins, ends)
        return certificate.read_text(), key

    def begin(self, days_ago: float) -> None:
        begins = self.now - days_ago * DAY
        certificate, key = self.signed(begins, begins + 90 * DAY)
        self.identity.write(self.identity.certificate, certificate)
        self.identity.write(self.identity.key, key.read_text())

    def renewed(self) -> str:
        """A certificate of the same key that ends later."""
        csr = self.authority.folder / "again.csr"
        csr.write_text(keys.request(self.identity.key, "cashier-07"))
        words = ["openssl", "x509", "-req", "-in", str(csr), "-CA", str(self.authority.certificate), "-days", "400"]
        words += ["-CAkey", str(self.authority.folder / "ca.key"), "-CAcreateserial"]
        return subprocess.run(words, capture_output=True, text=True, check=True).stdout

    def _answer(self, body: dict[str, str] | None) -> Answer:
        assert body is not None
        assert "CERTIFICATE REQUEST" in body["request"]
        self.asked += 1
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return Answer(200, {"certificate": answer})


@pytest.fixture
def pc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Pc:
    return Pc(tmp_path, monkeypatch)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeper_module, "RENEWAL_RETRY", tenacity.wait_fixed(0.01))
    monkeypatch.setattr(keeper_module, "FLEET_RETRY", tenacity.wait_fixed(0.01))


def test_due_after_two_thirds_and_not_all_at_once(pc: Pc) -> None:
    pc.begin(0)
    dues = [due(pc.identity, random.Random(seed)) for seed in range(200)]
    days = [(moment - pc.now) / DAY for moment in dues]
    assert 59.9 < min(days) < 60.5
    assert 62.5 < max(days) <= 63.1


def test_the_keeper_renews_what_is_due_and_survives_a_collector_that_is_away(pc: Pc, impatient: None) -> None:
    pc.begin(65)
    silent = DoorError("enroll.silent", url="", host="h", port=1)
    pc.answers = [silent, OSError(5, "input/output error"), silent, pc.renewed()]
    looks = []

    def look() -> None:
        looks.append(1)
        if len(looks) < 3:
            raise silent

    keeper = Keeper(pc.identity, AGREED, look, logger())
    keeper.start()

    def renewed() -> bool:
        found = validity_of_file(pc.identity.certificate)
        return found is not None and found.ends > pc.now + 300 * DAY

    until(lambda: renewed() and len(looks) == 3, what="renewed, and looked at the fleet")
    keeper.stop()
    assert pc.asked == 4
    assert keys.fits(pc.identity.certificate, pc.identity.key)


def test_nothing_ends_the_thread(pc: Pc, impatient: None, capsys: pytest.CaptureFixture[str]) -> None:
    """A defect here would be noticed when the certificate has ended, by two thousand PCs at once."""
    pc.begin(65)
    pc.answers = [RuntimeError("a defect"), pc.renewed()]
    looks = []

    def look() -> None:
        looks.append(1)
        if len(looks) < 3:
            raise RecursionError("another")

    keeper = Keeper(pc.identity, AGREED, look, logger())
    keeper.start()
    until(lambda: pc.asked == 2 and len(looks) == 3, what="tried again")
    keeper.stop()


@pytest.mark.parametrize("damage", ["", "-----BEGIN CERTIFICATE-----\nMII", None])
def test_a_certificate_that_is_gone_or_damaged_is_given_again(pc: Pc, damage: str | None) -> None:
    pc.begin(10)
    mine = pc.identity.certificate.read_text()
    if damage is None:
        pc.identity.certificate.unlink()
    else:
        pc.identity.certificate.write_text(damage)
    assert renewal.due(pc.identity, random.Random(0)) < pc.now
    pc.answers = [mine]
    assert renew(pc.identity, AGREED)
    assert pc.identity.certificate.read_text() == mine


def test_an_enrolment_that_a_power_cut_interrupted_is_finished(pc: Pc, tmp_path: Path) -> None:
    """The new certificate is in place, its key is not yet."""
    pc.identity.make_next_key()
    key = pc.identity.next_key.read_text()
    assert pc.identity.next_key.stat().st_mode & 0o777 == 0o600
    pc.identity.make_next_key()
    assert pc.identity.next_key.read_text() == key  # the same request again, when an answer was lost
    csr = tmp_path / "csr"
    csr.write_text(keys.request(pc.identity.next_key, "cashier-07"))
    words = ("-CA", str(pc.authority.certificate), "-CAkey", str(pc.authority.folder / "ca.key"), "-CAcreateserial")
    openssl = ["openssl", "x509", "-req", "-in", str(csr), *words]
    given = subprocess.run(openssl, capture_output=True, text=True, check=True).stdout
    pc.begin(10)
    pc.identity.begin(pc.authority.certificate.read_text(), given, AGREED)
    pc.identity.key.rename(pc.identity.next_key)
    assert keeper_of(tmp_path / "state", lambda _identity, _agreed: None, logger()) is not None
    assert pc.identity.key.read_text() == key
    # A key that waits for its certificate is no key of ours yet.
    pc.identity.make_next_key()
    assert keeper_of(tmp_path / "state", lambda _identity, _agreed: None, logger()) is not None
    assert pc.identity.key.read_text() == key
    assert pc.identity.next_key.exists()


def test_a_full_disk_leaves_the_former_identity(pc: Pc, monkeypatch: pytest.MonkeyPatch) -> None:
    pc.begin(10)
    pc.identity.make_next_key()
    before = {path.name: path.read_text() for path in pc.identity.folder.iterdir()}
    real, files = os.fsync, []

    def fsync(descriptor: int) -> None:
        files.append(descriptor)
        if len(files) == 3:
            raise OSError(28, "No space left on device")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(EnrolError, match="No space left"):
        pc.identity.begin("authority", "certificate", AGREED)
    assert {path.name: path.read_text() for path in pc.identity.folder.iterdir()} == before


def test_what_is_not_better_is_not_taken(pc: Pc) -> None:
    pc.begin(65)
    mine = pc.identity.certificate.read_text()
    another_key, _ = pc.signed(pc.now, pc.now + 400 * DAY)
    for answer in (another_key, "nonsense", pc.authority.certificate.read_text()):
        pc.answers = [answer]
        with pytest.raises(EnrolError, match="is kept"):
            renew(pc.identity, AGREED)
        assert pc.identity.certificate.read_text() == mine
    pc.answers = [mine]
    assert not renew(pc.identity, AGREED)
    assert {path.name for path in pc.identity.folder.iterdir()} == {"agent.pem", "agent.key"}


def test_no_keeper_without_an_enrolment_or_with_a_damaged_one(tmp_path: Path) -> None:
    assert keeper_of(tmp_path, lambda _identity, _agreed: None, logger()) is None
    identity = Identity.below(tmp_path)
    identity.make_folder()
    (identity.folder / "enrolment.json").write_text("{")
    assert keeper_of(tmp_path, lambda _identity, _agreed: None, logger()) is None
    with pytest.raises(EnrolError, match="enrol again"):
        identity.enrolment()
