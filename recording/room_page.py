"""A loopback page with a player, for the browser of one person: one-time address, cookie, ranges, nothing cached."""

import hmac
import http.cookies
import re
import secrets
import threading
from base64 import b64encode
from collections.abc import Callable
from datetime import datetime
from hashlib import sha256
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

from recording.format import State
from recording.playable import MEDIA_TYPES, Format, Playable, PlayableError
from recording.room_messages import BLOCK_BYTES
from recording.sealed_reader import SealError

_COOKIE: Final = "beffroi_room"
_RANGE: Final = re.compile(r"bytes=(\d*)-(\d*)")
_HOST: Final = re.compile(r"(127\.0\.0\.1|localhost)(:\d{1,5})?")  # any port: it may come through a tunnel
_STYLE: Final = "body{font:1rem sans-serif;margin:2rem auto;max-width:40rem;padding:0 1rem}audio{width:100%}"
_CSP: Final = (
    "default-src 'none'; media-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    f"style-src 'sha256-{b64encode(sha256(_STYLE.encode()).digest()).decode()}'"
)
_TEXTS: Final = {
    "en": {
        "title": "Listening room",
        "sides": "Left: the leg that called. Right: the leg that was called.",
        "until": "This page closes by itself at {time} UTC. Each opening is in the access log.",
        "cut": "This recording was cut: what was sealed until then is here, and nothing after it.",
    },
    "fr": {
        "title": "Salle d’écoute",
        "sides": "À gauche : la personne qui a appelé. À droite : la personne appelée.",
        "until": "Cette page se ferme d’elle-même à {time} UTC. Chaque ouverture figure au journal des accès.",
        "cut": "Cet enregistrement a été interrompu : ce qui était scellé jusque-là est ici, et rien après.",
    },
}


class RoomPage:
    """Serves until close(). The forms are made when first asked for."""

    def __init__(
        self, forms: dict[Format, Callable[[], Playable]], state: State, language: str, until: datetime
    ) -> None:
        self._makers = forms
        self._made: dict[Format, Playable] = {}
        self._making = threading.Lock()
        self._once = secrets.token_urlsafe(32)  # "" after its use
        self._secret = secrets.token_urlsafe(32)  # of the cookie
        self._spans: list[tuple[int, int]] = []  # bytes of the Ogg stream that were sent
        self.page: Final = _page(state, language, until)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self.url: Final = f"http://127.0.0.1:{self._server.server_port}/{self._once}"
        threading.Thread(target=self._server.serve_forever, args=(0.5,), daemon=True).start()

    def close(self) -> tuple[tuple[int, int], ...]:
        """Stop; which bytes of the Ogg stream were sent, merged, in order."""
        self._server.shutdown()
        self._server.server_close()
        return merged(self._spans)

    def admit(self, token: str) -> str | None:
        """The cookie for a one-time token; None if it is not the token, or was used."""
        with self._making:
            if not self._once or not hmac.compare_digest(self._once.encode(), token.encode()):
                return None
            self._once = ""
        return f"{_COOKIE}={self._secret}; HttpOnly; SameSite=Strict; Path=/"

    def knows(self, cookie_header: str) -> bool:
        """Whether the browser is the one that was admitted."""
        try:
            morsel = http.cookies.SimpleCookie(cookie_header).get(_COOKIE)
        except http.cookies.CookieError:
            return False
        return morsel is not None and hmac.compare_digest(morsel.value.encode(), self._secret.encode())

    def form(self, name: Format) -> Playable:
        """Made at the first call."""
        with self._making:
            if name not in self._made:
                self._made[name] = self._makers[name]()
            return self._made[name]

    def sent(self, start: int, end: int) -> None:
        """Note a span of the Ogg stream."""
        self._spans.append((start, end))


