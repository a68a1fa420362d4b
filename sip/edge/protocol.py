"""What the edge asks and tells, and what it is answered. Pure: JSON text in, frozen values out, and back.

Everything in a request was written by a peer: it is bounded here and is to be judged by call control.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal
from urllib.parse import quote, unquote

Kind = Literal["invite", "dial", "message", "refer"]
Profile = Literal["tls", "plain"]

_MAX_CERTIFICATE = 3 * 16384  # percent-encoded PEM
_MAX_TEXT = 1024  # characters of any one field that a peer wrote
MESSAGE_MAX_BYTES = 1300  # RFC 3428 section 8: no larger over any path that may be UDP
TEXT_MAX_BYTES = 4000  # of what Kamailio 5.6 can send by itself; over UDP see sip.messages.pieces
_MAX_USER = 64
_MAX_CSEQ = 2**32 - 1
_USER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,63}")
_TOKEN = re.compile(r"[A-Za-z0-9]{1,64}")
_NUMBER = re.compile(r"\+?[0-9]{2,20}")
_REASON = re.compile(r"[A-Za-z0-9 ,.'/()-]{1,80}")
_KINDS: Mapping[tuple[str, bool], Kind] = {
    ("INVITE", False): "invite",
    ("INVITE", True): "dial",
    ("MESSAGE", False): "message",
    ("REFER", False): "refer",
}


class MalformedFrame(Exception):
    """The edge sent what it never should. Carries no content."""


@dataclass(frozen=True, slots=True)
class EdgeRequest:
    """A suspended transaction that waits for an answer."""

    kind: Kind  # dial is the INVITE of one of our workers
    transaction: tuple[int, int]  # Kamailio's T(id_index), T(id_label)
    call_id: str
    cseq: int
    auth_user: str  # the device whose credentials were proven; "" for dial
    from_user: str  # user part of From, as sent: untrusted
    request_user: str  # user part of the request URI, as sent
    source: str  # "tls:192.0.2.7:40312"
    savp: bool  # the offer is RTP/SAVP
    worker_port: int = 0  # source port of the worker; dial only
    leg_token: str = ""  # X-Beffroi-Leg; dial only
    refer_to: str = ""  # the URI of Refer-To as sent, with its headers (?Replaces=...); refer only
    content_type: str = ""  # message only
    body: bytes = b""  # message only
    trunk: str = ""  # id of the trunk that it came from; then auth_user is ""
    to_user: str = ""  # user part of To, as sent: some providers put the number called there
    asserted: str = ""  # user part of P-Asserted-Identity (RFC 3325), of a trunk only
    private: bool = False  # Privacy: id, or an anonymous From (RFC 3323)
    g722: bool = False  # the offer holds G722/8000
    understood: bool = True  # the offer holds a codec that we speak, or there is no offer
    ipv6: bool = False  # the offer's audio is IPv6
    from_tag: str = ""
    to_tag: str = ""  # refer and message: of the dialog it came in
    emergency: bool = False  # one of the numbers that push_emergency has named


@dataclass(frozen=True, slots=True)
class Banned:
    """The edge has banned a source: an address, or one connection as "proto:address:port"."""

    source: str
    why: str  # "credentials", "malformed", "scanner", "flood"


@dataclass(frozen=True, slots=True)
class RegistrationChanged:
    """A contact of this device has come or gone. Read contacts() for what holds now."""

    auth_user: str


@dataclass(frozen=True, slots=True)
class TrunkAnswered:
    """What has come of a question to a provider: a SIP status, 408 also where nothing came."""

    trunk: str
    code: int


@dataclass(frozen=True, slots=True)
class MessageAnswered:
    """What has come of the message() or trunk_message() of this number: a SIP status; 0: nothing has left."""

    number: int
    code: int
    own: bool = False  # nothing came: the status is the edge's own (408 after 5 s)
    challenge: str = ""  # of a 401 or 407: the value of its header


@dataclass(frozen=True, slots=True)
class EmergencyRelayed:
    """An emergency call that the edge relays by itself has begun or ended. Read relayed_calls() for which."""


@dataclass(frozen=True, slots=True)
class CertificateShown:
    """A provider has shown a certificate, vouched for, that the edge does not know to be its own."""

    mark: str  # of the trunks that are reached there
    digest: str  # SHA-256 of its PEM, as the edge knows it
    pem: str


@dataclass(frozen=True, slots=True)
class TrunkClosed:
    """The connection to the trunks of this mark is closed."""

    mark: str


EdgeEvent = Banned | RegistrationChanged | EmergencyRelayed


@dataclass(frozen=True, slots=True)
class Welcome:
    """The edge has taken our secret: requests come to this connection from now on."""


@dataclass(frozen=True, slots=True)
class Pong:
    """The edge has read everything that was sent before the ping of this number."""

    number: int


@dataclass(frozen=True, slots=True)
class Reply:
    """Refuse or finish the request with this status (RFC 3261 section 21)."""

    code: int
    reason: str


@dataclass(frozen=True, slots=True)
class ToWorker:
    """Hand the caller to the worker that listens on this loopback port and expects this token."""

    port: int
    token: str


@dataclass(frozen=True, slots=True)
class ToDevices:
    """Ring every contact of these devices that registered by TLS ("tls") or otherwise ("plain"), all at once."""

    auth_users: tuple[str, ...]
    profile: Profile
    ring_timeout_s: int = 60


@dataclass(frozen=True, slots=True)
class ToTrunk:
    """Send a worker's INVITE to the provider of this trunk, asking for this number."""

    trunk: str
    number: str  # "+33123456789", "3631": what goes into the request URI, digits and a leading + only
    ring_timeout_s: int = 60


