"""Who gets a certificate: tokens made and used, certificates given, renewed and revoked. All of it is audited.

One agent has one identity: an enrolment with another key revokes what the agent held before, because the PC was
replaced or set up anew. A renewal keeps the key.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import Connection

from agent.config_values import WORD
from agent.config_values import RefusedError as ValueRefusedError
from agent.enroll.token import EnrolToken as Shown
from collector.access.people import User
from collector.access.secrets import digest, new_id, new_secret
from collector.enrol.authority import Authority, Gone, Request, Signed, fleet_public, read_request
from collector.enrol.errors import EnrolUsageError, RefusedError
from collector.errors import CollectorNothingFoundError
from collector.ledger import Ledger, accounts, audit, enrol, microseconds, moment
from collector.ledger.enrol import Certificate, EnrolToken

_S = 1_000_000
_WINDOW_S, _PER_ADDRESS = 900, 30  # refused attempts; an address may stand for a whole hospital behind one gateway
_KEPT_S = 30 * 86_400  # used and expired tokens stay so long, to be looked at
#: A PC that was switched off for long: so long after its certificate has ended it may still renew it.
GRACE = timedelta(days=30)
_GRACE_US = round(GRACE.total_seconds()) * _S
DEFAULT_VALID_S = 7 * 86_400
LONGEST_VALID_S = 30 * 86_400


@dataclass(frozen=True, slots=True)
class Wanted:
    """What an agent sends to be enrolled. `request`: PKCS #10, PEM."""

    secret: str
    agent: str
    site: str
    request: str


@dataclass(frozen=True, slots=True)
class Given:
    """What an agent is told. `fleet_key`: base64."""

    certificate: str
    broker: str
    fleet_key: str


