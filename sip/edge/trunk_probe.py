"""Ask a provider, from here and now, whether it can be reached and whether it takes our credential.

Two questions, neither of which changes anything: OPTIONS (RFC 3261 section 11), and a REGISTER without Contact, which
only asks what is registered (section 10.2.3) and has to be answered as our registration would be. What comes back is
sorted; the words for it are the caller's.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import secrets
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Literal

ANSWER_S = 6.0
_RESEND_S = (0.5, 1.0, 2.0)  # RFC 3261 section 17.1.2.2, over UDP
_MAX_BYTES = 65536
_PARAM = re.compile(r'(\w+)\s*=\s*(?:"([^"]*)"|([^\s,]+))')

Verdict = Literal[
    "answered",
    "name",  # it does not resolve
    "refused",  # nobody listens there
    "silent",
    "certificate",
    "no_tls",
    "unreachable",
    "accepted",
    "wrong_password",
    "other_realm",  # `detail` names it
    "no_digest",  # of a kind that we know
    "forbidden",
    "unknown_user",
    "no_register",
    "failed",
]


@dataclass(frozen=True, slots=True)
class Target:
    """Whom to ask, and as whom."""

    host: str
    port: int
    transport: str  # udp, tcp, tls
    domain: str
    user: str = ""
    realm: str = ""
    ha1: str = field(default="", repr=False)
    authorities: str = ""  # file of certificates that vouch for it; "": those that this machine trusts


@dataclass(frozen=True, slots=True)
class Answer:
    """`code` and `text` of the reply that decided, 0 and "" where there was none; `detail`: of TLS, or the realm."""

    verdict: Verdict
    code: int = 0
    text: str = ""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Probed:
    """`credential` is None where there is none to try, or where nobody answered."""

    contact: Answer
    credential: Answer | None = None


@dataclass(frozen=True, slots=True)
class _Reply:
    code: int
    text: str
    headers: tuple[tuple[str, str], ...]

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key == name]


_Ask = Callable[[bytes], Awaitable[_Reply]]


@dataclass(frozen=True, slots=True)
class _Way:
    """An open way to the provider: how to ask, and our own address on it."""

    ask: _Ask
    local: str  # "192.0.2.1:5060", "[2001:db8::1]:5060"


class _Silent(Exception):
    pass


async def probe(target: Target, *, answer_s: float = ANSWER_S) -> Probed:
    """Both questions. Raises nothing for what a provider or a network may do."""
    try:
        async with _way(target, answer_s) as way:
            return await _questions(target, way)
    except socket.gaierror:
        return Probed(Answer("name"))
    except ConnectionRefusedError:
        return Probed(Answer("refused"))
    except ssl.SSLCertVerificationError as error:
        return Probed(Answer("certificate", detail=error.verify_message))
    except ssl.SSLError as error:
        return Probed(Answer("no_tls", detail=_harmless(error.reason or "")))
    except (_Silent, TimeoutError):
        return Probed(Answer("silent"))
    except (OSError, EOFError, asyncio.LimitOverrunError) as error:
        return Probed(Answer("unreachable", detail=getattr(error, "strerror", None) or "the connection was closed"))


async def _questions(target: Target, way: _Way) -> Probed:
    reply = await way.ask(_request("OPTIONS", target, way.local, secrets.token_hex(12), 1))
    contact = Answer("answered", reply.code, reply.text)
    if not (target.user and target.ha1):
        return Probed(contact)
    try:
        return Probed(contact, await _credential(target, way))
    except (_Silent, TimeoutError, OSError, EOFError, asyncio.LimitOverrunError):
        return Probed(contact, Answer("silent"))


async def _credential(target: Target, way: _Way) -> Answer:
    dialog = secrets.token_hex(12)
    reply = await way.ask(_request("REGISTER", target, way.local, dialog, 1))
    for cseq in (2, 3):
        if reply.code not in (401, 407):
            return _judged(reply)
        name = "www-authenticate" if reply.code == 401 else "proxy-authenticate"
        challenges = [_params(value) for value in reply.all(name) if value.lower().startswith("digest")]
        fit = next((one for one in challenges if one.get("algorithm", "MD5").upper() == "MD5"), None)
        if fit is None:
            return Answer("no_digest", reply.code, reply.text)
        if fit.get("realm", "") != target.realm:
            return Answer("other_realm", reply.code, reply.text, _harmless(fit.get("realm", "")))
        if cseq == 3 and fit.get("stale", "").lower() != "true":
            return Answer("wrong_password", reply.code, reply.text)
        header = "Authorization" if reply.code == 401 else "Proxy-Authorization"
        answer = _digest(target, fit)
        reply = await way.ask(_request("REGISTER", target, way.local, dialog, cseq, f"{header}: {answer}\r\n"))
    return Answer("wrong_password", reply.code, reply.text) if reply.code in (401, 407) else _judged(reply)


def _judged(reply: _Reply) -> Answer:
    verdicts: dict[int, Verdict] = {403: "forbidden", 404: "unknown_user", 405: "no_register", 501: "no_register"}
    verdict = "accepted" if 200 <= reply.code < 300 else verdicts.get(reply.code, "failed")
    return Answer(verdict, reply.code, reply.text)


def _digest(target: Target, challenge: dict[str, str]) -> str:
    """RFC 7616 section 3.4, MD5 with qop=auth, or without qop (RFC 2069)."""
    uri, nonce = f"sip:{target.domain}", challenge.get("nonce", "")
    ha2 = _md5(f"REGISTER:{uri}")
    said = f'Digest username="{target.user}", realm="{target.realm}", nonce="{nonce}", uri="{uri}", algorithm=MD5'
    if "auth" in re.split(r"[\s,]+", challenge.get("qop", "")):
        cnonce = secrets.token_hex(8)
        response = _md5(f"{target.ha1}:{nonce}:00000001:{cnonce}:auth:{ha2}")
        said += f', qop=auth, nc=00000001, cnonce="{cnonce}"'
    else:
        response = _md5(f"{target.ha1}:{nonce}:{ha2}")
    said += f', response="{response}"'
    return said + (f', opaque="{challenge["opaque"]}"' if "opaque" in challenge else "")


def _md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def _params(value: str) -> dict[str, str]:
    return {name.lower(): quoted or bare for name, quoted, bare in _PARAM.findall(value)}


def _request(method: str, target: Target, local: str, dialog: str, cseq: int, more: str = "") -> bytes:
    user = target.user or "beffroi"
    address = f"<sip:{user}@{target.domain}>"
    return (
        f"{method} sip:{target.domain} SIP/2.0\r\n"
        f"Via: SIP/2.0/{target.transport.upper()} {local};branch=z9hG4bK{secrets.token_hex(8)};rport\r\n"
        f"Max-Forwards: 70\r\n"
        f"From: {address};tag={dialog[:8]}\r\n"
        f"To: {address if method == 'REGISTER' else f'<sip:{target.domain}>'}\r\n"
        f"Call-ID: {dialog}\r\n"
        f"CSeq: {cseq} {method}\r\n"
        f"{more}"
        "Content-Length: 0\r\n\r\n"
    ).encode()


# --- ways ---------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def _way(target: Target, answer_s: float) -> AsyncIterator[_Way]:
    if target.transport == "udp":
        async with _datagrams(target, answer_s) as way:
            yield way
    else:
        async with _stream(target, answer_s) as way:
            yield way


@asynccontextmanager
async def _stream(target: Target, answer_s: float) -> AsyncIterator[_Way]:
    context = ssl.create_default_context(cafile=target.authorities or None) if target.transport == "tls" else None
    async with asyncio.timeout(answer_s):
        reader, writer = await asyncio.open_connection(target.host, target.port, ssl=context, limit=_MAX_BYTES)

    async def ask(request: bytes) -> _Reply:
        async with asyncio.timeout(answer_s):
            writer.write(request)
            await writer.drain()
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).lstrip(b"\r\n")
                reply = _parsed(head)
                if reply is None:
                    continue  # a keep-alive, or a request of the provider's own
                length = next(iter(reply.all("content-length") or reply.all("l")), "0")
                await reader.readexactly(min(int(length) if length.isdigit() else 0, _MAX_BYTES))
                if reply.code >= 200:
                    return reply

    try:
        yield _Way(ask, _place(writer.get_extra_info("sockname")))
    finally:
        writer.transport.abort()


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self) -> None:
        self.replies: asyncio.Queue[_Reply | OSError] = asyncio.Queue()

    def datagram_received(self, data: bytes, _addr: object) -> None:
        reply = _parsed(data.partition(b"\r\n\r\n")[0] + b"\r\n\r\n")
        if reply is not None and reply.code >= 200:
            self.replies.put_nowait(reply)

    def error_received(self, exc: Exception) -> None:
        self.replies.put_nowait(exc if isinstance(exc, OSError) else OSError(str(exc)))


@asynccontextmanager
async def _datagrams(target: Target, answer_s: float) -> AsyncIterator[_Way]:
    loop = asyncio.get_running_loop()
    transport, protocol = await loop.create_datagram_endpoint(_Datagrams, remote_addr=(target.host, target.port))

    async def ask(request: bytes) -> _Reply:
        while not protocol.replies.empty():  # a reply to an earlier question that was sent twice
            protocol.replies.get_nowait()
        try:
            async with asyncio.timeout(answer_s):
                for pause_s in (*_RESEND_S, answer_s):
                    transport.sendto(request)
                    try:
                        async with asyncio.timeout(pause_s):
                            said = await protocol.replies.get()
                    except TimeoutError:
                        continue
                    if isinstance(said, OSError):
                        raise said
                    return said
        except TimeoutError:
            pass
        raise _Silent

    try:
        yield _Way(ask, _place(transport.get_extra_info("sockname")))
    finally:
        transport.close()


def _place(sockname: tuple[str, int]) -> str:
    host, port = sockname[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _parsed(head: bytes) -> _Reply | None:
    """None for what is no reply. Header names in lower case, values unfolded."""
    lines = re.sub(r"\r\n[ \t]+", " ", head.decode("utf-8", "replace")).split("\r\n")
    found = re.fullmatch(r"SIP/2\.0 ([1-6][0-9]{2})(?: (.*))?", lines[0])
    if found is None:
        return None
    pairs = (line.partition(":") for line in lines[1:] if ":" in line)
    headers = tuple((name.strip().lower(), value.strip()) for name, _, value in pairs)
    return _Reply(int(found[1]), _harmless(found[2] or ""), headers)


def _harmless(text: str) -> str:
    """What somebody else has written, for a terminal and to be typed again."""
    return re.sub(r"[^\w .,@:/+-]", "?", text, flags=re.ASCII)[:80]
