"""One's own account: factors, sessions, tokens; and that no way leads to a session past the second factor."""

from __future__ import annotations

import ast
import asyncio
import importlib
import inspect
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyotp
import pytest
from sqlalchemy import select

from server.failure import Failure
from server.rights import Reach
from server.services import containment, invitations, people, permitted, sign_in, sign_in_factors, tokens
from server.services.actor import Actor
from server.services.sign_in import SignedIn
from server.sweeper import Sweeper
from storage import sessions, tables
from storage import sign_in_factors as factors
from storage.database import Database
from tests.peers.authenticator import Authenticator
from tests.server.sign_in_house import ELSEWHERE, HERE, ORIGIN, OWNER, PASSWORD, SignInHouse, refused
from tests.storage.conftest import db, field_keys, fresh_url, ledger_key, made_once, postgres_dir

__all__ = ["db", "field_keys", "fresh_url", "ledger_key", "made_once", "postgres_dir"]
ROOT = Path(__file__).resolve().parents[2]
EXPIRE = ["sessions", "known_browsers", "sign_in_challenges", "invitations", "api_tokens"]
OTHER = "nine herons guard the gate"


@pytest.fixture
async def house(db: Database, field_keys: Any, ledger_key: Any, tmp_path: Path) -> AsyncIterator[SignInHouse]:  # noqa: F811
    made = SignInHouse(db, field_keys, ledger_key, tmp_path / "data")
    await made.make()
    yield made


@pytest.mark.promise("0.2")
def test_sessions_are_made_in_one_place_after_a_second_factor() -> None:
    """Every call that adds a session, and every call of what does: `enter` alone, after a factor was tried (0.2)."""
    adds, enters = [], []
    for path in [*(ROOT / "server").rglob("*.py"), *(ROOT / "storage").rglob("*.py")]:
        for function in ast.walk(ast.parse(path.read_text())):
            if not isinstance(function, ast.AsyncFunctionDef | ast.FunctionDef):
                continue
            for node in ast.walk(function):
                if not isinstance(node, ast.Call):
                    continue
                if ast.unparse(node.func) == "sessions.add":
                    adds.append((path.name, function.name))
                if ast.unparse(node.func) in ("enter", "sign_in.enter"):
                    enters.append((path.name, function.name))
    assert adds == [("sign_in.py", "enter")]
    assert sorted(enters) == [
        ("invitations.py", "enrol_passkey"), ("invitations.py", "enrol_totp"), ("sign_in.py", "_finish"),
    ]  # fmt: skip


def gives_a_session() -> dict[str, Callable[..., Any]]:
    """Every public function of the services whose answer holds a session."""
    found = {}
    for path in (ROOT / "server" / "services").glob("*.py"):
        module = importlib.import_module(f"server.services.{path.stem}")
        for name, function in inspect.getmembers(module, inspect.iscoroutinefunction):
            said = str(inspect.signature(function).return_annotation)
            if function.__module__ == module.__name__ and not name.startswith("_") and "SignedIn" in said:
                found[name] = function
    return found


@pytest.mark.promise("0.2")
async def test_no_second_factor_no_session(house: SignInHouse) -> None:
    """Every function that gives one, with a challenge of its kind and no second factor, gives none (promise 0.2)."""
    every = gives_a_session()
    assert every.keys() == {
        "finish_totp", "finish_recovery", "finish_passkey", "enrol_totp", "enrol_passkey", "enter",
    }  # fmt: skip
    del every["enter"]  # takes a transaction: see above who calls it
    signed_in, key = await house.with_passkey("alice")
    of, codes = house.services, ("", "000000", " ", "0" * 16)
    known = house.codes["alice"]
    for name, function in every.items():
        wants = inspect.signature(function).parameters
        for proof in codes if "code" in wants else ({}, None, key.get(await _asked_of(house, signed_in))):
            if name.startswith("enrol"):
                link = await house.invited("bob")
                begun = await invitations.accept(of, token=link, password=PASSWORD, source=HERE)
                await invitations.enrol_totp_offer(of, challenge=begun.token)
                await invitations.enrol_passkey_request(of, challenge=begun.token)
            else:
                begun = await house.start("alice")
                await sign_in.passkey_request(of, challenge=begun.token)
            given = {"code": proof} if "code" in wants else {"answer": proof or {}}
            given |= {"name": "x"} if "name" in wants else {}
            asked = function(of, challenge=begun.token, source=HERE, **given)
            assert (await refused(asked)).code == "denied", (name, proof)
            house.later(minutes=1)
    for kind, function in (("enrol", every["enrol_totp"]), ("sign_in", every["finish_recovery"])):
        begun = await house.start("alice") if kind == "enrol" else await house.invited_and_begun("bob")
        asked = function(of, challenge=begun.token, code=known[0], source=HERE)
        assert (await refused(asked)).code == "not_found", "a challenge of the other kind"
    async with of.db.read() as tx:
        assert len(await sessions.list_of(tx, house.persons["alice"].id, house.now)) == 1
        assert await sessions.list_of(tx, house.persons["bob"].id, house.now) == ()


