"""Signing in: a password and a second factor, a session and its end; on both databases."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from server.rights import Reach
from server.services import containment, invitations, people, sign_in
from server.services.actor import Actor
from storage import people as persons
from storage.database import Database
from tests.server.sign_in_house import ELSEWHERE, HERE, ORIGIN, OWNER, PASSWORD, SignInHouse, refused
from tests.storage.conftest import db, field_keys, fresh_url, ledger_key, made_once, postgres_dir, raw

__all__ = ["db", "field_keys", "fresh_url", "ledger_key", "made_once", "postgres_dir", "raw"]


@pytest.fixture
async def house(db: Database, field_keys: Any, ledger_key: Any, tmp_path: Path) -> AsyncIterator[SignInHouse]:  # noqa: F811
    made = SignInHouse(db, field_keys, ledger_key, tmp_path / "data")
    await made.make()
    yield made


# --- the first time ---------------------------------------------------------------------------------------------------


@pytest.mark.promise("0.2")
async def test_a_link_a_password_and_a_second_factor_make_a_session(house: SignInHouse) -> None:
    """The link counts once, and nothing before the second factor is a session (promise 0.2)."""
    token = await house.invited("alice")
    seen = await invitations.look(house.services, token=token)
    assert (seen.login, seen.name, seen.language) == ("alice", "Alice", "en")
    begun = await invitations.accept(house.services, token=token, password=PASSWORD, source=HERE)
    assert begun.enrol
    assert await sign_in.identify(house.services, session_token=begun.token) is None
    assert (await refused(house.start("alice"))).code == "denied"  # the password does not count yet
    offered = await invitations.enrol_totp_offer(house.services, challenge=begun.token)
    assert offered.uri.startswith("otpauth://totp/")
    assert offered.secret in offered.uri
    house.secrets["alice"] = offered.secret
    wrong = await refused(invitations.enrol_totp(house.services, challenge=begun.token, code="000000", source=HERE))
    assert wrong.code == "denied"
    signed_in, codes = await invitations.enrol_totp(
        house.services, challenge=begun.token, code=house.code("alice"), source=HERE
    )
    assert len(set(codes)) == 10
    found = await sign_in.identify(house.services, session_token=signed_in.session_token)
    assert found == signed_in.identity
    assert (found.login, found.own, found.grants["calls.read"]) == ("alice", {"alice"}, Reach.OWN)
    for asked in (
        invitations.look(house.services, token=token),
        invitations.accept(house.services, token=token, password=PASSWORD, source=HERE),
        invitations.enrol_totp_offer(house.services, challenge=begun.token),
    ):
        assert (await refused(asked)).code == "not_found"
    # The code by which it was confirmed is used up.
    again = await house.start("alice")
    by_code = sign_in.finish_totp(house.services, challenge=again.token, code=house.code("alice"), source=HERE)
    assert (await refused(by_code)).code == "denied"


async def test_a_link_is_over_after_a_day_and_when_there_is_another(house: SignInHouse) -> None:
    first = await house.invited("alice")
    second = await house.invited("alice")
    assert (await refused(invitations.look(house.services, token=first))).code == "not_found"
    house.later(hours=24)
    assert (await refused(invitations.look(house.services, token=second))).code == "not_found"
    third = await house.invited("alice")
    await people.disable(house.services, OWNER, login="alice")
    assert (await refused(invitations.look(house.services, token=third))).code == "not_found"
    assert (await refused(house.invited("alice"))).code == "conflict"


async def test_of_two_that_use_a_link_the_first_to_finish_has_it(house: SignInHouse) -> None:
    token = await house.invited("alice")
    begun = [
        await invitations.accept(house.services, token=token, password=f"{PASSWORD} {n}", source=HERE) for n in (1, 2)
    ]
    offered = [await invitations.enrol_totp_offer(house.services, challenge=one.token) for one in begun]
    house.secrets["alice"] = offered[1].secret
    await invitations.enrol_totp(house.services, challenge=begun[1].token, code=house.code("alice"), source=HERE)
    late = invitations.enrol_totp(house.services, challenge=begun[0].token, code=house.code("alice"), source=HERE)
    assert (await refused(late)).code == "not_found"
    assert (await refused(house.start("alice", f"{PASSWORD} 1"))).code == "denied"
    await house.start("alice", f"{PASSWORD} 2")


async def test_a_new_link_begins_anew(house: SignInHouse) -> None:
    """What was before is gone once it is used, and not before."""
    old = await house.enrolled("alice")
    token = await house.invited("alice")
    assert [one["action"] for one in await house.entries("invitation")] == ["add", "restore"]
    assert await sign_in.identify(house.services, session_token=old.session_token) is not None
    begun = await invitations.accept(house.services, token=token, password="another long sentence", source=HERE)
    assert await sign_in.identify(house.services, session_token=old.session_token) is not None
    offered = await invitations.enrol_totp_offer(house.services, challenge=begun.token)
    old_codes, house.secrets["alice"] = house.codes["alice"], offered.secret
    await invitations.enrol_totp(house.services, challenge=begun.token, code=house.code("alice"), source=HERE)
    assert await sign_in.identify(house.services, session_token=old.session_token) is None
    assert (await refused(house.start("alice"))).code == "denied"
    again = await house.start("alice", "another long sentence")
    by_old = sign_in.finish_recovery(house.services, challenge=again.token, code=old_codes[0], source=HERE)
    assert (await refused(by_old)).code == "denied"


async def test_a_weak_password_is_refused_and_not_repeated(house: SignInHouse) -> None:
    token = await house.invited("alice")
    said = await refused(invitations.accept(house.services, token=token, password="alice-alice-alice", source=HERE))
    assert said.code == "invalid"
    assert "alice" not in str(said)


async def test_a_password_of_any_letters_does(house: SignInHouse) -> None:
    """However it was composed when it was typed (NFKC)."""
    await house.enrolled("alice", "caf\u00e9 noir à minuit")
    assert (await house.start("alice", "cafe\u0301 noir à minuit")).totp
    assert (await refused(house.start("alice", "cafe noir à minuit"))).code == "denied"


# --- the second factor ------------------------------------------------------------------------------------------------


@pytest.mark.promise("0.2")
async def test_a_code_counts_once(house: SignInHouse) -> None:
    """RFC 6238 section 5.2; also not for step-up, and not for another challenge (promise 0.2)."""
    await house.enrolled("alice")
    begun = await house.start("alice")
    code = house.code("alice")
    done = await sign_in.finish_totp(house.services, challenge=begun.token, code=code, source=HERE)
    assert (await refused(sign_in.finish_totp(house.services, challenge=begun.token, code=code, source=HERE))).code == (
        "not_found"
    )
    other = await house.start("alice")
    assert (await refused(sign_in.finish_totp(house.services, challenge=other.token, code=code, source=HERE))).code == (
        "denied"
    )
    stepped = sign_in.step_up_totp(house.services, done.identity, code=code, source=HERE)
    assert (await refused(stepped)).code == "denied"
    assert [entry["outcome"] for entry in await house.entries("totp")] == ["replayed", "replayed"]


async def test_a_challenge_lives_five_minutes_and_through_a_restart(house: SignInHouse) -> None:
    await house.enrolled("alice")
    begun = await house.start("alice")
    house.later(minutes=4, seconds=50)
    house.restart()
    await sign_in.finish_totp(house.services, challenge=begun.token, code=house.code("alice"), source=HERE)
    begun = await house.start("alice")
    house.later(minutes=5)
    late = sign_in.finish_totp(house.services, challenge=begun.token, code=house.code("alice"), source=HERE)
    assert (await refused(late)).code == "not_found"


async def test_after_five_wrong_codes_one_begins_again(house: SignInHouse) -> None:
    await house.enrolled("alice")
    begun = await house.start("alice")
    codes = []
    for _ in range(6):
        asked = sign_in.finish_totp(house.services, challenge=begun.token, code="123", source=HERE)
        codes.append((await refused(asked)).code)
    assert codes == ["denied"] * 5 + ["not_found"]
    await house.sign_in("alice")


async def test_a_right_password_gives_no_codes_back(house: SignInHouse) -> None:
    """Whoever knows the password and sits at a browser that is known guesses at codes no more often (promise 0.2)."""
    known = (await house.enrolled("alice")).browser_token
    said = []
    for _ in range(3):
        begun = await house.start("alice", browser=known)
        for _ in range(4):
            tried = sign_in.finish_totp(house.services, challenge=begun.token, code="000000", source=HERE)
            said.append((await refused(tried)).code)
    assert said == ["denied"] * 10 + ["throttled"] * 2
    assert [one["outcome"] for one in await house.entries("totp") if one["action"] == "sign_in"][-1] == "locked"


async def test_a_recovery_code_counts_once_and_in_whatever_way_it_is_typed(house: SignInHouse) -> None:
    await house.enrolled("alice")
    code = house.codes["alice"][3]
    begun = await house.start("alice")
    assert begun.recovery
    typed = f" {code.upper().replace('-', ' ')} "
    await sign_in.finish_recovery(house.services, challenge=begun.token, code=typed, source=HERE)
    begun = await house.start("alice")
    used = sign_in.finish_recovery(house.services, challenge=begun.token, code=code, source=HERE)
    assert (await refused(used)).code == "denied"


async def test_somebody_elses_code_is_none(house: SignInHouse) -> None:
    await house.enrolled("alice")
    await house.enrolled("bob", PASSWORD)
    begun = await house.start("alice")
    for finish, code in ((sign_in.finish_totp, house.code("bob")), (sign_in.finish_recovery, house.codes["bob"][0])):
        assert (await refused(finish(house.services, challenge=begun.token, code=code, source=HERE))).code == "denied"


# --- sessions ---------------------------------------------------------------------------------------------------------


async def test_each_sign_in_makes_another_token(house: SignInHouse) -> None:
    """None can be planted before: a token from before stays what it was, and no new one is taken from it."""
    first = await house.enrolled("alice")
    second = await house.sign_in("alice", browser=first.browser_token)
    assert first.session_token != second.session_token
    assert first.browser_token != second.browser_token
    assert first.identity.session_id != second.identity.session_id


async def test_a_session_ends_idle_after_twelve_hours_and_in_any_case_after_a_week(house: SignInHouse) -> None:
    signed_in = await house.enrolled("alice")
    house.later(hours=11, minutes=59)
    assert await sign_in.identify(house.services, session_token=signed_in.session_token)
    house.later(hours=12, minutes=1)
    assert await sign_in.identify(house.services, session_token=signed_in.session_token) is None
    signed_in = await house.sign_in("alice")
    for _ in range(14):
        house.later(hours=11, minutes=55)
        assert await sign_in.identify(house.services, session_token=signed_in.session_token)
    house.later(hours=2)
    assert await sign_in.identify(house.services, session_token=signed_in.session_token) is None


async def test_signing_out_ends_it_for_good(house: SignInHouse) -> None:
    signed_in = await house.enrolled("alice")
    await sign_in.sign_out(house.services, signed_in.identity)
    assert await sign_in.identify(house.services, session_token=signed_in.session_token) is None
    last = (await house.entries("session"))[-1]
    assert (last["action"], last["session_id"]) == ("revoke", signed_in.identity.session_id)
    assert last["actor_id"] == house.persons["alice"].id


@pytest.mark.promise("0.4")
async def test_whoever_is_disabled_or_locked_is_out_at_once(house: SignInHouse) -> None:
    """Sessions, links and what was begun; unlocking gives no session back (promise 0.4)."""
    signed_in = await house.enrolled("alice")
    begun = await house.start("alice")
    why = Actor("os:1000", "console", "suspicion")
    await containment.lock(house.services, why, login="alice")
    assert await sign_in.identify(house.services, session_token=signed_in.session_token) is None
    late = sign_in.finish_totp(house.services, challenge=begun.token, code=house.code("alice"), source=HERE)
    assert (await refused(late)).code == "not_found"
    assert (await refused(house.start("alice"))).code == "denied"
    await containment.unlock(house.services, why, login="alice")
    assert await sign_in.identify(house.services, session_token=signed_in.session_token) is None
    signed_in = await house.sign_in("alice")
    await people.disable(house.services, OWNER, login="alice")
    assert await sign_in.identify(house.services, session_token=signed_in.session_token) is None
    async with house.services.db.transaction() as tx:
        await persons.enable(tx, house.persons["alice"].id)  # nobody does: what they signed in with is gone besides
    assert (await refused(house.start("alice"))).code == "denied"


@pytest.mark.promise("0.4")
async def test_a_role_that_is_taken_counts_with_the_next_request(house: SignInHouse) -> None:
    """Promise 0.4."""
    signed_in = await house.enrolled("bob")
    assert signed_in.identity.reach("recordings.read") is Reach.TEAM
    await people.set_roles(house.services, OWNER, login="bob", roles=["employee"])
    found = await sign_in.identify(house.services, session_token=signed_in.session_token)
    assert found is not None
    assert found.reach("recordings.read") is None


# --- who may not ------------------------------------------------------------------------------------------------------


async def test_every_refusal_is_the_same_and_is_written_down(house: SignInHouse) -> None:
    await house.enrolled("alice")
    await house.enrolled("bob")
    await people.disable(house.services, OWNER, login="bob")
    await people.add(house.services, OWNER, login="carol", name="Carol")  # has never signed in
    before = len(await house.entries())
    said = {
        str(await refused(house.start(login, password)))
        for login, password in (
            ("alice", "wrong"), ("nobody", PASSWORD), ("bob", PASSWORD), ("carol", PASSWORD), ("", ""),
            ("alice\0", PASSWORD), ("Alice", PASSWORD), ("alice", PASSWORD * 100), ("alice", "\ud800"),
        )
    }  # fmt: skip
    assert len(said) == 1
    written = (await house.entries())[before:]
    assert {(entry["action"], entry["object"], entry["outcome"], entry["actor_id"]) for entry in written} == {
        ("sign_in", "session", "wrong", "system")
    }
    assert len(written) == 9


async def test_no_token_is_in_the_database_in_clear(house: SignInHouse, raw: Any) -> None:
    token = await house.invited("alice")
    begun = await invitations.accept(house.services, token=token, password=PASSWORD, source=HERE)
    offered = await invitations.enrol_totp_offer(house.services, challenge=begun.token)
    house.secrets["alice"] = offered.secret
    done, codes = await invitations.enrol_totp(
        house.services, challenge=begun.token, code=house.code("alice"), source=HERE
    )
    again = await house.start("alice", agent="Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0")
    written = await raw(house.services.db)
    held = [token, begun.token, offered.secret, done.session_token, done.browser_token, again.token, PASSWORD, HERE]
    assert [one for one in (*held, *codes) if one.encode() in written] == []
    assert b"$argon2id$" not in written
    assert b"Firefox, Linux" in written


async def test_what_is_no_token_is_nobodys(house: SignInHouse) -> None:
    await house.enrolled("alice")
    for token in ("", "x", "x" * 100_000, "\ud800", "\0", "é"):
        assert await sign_in.identify(house.services, session_token=token) is None
        code = sign_in.finish_totp(house.services, challenge=token, code="1", source=ELSEWHERE)
        assert (await refused(code)).code == "not_found"
        assert (await refused(invitations.look(house.services, token=token))).code == "not_found"


async def test_what_is_typed_as_a_code_may_be_anything(house: SignInHouse) -> None:
    await house.enrolled("alice")
    for code in ("", "é" * 6, "\ud800", "1" * 100_000, "１２３４５６"):
        begun = await house.start("alice")
        for finish in (sign_in.finish_totp, sign_in.finish_recovery):
            asked = finish(house.services, challenge=begun.token, code=code, source=HERE)
            assert (await refused(asked)).code == "denied"
            house.later(minutes=1)


# --- passkeys ---------------------------------------------------------------------------------------------------------


@pytest.mark.promise("0.2")
async def test_a_passkey_is_a_second_factor(house: SignInHouse) -> None:
    """From the first sign-in on, and for step-up (promise 0.2)."""
    first, key = await house.with_passkey("alice")
    assert await sign_in.identify(house.services, session_token=first.session_token)
    begun = await house.start("alice")
    assert (begun.totp, begun.passkeys, begun.recovery) == (False, True, True)
    asked = await sign_in.passkey_request(house.services, challenge=begun.token)
    assert asked["publicKey"]["rpId"] == ORIGIN.removeprefix("https://")
    done = await sign_in.finish_passkey(house.services, challenge=begun.token, answer=key.get(asked), source=HERE)
    house.later(minutes=11)
    asked = await sign_in.step_up_passkey_request(house.services, done.identity)
    await sign_in.step_up_passkey(house.services, done.identity, answer=key.get(asked), source=HERE)
    found = await sign_in.identify(house.services, session_token=done.session_token)
    assert found is not None
    assert found.fresh_until is not None
    assert (found.fresh_until - house.now).total_seconds() == 600


WRONG: tuple[dict[str, Any], ...] = (
    {"origin": "https://phone.example.com"}, {"origin": "http://phone.example.org"},
    {"origin": "https://evil.phone.example.org"}, {"origin": f"{ORIGIN}:8443"}, {"host": "example.org"},
    {"challenge": "A" * 43}, {"kind": "webauthn.create"}, {"absent": True}, {"forged": True}, {"counter": 1},
    {"counter": 0},
)  # fmt: skip
NO_ANSWERS: tuple[dict[str, Any], ...] = (
    {}, {"id": 1}, {"response": []}, {"rawId": "x", "id": "x", "response": {}}, {"rawId": "é", "id": "é"},
    {"rawId": None, "id": None, "type": None, "response": {"clientDataJSON": "e30", "authenticatorData": ""}},
)  # fmt: skip


async def test_a_passkeys_answer_that_is_not_quite_right_is_none(house: SignInHouse) -> None:
    _, key = await house.with_passkey("alice")
    key.counter = 5
    for wrong in ({}, *WRONG):
        begun = await house.start("alice")
        asked = await sign_in.passkey_request(house.services, challenge=begun.token)
        answer = key.get(asked, **wrong)
        finish = sign_in.finish_passkey(house.services, challenge=begun.token, answer=answer, source=HERE)
        if not wrong:
            assert (await finish).identity.login == "alice"
            continue
        assert (await refused(finish)).code == "denied", wrong
        # That request is used up, even for the right answer.
        late = sign_in.finish_passkey(house.services, challenge=begun.token, answer=key.get(asked), source=HERE)
        assert (await refused(late)).code == "denied", wrong


async def test_what_is_no_passkeys_answer_is_refused(house: SignInHouse) -> None:
    await house.with_passkey("alice")
    for answer in NO_ANSWERS:
        begun = await house.start("alice")
        await sign_in.passkey_request(house.services, challenge=begun.token)
        asked = sign_in.finish_passkey(house.services, challenge=begun.token, answer=answer, source=HERE)
        assert (await refused(asked)).code == "denied", answer


async def test_another_ones_passkey_is_none(house: SignInHouse) -> None:
    _, _ = await house.with_passkey("alice")
    _, other = await house.with_passkey("bob")
    begun = await house.start("alice")
    asked = await sign_in.passkey_request(house.services, challenge=begun.token)
    allowed = asked["publicKey"]["allowCredentials"]
    answer = other.get({"publicKey": {**asked["publicKey"], "allowCredentials": [*allowed, _named(other)]}})
    refusal = await refused(sign_in.finish_passkey(house.services, challenge=begun.token, answer=answer, source=HERE))
    assert refusal.code == "denied"


def _named(key: Any) -> dict[str, str]:
    from tests.peers.authenticator import _text

    return {"id": _text(key.credential_id), "type": "public-key"}