Answer = Reply | ToWorker | ToDevices | ToTrunk


Told = EdgeRequest | EdgeEvent | TrunkAnswered | TrunkClosed | CertificateShown | MessageAnswered | Welcome | Pong


def parse(frame: bytes) -> Told:
    """One frame from the edge. Raises MalformedFrame."""
    try:
        message = json.loads(frame)
    except (ValueError, RecursionError):
        raise MalformedFrame("no JSON") from None
    if not isinstance(message, dict):
        raise MalformedFrame("no JSON object")
    match message.get("op"):
        case "ask":
            return _request(message)
        case "ban":
            return Banned(_text(message, "source"), _text(message, "why"))
        case "registration":
            return RegistrationChanged(_text(message, "user"))
        case "relayed":
            return EmergencyRelayed()
        case "certificate":
            return CertificateShown(_text(message, "mark"), _text(message, "digest"), _certificate(message))
        case "closed":
            return TrunkClosed(_text(message, "mark"))
        case "trunk":
            return TrunkAnswered(_text(message, "id"), _number(message, "code"))
        case "sent":
            challenge = _text(message, "challenge", "")
            return MessageAnswered(_number(message, "n"), _number(message, "code"), message.get("own") == 1, challenge)
        case "welcome":
            return Welcome()
        case "pong":
            return Pong(_number(message, "n"))
        case _:
            raise MalformedFrame("unknown op")


def asked_transaction(frame: bytes) -> tuple[int, int] | None:
    """The transaction of a request that parse() refused, so that it can be answered all the same."""
    try:
        message = json.loads(frame)
        return _number(message, "i"), _number(message, "l")
    except (ValueError, RecursionError, TypeError, AttributeError, MalformedFrame):
        return None


def hello(secret: str) -> bytes:
    return _dump({"op": "hello", "secret": secret})


def ping(number: int) -> bytes:
    """Asks for a pong; also tells the edge that the daemon lives."""
    return _dump({"op": "ping", "n": number})


def probe(trunk: str) -> bytes:
    """Asks a provider whether it is there; answered by TrunkAnswered."""
    return _dump({"op": "probe", "trunk": trunk})


def message(number: int, uri: str, to: str, socket: str, text: str, sender: str = "beffroi") -> bytes:
    """Sends a text to one contact; answered by MessageAnswered. `to`: where that contact really is, "" if it is where
    it says. `sender`: user part of From, at our domain. Raises ValueError for a text that is too long."""
    place = {"uri": uri, "to": to, "socket": socket}
    return _dump({"op": "send", "n": number, **place, "from": _escaped(sender), "text": _content(text)})


def trunk_message(number: int, trunk: str, to: str, sender: str, text: str, proof: str = "") -> bytes:
    """Sends a text by a trunk; answered by MessageAnswered. `to`, `sender`: user parts, at the trunk's domain. `proof`:
    a whole header with credentials. Raises ValueError for what cannot be carried."""
    if not _TOKEN.fullmatch(trunk) or "\r" in proof or "\n" in proof:
        raise ValueError("a trunk is named by its id, and credentials are one header")
    place = {"trunk": trunk, "uri": _escaped(to), "proof": proof}
    return _dump({"op": "send", "n": number, **place, "from": _escaped(sender), "text": _content(text)})


def trunk_uri(to: str, domain: str) -> str:
    """The request URI of a trunk_message()."""
    return f"sip:{_escaped(to)}@{domain}"


def _content(text: str) -> str:
    body = text.encode()
    if not 0 < len(body) <= TEXT_MAX_BYTES:
        raise ValueError(f"a text has 1 to {TEXT_MAX_BYTES} bytes")
    return base64.b64encode(body).decode()


def _escaped(user: str) -> str:
    """A user part as it stands in a URI (RFC 3261 section 19.1.2). Raises ValueError for what can be none."""
    if not 0 < len(user) <= _MAX_USER:
        raise ValueError(f"a user part has 1 to {_MAX_USER} characters")
    return quote(user, safe="+*-_.!~'()&=,")