def merged(spans: list[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """Union of half-open spans: browsers ask for the same bytes several times."""
    union: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if union and start <= union[-1][1]:
            union[-1] = union[-1][0], max(end, union[-1][1])
        elif start < end:
            union.append((start, end))
    return tuple(union)


def byte_range(header: str | None, size_bytes: int) -> tuple[int, int] | None:
    """Half-open range of a single-range header (RFC 9110 section 14.2); the whole without; None if not satisfiable."""
    if header is None:
        return 0, size_bytes
    match = _RANGE.fullmatch(header.strip())
    if not match or match.groups() == ("", ""):
        return 0, size_bytes  # several ranges or another unit: a server may ignore the header
    first, last = match.groups()
    if not first:
        return (max(0, size_bytes - int(last)), size_bytes) if int(last) else None
    start, end = int(first), min(int(last) + 1, size_bytes) if last else size_bytes
    return (start, end) if start < end else None


def _page(state: State, language: str, until: datetime) -> bytes:
    texts = _TEXTS[language]
    cut = f"<p><strong>{texts['cut']}</strong></p>" if state == "cut" else ""
    sources = "".join(f'<source src="audio.{name}" type="{kind}">' for name, kind in MEDIA_TYPES.items())
    return (
        f'<!doctype html><html lang="{language}"><head><meta charset="utf-8"><title>{texts["title"]}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style></head><body><main>'
        f"<h1>{texts['title']}</h1>{cut}"
        f'<audio controls controlslist="nodownload" preload="metadata" aria-label="{texts["title"]}">{sources}</audio>'
        f"<p>{texts['sides']}</p><p>{texts['until'].format(time=f'{until:%H:%M}')}</p></main></body></html>"
    ).encode()


def _handler(room: RoomPage) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 30

        def log_message(self, *_: Any) -> None:
            """Addresses are secrets here."""

        def do_GET(self) -> None:
            if not _HOST.fullmatch(self.headers.get("Host", "")):  # DNS rebinding
                self._answer(HTTPStatus.MISDIRECTED_REQUEST)
            elif (cookie := room.admit(self.path[1:])) is not None:
                self._answer(HTTPStatus.SEE_OTHER, {"Location": "/", "Set-Cookie": cookie})
            elif not room.knows(self.headers.get("Cookie", "")):
                self._answer(HTTPStatus.NOT_FOUND)
            elif self.path == "/":
                self._answer(HTTPStatus.OK, {"Content-Type": "text/html; charset=utf-8"}, room.page)
            elif self.path == "/audio.ogg":
                self._audio("ogg")
            elif self.path == "/audio.wav":
                self._audio("wav")
            else:
                self._answer(HTTPStatus.NOT_FOUND)

        def _audio(self, name: Format) -> None:
            try:
                playable = room.form(name)
            except (PlayableError, SealError):
                self._answer(HTTPStatus.NOT_FOUND)
                return
            span = byte_range(self.headers.get("Range"), playable.size_bytes)
            if span is None:
                unsatisfied = {"Content-Range": f"bytes */{playable.size_bytes}"}
                self._answer(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, unsatisfied)
                return
            start, end = span
            partial = "Range" in self.headers
            self.send_response(HTTPStatus.PARTIAL_CONTENT if partial else HTTPStatus.OK)
            if partial:
                self.send_header("Content-Range", f"bytes {start}-{end - 1}/{playable.size_bytes}")
            self.send_header("Accept-Ranges", "bytes")
            self.send_header("Content-Type", MEDIA_TYPES[name])
            self._end_headers(end - start)
            at = start
            try:
                while at < end and (block := playable.read_at(at, min(BLOCK_BYTES, end - at))):
                    self.wfile.write(block)
                    at += len(block)
            except (OSError, SealError):  # the browser has enough, or the file changed under us
                self.close_connection = True
            if name == "ogg":
                room.sent(start, at)

        def _answer(self, status: HTTPStatus, headers: dict[str, str] | None = None, body: bytes = b"") -> None:
            self.send_response(status)
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            self._end_headers(len(body))
            self.wfile.write(body)

        def _end_headers(self, length_bytes: int) -> None:
            self.send_header("Content-Length", str(length_bytes))
            self.send_header("Cache-Control", "no-store")
            self.send_header("Content-Security-Policy", _CSP)
            self.send_header("Referrer-Policy", "no-referrer")
            self.send_header("X-Content-Type-Options", "nosniff")
            self.end_headers()

    return Handler
