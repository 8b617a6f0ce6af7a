"""A token issuer: `issuer()` starts an HTTP server on a loopback port that publishes real keys, and signs with them."""

from __future__ import annotations

import functools
import ipaddress
import json
import ssl
import threading
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import jwt
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from clients import SETTINGS

AUDIENCE = "windsock-api"
METADATA, KEYS = "/.well-known/openid-configuration", "/keys"
#: Algorithm of a signature -> how a key for it is made.
_MAKE: dict[str, Callable[[], Any]] = {
    "RS256": lambda: rsa.generate_private_key(65537, 2048),
    "ES256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "ES384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "EdDSA": ed25519.Ed25519PrivateKey.generate,
}


@functools.cache
def private_key(algorithm: str, name: str = "") -> Any:
    """A key pair for an algorithm, always the same for a name."""
    return _MAKE["RS256" if algorithm.startswith("PS") else algorithm]()


def published(key: Any, algorithm: str, **members: Any) -> dict[str, Any]:
    """The public half as a JSON Web Key."""
    implementation = jwt.get_algorithm_by_name(algorithm)
    return {**implementation.to_jwk(key.public_key(), as_dict=True), "use": "sig", **members}


class Issuer:
    """What it publishes, and what it was asked; a test may change any of it at any time."""

    def __init__(self, port: int, scheme: str = "http") -> None:
        self.url = f"{scheme}://127.0.0.1:{port}"
        self.reset()

    def reset(self) -> None:
        """Publish an RSA key and an EC key, named `rsa` and `ec`."""
        self.algorithm = {"rsa": "RS256", "ec": "ES256"}
        self.private = {"rsa": private_key("RS256"), "ec": private_key("ES256")}
        self.keys = [published(key, self.algorithm[name], kid=name) for name, key in self.private.items()]
        self.metadata: Any = {"issuer": self.url, "jwks_uri": self.url + KEYS}
        self.answers: dict[str, Callable[[Any], None]] = {}  # path -> what it does with a request instead
        self.asked: list[str] = []

    def claims(self, **claims: Any) -> dict[str, Any]:
        """Good claims; None takes one away."""
        now = int(time.time())
        good = {"iss": self.url, "aud": AUDIENCE, "iat": now, "exp": now + 300, "sub": "1", "preferred_username": "ada"}
        return {name: value for name, value in {**good, **claims}.items() if value is not None}

    def token(self, kid: str = "rsa", header: dict[str, Any] | None = None, **claims: Any) -> str:
        """A token, signed with one of its keys."""
        headers = {"kid": kid, **(header or {})}
        return jwt.encode(self.claims(**claims), self.private[kid], self.algorithm[kid], headers)

    def rotate(self, new: str = "new", old: str = "rsa") -> None:
        """Publish a new RSA key in the place of an old one."""
        self.algorithm[new], self.private[new] = "RS256", private_key("RS256", new)
        self.keys = [published(self.private[new], "RS256", kid=new), *(k for k in self.keys if k["kid"] != old)]


class _Handler(BaseHTTPRequestHandler):
    issuer: Issuer

    def do_GET(self) -> None:
        self.issuer.asked.append(self.path)
        if special := self.issuer.answers.get(self.path):
            return special(self)
        found = {METADATA: self.issuer.metadata, KEYS: {"keys": self.issuer.keys}}.get(self.path)
        return self.send_json(found, 404 if found is None else 200)

    def send_json(self, content: Any, status: int = 200) -> None:
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Be quiet."""


def certificate(file: Path) -> Path:
    """Write a key and a certificate of 127.0.0.1, signed by itself, into a PEM file."""
    key, now = private_key("ES256", "TLS"), datetime.now(timezone.utc)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    made = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now, now + timedelta(1))
    here = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    signed = made.add_extension(here, critical=False).sign(key, SHA256())
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()) + signed.public_bytes(Encoding.PEM)
    file.write_bytes(pem)
    return file


@contextmanager
def issuer(tls: Path | None = None) -> Iterator[Issuer]:
    """Yield a running issuer; `tls` is the PEM file with which it speaks HTTPS."""
    handler = type("Handler", (_Handler,), {})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        handler.issuer = Issuer(server.server_port, "https" if tls else "http")
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(tls)
            server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield handler.issuer
        finally:
            server.shutdown()
            thread.join()


def settings(url: str, backends: str = "oidc", **more: str) -> dict[tuple[str, str], str]:
    """Settings of a server that takes the tokens of the issuer at a URL; `more` are settings `oidc_...`."""
    given = {"issuer": url, "audience": AUDIENCE, **more}
    return {
        **SETTINGS,
        ("api", "auth_backends"): backends,
        **{("windsock", f"oidc_{key}"): value for key, value in given.items()},
    }


# ---------------------------------------------------------------- forgeries
def segment(content: Any) -> str:
    """A part of a token: JSON, or bytes as they are."""
    raw = content if isinstance(content, bytes) else json.dumps(content).encode()
    return urlsafe_b64encode(raw).decode().rstrip("=")


def with_secret(idp: Issuer, secret: bytes, algorithm: str = "HS256") -> str:
    """A token whose signature uses what everybody knows as a shared secret."""
    implementation = jwt.get_algorithm_by_name(algorithm)
    text = f"{segment({'alg': algorithm, 'kid': 'rsa', 'typ': 'JWT'})}.{segment(idp.claims())}"
    return f"{text}.{segment(implementation.sign(text.encode(), secret))}"


def own(idp: Issuer, algorithm: str = "RS256", key: Any = None, **header: Any) -> str:
    """A token that somebody signed with `key`, or one of their own."""
    headers = {"kid": "rsa", **header}
    return jwt.encode(idp.claims(), key or private_key(algorithm, "somebody"), algorithm, headers)


def somebody(**members: Any) -> dict[str, Any]:
    """The public half of their own key."""
    return published(private_key("RS256", "somebody"), "RS256", **members)


def public(idp: Issuer, encoding: Encoding, form: PublicFormat = PublicFormat.SubjectPublicKeyInfo) -> bytes:
    """The RSA key that everybody may read, in some form."""
    return idp.private["rsa"].public_key().public_bytes(encoding, form)
