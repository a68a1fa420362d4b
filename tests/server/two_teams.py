"""Two teams that share nothing but one call: of each, everything that an operation could show."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from server.rights import Identity, Reach
from server.services.context import Services
from sip.calls.control import LiveCall
from storage import accounts, ageing, call_records, devices, diagnoses, keys, lines, mail_logins, people, recordings
from storage.call_records import CallRecord
from storage.diagnoses import CallDiagnosis
from storage.keys import Kek
from storage.recordings import Party
from storage.tx import Tx

NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)
OUTSIDE = "+33612345678"
TEAMS = {"sales": ("alice", "bob"), "support": ("carol", "dave")}
EXTENSIONS = {"alice": "101", "bob": "102", "carol": "201", "dave": "202"}
NUMBERS = {"sales": "300", "support": "400"}
FACTS: Mapping[str, Any] = {
    **{"cause": "callee-hung-up", "code": 200, "transfers": 0, "troubles": [], "legs": [], "ladder": []},
    **{"verdicts": [{"id": "worker-crashed", "leg": "", "values": {}}], "left_out": 0, "mos_centi": 420},
}


class Calls:
    """Call control with a call of each account, and one for help that is nobody's."""

    def __init__(self, teams: TwoTeams) -> None:
        self.teams = teams
        self.touched: list[str] = []

    def live(self) -> list[LiveCall]:
        ids = self.teams.accounts
        own = [
            LiveCall(self.teams.live[name], None, NOW, True, 1, ids[name], accounts=frozenset({ids[name]}))
            for name in ids
        ]
        ringing = LiveCall(self.teams.live["ringing"], None, NOW, False, 1, None, accounts=frozenset({ids["bob"]}))
        line = LiveCall(self.teams.live["line"], self.teams.lines["support"], NOW, False, 1)
        return [*own, ringing, line, LiveCall(self.teams.live["help"], None, NOW, False, 2, emergency=True)]

    def hang_up(self, call_id: str) -> bool:
        self.touched.append(call_id)
        return True

    def pause(self, call_id: str, on: bool) -> bool:
        self.touched.append(call_id)
        return True

    async def transfer(self, call_id: str, side: str, number: str) -> None:
        self.touched.append(call_id)


