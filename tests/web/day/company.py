"""A company in which people work: a running instance, a provider with Doris behind it, a message centre, Clara's phone.

Everybody is there twice, once in English and once in French, and has nothing yet but the link of an invitation.
"""

from __future__ import annotations

import base64
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from recording import keys as key_tools
from recording.reader_bundle import ReaderSecret, seal_reader
from server.services import operations
from server.services.actor import Actor
from server.services.context import Services, open_services
from storage import people, readers
from storage.readers import ReaderKey
from tests.e2e import scene
from tests.e2e.outside import DORIS, DORIS_DIALLED, MAIN, add_trunk
from tests.e2e.scene import Reader
from tests.peers import tones
from tests.peers.baresip import Phone
from tests.peers.message_centre import MessageCentre, connect
from tests.peers.ports import Ports
from tests.peers.provider import Provider
from tests.web.portal import Portal, Somebody

ROOT = Path(__file__).resolve().parents[3]
LANGUAGES = ("en", "fr")
PURPOSE = "REC_QUALITY"
LINE, LINE_NUMBER = "care", MAIN
SENDER = "+33162000001"
OWN = {"en": "+33170000002", "fr": "+33170000012"}  # of the employee: "direct-en", "direct-fr", recorded with consent
READS = ("employee", "quality", "legal")  # hold a reader's key
TALKS = ("employee", "supervisor", "quality")  # have an account
ROLES = ("employee", "supervisor", "quality", "legal", "compliance", "dpo", "admin", "security", "auditor")
ALSO = {"deputy": "dpo", "second": "dpo", "victim": "employee"}  # whom others have to do with
_TEST = Actor("system", "test")


@dataclass
class Newcomer:
    """Somebody who was invited. `role` is also what they are called. `key`: of those who open what is sealed."""

    role: str
    language: str
    name: str
    link: str = field(repr=False)
    key: Reader | None = None

    @property
    def login(self) -> str:
        return f"{self.role}-{self.language}"


