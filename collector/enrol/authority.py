"""The authority of this installation: a CA for agents, brokers and collectors, and the key that signs the fleet's
configuration. Its files are in one folder, 0600, of the user that runs the collector.

    ca.pem  ca.key          the authority: P-256, twenty years
    fleet.pub  fleet.key    Ed25519; fleet.key may be kept elsewhere (docs/fleet.md)

What is signed says what it is for: an agent's certificate can't be used to play the collector or the broker.
"""

from __future__ import annotations

import base64
import hashlib
import ipaddress
import os
import re
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

from agent.config_values import shown
from agent.enroll.token import fingerprint
from collector.enrol.errors import AuthorityError, EnrolUsageError, RefusedError

CA_DAYS = 7300
AGENT_DAYS = 90
SERVER_DAYS = 397
#: Clocks of PCs and brokers are never quite the same: a certificate begins a little before it is made.
EARLY = timedelta(hours=1)
_LARGEST_REQUEST = 8192
_LONGEST_NAME = 64  # bytes of a common name (RFC 5280, ub-common-name; OpenSSL counts bytes)
_LABEL = "[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_HOST_NAME = re.compile(rf"(\*\.)?{_LABEL}(\.{_LABEL})*")


@dataclass(frozen=True, slots=True)
class Request:
    """A certificate request whose signature proves that its sender holds the key."""

    name: str
    key: str  # SHA-256 of the public key (SPKI, DER), hexadecimal
    public: ec.EllipticCurvePublicKey


@dataclass(frozen=True, slots=True)
class Signed:
    """A certificate as it was made."""

    serial: str
    pem: str
    begins: datetime
    ends: datetime


@dataclass(frozen=True, slots=True)
class Gone:
    """A certificate for the revocation list."""

    serial: str
    when: datetime


class Authority:
    """The authority, with its key in memory."""

    def __init__(self, folder: Path, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
        self.folder = folder
        self._certificate = certificate
        self._key = key
        self.pem = certificate.public_bytes(serialization.Encoding.PEM).decode()
        self.fingerprint = fingerprint(self.pem)
        self.ends = certificate.not_valid_after_utc

    @classmethod
    def init(cls, folder: Path, name: str, now: datetime) -> Authority:
        """Make a new one. Raises AuthorityError when there is one: what it has signed would be worth nothing."""
        if (folder / "ca.key").exists() or (folder / "ca.pem").exists():
            raise AuthorityError("enrol.ca_exists", folder=folder)
        if not name.strip() or len(name.encode()) > _LONGEST_NAME or not name.isprintable():
            raise EnrolUsageError("enrol.ca_name", name=name[:_LONGEST_NAME], most=_LONGEST_NAME)
        key, fleet = ec.generate_private_key(ec.SECP256R1()), ed25519.Ed25519PrivateKey.generate()
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name.strip())])
        certificate = (
            _builder(subject, subject, key.public_key(), now - EARLY, now + timedelta(days=CA_DAYS))
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(signs_certificates=True), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .sign(key, hashes.SHA256())
        )
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise AuthorityError("enrol.not_written", path=folder, reason=error.strerror or error) from error
        write_file(folder / "fleet.key", _private_pem(fleet))
        write_file(folder / "fleet.pub", _public_pem(fleet.public_key()))
        write_file(folder / "ca.pem", certificate.public_bytes(serialization.Encoding.PEM).decode())
        write_file(folder / "ca.key", _private_pem(key))
        return cls(folder, certificate, key)

    @classmethod
    def load(cls, folder: Path) -> Authority:
        """The authority of that folder. Raises AuthorityError."""
        try:
            path = folder / "ca.pem"
            certificate = x509.load_pem_x509_certificate(path.read_bytes())
            path = folder / "ca.key"
            refuse_open(path)
            key = serialization.load_pem_private_key(path.read_bytes(), None)
        except FileNotFoundError as error:
            raise AuthorityError("enrol.ca_missing", folder=folder) from error
        except OSError as error:
            raise AuthorityError("enrol.unreadable", path=path, reason=error.strerror or error) from error
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            raise AuthorityError("enrol.unreadable", path=path, reason=str(error)[:200]) from error
        if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != certificate.public_key():
            raise AuthorityError("enrol.ca_pair", folder=folder)
        return cls(folder, certificate, key)

    def agent(self, request: Request, name: str, now: datetime) -> Signed:
        """A client's certificate: an agent, a collector at the broker, operations' own tools."""
        return self._signed(request.public, name, now, AGENT_DAYS, ExtendedKeyUsageOID.CLIENT_AUTH, ())

    def client(self, name: str, now: datetime, days: int) -> tuple[Signed, str]:
        """A client's certificate with a new key, for those that are not enrolled (collector, operations)."""
        key = ec.generate_private_key(ec.SECP256R1())
        return self._signed(key.public_key(), name, now, days, ExtendedKeyUsageOID.CLIENT_AUTH, ()), _private_pem(key)

    def server(self, names: Sequence[str], now: datetime, days: int = SERVER_DAYS) -> tuple[Signed, str]:
        """A server's certificate with a new key; `names`: DNS names and IP addresses by which it is called."""
        alternatives = tuple(_general(name) for name in names)
        key = ec.generate_private_key(ec.SECP256R1())
        # Clients look at the alternative names; the common name is for people, and a host's may be too long for one.
        name = names[0] if len(names[0]) <= _LONGEST_NAME else "tillwatch"
        signed = self._signed(key.public_key(), name, now, days, ExtendedKeyUsageOID.SERVER_AUTH, alternatives)
        return signed, _private_pem(key)

    def revocations(self, gone: Iterable[Gone], now: datetime) -> str:
        """The revocation list (CRL, PEM).

        It is good as long as the authority: a broker refuses everybody once its list has ended, and a collector that is
        away for a month must not stop a hospital's events. For the same reason it begins a little before now: the
        broker's clock may be behind.
        """
        number = int(now.timestamp())
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self._certificate.subject)
            .last_update(now - EARLY)
            .next_update(self.ends)
            .add_extension(x509.CRLNumber(number), critical=False)
            .add_extension(self._issuer(), critical=False)
        )
        for one in gone:
            entry = x509.RevokedCertificateBuilder().serial_number(int(one.serial, 16)).revocation_date(one.when)
            builder = builder.add_revoked_certificate(entry.build())
        return builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()

    def _signed(
        self,
        public: ec.EllipticCurvePublicKey,
        name: str,
        now: datetime,
        days: int,
        purpose: ObjectIdentifier,
        alternatives: Sequence[x509.GeneralName],
    ) -> Signed:
        begins = (now - EARLY).replace(microsecond=0)
        ends = min((now + timedelta(days=days)).replace(microsecond=0), self.ends)
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        builder = (
            _builder(subject, self._certificate.subject, public, begins, ends)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
            .add_extension(self._issuer(), critical=False)
        )
        if alternatives:
            builder = builder.add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        made = builder.sign(self._key, hashes.SHA256())
        pem = made.public_bytes(serialization.Encoding.PEM).decode()
        return Signed(f"{made.serial_number:x}", pem, begins, ends)

    def _issuer(self) -> x509.AuthorityKeyIdentifier:
        return x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())


