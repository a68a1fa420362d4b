"""A house whose people sign in: an admin, and alice with an account, on a clock that tests move."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyotp
import pytest

from config import settings as configuration
from config.paths import Paths
from server.failure import Failure
from server.rights import Identity
from server.services import invitations, sign_in
from server.services.actor import Actor
from server.services.context import ServerKeys, Services
from server.services.sign_in import Challenge, SignedIn
from storage import accounts, ledger, people
from storage.database import Database
from storage.people import Person
from tests.peers.authenticator import Authenticator

NOW = datetime(2026, 11, 29, 9, 0, 10, tzinfo=UTC)
HOST = "phone.example.org"
ORIGIN = f"https://{HOST}"
SETTINGS = f'[web]\nhost = "{HOST}"\nlisten = "127.0.0.1:8443"\nport = 443\n'
PASSWORD = "seven otters ate my umbrella"  # noqa: S105 - of nobody
HERE, ELSEWHERE = "192.0.2.7", "198.51.100.9"
OWNER = Actor("os:1000", "console")


class SignInHouse:
    def __init__(self, db: Database, keys: Any, ledger_key: Any, data: Path) -> None:
        self.now = NOW
        server_keys = ServerKeys(keys, ledger_key, ledger_key)
        settings = configuration.parse(SETTINGS)
        self.services = Services(db, Paths(data), settings, server_keys, clock=lambda: self.now)
        self.persons: dict[str, Person] = {}
        self.secrets: dict[str, str] = {}  # login -> of the authenticator program
        self.codes: dict[str, list[str]] = {}  # login -> recovery codes

    async def make(self) -> None:
        async with self.services.db.transaction() as tx:
            for login, held in {"ada": ["admin"], "alice": ["employee"], "bob": ["employee", "supervisor"]}.items():
                self.persons[login] = await people.add(tx, login, login.title(), NOW, roles=held, language="en")
            await accounts.add(tx, "alice", "101", "Alice", NOW, person_id=self.persons["alice"].id)

    def restart(self) -> None:
        """As after a restart of the daemon: what was in memory is gone."""
        old = self.services
        self.services = Services(old.db, old.paths, old.settings, old.keys, clock=lambda: self.now)

    def later(self, **how_much: float) -> None:
        self.now += timedelta(**how_much)

    def code(self, login: str) -> str:
        """What the authenticator program shows now."""
        return pyotp.TOTP(self.secrets[login]).at(self.now)

    async def invited(self, login: str) -> str:
        """The token of a link."""
        made = await invitations.create(self.services, OWNER, login=login)
        assert made.link.startswith(f"{ORIGIN}/invitation/")
        return made.link.rpartition("/")[2]

    async def invited_and_begun(self, login: str) -> Challenge:
        """A first sign-in that waits for its second factor."""
        token = await self.invited(login)
        return await invitations.accept(self.services, token=token, password=PASSWORD, source=HERE)

    async def enrolled(self, login: str, password: str = PASSWORD) -> SignedIn:
        """The first sign-in, with an authenticator program; half a minute later."""
        token = await self.invited(login)
        begun = await invitations.accept(self.services, token=token, password=password, source=HERE)
        offered = await invitations.enrol_totp_offer(self.services, challenge=begun.token)
        self.secrets[login] = offered.secret
        signed_in, self.codes[login] = await invitations.enrol_totp(
            self.services, challenge=begun.token, code=self.code(login), source=HERE
        )
        self.later(seconds=30)
        return signed_in

    async def with_passkey(self, login: str) -> tuple[SignedIn, Authenticator]:
        """The first sign-in, with a passkey."""
        token = await self.invited(login)
        begun = await invitations.accept(self.services, token=token, password=PASSWORD, source=HERE)
        asked = await invitations.enrol_passkey_request(self.services, challenge=begun.token)
        key = Authenticator(ORIGIN)
        signed_in, self.codes[login] = await invitations.enrol_passkey(
            self.services, challenge=begun.token, name="laptop", answer=key.create(asked), source=HERE
        )
        return signed_in, key

    async def start(self, login: str, password: str = PASSWORD, **how: str) -> Challenge:
        how = {"source": HERE, **how}
        return await sign_in.start(self.services, login=login, password=password, **how)

    async def sign_in(self, login: str, **how: str) -> SignedIn:
        """Password and code; half a minute later, so that the next code is another."""
        begun = await self.start(login, **how)
        source = how.get("source", HERE)
        done = await sign_in.finish_totp(self.services, challenge=begun.token, code=self.code(login), source=source)
        self.later(seconds=30)
        return done

    async def now_of(self, signed_in: SignedIn) -> Identity:
        """Who that session is now."""
        found = await sign_in.identify(self.services, session_token=signed_in.session_token)
        assert found is not None
        return found

    async def entries(self, subject: str | None = None) -> list[dict[str, Any]]:
        """Of the access log, about this."""
        async with self.services.db.read() as tx:
            every = [json.loads(entry.body) for entry in await ledger.entries(tx, "access")]
        return [entry for entry in every if subject is None or entry.get("object") == subject]


async def refused(asked: Any) -> Failure:
    """How something was refused."""
    with pytest.raises(Failure) as caught:
        await asked
    return caught.value