@dataclass
class TwoTeams:
    services: Services
    accounts: dict[str, str] = field(default_factory=dict)  # name -> id
    people: dict[str, str] = field(default_factory=dict)
    lines: dict[str, str] = field(default_factory=dict)
    calls: dict[str, str] = field(default_factory=dict)  # what it is -> id
    recordings: dict[str, str] = field(default_factory=dict)
    devices: dict[str, str] = field(default_factory=dict)  # account -> auth user
    mail: dict[str, str] = field(default_factory=dict)  # account -> login
    live: dict[str, str] = field(default_factory=dict)

    async def make(self) -> None:
        async with self.services.db.transaction() as tx:
            for name, extension in EXTENSIONS.items():
                person = await people.add(tx, name, name.capitalize(), NOW)
                began = NOW - timedelta(days=300)
                made = await accounts.add(tx, name, extension, name, began, person_id=person.id)
                self.people[name], self.accounts[name] = person.id, made.id
                self.devices[name] = f"{name}-phone"
                await devices.add(tx, made.id, "phone", f"{name}-phone", "f" * 32, NOW)
                login = await mail_logins.add(tx, made.id, "mail", f"{name}-mail", b"v", [f"{name}@x.example"], NOW)
                self.mail[name] = login.login
            for team, members in TEAMS.items():
                ids = [self.accounts[name] for name in members]
                self.lines[team] = (await lines.add(tx, team, NUMBERS[team], NOW, members=ids)).id
            kek = Kek("k" * 32, "REC_QUALITY", "2026-W47.1", "X", b"p", b"s", NOW, NOW + timedelta(days=7), None)
            await keys.add_kek(tx, kek, [])
            for hours, name in enumerate(EXTENSIONS, 1):
                await self.call(tx, f"outside {name}", {"caller": EXTENSIONS[name], "callee": OUTSIDE}, hours=hours)
                await self.call(tx, f"keyed {name}", {"caller": OUTSIDE, "callee": EXTENSIONS[name]}, days=250)
                await self.age(tx, f"keyed {name}")
                await self.call(tx, f"predecessor {name}", {"caller": EXTENSIONS[name], "callee": OUTSIDE}, days=301)
                await self.call(tx, f"aged {name}", {}, days=260)
            await self.call(tx, "between", {"caller": EXTENSIONS["alice"], "callee": EXTENSIONS["carol"]})
            for team, number in NUMBERS.items():
                await self.call(tx, f"line {team}", {"caller": OUTSIDE, "callee": number}, line=team)
            for name, account_id in self.accounts.items():
                await self.recording(tx, name, f"outside {name}", account_id, EXTENSIONS[name])
            # Passed on to a colleague of the other team: one part each.
            await self.recording(tx, "passed on", "outside alice", self.accounts["carol"], EXTENSIONS["carol"])
            await self.recording(tx, "line sales", "line sales", self.accounts["bob"], NUMBERS["sales"], "sales")
            await self.recording(tx, "line support", "line support", self.accounts["dave"], NUMBERS["support"])
        self.live = {name: secrets.token_hex(16) for name in (*EXTENSIONS, "ringing", "line", "help")}
        self.services.calls = Calls(self)  # type: ignore[assignment]

    async def call(
        self, tx: Tx, what: str, numbers: dict[str, str], *, days: int = 0, hours: int = 0, line: str | None = None
    ) -> None:
        call_id, at = secrets.token_hex(16), NOW - timedelta(days=days, hours=hours)
        self.calls[what] = call_id
        record = CallRecord(
            call_id, self.lines[line] if line else None, "standard", "CDR_STANDARD", "6(1)(f)", at,
            NOW + timedelta(days=400), {"direction": "outbound", "start": at.isoformat()}, None,
        )  # fmt: skip
        await call_records.add(tx, record, numbers)
        await diagnoses.add(tx, CallDiagnosis(call_id, at, NOW + timedelta(days=7), "worker-crashed", 420, FACTS))

    async def age(self, tx: Tx, what: str) -> None:
        """Its numbers become hashes of its month."""
        (stored,) = await ageing.load(tx, [self.calls[what]])
        await ageing.become(
            tx, stored.call_id, at=stored.at, expires_at=stored.expires_at, fields={"direction": "inbound"},
            numbers={}, to_key=stored.numbers, keyed=True, ages_at=None, month=f"{stored.at:%Y-%m}", now=NOW,
        )  # fmt: skip

    async def recording(
        self, tx: Tx, what: str, call: str, account_id: str, number: str, line: str | None = None
    ) -> None:
        self.recordings[what] = secrets.token_hex(16)
        await recordings.start(
            tx, self.recordings[what], call_id=self.calls[call], purpose="REC_QUALITY", pack_version="1",
            legal_basis="6(1)(f)", expires_at=NOW + timedelta(days=90), codec="opus", rate_hz=8000, channels=2,
            started_at=NOW, kek_id="k" * 32, consent_refs=[1], line_id=self.lines[line] if line else None,
            parties=[Party(0, "1" * 32, account_id, number), Party(1, "2" * 32, None, OUTSIDE)],
        )  # fmt: skip
        await call_records.set_recording(tx, self.calls[call], self.recordings[what])

    def identity(self, name: str, reach: Reach, rights: tuple[str, ...]) -> Identity:
        team = next(members for members in TEAMS.values() if name in members)
        until = NOW + timedelta(minutes=5)
        grants = dict.fromkeys(rights, reach)
        own = frozenset({name})
        return Identity(self.people[name], name, "en", grants, own, frozenset(team), "s" * 32, None, until)
