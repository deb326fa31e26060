"""Log-in at an OpenID provider: authorization code with PKCE, state and nonce; the ID token is verified, not believed.

What is under way is kept in the ledger under the hash of `state`, usable once, for ten minutes, and bound to the
browser that began it: so the way back may lead to another collector, and nobody can be logged in as somebody else by
a link.
"""

from __future__ import annotations

import base64
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any
from urllib.parse import urlencode

import httpx
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from collector.access.access import Access
from collector.access.doors import LoggedIn
from collector.access.errors import NotAllowedError
from collector.access.oidc_settings import Oidc
from collector.access.people import User, Via
from collector.access.roles import Role
from collector.access.secrets import derived, digest, new_secret, same
from collector.errors import CollectorError, ServiceError
from collector.ledger import Clock, Ledger, accounts, microseconds
from collector.ledger.accounts import Link

_ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]
_UNDER_WAY_S = 600
_LEEWAY_S = 60  # how far clocks may be apart
_TIMEOUT_S = 10.0
_S = 1_000_000
_PURPOSE = "oidc"


class SignInError(CollectorError):
    """The sign-in did not succeed; the text says why."""


@dataclass(frozen=True, slots=True)
class Started:
    """Where the browser is sent."""

    url: str


class Provider:
    """One provider. Its discovery document and keys are fetched when first needed; keys again when one is unknown."""

    def __init__(self, settings: Oidc, ledger: Ledger, access: Access, clock: Clock) -> None:
        self.settings = settings
        self._ledger = ledger
        self._access = access
        self._clock = clock
        self._lock = threading.Lock()
        self._found: dict[str, Any] | None = None
        self._keys: KeySet | None = None

    def start(self, visit: str, redirect_uri: str, goal: str) -> Started:
        """Begin. `visit`: the browser's secret; `goal`: the path to go to afterwards. Raises ServiceError."""
        state, nonce, verifier = new_secret(), new_secret(), new_secret()
        endpoint = self._discovery()["authorization_endpoint"]
        now = microseconds(self._clock())
        data = {
            "nonce": nonce,
            "verifier": verifier,
            "goal": goal,
            "visit": derived(visit, "oidc"),
            "uri": redirect_uri,
        }
        with self._ledger.write() as connection:
            accounts.drop_old_links(connection, now)
            accounts.add_link(
                connection,
                Link(
                    hash=digest(state),
                    purpose=_PURPOSE,
                    account=None,
                    data=data,
                    created_us=now,
                    expires_us=now + _UNDER_WAY_S * _S,
                    used_us=None,
                ),
            )
        challenge = base64.urlsafe_b64encode(sha256(verifier.encode()).digest()).decode().rstrip("=")
        asked = {
            "response_type": "code",
            "client_id": self.settings.client_id,
            "redirect_uri": redirect_uri,
            "scope": self.settings.scope,
            "state": state,
            "nonce": nonce,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        }
        return Started(f"{endpoint}{'&' if '?' in endpoint else '?'}{urlencode(asked)}")

    def finish(self, visit: str, state: str, code: str, *, address: str, browser: str) -> tuple[LoggedIn, str]:
        """The session, and the path to go to. Raises SignInError, ServiceError, BadCredentialsError."""
        data = self._under_way(visit, state)
        claims = self._claims(code, data)
        role = self._role(claims)
        subject = f"{claims['iss']} {claims['sub']}"
        name = str(claims.get(self.settings.name_claim) or claims.get("email") or claims["sub"])
        display = str(claims.get("name") or name)
        by = User(name="oidc", display=self.settings.label, role=Role.ADMIN, via=Via.SYSTEM, address=address)
        self._access.join(by, subject, name, display, role)
        return self._access.let_in(subject, address=address, browser=browser), str(data["goal"])

    def refused(self, detail: str) -> SignInError:
        """What is told when the provider, or its answer, does not let somebody in."""
        return SignInError("access.oidc_refused", label=self.settings.label, detail=detail[:120])

    def _under_way(self, visit: str, state: str) -> Mapping[str, Any]:
        now, key = microseconds(self._clock()), digest(state)
        with self._ledger.write() as connection:
            link = accounts.link(connection, key)
            good = link is not None and link.purpose == _PURPOSE and accounts.use_link(connection, key, now)
        if not good or link is None or link.data is None or not same(derived(visit, "oidc"), link.data["visit"]):
            raise self.refused("state")
        return link.data

    def _claims(self, code: str, data: Mapping[str, Any]) -> Mapping[str, Any]:
        """The verified claims of the ID token that the code is worth."""
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": data["uri"],
            "code_verifier": data["verifier"],
        }
        who = (self.settings.client_id, self.settings.client_secret)
        answer = self._ask("POST", self._discovery()["token_endpoint"], data=form, auth=who)
        token = answer.get("id_token")
        if not isinstance(token, str):
            raise self.refused(str(answer.get("error", "no id_token")))
        try:
            claims = self._verified(token)
            rules = jwt.JWTClaimsRegistry(
                now=lambda: microseconds(self._clock()) // _S,
                leeway=_LEEWAY_S,
                iss={"essential": True, "value": self.settings.issuer},
                aud={"essential": True, "value": self.settings.client_id},
                exp={"essential": True},
                iat={"essential": True},
                sub={"essential": True},
                nonce={"essential": True, "value": data["nonce"]},
            )
            rules.validate(claims)
        except (JoseError, ValueError) as error:
            raise self.refused(getattr(error, "error", None) or type(error).__name__) from error
        audience = claims["aud"]
        if isinstance(audience, list) and len(audience) > 1 and claims.get("azp") != self.settings.client_id:
            raise self.refused("azp")
        return claims

    def _verified(self, token: str) -> dict[str, Any]:
        try:
            return dict(jwt.decode(token, self._key_set(again=False), algorithms=_ALGORITHMS).claims)
        except (JoseError, ValueError):
            # Providers change their keys: look once more before the token is called false.
            return dict(jwt.decode(token, self._key_set(again=True), algorithms=_ALGORITHMS).claims)

    def _role(self, claims: Mapping[str, Any]) -> Role:
        held = claims.get(self.settings.role_claim)
        values = {held} if isinstance(held, str) else set(map(str, held)) if isinstance(held, list) else set()
        for value, role in self.settings.roles:
            if value in values:
                return role
        if self.settings.default_role is None:
            raise NotAllowedError("access.oidc_no_role", label=self.settings.label)
        return self.settings.default_role

    def _discovery(self) -> dict[str, Any]:
        with self._lock:
            if self._found is None:
                address = self.settings.issuer.rstrip("/") + "/.well-known/openid-configuration"
                found = self._ask("GET", address)
                if found.get("issuer") != self.settings.issuer or not all(
                    isinstance(found.get(name), str)
                    for name in ("authorization_endpoint", "token_endpoint", "jwks_uri")
                ):
                    raise self._away("discovery")
                self._found = found
            return self._found

    def _key_set(self, *, again: bool) -> KeySet:
        address = self._discovery()["jwks_uri"]
        with self._lock:
            if self._keys is None or again:
                self._keys = KeySet.import_key_set(self._ask("GET", address))  # type: ignore[arg-type]
            return self._keys

    def _ask(self, method: str, address: str, **more: Any) -> dict[str, Any]:
        try:
            with httpx.Client(timeout=_TIMEOUT_S, follow_redirects=False) as client:
                answer = client.request(method, address, headers={"Accept": "application/json"}, **more)
            if answer.status_code >= 500:
                raise self._away(f"HTTP {answer.status_code}")
            body = answer.json()
        except (httpx.HTTPError, ValueError) as error:
            raise self._away(type(error).__name__) from error
        if not isinstance(body, dict):
            raise self._away("JSON")
        return body

    def _away(self, detail: str) -> ServiceError:
        return ServiceError("access.oidc_unreachable", label=self.settings.label, detail=detail)
