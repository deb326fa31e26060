"""How to reach an OpenID provider, and which of its people may do what."""

from __future__ import annotations

from dataclasses import dataclass

from collector.access.roles import Role


@dataclass(frozen=True, slots=True, kw_only=True)
class Oidc:
    """Sign-in at an OpenID provider. `roles`: value of the claim → role; `default_role` None: nobody else gets in."""

    issuer: str
    client_id: str
    client_secret: str
    role_claim: str = "groups"
    roles: tuple[tuple[str, Role], ...] = ()
    default_role: Role | None = None
    name_claim: str = "preferred_username"
    scope: str = "openid profile email"
    label: str = "OpenID"