async def _asked_of(house: SignInHouse, signed_in: SignedIn) -> dict[str, Any]:
    """A request of a passkey that was made for something else."""
    asked = await sign_in.step_up_passkey_request(house.services, signed_in.identity)
    return {"publicKey": {**asked["publicKey"], "challenge": "B" * 43}}


# --- step-up ----------------------------------------------------------------------------------------------------------


@pytest.mark.promise("0.2")
async def test_step_up_lasts_ten_minutes_and_is_asked_for(house: SignInHouse) -> None:
    """Promise 0.2: before what is dangerous the second factor is given once more."""
    signed_in = await house.enrolled("ada")

    async def act(login: str) -> str:
        who = await house.now_of(signed_in)
        try:
            await permitted.call(house.services, who, "person.add", {"login": login, "name": "x"}, workstation=HERE)
        except Exception as failure:
            return getattr(failure, "code", str(failure))
        return "done"

    assert await act("carol") == "done"
    house.later(minutes=10)
    assert await act("dave") == "step_up"
    who = await house.now_of(signed_in)
    assert (await refused(sign_in.step_up_totp(house.services, who, code="000000", source=HERE))).code == "denied"
    assert await act("dave") == "step_up"
    await sign_in.step_up_totp(house.services, who, code=house.code("ada"), source=HERE)
    assert await act("dave") == "done"
    written = [one for one in await house.entries("totp") if one["action"] == "verify"]
    assert [one["outcome"] for one in written] == ["wrong", "done"]


async def test_step_up_is_of_one_session_and_guessing_it_ends(house: SignInHouse) -> None:
    first = await house.enrolled("alice")
    second = await house.sign_in("alice")
    house.later(minutes=11)
    who = await house.now_of(second)
    await sign_in.step_up_totp(house.services, who, code=house.code("alice"), source=HERE)
    now = [(await house.now_of(one)).fresh_until for one in (first, second)]
    assert now[0] is not None and now[0] <= house.now
    assert now[1] is not None and now[1] > house.now
    house.later(minutes=1)
    codes = [
        (await refused(sign_in.step_up_totp(house.services, who, code="000000", source=HERE))).code for _ in range(12)
    ]
    assert codes.count("denied") <= 10
    assert codes[-1] == "throttled"


# --- factors ----------------------------------------------------------------------------------------------------------


async def test_a_new_authenticator_program_takes_the_old_ones_place_once_it_is_confirmed(house: SignInHouse) -> None:
    who = (await house.enrolled("alice")).identity
    offer = await sign_in_factors.totp_offer(house.services, who)
    wrong = sign_in_factors.totp_confirm(house.services, who, token=offer.token, code=house.code("alice"))
    assert (await refused(wrong)).code == "denied"
    await house.sign_in("alice")  # the old one counts
    code = pyotp.TOTP(offer.secret).at(house.now)
    await sign_in_factors.totp_confirm(house.services, who, token=offer.token, code=code)
    begun = await house.start("alice")
    old = sign_in.finish_totp(house.services, challenge=begun.token, code=house.code("alice"), source=HERE)
    assert (await refused(old)).code == "denied"
    house.secrets["alice"] = offer.secret
    house.later(seconds=30)
    await house.sign_in("alice")
    again = sign_in_factors.totp_confirm(house.services, who, token=offer.token, code=code)
    assert (await refused(again)).code == "not_found"


async def test_somebody_elses_offer_is_none(house: SignInHouse) -> None:
    alice, bob = (await house.enrolled("alice")).identity, (await house.enrolled("bob")).identity
    offer = await sign_in_factors.totp_offer(house.services, alice)
    code = pyotp.TOTP(offer.secret).at(house.now)
    taken = sign_in_factors.totp_confirm(house.services, bob, token=offer.token, code=code)
    assert (await refused(taken)).code == "not_found"