def read_request(text: str) -> Request:
    """A request whose signature holds and whose key is P-256. Raises RefusedError."""
    try:
        if len(text) > _LARGEST_REQUEST:
            raise ValueError
        request = x509.load_pem_x509_csr(text.encode())
        names = request.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        public = request.public_key()
        good = request.is_signature_valid and len(names) == 1
    except (ValueError, TypeError, UnsupportedAlgorithm, InvalidSignature) as error:
        raise RefusedError("enroll.request_bad", 400) from error
    if not good or not isinstance(public, ec.EllipticCurvePublicKey) or not isinstance(public.curve, ec.SECP256R1):
        raise RefusedError("enroll.request_bad", 400)
    der = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return Request(str(names[0].value), hashlib.sha256(der).hexdigest(), public)


def fleet_public(folder: Path) -> str:
    """The public key that signs the fleet's configuration: 32 bytes, base64. Raises AuthorityError."""
    path = folder / "fleet.pub"
    try:
        key = serialization.load_pem_public_key(path.read_bytes())
    except OSError as error:
        raise AuthorityError("enrol.unreadable", path=path, reason=error.strerror or error) from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise AuthorityError("enrol.unreadable", path=path, reason=str(error)[:200]) from error
    if not isinstance(key, ed25519.Ed25519PublicKey):
        raise AuthorityError("enrol.unreadable", path=path, reason="no Ed25519 key")
    return base64.b64encode(key.public_bytes_raw()).decode()


def write_file(path: Path, text: str, mode: int = 0o600) -> None:
    """Write it whole or not at all. Raises AuthorityError."""
    try:
        descriptor, beside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                if os.geteuid() == 0:
                    owner = path.parent.stat()  # root makes it, the collector's user reads it
                    os.fchown(file.fileno(), owner.st_uid, owner.st_gid)
                os.fchmod(file.fileno(), mode)
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            os.replace(beside, path)
        except BaseException:
            Path(beside).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise AuthorityError("enrol.not_written", path=path, reason=error.strerror or error) from error


def refuse_open(path: Path) -> None:
    """Raises AuthorityError when others than its owner may read a key; OSError when it is not there."""
    if path.stat().st_mode & 0o077:
        raise AuthorityError("enrol.key_open", path=path)


def _builder(
    subject: x509.Name, issuer: x509.Name, public: ec.EllipticCurvePublicKey, begins: datetime, ends: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(ends)
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        pass
    if len(name) > 253 or not _HOST_NAME.fullmatch(name):
        raise EnrolUsageError("enrol.server_name", name=shown(name))
    return x509.DNSName(name)


def _private_pem(key: ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


def _public_pem(key: ed25519.Ed25519PublicKey) -> str:
    return key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode()
