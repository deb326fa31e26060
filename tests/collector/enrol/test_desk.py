"""Who gets a certificate, who is refused and why, what the broker's revocation list says. On both databases."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from agent.enroll import keys
from agent.enroll.token import EnrolToken, fingerprint, parse
from collector.access.people import CONSOLE
from collector.enrol.authority import EARLY, Authority, read_request
from collector.enrol.desk import EnrolDesk, Wanted
from collector.enrol.errors import AuthorityError, EnrolUsageError, RefusedError
from collector.errors import CollectorNothingFoundError
from collector.ledger import Ledger, audit
from tests.certificates import make_key
from tests.collector.conftest import FixedClock

AGENT, SITE, HERE = "cashier-07", "outpatient-1", "10.1.2.3"


@pytest.fixture(scope="module")
def requests(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Certificate requests of three keys, all in the agent's name; the last one in another's."""
    folder = tmp_path_factory.mktemp("keys")
    found = []
    for number, name in enumerate((AGENT, AGENT, "cashier-08")):
        make_key(folder / str(number))
        found.append(keys.request(folder / str(number), name))
    return found


def one(desk: EnrolDesk, agent: str = AGENT, site: str = SITE, valid_s: int = 3600) -> EnrolToken:
    (token,) = desk.new_tokens(CONSOLE, [(agent, site)], valid_s)
    return token


def wanted(token: EnrolToken, request: str, agent: str = AGENT, site: str = SITE) -> Wanted:
    return Wanted(token.secret, agent, site, request)


def refused(what: object, *words: object) -> str:
    with pytest.raises(RefusedError) as caught:
        what(*words)  # type: ignore[operator]
    return caught.value.key


def test_a_certificate_says_who_it_is_and_what_it_is_for(
    desk: EnrolDesk, requests: list[str], clock: FixedClock
) -> None:
    token = one(desk)
    assert parse(str(token)) == token
    assert token.fingerprint == fingerprint(desk.authority.pem)
    given = desk.enrol(wanted(token, requests[0]), HERE)
    certificate = x509.load_pem_x509_certificate(given.certificate.encode())
    assert certificate.subject.rfc4514_string() == f"CN={AGENT}"
    assert (certificate.not_valid_after_utc - clock()).days == 90
    assert certificate.not_valid_before_utc < clock()
    purposes = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(purposes) == [ExtendedKeyUsageOID.CLIENT_AUTH]  # it can't play the broker or the collector
    certificate.verify_directly_issued_by(x509.load_pem_x509_certificate(desk.authority.pem.encode()))


def test_a_token_works_once_in_its_time_for_its_agent(
    desk: EnrolDesk, requests: list[str], clock: FixedClock, ledger: Ledger
) -> None:
    token = one(desk)
    assert refused(desk.enrol, wanted(token, requests[0], site="elsewhere"), HERE) == "enroll.token_other"
    assert refused(desk.enrol, wanted(token, requests[2]), HERE) == "enroll.token_other"  # the request names another
    assert refused(desk.enrol, Wanted("x" * 43, AGENT, SITE, requests[0]), HERE) == "enroll.token_unknown"
    assert refused(desk.enrol, wanted(token, "no request"), HERE) == "enroll.request_bad"
    first = desk.enrol(wanted(token, requests[0]), HERE)
    assert desk.enrol(wanted(token, requests[0]), HERE) == first  # the answer was lost: the same key asks again
    assert refused(desk.enrol, wanted(token, requests[1]), HERE) == "enroll.token_used"

    late = one(desk)
    clock.advance(hours=1)
    assert refused(desk.enrol, wanted(late, requests[1]), HERE) == "enroll.token_expired"
    old, new = one(desk), one(desk)
    assert refused(desk.enrol, wanted(old, requests[1]), HERE) == "enroll.token_void"
    desk.enrol(wanted(new, requests[1]), HERE)
    with ledger.read() as connection:
        told = [entry.action for entry in audit.entries(connection, action="enrol.")]
        kept = str(audit.entries(connection))
    assert told.count("enrol.token_made") == 4
    assert told.count("enrol.enrolled") == 2
    assert told.count("enrol.refused") == 7
    assert token.secret not in kept