class Company(Portal):
    """`staff[role, language]`: who begins their day. `doris` calls from outside, `clara` answers the line."""

    def __init__(self, directory: Path, seed: tuple[Path, dict[str, Any]]) -> None:
        self.staff: dict[tuple[str, str], Newcomer] = {}
        self._objected = False
        super().__init__(directory, seed)
        scene.speak_in_tones(self.product)
        self.product.configure(company__country="FR", calls__ring_timeout_s=15, policy__approvals=2)

    async def _house(self) -> dict[str, Somebody]:
        async with open_services(self.product.data) as services:
            await self._people(services)
            await self._switchboard(services)
        return {}

    async def _people(self, services: Services) -> None:
        for role in (*ROLES, *ALSO):
            for language in LANGUAGES:
                login, held = f"{role}-{language}", ALSO.get(role, role)
                roles = [held, "reader"] if role in READS else [held]
                name = f"{role.title()} {language.title()}"
                await ask(services, "person.add", login=login, name=name, roles=roles, language=language)
                key = await enrolled(services, login) if role in READS else None
                if role in ("quality", "legal"):
                    await ask(services, "person.grant", login=login, purpose=PURPOSE)
                invited = await ask(services, "person.invite", login=login)
                self.staff[role, language] = Newcomer(role, language, name, invited["link"], key)

    async def _switchboard(self, services: Services) -> None:
        standard = {"metadata_class": "standard", "language": "fr"}
        for place, role in enumerate(TALKS):
            for language in LANGUAGES:
                login = f"{role}-{language}"
                extension = f"7{place}{LANGUAGES.index(language) + 1}"
                name = self.staff[role, language].name
                await ask(
                    services,
                    "account.add",
                    name=login,
                    extension=extension,
                    person=login,
                    display_name=name,
                    **standard,
                )
        await ask(services, "account.add", name="clara", extension="790", display_name="Clara", **standard)
        members = ["clara", *(f"{role}-{language}" for role in ("supervisor", "quality") for language in LANGUAGES)]
        recorded = {"pack": PURPOSE, "consent": "opt_in", **standard}
        await ask(services, "line.add", name=LINE, number="800", members=members, **recorded)
        await ask(services, "number.add", number=LINE_NUMBER, line=LINE, shared=True)
        for place, (language, number) in enumerate(OWN.items()):
            members, name = [f"employee-{language}"], f"direct-{language}"
            await ask(services, "line.add", name=name, number=f"81{place}", members=members, **recorded)
            await ask(services, "number.add", number=number, line=name)
        await ask(services, "inbox.add", name=LINE)
        for language in LANGUAGES:
            login = f"employee-{language}"
            await ask(services, "inbox.member", inbox=LINE, login=login, reading=True, sending=True, sent=True)
        await ask(
            services,
            "inbox.sender.add",
            inbox=LINE,
            address=SENDER,
            classes=["conversation"],
            approved_by="admin-en",
        )

    # --- the world outside --------------------------------------------------------------------------------------------

    @contextmanager
    def open(self) -> Iterator[Company]:
        """With all that works in it, until the end of the working day."""
        ports = Ports(200)
        with (
            MessageCentre(self.directory / "journal") as self.centre,
            Provider(self.directory / "provider", ports) as self.provider,
        ):
            connect(self.product, self.centre)
            with self.product:
                add_trunk(self.product, "main", self.provider)
                self.clara = self.product.phone("clara", "clara", "tls", says=tones.tone(500, 90), answer="auto")
                also = ("0033612345678", DORIS_DIALLED)
                self.doris = self.provider.phone("doris", DORIS, also=also, says=tones.tone(650, 90), answer="auto")
                with self.clara, self.doris:
                    self.clara.registered()
                    self.provider.wait_registered()
                    self.wait_served()
                    yield self
        ports.close()

    @property
    def directory(self) -> Path:
        return self.product.directory

    def texts(self, words: str) -> None:
        """Doris sends a text to the company."""
        self.centre.brings(secrets.token_hex(4), DORIS, SENDER, words)

    def texted(self) -> list[bytes]:
        """What the network was given for her."""
        return self.centre.given().get(DORIS, [])

    @contextmanager
    def call_of_doris(self, number: str) -> Iterator[Phone]:
        """She calls, is answered, agrees to being recorded, and hangs up at the end."""
        since = len(self.doris.events)
        with self.recorded():
            self.doris.dial(number)
            self.doris.wait("CALL_ESTABLISHED", since=since, timeout=20)
            self.agrees()
        try:
            yield self.doris
        finally:
            self.doris.hang_up()
            self.doris.wait("CALL_CLOSED", since=since)

    def an_objection(self) -> None:
        """Doris agrees, and then does not: what was recorded is destroyed. Once: a policy may forbid the next one."""
        if self._objected:
            return
        with self.call_of_doris(LINE_NUMBER) as doris:
            doris.press("2")
            scene.until(self._is_destroyed, "the recording is destroyed", 20, 0.3)
        self._objected = True

    def _is_destroyed(self) -> bool:
        return any(one["state"] == "destroyed" for one in scene.recordings(self.product))

    def agrees(self) -> None:
        scene.talk(scene.PROMPT_S / 2)
        self.doris.press("1")

    @contextmanager
    def recorded(self) -> Iterator[None]:
        """What is done in it leads to one more recording."""
        before = self.product.metric("beffroi_calls_recorded_total")
        yield
        scene.until(lambda: self.product.metric("beffroi_calls_recorded_total") > before, "it is recorded", 20)

    def quiet(self) -> None:
        scene.until(lambda: not scene.live_calls(self.product), "no call is left", timeout_s=15, every_s=0.2)


async def ask(services: Services, operation: str, /, **arguments: object) -> Mapping[str, Any]:
    answer = await operations.call(operation, services, _TEST, arguments)
    assert isinstance(answer, Mapping)
    return answer


async def enrolled(services: Services, login: str) -> Reader:
    """A reader's key, made as `beffroi reader enrol` makes it."""
    passphrase = f"a long passphrase of {login}"
    totp = base64.b32encode(secrets.token_bytes(20)).decode()
    async with services.db.transaction() as tx:
        person = await people.by_login(tx, login)
        public, secret = key_tools.generate_reader()
        bundle = seal_reader(ReaderSecret(person.id, secret, totp), passphrase)
        await readers.set_key(tx, ReaderKey(person.id, key_tools.algorithm(public), public, bundle, services.clock()))
        await readers.set_totp(tx, person.id, b"")
    return Reader(login, passphrase, totp)
