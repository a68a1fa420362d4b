"""The portal as people and browsers meet it: a running instance with a name of its own and somebody in each role.

`Visitor` is a program that speaks HTTPS, for all that needs no browser: statuses, headers, forms that are sent wrongly.
What is about pages takes the fixture `browser` (tests.web.browsing).
"""

from __future__ import annotations

import asyncio
import http.client
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

from server.services import invitations
from server.services.actor import Actor
from server.services.context import Services, open_services
from server.web import cookies
from storage import accounts, people
from storage.people import ROLES
from tests.e2e import scene
from tests.e2e.scene import Reader
from tests.peers.product import READY_S, Product

HOST = "portal.beffroi.test"
PASSWORD = "correct horse battery staple"
SESSION = "__Host-session"
LOOK = "__Host-look"
LOCAL = "127.0.0.1"
_TOKEN = re.compile(r'name="form-token" content="([^"]+)"')


@dataclass
class Somebody(Reader):
    """A person of the portal; `code` gives one that was not used yet. `session` is one that is signed in already."""

    session: str = field(default="", repr=False)
    recovery: list[str] = field(default_factory=list)

    @property
    def password(self) -> str:
        return self.passphrase


@dataclass(frozen=True)
class Answer:
    status: int
    headers: http.client.HTTPMessage
    text: str

    @property
    def to(self) -> str:
        """Where it sends the browser."""
        return self.headers.get("Location", "")

    @property
    def form_token(self) -> str:
        found = _TOKEN.search(self.text)
        assert found, self.text[:500]
        return found[1]


def kept(session: str, language: str) -> dict[str, str]:
    """The cookies of somebody who has signed in before and has chosen that language; none for a stranger."""
    return {SESSION: session, LOOK: cookies.packed({"language": language})} if session else {}


class Visitor:
    """One browser's worth of cookies, without the browser. Follows no redirect."""

    def __init__(self, portal: Portal, session: str = "", language: str = "en") -> None:
        self.portal, self.language = portal, language
        self.cookies: dict[str, str] = kept(session, language)
        self._connection = _Connection(portal.product.web_port, portal.tls)

    def get(self, path: str, **headers: str) -> Answer:
        return self.ask("GET", path, None, headers)

    def post(self, path: str, fields: Mapping[str, str] = {}, *, token: str | None = None, **headers: str) -> Answer:  # noqa: B006
        """`token`: the form's; "" sends none. Without it, that of the page /sign-in, or of / where signed in."""
        if token is None:
            token = self.get("/" if self.cookies.get(SESSION) else "/sign-in").form_token
        body = urlencode({**fields, **({"form_token": token} if token else {})})
        return self.ask("POST", path, body, {"Content-Type": "application/x-www-form-urlencoded", **headers})

    def prove(self, who: Somebody) -> Visitor:
        """The second factor once more: it is fresh for ten minutes, in a browser with this session too."""
        answer = self.post("/step-up", {"code": who.code()})
        assert (answer.status, answer.to) == (303, "/"), answer.status
        return self

    def ask(self, method: str, path: str, body: str | None, headers: Mapping[str, str]) -> Answer:
        sent = {"Host": self.portal.authority, "Accept-Language": self.language}
        if self.cookies:
            sent["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        answer = self._sent(method, path, body, sent)
        live = answer.headers.get_content_type() == "text/event-stream"
        text = "" if live else answer.read().decode(errors="replace")
        if live:
            self._connection.close()
        for line in answer.headers.get_all("Set-Cookie", []):
            name, _, rest = line.partition("=")
            value, _, attributes = rest.partition(";")
            self.cookies.pop(name, None)
            if "max-age=0" not in attributes.lower():
                self.cookies[name] = value.strip('"')
        return Answer(answer.status, answer.headers, text)

    def _sent(self, method: str, path: str, body: str | None, sent: Mapping[str, str]) -> http.client.HTTPResponse:
        for attempt in range(2):
            try:
                self._connection.request(method, path, body, dict(sent))
                return self._connection.getresponse()
            except (http.client.HTTPException, OSError):  # it was closed in between, or the server was started anew
                self._connection.close()
                if attempt:
                    raise
        raise AssertionError


class _Connection(http.client.HTTPSConnection):
    """To loopback, whatever the name; the certificate has to be for the name."""

    def __init__(self, port: int, tls: ssl.SSLContext) -> None:
        super().__init__(LOCAL, port, timeout=20)
        self._tls = tls

    def connect(self) -> None:
        http.client.HTTPConnection.connect(self)
        self.sock = self._tls.wrap_socket(self.sock, server_hostname=HOST)


class Portal:
    """`people`: role -> somebody who holds that role alone. Each has an account, with extensions from 710 on."""

    def __init__(self, directory: Path, seed: tuple[Path, dict[str, Any]]) -> None:
        self.product = Product(directory, *seed)
        self.product.configure(web__host=HOST)
        self.product.cli("quickstart")  # a certificate for that name
        self.people: dict[str, Somebody] = asyncio.run(self._house())
        self.tls = ssl.create_default_context(cafile=str(self.product.ca))

    @property
    def authority(self) -> str:
        return f"{HOST}:{self.product.web_port}"

    @property
    def origin(self) -> str:
        return f"https://{self.authority}"

    def wait_served(self) -> None:
        """The portal comes after the telephones."""
        scene.until(self._is_served, f"{self.origin} is served\n{self.product.logs()}", timeout_s=READY_S)

    def _is_served(self) -> bool:
        try:
            return self.visitor().get("/sign-in").status == 200
        except OSError:
            return False

    def visitor(self, who: Somebody | None = None, language: str = "en") -> Visitor:
        return Visitor(self, who.session if who else "", language)

    def invite(self, login: str, role: str = "employee", language: str = "en") -> str:
        """A new person; the path of their first link."""
        self.product.cli("person", "add", login, login.title(), "--roles", role, "--language", language)
        said = self.product.cli("person", "invite", login)
        link = re.search(rf"{re.escape(self.origin)}(/invitation/\S+)", said)
        assert link, said
        return link[1]

    async def _house(self) -> dict[str, Somebody]:
        async with open_services(self.product.data) as services:
            made = {}
            for number, role in enumerate(sorted(ROLES)):
                async with services.db.transaction() as tx:
                    login = f"{role}-one"
                    person = await people.add(tx, login, f"{role.title()} One", services.clock(), roles=[role])
                    name = f"of-{role}"
                    await accounts.add(tx, name, str(710 + number), name, services.clock(), person_id=person.id)
                made[role] = await enrolled(services, login)
            return made


async def enrolled(services: Services, login: str) -> Somebody:
    """By the way that everybody goes: invited, a password, an authenticator."""
    shown = await invitations.create(services, Actor("system", "test"), login=login)
    token = urlsplit(shown.link).path.rpartition("/")[2]
    challenge = await invitations.accept(services, token=token, password=PASSWORD, source=LOCAL)
    offer = await invitations.enrol_totp_offer(services, challenge=challenge.token)
    somebody = Somebody(login, PASSWORD, offer.secret)
    signed_in, somebody.recovery = await invitations.enrol_totp(
        services, challenge=challenge.token, code=somebody.code(), source=LOCAL
    )
    somebody.session = signed_in.session_token
    return somebody
