"""Tables of enrolment: one-time tokens, the certificates of agents, and the fleet's configurations.

Of a token only its hash stands here. No private key ever does: an agent's is made on its PC and stays there.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Integer, Table, Text

from collector.ledger.metadata import metadata

enrol_tokens = Table(
    "enrol_tokens",
    metadata,
    Column("id", Text, primary_key=True),
    Column("hash", Text, nullable=False, unique=True),
    Column("agent", Text, nullable=False),
    Column("site", Text, nullable=False),
    Column("created_us", BigInteger, nullable=False),
    Column("created_by", Text, nullable=False),
    Column("expires_us", BigInteger, nullable=False),
    Column("used_us", BigInteger),
    Column("used_from", Text),  # address
    Column("used_key", Text),  # digest of the public key that it was used for
    Column("revoked_us", BigInteger),
    Index("ix_enrol_tokens_agent", "agent"),
)

certificates = Table(
    "certificates",
    metadata,
    Column("serial", Text, primary_key=True),  # hexadecimal
    Column("agent", Text, nullable=False),
    Column("site", Text, nullable=False),
    Column("key", Text, nullable=False),  # SHA-256 of the public key (SPKI, DER), hexadecimal
    Column("pem", Text, nullable=False),
    Column("how", Text, nullable=False),  # enrolled, renewed
    Column("begins_us", BigInteger, nullable=False),
    Column("ends_us", BigInteger, nullable=False),
    Column("issued_us", BigInteger, nullable=False),
    Column("revoked_us", BigInteger),
    Column("revoked_by", Text),
    Column("reason", Text),  # superseded, revoked
    Index("ix_certificates_agent", "agent"),
    Index("ix_certificates_key", "key"),
)

fleet_configurations = Table(
    "fleet_configurations",
    metadata,
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("document", Text, nullable=False),  # exactly as it is signed
    Column("signature", Text, nullable=False),  # Ed25519, base64
    Column("published_us", BigInteger, nullable=False),
    Column("published_by", Text, nullable=False),
)