def test_one_of_many_at_once_gets_the_certificate(desk: EnrolDesk, requests: list[str]) -> None:
    token = one(desk)

    def attempt(number: int) -> str:
        try:
            return desk.enrol(wanted(token, requests[number % 2]), HERE).certificate
        except RefusedError as error:
            return error.key

    with ThreadPoolExecutor(8) as pool:
        answers = set(pool.map(attempt, range(8)))
    assert len([answer for answer in answers if answer.startswith("-----")]) == 1
    assert {answer for answer in answers if not answer.startswith("-----")} <= {
        "enroll.token_used",
        "enroll.token_void",
    }


def test_a_new_key_ends_the_old_ones_certificate(desk: EnrolDesk, requests: list[str]) -> None:
    desk.enrol(wanted(one(desk), requests[0]), HERE)
    desk.enrol(wanted(one(desk), requests[1]), HERE)
    assert refused(desk.renew, requests[0], HERE) == "enroll.revoked"
    assert len(x509.load_pem_x509_crl(desk.revocations().encode())) == 1


def test_the_list_of_the_revoked_is_the_same_text_until_somebody_is_revoked(
    desk: EnrolDesk, requests: list[str], clock: FixedClock
) -> None:
    """A broker that fetches it each few minutes would else be reloaded each time."""
    desk.enrol(wanted(one(desk), requests[0]), HERE)
    empty = desk.revocations()
    clock.advance(minutes=5)
    assert desk.revocations() == empty
    desk.revoke(CONSOLE, AGENT)
    listed = desk.revocations()
    clock.advance(minutes=5)
    assert desk.revocations() == listed != empty
    # A broker whose clock is behind would refuse everybody with a list that has not begun.
    found = x509.load_pem_x509_crl(listed.encode())
    assert found.last_update_utc <= clock() - EARLY


def test_what_has_ended_and_could_be_renewed_is_revoked_too(
    desk: EnrolDesk, requests: list[str], clock: FixedClock
) -> None:
    """A PC that was replaced, or whose identity was taken back, while it was switched off."""
    desk.enrol(wanted(one(desk), requests[0]), HERE)
    clock.advance(days=100)
    desk.enrol(wanted(one(desk), requests[1]), HERE)
    assert refused(desk.renew, requests[0], HERE) == "enroll.revoked"
    clock.advance(days=100)
    assert desk.revoke(CONSOLE, AGENT) == 1
    assert refused(desk.renew, requests[1], HERE) == "enroll.revoked"


def test_renewal_keeps_the_key_and_knows_its_time(desk: EnrolDesk, requests: list[str], clock: FixedClock) -> None:
    assert refused(desk.renew, requests[0], HERE) == "enroll.key_unknown"
    first = desk.enrol(wanted(one(desk), requests[0]), HERE)
    clock.advance(days=30)
    assert desk.renew(requests[0], HERE) == first  # before half of its life: the same one again
    clock.advance(days=31)
    second = desk.renew(requests[0], HERE)
    assert second != first
    assert desk.renew(requests[0], HERE) == second
    clock.advance(days=90 + 29)  # the PC was switched off: ended, and still not too late
    third = desk.renew(requests[0], HERE)
    clock.advance(days=90 + 31)
    assert refused(desk.renew, requests[0], HERE) == "enroll.too_late"
    serial = f"{x509.load_pem_x509_certificate(third.certificate.encode()).serial_number:x}"
    assert desk.holder(serial) is None