class EnrolDesk:
    """Enrolment on a ledger, with an authority. `broker`: the address that agents are told."""

    def __init__(self, ledger: Ledger, authority: Authority, broker: str) -> None:
        self._ledger = ledger
        self.authority = authority
        self._broker = broker
        self._fleet_key = fleet_public(authority.folder)
        self._signed_list: tuple[tuple[Gone, ...], str] | None = None

    # -- tokens ---------------------------------------------------------------------------------------------

    def new_tokens(self, by: User, wanted: Sequence[tuple[str, str]], valid_s: int = DEFAULT_VALID_S) -> list[Shown]:
        """A token for each (agent, site), shown once; former open ones of the same agent are void.

        Raises EnrolUsageError on a name that is none, an agent named twice, or a validity out of range; nothing was
        made then.
        """
        _check(wanted, valid_s)
        now_us = microseconds(self._ledger.clock())
        shown, kept = [], []
        for agent, site in wanted:
            secret = new_secret()
            shown.append(Shown(agent, site, self.authority.fingerprint, secret))
            token = EnrolToken(
                id=new_id(),
                agent=agent,
                site=site,
                created_us=now_us,
                created_by=by.name,
                expires_us=now_us + valid_s * _S,
            )
            kept.append((token, digest(secret)))
        with self._ledger.write() as connection:
            enrol.drop_old_tokens(connection, now_us - _KEPT_S * _S)
            enrol.void_tokens(connection, [token.agent for token, _ in kept], now_us)
            if kept:
                enrol.add_tokens(connection, kept)
            for token, _ in kept:
                _note(connection, now_us, by, "enrol.token_made", token.agent, {"site": token.site, "id": token.id})
        return shown

    # -- agents ---------------------------------------------------------------------------------------------

    def enrol(self, wanted: Wanted, address: str) -> Given:
        """The first certificate of a key. Raises RefusedError."""
        now_us = microseconds(self._ledger.clock())
        with self._ledger.read() as connection:
            brake = self._brake(connection, address, now_us)
            known = enrol.token_of(connection, digest(wanted.secret)) is not None
        if brake and not known:
            raise brake
        try:
            asked = read_request(wanted.request)
            with self._ledger.write() as connection:
                return self._given(self._enrolled(connection, wanted, asked, address, now_us))
        except RefusedError as error:
            self._failed(wanted.agent, address, now_us, brake or error)
            raise

    def renew(self, request: str, address: str) -> Given:
        """A new certificate for a key that has one: the request's signature proves that the key is held.

        Before half of its life is over the present one is given again: a flood of requests makes nothing.
        Raises RefusedError.
        """
        now_us = microseconds(self._ledger.clock())
        with self._ledger.read() as connection:
            brake = self._brake(connection, address, now_us)
        try:
            asked = read_request(request)
            with self._ledger.read() as connection:
                known = enrol.newest_of_key(connection, asked.key) is not None
            if brake and not known:
                raise brake
            with self._ledger.write() as connection:
                return self._given(self._renewed(connection, asked, now_us))
        except RefusedError as error:
            self._failed("", address, now_us, brake or error)
            raise

    def holder(self, serial: str) -> Certificate | None:
        """The certificate with that number when it is good now."""
        now_us = microseconds(self._ledger.clock())
        with self._ledger.read() as connection:
            found = enrol.certificate(connection, serial)
        return found if found and found.revoked_us is None and found.begins_us <= now_us < found.ends_us else None

    def revoke(self, by: User, agent: str) -> int:
        """Take an agent's identity and open tokens back; how many certificates. Raises NothingFoundError.

        Also one that has ended, as long as it could still be renewed.
        """
        now_us = microseconds(self._ledger.clock())
        with self._ledger.write() as connection:
            tokens = enrol.void_tokens(connection, [agent], now_us)
            count = enrol.revoke(connection, agent, now_us, by.name, "revoked", ended_after_us=now_us - _GRACE_US)
            if not count and not tokens:
                raise CollectorNothingFoundError("enrol.nothing_to_revoke", agent=agent[:64])
            _note(connection, now_us, by, "enrol.revoked", agent, {"certificates": count, "tokens": tokens})
        return count

    def revocations(self) -> str:
        """The revocation list (PEM): the same text as long as the same certificates are revoked, so that a broker that
        fetches it sees by comparing whether there is anything new."""
        with self._ledger.read() as connection:
            gone = tuple(Gone(found.serial, moment(found.revoked_us or 0)) for found in enrol.revoked(connection))
        signed = self._signed_list
        if signed is None or signed[0] != gone:
            signed = self._signed_list = (gone, self.authority.revocations(gone, self._ledger.clock()))
        return signed[1]

    def now_s(self) -> int:
        """The collector's clock, seconds since 1970."""
        return microseconds(self._ledger.clock()) // _S

    # -- inside ---------------------------------------------------------------------------------------------

    def _enrolled(
        self,
        connection: Connection,
        wanted: Wanted,
        asked: Request,
        address: str,
        now_us: int,
    ) -> Certificate:
        token = enrol.token_of(connection, digest(wanted.secret))
        if token is None:
            raise RefusedError("enroll.token_unknown")
        if token.used_us is not None and token.used_key == asked.key and now_us < token.expires_us:
            # The answer was lost on its way: the same PC asks again.
            found = enrol.newest_of_key(connection, asked.key)
            if found is not None and found.revoked_us is None:
                return found
        if token.used_us is not None:
            raise RefusedError("enroll.token_used", 409, when=_shown(token.used_us), address=token.used_from or "-")
        if token.revoked_us is not None:
            raise RefusedError("enroll.token_void")
        if now_us >= token.expires_us:
            raise RefusedError("enroll.token_expired", when=_shown(token.expires_us))
        if (token.agent, token.site) != (wanted.agent, wanted.site) or asked.name != token.agent:
            raise RefusedError("enroll.token_other", agent=token.agent, site=token.site)
        if not enrol.use_token(connection, token, now_us, address, asked.key):
            raise RefusedError("enroll.token_void")
        signed = self.authority.agent(asked, token.agent, moment(now_us))
        enrol.revoke(
            connection,
            token.agent,
            now_us,
            "tillwatch",
            "superseded",
            ended_after_us=now_us - _GRACE_US,
            keep_key=asked.key,
        )
        found = _certificate(signed, token.agent, token.site, asked.key, "enrolled", now_us)
        enrol.add_certificate(connection, found)
        detail = {"site": token.site, "token": token.id, "serial": found.serial}
        _note(connection, now_us, None, "enrol.enrolled", token.agent, detail, address)
        return found

    def _renewed(self, connection: Connection, asked: Request, now_us: int) -> Certificate:
        held = enrol.newest_of_key(connection, asked.key)
        if held is None or held.agent != asked.name:
            raise RefusedError("enroll.key_unknown")
        if held.revoked_us is not None:
            raise RefusedError("enroll.revoked", when=_shown(held.revoked_us))
        if now_us > held.ends_us + _GRACE_US:
            raise RefusedError("enroll.too_late", when=_shown(held.ends_us))
        if now_us < (held.begins_us + held.ends_us) // 2:
            return held
        signed = self.authority.agent(asked, held.agent, moment(now_us))
        found = _certificate(signed, held.agent, held.site, asked.key, "renewed", now_us)
        enrol.add_certificate(connection, found)
        _note(connection, now_us, None, "enrol.renewed", held.agent, {"serial": found.serial})
        return found

    def _given(self, found: Certificate) -> Given:
        return Given(found.pem, self._broker, self._fleet_key)

    def _brake(self, connection: Connection, address: str, now_us: int) -> RefusedError | None:
        """What strangers at this address are told, when too many of them were refused.

        It spares the ledger, it is no lock: 256 bits are not guessed, and behind one address may stand a hospital
        whose PCs have good tokens and keys that the collector knows.
        """
        count, first = accounts.attempts_since(connection, _subject(address), now_us - _WINDOW_S * _S)
        if count < _PER_ADDRESS:
            return None
        left_us = (first or now_us) + _WINDOW_S * _S - now_us
        return RefusedError("enroll.too_many", 429, minutes=max(1, -(-left_us // (60 * _S))))

    def _failed(self, agent: str, address: str, now_us: int, why: RefusedError) -> None:
        """Count it and write it down; who is braked already is not written down any more."""
        if why.key == "enroll.too_many":
            return
        with self._ledger.write() as connection:
            accounts.drop_attempts(connection, before_us=now_us - _WINDOW_S * _S)
            accounts.add_attempt(connection, _subject(address), now_us)
            _note(connection, now_us, None, "enrol.refused", agent, {"why": why.key}, address)


def _check(wanted: Sequence[tuple[str, str]], valid_s: int) -> None:
    if not 60 <= valid_s <= LONGEST_VALID_S:
        raise EnrolUsageError("enrol.bad_valid", days=LONGEST_VALID_S // 86_400)
    agents: set[str] = set()
    for agent, site in wanted:
        for name in (agent, site):
            try:
                WORD.read(name)
            except ValueRefusedError as error:
                raise EnrolUsageError("enrol.bad_name", name=name[:80]) from error
        if reserved(agent):
            raise EnrolUsageError("enrol.reserved", name=agent)
        if agent in agents:
            raise EnrolUsageError("enrol.agent_twice", agent=agent)
        agents.add(agent)


#: Names that mean something else to the broker (config/mosquitto/tillwatch.acl), alone or as `collector-2`: it takes
#: the client id from the certificate, so each program that is connected at the same time needs a name of its own.
RESERVED = ("collector", "operations")


def reserved(name: str) -> bool:
    """Whether a name is a collector's or an operations' tool's, and so never an agent's."""
    return any(name == role or name.startswith(f"{role}-") for role in RESERVED)


def _certificate(signed: Signed, agent: str, site: str, key: str, how: str, now_us: int) -> Certificate:
    return Certificate(
        serial=signed.serial,
        agent=agent,
        site=site,
        key=key,
        pem=signed.pem,
        how=how,
        begins_us=microseconds(signed.begins),
        ends_us=microseconds(signed.ends),
        issued_us=now_us,
    )


def _note(
    connection: Connection,
    now_us: int,
    by: User | None,
    action: str,
    about: str,
    detail: Mapping[str, object],
    address: str = "-",
) -> None:
    """`by` None: the agent itself did it."""
    audit.write(
        connection,
        at_us=now_us,
        actor=by.name if by else about or "agent",
        role=by.role.value if by else None,
        via=by.via.value if by else "agent",
        address=by.address if by else address,
        action=action,
        about=about,
        detail=detail,
    )


def _subject(address: str) -> str:
    return digest("enrol:" + address)


def _shown(us: int) -> str:
    return f"{moment(us):%Y-%m-%d %H:%M} UTC"