async def test_passkeys_are_added_named_used_and_removed_but_for_the_last_factor(house: SignInHouse) -> None:
    signed_in, _ = await house.with_passkey("alice")
    who = signed_in.identity
    [first] = (await sign_in_factors.view(house.services, who)).passkeys
    refusal = await refused(sign_in_factors.passkey_remove(house.services, who, passkey=first.id))
    assert refusal.code == "conflict"
    asked = await sign_in_factors.passkey_offer(house.services, who)
    assert len(asked["publicKey"]["excludeCredentials"]) == 1
    key = Authenticator(ORIGIN)
    bad = key.create(asked, origin="https://elsewhere.example.org")
    assert (await refused(sign_in_factors.passkey_add(house.services, who, name="x", answer=bad))).code == "denied"
    good = key.create(asked)
    late = sign_in_factors.passkey_add(house.services, who, name="x", answer=good)
    assert (await refused(late)).code == "not_found"  # each request is answered once
    house.later(seconds=1)
    asked = await sign_in_factors.passkey_offer(house.services, who)
    await sign_in_factors.passkey_add(
        house.services, who, name="  key\x00ring \n" + "x" * 100, answer=key.create(asked)
    )
    seen = (await sign_in_factors.view(house.services, who)).passkeys
    assert seen[1].name.startswith("keyring xxx")
    assert len(seen[1].name) == 60
    await sign_in_factors.passkey_rename(house.services, who, passkey=seen[1].id, name="key ring")
    await sign_in_factors.passkey_remove(house.services, who, passkey=first.id)
    begun = await house.start("alice")
    asked = await sign_in.passkey_request(house.services, challenge=begun.token)
    await sign_in.finish_passkey(house.services, challenge=begun.token, answer=key.get(asked), source=HERE)
    [left] = (await sign_in_factors.view(house.services, who)).passkeys
    assert (left.name, left.last_used_at) == ("key ring", house.now)
    bob = (await house.enrolled("bob")).identity
    for change in (
        sign_in_factors.passkey_remove(house.services, bob, passkey=left.id),
        sign_in_factors.passkey_rename(house.services, bob, passkey=left.id, name="mine"),
    ):
        assert (await refused(change)).code == "not_found"


async def test_two_that_remove_the_last_two_passkeys_at_once_leave_one(house: SignInHouse) -> None:
    signed_in, _ = await house.with_passkey("alice")
    who = signed_in.identity
    asked = await sign_in_factors.passkey_offer(house.services, who)
    await sign_in_factors.passkey_add(house.services, who, name="x", answer=Authenticator(ORIGIN).create(asked))
    both = (await sign_in_factors.view(house.services, who)).passkeys
    await asyncio.gather(
        *(sign_in_factors.passkey_remove(house.services, who, passkey=one.id) for one in both), return_exceptions=True
    )
    assert len((await sign_in_factors.view(house.services, who)).passkeys) == 1


async def test_new_recovery_codes_take_the_place_of_the_old(house: SignInHouse) -> None:
    signed_in = await house.enrolled("alice")
    new = await sign_in_factors.recovery_new(house.services, signed_in.identity)
    assert not set(new) & set(house.codes["alice"])
    begun = await house.start("alice")
    old = house.codes["alice"][0]
    by_old = sign_in.finish_recovery(house.services, challenge=begun.token, code=old, source=HERE)
    assert (await refused(by_old)).code == "denied"
    await sign_in.finish_recovery(house.services, challenge=begun.token, code=new[0], source=HERE)
    assert (await sign_in_factors.view(house.services, signed_in.identity)).recovery_left == 9


async def test_a_changed_password_ends_what_the_old_one_began(house: SignInHouse) -> None:
    other = await house.enrolled("alice")
    signed_in = await house.sign_in("alice")
    begun = await house.start("alice")
    who = signed_in.identity
    wrong = sign_in_factors.change_password(house.services, who, old=OTHER, new=OTHER)
    assert (await refused(wrong)).code == "denied"
    weak = sign_in_factors.change_password(house.services, who, old=PASSWORD, new="alicealicealice")
    assert (await refused(weak)).code == "invalid"
    await sign_in_factors.change_password(house.services, who, old=PASSWORD, new=OTHER)
    assert await sign_in.identify(house.services, session_token=signed_in.session_token)
    assert await sign_in.identify(house.services, session_token=other.session_token) is None
    late = sign_in.finish_totp(house.services, challenge=begun.token, code=house.code("alice"), source=HERE)
    assert (await refused(late)).code == "not_found"
    assert (await refused(house.start("alice"))).code == "denied"
    assert (await house.start("alice", OTHER)).totp


