"""What happens to the house in its year, one happening after the other, each written into the diary."""

from __future__ import annotations

import asyncio
import random
import secrets
import shutil
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

from config import packs
from config.periods import Period
from recording import vault
from retention.contact_case import ATTEMPTS_PACK, EVIDENCE_PACK, kept_until
from retention.gate import DestructionRefused
from server.failure import Failure
from server.services import holds as hold_service
from server.services import lines as line_service
from server.services import number_requests, policies, policy_register, recording_orders
from server.sweeper import Sweeper, plans_for
from storage import (
    consents,
    contact_attempts,
    contact_references,
    emergency_calls,
    expiry,
    holds,
    recordings,
    usage,
)
from storage.emergency_calls import EmergencyCall
from storage.errors import Unavailable
from tests.year import almanac, trouble
from tests.year.almanac import DAY, Happening
from tests.year.diary import stamp
from tests.year.house import DPO, OFFICER, House, act

LATER = timedelta(minutes=20)
SAMPLED = "REC_QUALITY"
_COMMON: dict[str, Any] = {"channel": "voice", "purpose": "telecom", "legal_basis": "law"}


class Life:
    """`url`: of the database, for sweeps in processes of their own."""

    def __init__(self, house: House, url: str) -> None:
        self._house = house
        self._url = url
        self._troubles: list[str] = []  # that wait for a sweep with something to do
        self._holds: list[str] = []  # that stand
        self._policy_number = 0  # of the version in force
        self.met: set[str] = set()  # troubles that came

    async def live(self, happenings: list[Happening]) -> None:
        await self._before()
        deeds: dict[str, Callable[[dict[str, Any], random.Random], Awaitable[None]]] = {
            "call": self._call, "recorded": self._call, "hold": self._hold, "lift": self._lift, "sweep": self._sweep,
            "objection": self._objection, "trouble": self._trouble, "mischief": self._mischief, "policy": self._policy,
            "contact": self._contact, "withdrawal": self._withdrawal, "emergency": self._emergency,
            "usage": self._usage, "version": self._version, "event": self._event, "ordered": self._ordered,
            "request": self._request,
        }  # fmt: skip
        for happening in happenings:
            self._house.until(happening.at)
            await deeds[happening.what](happening.about, trouble.draw(happening.draw))
        self._house.diary.write("end", self._house.moment)

    async def _before(self) -> None:
        """What was there when the year began: sums and emergency calls that go in the course of it."""
        house = self._house
        for n in range(12):
            account, day = house.accounts[n % 8], (almanac.BEGINS - (380 - 30 * n) * DAY).date()
            async with house.services.db.transaction() as tx:
                await usage.add(tx, f"account:{account.id}", day, 60, 0)
            house.diary.write("usage", house.moment, account=account.id, day=day.isoformat())
            await self._emergency_at(almanac.BEGINS - (350 - 29 * n) * DAY, account.id)

    def _write(self, what: str, **facts: Any) -> None:
        self._house.diary.write(what, self._house.moment, **facts)

    # --- calls and what belongs to them ---------------------------------------------------------------------------

    async def _call(self, about: dict[str, Any], choose: random.Random) -> None:
        house, names = self._house, list(self._house.lines)
        line = names[about["line"]] if "line" in about else choose.choice(names)
        await house.call(line, choose, record=about.get("seed"))

    async def _policy(self, about: dict[str, Any], choose: random.Random) -> None:
        house = self._house
        if self._policy_number:
            return  # from now on lines say nothing of their own
        line_id, (pack, consent) = choose.choice(list(house.lines)), about["pack"]
        changed = await line_service.set_(
            house.services, DPO, line=house.lines[line_id], pack=pack, consent=consent or "",
            statute=almanac.STATUTES.get(pack, ""), metadata_class=about["kind"],
        )  # fmt: skip
        said = {"id": changed.id, "name": changed.name, "pack": changed.pack, "class": changed.metadata_class}
        house.diary.policy_change(house.moment, line=said)

    async def _version(self, about: dict[str, Any], choose: random.Random) -> None:
        """A version of the policy: first what the lines say, then with periods of its own."""
        services, now = self._house.services, self._house.moment
        if not self._policy_number:
            kinds = {kind for pack in packs.load().values() for kind in pack.preconditions}
            for kind in sorted(kinds):
                await policy_register.enter(services, DPO, kind=kind, pack="*", evidence="x", done_by="y",
                                            done_on=(now - DAY).date())  # fmt: skip
            made = await policies.draft(services, DPO, from_lines=True)
        else:
            made = await policies.draft(services, DPO, copy=self._policy_number)
        for rule in made.rules:
            said = {"retention": about["kept"].get(rule["pack"]), "rate": "10%" if rule["pack"] == SAMPLED else None}
            await policies.set_(services, DPO, number=made.number, rule=rule["name"], valid_from="approval", **said)
        await policies.approve(services, DPO, number=made.number, login=OFFICER)
        await self._house.policies.refresh()
        self._policy_number = made.number
        periods = {pack: Period.parse(text) for pack, text in about["kept"].items()}
        kept = {pack: (period.months, period.days) for pack, period in periods.items()}
        self._house.diary.policy_change(now, number=made.number, kept=kept)

    async def _objection(self, about: dict[str, Any], choose: random.Random) -> None:
        """After the call."""
        house = self._house
        if not (living := await house.living()):
            return
        rec_id, plan = choose.choice(living)
        seq = await house.book.note(plan, act("a", "objection", "2"), house.moment, rec_id)
        with suppress(DestructionRefused):  # its pack keeps it, or a hold does
            await house.destruction.on_objection(rec_id, seq, house.moment)
        self._write("objection", recording=rec_id)

    async def _contact(self, about: dict[str, Any], choose: random.Random) -> None:
        house, number, kind = self._house, choose.choice(almanac.numbers()), about["kind"]
        began = house.moment if kind == "attempt" else house.moment - choose.randrange(1700, 1826) * DAY
        async with house.services.db.transaction() as tx:
            if kind == "attempt":
                made: Any = await contact_attempts.add(
                    tx, number, line_id=choose.choice(list(house.lines)), at=began, evidence="",
                    kept_until=kept_until(ATTEMPTS_PACK, began), **_COMMON,
                )  # fmt: skip
            elif kind == "consent":
                made = await consents.add(
                    tx, house.moment, number=number, act="checkbox", given_at=began - 90 * DAY, expires_at=began,
                    kept_until=kept_until(EVIDENCE_PACK, began), collector="us", source="form", **_COMMON,
                )  # fmt: skip
                self._house.contacts.append(made.id)
            else:
                made = await contact_references.add(
                    tx, number=number, kind="contract", reference="C-1", purpose="telecom", since=began - 90 * DAY,
                    until=began, legal_basis="law", kept_until=kept_until(EVIDENCE_PACK, began),
                )  # fmt: skip
        line = made.line_id if kind == "attempt" else ""
        self._write("contact", id=made.id, kind=kind, number=number, line=line, **{"from": stamp(began)})

    async def _withdrawal(self, about: dict[str, Any], choose: random.Random) -> None:
        house = self._house
        async with house.services.db.transaction() as tx:
            here = await expiry.left(tx, "contact_consent", house.contacts)
            standing = [one for one in house.contacts if one in here]
            if not standing:
                return
            chosen = choose.choice(standing)
            house.contacts.remove(chosen)
            await consents.withdraw(tx, chosen, "letter", house.moment, kept_until(EVIDENCE_PACK, house.moment))
        self._write("withdrawal", contact=chosen)

    async def _emergency(self, about: dict[str, Any], choose: random.Random) -> None:
        await self._emergency_at(self._house.moment, choose.choice(self._house.accounts).id)

    async def _emergency_at(self, at: datetime, account: str) -> None:
        call_id = secrets.token_hex(16)
        async with self._house.services.db.transaction() as tx:
            await emergency_calls.add(tx, EmergencyCall(call_id, at, account, "112", None, False, "ended", ()))
        self._write("emergency", id=call_id, account=account, ended=stamp(at))

    async def _usage(self, about: dict[str, Any], choose: random.Random) -> None:
        account, day = choose.choice(self._house.accounts), self._house.moment.astimezone(UTC).date()
        async with self._house.services.db.transaction() as tx:
            await usage.add(tx, f"account:{account.id}", day, 60, 0)
        self._write("usage", account=account.id, day=day.isoformat())

    # --- what somebody wants ---------------------------------------------------------------------------------------

    async def _event(self, about: dict[str, Any], choose: random.Random) -> None:
        """A contract is signed, a case closed: of some recording that waits for it."""
        house = self._house
        waiting = [(rec_id, plan) for rec_id, plan in await house.living() if plan.recording.provisional is not None]
        if not waiting:
            return
        rec_id, plan = choose.choice(waiting)
        async with house.services.db.read() as tx:
            began = (await recordings.get(tx, rec_id)).started_at
        day = (house.moment - choose.random() * (house.moment - began)).date()
        event: Any = plan.recording.start_event
        with suppress(Failure):  # somebody has objected, or it is entered
            await recording_orders.event(house.services, DPO, rec_id=rec_id, event=event, on=day)
            self._write("event", recording=rec_id, event=event, day=day.isoformat())

    async def _ordered(self, about: dict[str, Any], choose: random.Random) -> None:
        house, because, done = self._house, about["because"], True
        living = await house.living()
        fitting = [one for one in living if one[1].recording.pack in ("REC_CONTRACT", "REC_INSURANCE_FR")]
        wanted = fitting if because == "no-contract" and fitting else living
        if not wanted:
            return
        rec_id, _ = choose.choice(wanted)
        foretold = await recording_orders.destroy(house.services, DPO, rec_id=rec_id, because=because, dry_run=True)
        try:
            await recording_orders.destroy(house.services, DPO, rec_id=rec_id, because=because)
        except Failure:
            done = False
        assert done == foretold.goes
        self._write("ordered", recording=rec_id, because=because, done=done)

    async def _request(self, about: dict[str, Any], choose: random.Random) -> None:
        """Somebody who is heard in a recording, or anybody, asks to be forgotten."""
        house, number = self._house, choose.choice(almanac.numbers())
        heard = [plan.caller.number for _, plan in await house.living() if plan.caller.number.startswith("+")]
        if heard and choose.random() < 0.7:
            number = choose.choice(heard)
        said = await number_requests.erase(house.services, DPO, number=number, dry_run=True)
        done = await number_requests.erase(house.services, DPO, number=number)
        assert {one.id for one in done.items if one.gone} == {one.id for one in said.items if one.answer == "erase"}
        self._write("request", number=number)

    # --- holds and mischief ---------------------------------------------------------------------------------------

    async def _hold(self, about: dict[str, Any], choose: random.Random) -> None:
        """On what is about to go where that can be: a hold on what nobody would touch shows nothing."""
        house, scope, now = self._house, about["scope"], self._house.moment
        on: dict[str, list[str]] = {"recordings": [], "calls": [], "accounts": [], "numbers": []}
        async with house.services.db.read() as tx:
            soon = [one.item.item_id for one in await plans_for(tx, "recording", now + 30 * DAY, limit=5)]
        living = dict(await house.living())
        wanted = [one for one in soon if one in living] or list(living)
        if not wanted:
            return
        rec_id = choose.choice(wanted)
        plan, account = living[rec_id], choose.choice(house.accounts)
        named = {"recording": rec_id, "call": plan.call_id, "number": plan.caller.number}.get(scope, account.name)
        match scope:
            case "recording":
                on["recordings"].append(rec_id)
            case "call":
                on["calls"].append(plan.call_id)
            case "number":
                on["numbers"].append(plan.caller.number)
            case "line":
                await self._hold_a_line(plan.line_id or "", choose)
                return
            case _:
                on["accounts"].append(account.id)
                on["numbers"] += [account.name, account.extension]
        await self._lay(scope, named, on)

    async def _hold_a_line(self, line_id: str, choose: random.Random) -> None:
        house = self._house
        since = (house.moment - choose.randrange(20, 120) * DAY).date()
        until = since + timedelta(days=choose.randrange(10, 90))
        on = {"line": line_id, "since": since.isoformat(), "until": until.isoformat()}
        await self._lay("line", house.lines[line_id], {"lines": [on]}, since=since, until=until)

    async def _lay(self, scope: Any, named: str, on: dict[str, Any], **period: Any) -> None:
        house = self._house
        laid = await hold_service.add(
            house.services, DPO, scope=scope, named=named, requested_by="the court", approved_by=OFFICER,
            review=(house.moment + 90 * DAY).date(), **period,
        )  # fmt: skip
        self._holds.append(laid.id)
        self._write("hold", id=laid.id, **on)

    async def _lift(self, about: dict[str, Any], choose: random.Random) -> None:
        if not self._holds:
            return
        chosen = choose.choice(self._holds)
        self._holds.remove(chosen)
        await hold_service.lift(self._house.services, DPO, hold=chosen)
        self._write("lift", id=chosen)

    async def _mischief(self, about: dict[str, Any], choose: random.Random) -> None:
        """Somebody with access to the disk does something to a file."""
        place = self._house.services.paths.vault
        files = [(rec_id, vault.sealed_path(place, rec_id)) for rec_id, _ in await self._house.living()]
        there = [(rec_id, file) for rec_id, file in files if file.exists()]
        if len(there) < 2:
            return
        (rec_id, file), (_, other) = choose.sample(there, 2)
        match about["how"]:
            case "removed":
                file.unlink()
            case "truncated":
                with file.open("r+b") as opened:
                    opened.truncate(file.stat().st_size // 2)
            case _:
                shutil.copy(other, file)
        self._write("mischief", recording=rec_id, how=about["how"])

    # --- the sweep ------------------------------------------------------------------------------------------------

    async def _trouble(self, about: dict[str, Any], choose: random.Random) -> None:
        self._troubles.append(about["how"])

    async def _sweep(self, about: dict[str, Any], choose: random.Random) -> None:
        house = self._house
        if self._troubles and (due := await self._due()):
            how = self._troubles.pop(0)
            self.met.add(how)
            await self._troubled(how, due, choose)
            house.until(house.moment + LATER)
        said = await house.sweeper.sweep()
        assert said is not None
        assert said.problem == "", said.problem
        self._write("swept", trusted=True, whole=True)

    async def _due(self) -> list[tuple[str, str]]:
        """What a sweep would destroy now: kind and id."""
        now, found = self._house.moment, list[tuple[str, str]]()
        async with self._house.services.db.read() as tx:
            for kind in expiry.KINDS:
                plans = await plans_for(tx, kind, now, limit=50)
                found += [(kind, plan.item.item_id) for plan in plans if plan.destroy]
        return found

    async def _troubled(self, how: str, due: list[tuple[str, str]], choose: random.Random) -> None:
        house, (kind, _, step) = self._house, how.partition(":")
        after = choose.random() < 0.5
        whole, trusted = False, True
        match kind:
            case "killed" | "database":
                lost = trouble.Killed if kind == "killed" else lambda: Unavailable("it does not answer")
                with trouble.broken(step, lost, after=after), suppress(trouble.Killed, Unavailable):
                    await house.sweeper.sweep()
                if kind == "killed":
                    await self._restarted()
            case "process":
                data, moment = house.services.paths.data, house.moment.timestamp()
                status = await trouble.process(data, self._url, moment, step, after=after)
                whole = status == 0
                await self._restarted()
            case "clock":
                trusted = await self._with_a_wrong_clock(step)
            case "two":
                other = Sweeper(house.services, monotonic=lambda: house.monotonic_s)
                done = await asyncio.gather(house.sweeper.sweep(), other.sweep())
                assert any(said is not None and not said.problem for said in done)
            case "hold":
                await self._hold_meanwhile([item_id for item_kind, item_id in due if item_kind == "recording"])
            case _:
                await self._listened([item_id for item_kind, item_id in due if item_kind == "recording"])
                whole = True
        self._write("swept", trusted=trusted, whole=whole)

    async def _restarted(self) -> None:
        """What the daemon does when it starts."""
        await self._house.desk.recover()
        self._house.restart()

    async def _with_a_wrong_clock(self, which: str) -> bool:
        house = self._house
        right = house.moment
        await house.sweeper.sweep()  # this process knows what the clock said
        self._write("swept", trusted=True, whole=True)
        house.monotonic_s += 60
        house.moment = right + (timedelta(days=400) if which == "ahead" else timedelta(days=-2))
        said = await house.sweeper.sweep()
        assert said is not None
        assert "clock" in said.problem
        house.moment = right + timedelta(minutes=1)
        return False

    async def _hold_meanwhile(self, due: list[str]) -> None:
        house = self._house
        if not due:
            return

        async def deed() -> None:
            try:
                await self._lay("recording", due[0], {"recordings": [due[0]]})
            except Exception as error:  # it was too late: what is gone cannot be held
                assert "no recording has that id" in str(error)  # noqa: PT017

        with trouble.between(deed) as done:
            await house.sweeper.sweep()
        for one in done:
            await one
        async with house.services.db.read() as tx:
            held = bool(await holds.on(tx, "recording", due[:1]))
        states = dict(await house.living())
        assert not held or due[0] in states, "held, and gone"

    async def _listened(self, due: list[str]) -> None:
        house = self._house
        house.services.open_rooms.update(due)
        self._write("listening", recordings=due)
        said = await house.sweeper.sweep()
        assert said is not None
        assert said.problem == ""
        house.services.open_rooms.clear()
