"""A small OpenID provider for tests: real HTTP, real RSA-signed ID tokens, and every way to get one wrong."""

from __future__ import annotations

import base64
import hmac
import json
import threading
from collections.abc import Callable
from functools import cache
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any
from urllib.parse import parse_qs, urlsplit

from joserfc import jwt
from joserfc.jwk import RSAKey

CLIENT, SECRET = "tillwatch", "client secret"


@cache
def key(name: str) -> RSAKey:
    """Made once: making one takes as long as a whole test."""
    return RSAKey.generate_key(2048, {"kid": name})


class OpenId:
    """`person`: claims of who signs in; `spoil`: changes claims or token before they are handed out."""

    def __init__(self, now_s: Callable[[], int]) -> None:
        self.person: dict[str, Any] = {
            "sub": "u-1",
            "preferred_username": "chen",
            "name": "Chen Wei",
            "groups": ["ops"],
        }
        self.spoil: Callable[[dict[str, Any]], None] = lambda claims: None
        self.token: Callable[[dict[str, Any]], str] = self.signed
        self.down = False
        self.redeemed: list[dict[str, str]] = []
        self.key = key("k1")
        self._now_s = now_s
        self._codes: dict[str, dict[str, str]] = {}
        provider = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if self.path == "/.well-known/openid-configuration":
                    base = provider.issuer
                    names = {"authorization_endpoint": "/auth", "token_endpoint": "/token", "jwks_uri": "/keys"}
                    self.answer({"issuer": base, **{name: base + path for name, path in names.items()}})
                else:
                    self.answer({"keys": [provider.key.as_dict(private=False)]})

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                form = {name: values[0] for name, values in parse_qs(body).items()}
                basic = base64.b64encode(f"{CLIENT}:{SECRET}".encode()).decode()
                if self.headers.get("Authorization") != f"Basic {basic}":
                    self.answer({"error": "invalid_client"}, 401)
                    return
                self.answer(*provider.redeem(form))

            def answer(self, body: dict[str, Any], status: int = 200) -> None:
                data = json.dumps(body).encode()
                self.send_response(503 if provider.down else status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: Any) -> None:
                """Keep quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.issuer = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    def consent(self, address: str) -> str:
        """The person logs in at the provider, which sends the browser to the address that this returns."""
        asked = {name: values[0] for name, values in parse_qs(urlsplit(address).query).items()}
        assert address.startswith(f"{self.issuer}/auth?")
        assert (asked["client_id"], asked["response_type"], asked["code_challenge_method"]) == (CLIENT, "code", "S256")
        code = f"code-{len(self._codes)}"
        self._codes[code] = asked
        return f"{asked['redirect_uri']}?state={asked['state']}&code={code}"

    def redeem(self, form: dict[str, str]) -> tuple[dict[str, Any], int]:
        asked = self._codes.pop(form.get("code", ""), None)
        challenge = (
            base64.urlsafe_b64encode(sha256(form.get("code_verifier", "").encode()).digest()).decode().rstrip("=")
        )
        if asked is None or challenge != asked["code_challenge"] or form["redirect_uri"] != asked["redirect_uri"]:
            return {"error": "invalid_grant"}, 400
        self.redeemed.append(form)
        now = self._now_s()
        claims = {
            "iss": self.issuer,
            "aud": CLIENT,
            "iat": now,
            "exp": now + 300,
            "nonce": asked["nonce"],
            **self.person,
        }
        self.spoil(claims)
        return {"id_token": self.token(claims), "token_type": "Bearer", "access_token": "unused"}, 200

    def signed(self, claims: dict[str, Any]) -> str:
        return jwt.encode({"alg": "RS256", "kid": "k1"}, claims, self.key)

    def signed_by_somebody_else(self, claims: dict[str, Any]) -> str:
        return jwt.encode({"alg": "RS256", "kid": "k1"}, claims, key("another"))

    def signed_with_the_public_key(self, claims: dict[str, Any]) -> str:
        """The old trick: the public key taken as a shared secret."""
        public = self.key.as_pem(private=False)
        head = base64.urlsafe_b64encode(b'{"alg":"HS256","kid":"k1"}').decode().rstrip("=")
        body = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
        mac = hmac.new(public, f"{head}.{body}".encode(), sha256).digest()
        return f"{head}.{body}.{base64.urlsafe_b64encode(mac).decode().rstrip('=')}"

    def unsigned(self, claims: dict[str, Any]) -> str:
        head = base64.urlsafe_b64encode(b'{"alg":"none"}').decode().rstrip("=")
        body = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
        return f"{head}.{body}."

    def new_key(self) -> None:
        self.key = key("k2")
        self.token = lambda claims: jwt.encode({"alg": "RS256", "kid": "k2"}, claims, self.key)

    def __enter__(self) -> OpenId:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)
