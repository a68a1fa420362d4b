"""An authenticator in software (WebAuthn level 2): ES256, attestation "none", a counter; and the browser around it."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from fido2 import cbor

_USER_PRESENT, _USER_VERIFIED, _NEW_CREDENTIAL = 0x01, 0x04, 0x40


@dataclass
class Authenticator:
    """One credential. What a test wants to be wrong is changed by its attributes."""

    origin: str
    counter: int = 0
    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    credential_id: bytes = field(default_factory=lambda: secrets.token_bytes(32))

    def create(self, options: dict[str, Any], **wrong: Any) -> dict[str, Any]:
        """What `PublicKeyCredential.toJSON()` gives after navigator.credentials.create."""
        asked = options["publicKey"]
        numbers = self.key.public_key().public_numbers()
        cose = {1: 2, 3: -7, -1: 1, -2: numbers.x.to_bytes(32, "big"), -3: numbers.y.to_bytes(32, "big")}
        credential = bytes(16) + len(self.credential_id).to_bytes(2, "big") + self.credential_id + cbor.encode(cose)
        told = self._data(_NEW_CREDENTIAL, {"host": asked["rp"]["id"], **wrong}) + credential
        client = self._client({"kind": "webauthn.create", "challenge": asked["challenge"], **wrong})
        statement = cbor.encode({"fmt": "none", "attStmt": {}, "authData": told})
        return self._said({"clientDataJSON": _text(client), "attestationObject": _text(statement)})

    def get(self, options: dict[str, Any], **wrong: Any) -> dict[str, Any]:
        """As `create`, after navigator.credentials.get."""
        asked = options["publicKey"]
        allowed = [one["id"] for one in asked["allowCredentials"]]
        assert _text(self.credential_id) in allowed, "the browser would not ask this authenticator"
        self.counter += 1
        told = self._data(0, {"host": asked["rpId"], **wrong})
        client = self._client({"kind": "webauthn.get", "challenge": asked["challenge"], **wrong})
        signature = self.key.sign(told + hashlib.sha256(client).digest(), ec.ECDSA(SHA256()))
        if wrong.get("forged"):
            signature = ec.generate_private_key(ec.SECP256R1()).sign(b"something else", ec.ECDSA(SHA256()))
        return self._said({
            "clientDataJSON": _text(client), "authenticatorData": _text(told), "signature": _text(signature),
        })  # fmt: skip

    def _data(self, flags: int, said: dict[str, Any]) -> bytes:
        present = 0 if said.get("absent") else _USER_PRESENT | _USER_VERIFIED
        named = hashlib.sha256(said["host"].encode()).digest()
        return named + bytes([present | flags]) + int(said.get("counter", self.counter)).to_bytes(4, "big")

    def _client(self, said: dict[str, Any]) -> bytes:
        told = {
            "type": said["kind"],
            "challenge": said["challenge"],
            "origin": said.get("origin", self.origin),
            "crossOrigin": False,
        }
        return json.dumps(told).encode()

    def _said(self, response: dict[str, Any]) -> dict[str, Any]:
        name = _text(self.credential_id)
        return {"id": name, "rawId": name, "type": "public-key", "response": response, "clientExtensionResults": {}}


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")
