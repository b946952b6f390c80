"""A small OpenID provider for tests, on a port of this machine: discovery, keys, code flow with PKCE, signed ID tokens.

It keeps to OpenID Connect Core 1.0 and RFC 7636, and can be told to be wrong in one thing at a time.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlencode, urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa


class OidcProvider:
    """Signs in whomever `person` says. `wrong` replaces claims of the ID token, `metadata` what it says of itself."""

    def __init__(self) -> None:
        self.client_id, self.client_secret = "tokensight", "s3cret/+:"
        self.person: dict[str, Any] = {"sub": "u-1", "email": "dana@boards.example", "email_verified": True}
        self.wrong: dict[str, Any] = {}
        self.metadata: dict[str, Any] = {}
        self.algorithm = "RS256"
        self.key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.signing_key: Any = self.key
        self.codes: dict[str, dict[str, str]] = {}
        self.asked: list[str] = []
        self.issuer = ""

    @contextmanager
    def running(self) -> Iterator[OidcProvider]:
        """Answer until the block ends."""
        provider = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                provider.asked.append(self.path)
                parts = urlsplit(self.path)
                if parts.path == "/.well-known/openid-configuration":
                    self.answer(200, provider.about())
                elif parts.path == "/keys":
                    public = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(provider.key.public_key()))
                    self.answer(200, {"keys": [{**public, "kid": "k1", "use": "sig", "alg": "RS256"}]})
                elif parts.path == "/moved/.well-known/openid-configuration":
                    self.send_response(302)
                    self.send_header("Location", f"{provider.issuer}/.well-known/openid-configuration")
                    self.end_headers()
                else:
                    self.answer(404, {})

            def do_POST(self) -> None:
                provider.asked.append(self.path)
                text = self.rfile.read(int(self.headers["Content-Length"])).decode()
                form = {name: values[0] for name, values in parse_qs(text).items()}
                self.answer(*provider.token(form, self.headers.get("Authorization", "")))

            def answer(self, status: int, body: dict[str, Any]) -> None:
                data = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *parts: object) -> None:
                return

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.issuer = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            server.shutdown()
            server.server_close()

    def about(self) -> dict[str, Any]:
        return {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token",
            "jwks_uri": f"{self.issuer}/keys",
            "response_types_supported": ["code"],
            "id_token_signing_alg_values_supported": ["RS256"],
            **self.metadata,
        }

    def authorize(self, address: str) -> str:
        """Do what a browser and a person do at the provider: return the address that they are sent back to."""
        asked = {name: values[0] for name, values in parse_qs(urlsplit(address).query).items()}
        assert address.startswith(f"{self.issuer}/authorize?")
        assert asked["client_id"] == self.client_id
        assert asked["response_type"] == "code"
        assert "openid" in asked["scope"].split()
        assert asked["code_challenge_method"] == "S256"
        code = secrets.token_urlsafe()
        self.codes[code] = asked
        return asked["redirect_uri"] + "?" + urlencode({"code": code, "state": asked["state"], "iss": self.issuer})

    def token(self, form: dict[str, str], authorization: str) -> tuple[int, dict[str, Any]]:
        name, _, secret = base64.b64decode(authorization.removeprefix("Basic ")).decode().partition(":")
        if (unquote(name), unquote(secret)) != (self.client_id, self.client_secret):
            return 401, {"error": "invalid_client"}
        asked = self.codes.pop(form.get("code", ""), None)
        challenge = base64.urlsafe_b64encode(hashlib.sha256(form["code_verifier"].encode()).digest()).rstrip(b"=")
        if (
            asked is None
            or asked["code_challenge"] != challenge.decode()
            or asked["redirect_uri"] != form["redirect_uri"]
        ):
            return 400, {"error": "invalid_grant"}
        now = int(time.time())
        claims = {
            "iss": self.issuer,
            "aud": self.client_id,
            "iat": now,
            "exp": now + 300,
            "nonce": asked["nonce"],
            **self.person,
            **self.wrong,
        }
        claims = {name: value for name, value in claims.items() if value is not None}
        token = jwt.encode(claims, self.signing_key, algorithm=self.algorithm, headers={"kid": "k1"})
        return 200, {"access_token": secrets.token_urlsafe(), "token_type": "Bearer", "id_token": token}