def test_who_is_revoked_stays_out(desk: EnrolDesk, requests: list[str], clock: FixedClock) -> None:
    given = desk.enrol(wanted(one(desk), requests[0]), HERE)
    number = x509.load_pem_x509_certificate(given.certificate.encode()).serial_number
    assert desk.holder(f"{number:x}") is not None
    open_token = one(desk)
    assert desk.revoke(CONSOLE, AGENT) == 1
    assert desk.holder(f"{number:x}") is None
    assert refused(desk.renew, requests[0], HERE) == "enroll.revoked"
    assert refused(desk.enrol, wanted(open_token, requests[1]), HERE) == "enroll.token_void"
    found = x509.load_pem_x509_crl(desk.revocations().encode())
    assert [entry.serial_number for entry in found] == [number]
    authority = x509.load_pem_x509_certificate(desk.authority.pem.encode())
    assert found.is_signature_valid(authority.public_key())  # type: ignore[arg-type]
    # A broker refuses everybody once its list has ended: it lasts as long as the authority.
    assert found.next_update_utc == authority.not_valid_after_utc
    with pytest.raises(CollectorNothingFoundError):
        desk.revoke(CONSOLE, AGENT)
    with pytest.raises(CollectorNothingFoundError):
        desk.revoke(CONSOLE, "nobody")


def test_strangers_at_an_address_are_braked_and_nobody_else(
    desk: EnrolDesk, requests: list[str], clock: FixedClock, ledger: Ledger
) -> None:
    token, stranger = one(desk), Wanted("y" * 43, AGENT, SITE, requests[0])
    for _ in range(30):
        assert refused(desk.enrol, stranger, HERE) == "enroll.token_unknown"
    assert refused(desk.enrol, stranger, HERE) == "enroll.too_many"
    assert refused(desk.renew, requests[0], HERE) == "enroll.too_many"  # a key that was never signed
    assert refused(desk.enrol, stranger, "10.9.9.9") == "enroll.token_unknown"
    # Behind one address may be a hospital: who has a good token, or a key that is known, is let in.
    assert desk.enrol(wanted(token, requests[0]), HERE).certificate
    assert desk.renew(requests[0], HERE).certificate
    assert refused(desk.enrol, wanted(token, requests[1]), HERE) == "enroll.token_used"
    with ledger.read() as connection:
        told = audit.entries(connection, action="enrol.refused", limit=100)
    assert len(told) == 31  # who is braked is not written down for ever
    clock.advance(minutes=15, seconds=1)
    assert refused(desk.enrol, stranger, HERE) == "enroll.token_unknown"


def test_two_thousand_tokens_or_none(desk: EnrolDesk, ledger: Ledger) -> None:
    many = [(f"cashier-{n}", SITE) for n in range(2000)]
    assert len({str(token) for token in desk.new_tokens(CONSOLE, many)}) == 2000
    for bad in ([("a", SITE), ("a", SITE)], [("a", SITE), ("no good", SITE)], [("a", SITE), ("collector", SITE)]):
        with ledger.read() as connection:
            before = audit.entries(connection, limit=1)[0].id
        with pytest.raises(EnrolUsageError):
            desk.new_tokens(CONSOLE, bad)
        with ledger.read() as connection:
            assert audit.entries(connection, limit=1)[0].id == before
    with pytest.raises(EnrolUsageError):
        desk.new_tokens(CONSOLE, [("a", SITE)], 31 * 86_400)


def test_the_authoritys_files_are_kept_to_their_owner(tmp_path: Path, clock: FixedClock) -> None:
    folder = tmp_path / "ca"
    made = Authority.init(folder, "First Hospital", clock())
    assert {path.stat().st_mode & 0o077 for path in folder.iterdir()} == {0}
    assert Authority.load(folder).fingerprint == made.fingerprint
    with pytest.raises(AuthorityError, match="already"):
        Authority.init(folder, "Another", clock())
    (folder / "ca.key").chmod(0o644)
    with pytest.raises(AuthorityError, match="chmod 600"):
        Authority.load(folder)
    (folder / "ca.key").chmod(0o600)
    (folder / "ca.key").write_text("nonsense")
    with pytest.raises(AuthorityError, match="can't be read"):
        Authority.load(folder)
    with pytest.raises(AuthorityError, match="ca init"):
        Authority.load(tmp_path / "none")


@pytest.mark.parametrize(
    "text", ["", "x" * 10_000, "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----"]
)
def test_what_is_no_request_is_refused(text: str) -> None:
    assert refused(read_request, text) == "enroll.request_bad"