@pytest.mark.promise("0.2")
async def test_factors_are_changed_by_whoever_has_just_proved_who_they_are(house: SignInHouse) -> None:
    """Promise 0.2: ten minutes after the second factor it is asked for again."""
    signed_in, _ = await house.with_passkey("alice")
    [passkey] = (await sign_in_factors.view(house.services, signed_in.identity)).passkeys
    house.later(minutes=10)
    who, of = signed_in.identity, house.services  # as the request has it, whatever it says itself
    for change in (
        sign_in_factors.totp_offer(of, who),
        sign_in_factors.totp_confirm(of, who, token="x", code="1"),  # noqa: S106 - none
        sign_in_factors.passkey_offer(of, who),
        sign_in_factors.passkey_add(of, who, name="x", answer={}),
        sign_in_factors.passkey_rename(of, who, passkey=passkey.id, name="x"),
        sign_in_factors.passkey_remove(of, who, passkey=passkey.id),
        sign_in_factors.recovery_new(of, who),
        sign_in_factors.change_password(of, who, old=PASSWORD, new=OTHER),
    ):
        assert (await refused(change)).code == "step_up"


async def test_a_password_that_was_hashed_otherwise_is_hashed_anew(
    house: SignInHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("server.passwords.MEMORY_KIB", 1024)
    await house.enrolled("alice")
    monkeypatch.undo()
    alice = house.persons["alice"].id
    async with house.services.db.read() as tx:
        old = await factors.password(tx, alice)
    await house.start("alice")
    async with house.services.db.read() as tx:
        new = await factors.password(tx, alice)
    assert (old or b"").startswith(b"$argon2id$v=19$m=1024,")
    assert (new or b"").startswith(b"$argon2id$v=19$m=19456,")
    await house.sign_in("alice")


# --- sessions and tokens ----------------------------------------------------------------------------------------------


async def test_sessions_are_listed_and_ended_by_their_owner_alone(house: SignInHouse) -> None:
    agent = "Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0 Safari/537.36 Edg/141.0"
    first = await house.enrolled("alice")
    second = await house.sign_in("alice", agent=agent, source=ELSEWHERE)
    bob = await house.enrolled("bob")

    async def ask(who: Any, name: str, **given: object) -> Any:
        return await permitted.call(house.services, who.identity, name, given, workstation=HERE)

    seen = await ask(second, "session.list")
    assert [(one["source"], one["browser"], one["current"]) for one in seen] == [
        (ELSEWHERE, "Edge, Windows", True), (HERE, "", False),
    ]  # fmt: skip
    assert [one["current"] for one in await ask(bob, "session.list", login="alice")] == [True]
    mine = first.identity.session_id
    refusal = await refused(ask(bob, "session.revoke", session=mine, login="alice"))
    assert refusal.code == "not_found"
    await ask(second, "session.revoke", session=mine)
    assert await sign_in.identify(house.services, session_token=first.session_token) is None
    assert await sign_in.identify(house.services, session_token=second.session_token)


@pytest.mark.promise("0.4")
async def test_a_token_does_what_is_written_on_it_and_no_more_than_its_person_may(house: SignInHouse) -> None:
    """Promise 0.4: however its person's roles change."""
    made = await tokens.create(
        house.services, OWNER, login="bob", name="CRM", rights={"calls.read": "team", "texts.use": "own"}, days=30
    )
    assert made.text.startswith("bfr_")
    found = await tokens.identify_token(house.services, token=made.text)
    assert found is not None
    assert (dict(found.grants), found.login, found.session_id) == (
        {"calls.read": Reach.TEAM, "texts.use": Reach.OWN}, "bob", None,
    )  # fmt: skip
    await people.set_roles(house.services, OWNER, login="bob", roles=["employee"])
    found = await tokens.identify_token(house.services, token=made.text)
    assert found is not None and dict(found.grants) == {"calls.read": Reach.OWN, "texts.use": Reach.OWN}
    [seen] = await tokens.list_(house.services, OWNER, login="bob")
    assert (seen.last_used_at, seen.name) == (house.now, "C••")
    house.later(days=30)
    assert await tokens.identify_token(house.services, token=made.text) is None
    assert await tokens.list_(house.services, OWNER, login="bob") == []


async def test_a_token_ends_with_its_revocation_and_with_its_person(house: SignInHouse) -> None:
    async def made(login: str) -> tokens.NewToken:
        return await tokens.create(house.services, OWNER, login=login, name="n", rights={"calls.read": "own"})

    one, two, three = await made("alice"), await made("alice"), await made("bob")
    await tokens.revoke(house.services, OWNER, login="alice", token=one.token.id[:8])
    assert await tokens.identify_token(house.services, token=one.text) is None
    assert await tokens.identify_token(house.services, token=two.text)
    refusal = await refused(tokens.revoke(house.services, OWNER, login="alice", token=three.token.id))
    assert refusal.code == "not_found"
    why = Actor("os:1000", "console", "suspicion")
    await containment.lock(house.services, why, login="alice")
    await containment.unlock(house.services, why, login="alice")
    assert await tokens.identify_token(house.services, token=two.text) is None
    await people.disable(house.services, OWNER, login="bob")
    assert await tokens.identify_token(house.services, token=three.text) is None


@pytest.mark.parametrize(
    ("given", "word"),
    [({"rights": {}}, "without rights"), ({"rights": {"no.such": "own"}}, "no.such"),
     ({"rights": {"calls.read": "team"}}, "calls.read"), ({"rights": {"people.manage": "all"}}, "people.manage"),
     ({"rights": {"tokens.use": "own"}}, "tokens.use"), ({"rights": {"sessions.use": "own"}}, "sessions.use"),
     ({"days": 0}, "days"), ({"days": 367}, "days"), ({"name": "\x00 "}, "name")],
)  # fmt: skip
async def test_a_token_that_would_do_more_is_not_made(house: SignInHouse, given: dict[str, Any], word: str) -> None:
    asked = {"login": "alice", "name": "n", "rights": {"calls.read": "own"}, **given}
    refusal = await refused(tokens.create(house.services, OWNER, **asked))
    assert refusal.code == "invalid"
    assert word in refusal.what


async def test_what_is_no_token_of_a_program_is_nobodys(house: SignInHouse) -> None:
    signed_in = await house.enrolled("alice")
    for text in ("", "bfr_", "bfr_" + "x" * 100_000, "bfr_\ud800", signed_in.session_token, "bfr_" + "0" * 43):
        assert await tokens.identify_token(house.services, token=text) is None


async def test_what_has_expired_goes_with_the_sweep(house: SignInHouse) -> None:
    """Session, challenge, link and token; the browser is known for longer."""
    await house.enrolled("alice")
    await house.start("alice")
    await house.invited("bob")
    await tokens.create(house.services, OWNER, login="bob", name="n", rights={"calls.read": "own"}, days=1)

    async def left() -> list[str]:
        async with house.services.db.read() as tx:
            return [name for name in EXPIRE if await tx.row(select(tables.metadata.tables[name]))]

    assert await left() == EXPIRE
    await Sweeper(house.services).sweep()
    assert await left() == EXPIRE
    for days, still in ((2, ["known_browsers"]), (181, [])):
        house.later(days=days)
        await Sweeper(house.services).sweep(clock_is_right=True)
        assert await left() == still


async def test_the_log_says_from_where_a_factor_was_changed(house: SignInHouse) -> None:
    """A passkey that a thief adds is told from the owner's (promise 2.9)."""
    signed_in = await house.enrolled("alice")
    who = await house.now_of(signed_in)
    await sign_in_factors.recovery_new(house.services, replace(who, source="192.0.2.1"))
    await sign_in_factors.recovery_new(house.services, replace(who, source="198.51.100.9"))
    places = [one["workstation"] for one in await house.entries("recovery")][-2:]
    assert len(set(places)) == 2 and all(places)


async def test_of_two_changes_of_a_password_at_once_one_counts(house: SignInHouse) -> None:
    who = await house.now_of(await house.enrolled("alice"))
    new = ("four quiet grey herons", "seven loud brown geese")
    done = await asyncio.gather(
        *(sign_in_factors.change_password(house.services, who, old=PASSWORD, new=one) for one in new),
        return_exceptions=True,
    )
    said = [one.code for one in done if isinstance(one, Failure)]
    assert said in (["conflict"], ["denied"]), "the other was checked against what is no password any more"