def pending(call_id: str, cseq: int, code: int, reason: str) -> bytes:
    """Answers the unanswered INVITE with this Call-ID and CSeq number."""
    _check_status(code, reason)
    return _dump({"op": "pending", "call_id": call_id, "cseq": str(cseq), "code": code, "reason": reason})


def answer(transaction: tuple[int, int], what: Answer) -> bytes:
    """The frame that resumes a suspended request. Raises ValueError for an answer that cannot be carried."""
    head = {"op": "answer", "i": transaction[0], "l": transaction[1]}
    match what:
        case Reply(code, reason):
            _check_status(code, reason)
            return _dump(head | {"act": "reply", "code": code, "reason": reason})
        case ToWorker(port, token):
            if not _TOKEN.fullmatch(token) or not 0 < port < 65536:
                raise ValueError("a worker is named by its port and an alphanumeric token")
            return _dump(head | {"act": "worker", "port": str(port), "token": token})
        case ToDevices(auth_users, profile, ring_timeout_s):
            for user in auth_users:
                check_user(user)
            return _dump(
                head
                | {"act": "devices", "users": "/".join(auth_users), "profile": profile}
                | {"ring_ms": ring_timeout_s * 1000}
            )
        case ToTrunk(trunk, number, ring_timeout_s):
            if not _TOKEN.fullmatch(trunk) or not _NUMBER.fullmatch(number):
                raise ValueError("a trunk is named by its id, a number by digits with a leading + at most")
            return _dump(head | {"act": "trunk", "trunk": trunk, "number": number, "ring_ms": ring_timeout_s * 1000})


def plain_reason(text: str) -> str:
    """As much of these words as a status line carries: no sign that another program might take for something else."""
    bare = re.sub(r"[^A-Za-z0-9 ,.'/()-]+", " ", unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode())
    return " ".join(bare.split())[:80].strip() or "Refused"


def check_user(user: str) -> None:
    """Raises ValueError unless `user` can name a device or account at the edge."""
    if not _USER.fullmatch(user):
        raise ValueError("a device or account is named by letters, digits and . _ + -, at most 64")


def check_number(number: str) -> None:
    """Raises ValueError unless a provider can be asked for, or shown, this number."""
    if not _NUMBER.fullmatch(number):
        raise ValueError("a number has digits with a leading + at most")


def _check_status(code: int, reason: str) -> None:
    if not 200 <= code <= 699 or not _REASON.fullmatch(reason):
        raise ValueError("a final SIP status has a code from 200 to 699 and a plain reason")


def _request(message: Mapping[str, object]) -> EdgeRequest:
    query = message.get("q")
    if not isinstance(query, dict):
        raise MalformedFrame("a request without its fields")
    worker_port = _number(query, "worker")
    kind = _KINDS.get((_text(query, "method"), worker_port != 0))
    if kind is None:
        raise MalformedFrame("a request of a kind that is not asked")
    return EdgeRequest(
        kind=kind,
        transaction=(_number(message, "i"), _number(message, "l")),
        call_id=_text(query, "call_id"),
        cseq=_number(query, "cseq"),
        auth_user=_text(query, "user", ""),
        from_user=_text(query, "from", ""),
        request_user=_text(query, "to", ""),
        source=_text(query, "source"),
        savp=_number(query, "savp") == 1,
        worker_port=worker_port,
        leg_token=_text(query, "leg", ""),
        refer_to=_text(query, "refer_to", ""),
        content_type=_text(query, "type", ""),
        body=_body(query.get("body", "")),
        trunk=_text(query, "trunk", ""),
        to_user=_text(query, "to_user", ""),
        asserted=_text(query, "asserted", ""),
        private=query.get("private") == 1,
        g722=query.get("g722") == 1,
        understood=query.get("strange") != 1,
        ipv6=query.get("ipv6") == 1,
        from_tag=_text(query, "from_tag", ""),
        to_tag=_text(query, "to_tag", ""),
        emergency=query.get("emergency") == 1,
    )


def _text(message: Mapping[str, object], key: str, default: str | None = None) -> str:
    value = message.get(key, default)
    if not isinstance(value, str) or len(value) > _MAX_TEXT:
        raise MalformedFrame(f"{key} is no text of reasonable length")
    return value


def _certificate(message: Mapping[str, object]) -> str:
    value = message.get("pem")
    if not isinstance(value, str) or len(value) > _MAX_CERTIFICATE:
        raise MalformedFrame("pem is no text of reasonable length")
    return unquote(value)


def _number(message: Mapping[str, object], key: str) -> int:
    """Kamailio gives numbers as numbers or as digits, as it pleases."""
    value = message.get(key)
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 10:
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= _MAX_CSEQ:
        raise MalformedFrame(f"{key} is no number")
    return value


def _body(value: object) -> bytes:
    if not isinstance(value, str):
        raise MalformedFrame("body is no text")
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        raise MalformedFrame("body is no base64") from None


def _dump(message: Mapping[str, object]) -> bytes:
    return json.dumps(message, ensure_ascii=True, separators=(",", ":")).encode()
