"""Places that the configuration names are told what happens: signed, in order, no more than a person's rights allow."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from config import settings as configuration
from config.paths import Paths
from config.problems import ConfigError
from config.web_section import Webhook
from server import signed_posts
from server.happenings import hub as hubs
from server.happenings.hub import Happening, Hub
from server.happenings.sight import Sight
from server.rights import Identity
from server.services.context import ServerKeys, Services
from server.webhooks import teller as module
from server.webhooks.teller import Teller
from storage import ledger, people
from storage.database import Database
from storage.errors import Unavailable
from storage.tx import Tx
from tests.server.alerting.receivers import Hook, trust, webhook
from tests.server.two_teams import EXTENSIONS, NOW, OUTSIDE, TwoTeams
from tests.storage.conftest import db, field_keys, fresh_url, ledger_key, made_once, postgres_dir

__all__ = ["db", "field_keys", "fresh_url", "ledger_key", "made_once", "postgres_dir"]
pytestmark = pytest.mark.promise("P16", "1.20")

SECRET = b"a secret between two"


@pytest.fixture
async def teams(db: Database, field_keys: Any, ledger_key: Any, tmp_path: Path) -> TwoTeams:  # noqa: F811
    paths = Paths(tmp_path / "data")
    paths.make()
    for name in ("crm", "other"):
        file = paths.keys / f"webhook.{name}.password"
        file.write_bytes(SECRET + b"\n")
        file.chmod(0o600)
    keys = ServerKeys(field_keys, ledger_key, ledger_key)
    made = TwoTeams(Services(db, paths, configuration.parse(""), keys, clock=lambda: NOW))
    await made.make()
    async with made.services.db.transaction() as tx:
        await people.set_roles(tx, made.people["alice"], ["supervisor"])
    return made


@asynccontextmanager
async def telling(
    teams: TwoTeams, hook: Hook, other: Hook | None = None, **chosen: Any
) -> AsyncIterator[tuple[Hub, Teller]]:
    receivers = {"crm": Webhook(**{"url": hook.url, "login": "alice", **chosen})}
    if other is not None:
        receivers["other"] = Webhook(**{"url": other.url, "login": "alice", **chosen})
    web = teams.services.settings.web.model_copy(update={"webhooks": receivers})
    teams.services.settings = teams.services.settings.model_copy(update={"web": web})
    hub = Hub()
    teller = Teller(teams.services, hub)
    async with asyncio.TaskGroup() as group:
        running = [group.create_task(part()) for part in teller.parts().values()]
        await asyncio.sleep(0.05)
        yield hub, teller
        for task in running:
            task.cancel()


def call(teams: TwoTeams, name: str, kind: Any = "call.started", what: str = "") -> Happening:
    subject = teams.calls[what] if what else "c" * 32
    return Happening(kind, NOW, subject, "ringing", "inbound", frozenset({teams.accounts[name]}))


async def posts(hook: Hook, count: int) -> list[dict[str, Any]]:
    for _ in range(500):
        if len(hook.posts) >= count:
            break
        await asyncio.sleep(0.02)
    return [json.loads(one.body) for one in hook.posts]


async def counted(teller: Teller, count: int, what: str = "told") -> None:
    for _ in range(500):
        if teller.counts[what] >= count:
            return
        await asyncio.sleep(0.02)
    raise AssertionError(teller.counts)


async def test_it_is_signed_and_says_no_number(teams: TwoTeams) -> None:
    async with webhook() as hook, telling(teams, hook) as (hub, teller):
        hub.tell(call(teams, "alice"))
        [said] = await posts(hook, 1)
        await counted(teller, 1)
    [post] = hook.posts
    stamp, _, mark = post.headers["Beffroi-Signature"].removeprefix("t=").partition(",v1=")
    assert mark == hmac.digest(SECRET, stamp.encode() + b"." + post.body, hashlib.sha256).hex()
    assert int(stamp) == int(NOW.timestamp())
    assert post.headers["Beffroi-Event"] == "call.started"
    assert post.headers["Beffroi-Delivery"] == said["id"]
    assert said.keys() == {"v", "id", "kind", "at", "call", "state", "direction", "accounts", "line"}
    assert OUTSIDE[-8:] not in post.body.decode()
    assert not any(f'"{number}"' in post.body.decode() for number in EXTENSIONS.values())
    assert teller.counts == {"told": 1, "failures": 0, "given_up": 0}


@pytest.mark.promise("0.4")
async def test_it_hears_no_more_than_the_person_may_know(teams: TwoTeams) -> None:
    async with webhook() as hook, telling(teams, hook, kinds=("call.started",)) as (hub, _):
        hub.tell(call(teams, "carol"))
        hub.tell(call(teams, "bob", "call.answered"))
        hub.tell(call(teams, "bob"))
        [said] = await posts(hook, 1)
        assert said["accounts"] == ["bob"]
        await asyncio.sleep(0.3)
    assert len(hook.posts) == 1


@pytest.mark.promise("0.4")
@pytest.mark.parametrize("login", ["nobody-at-all", "bob"])
async def test_it_hears_nothing_where_the_person_is_gone(teams: TwoTeams, login: str) -> None:
    async with teams.services.db.transaction() as tx:
        await people.disable(tx, teams.people["bob"], NOW)
    async with webhook() as hook, telling(teams, hook, login=login) as (hub, _):
        hub.tell(call(teams, "bob"))
        await asyncio.sleep(0.5)
    assert hook.posts == []


async def test_numbers_are_told_where_the_receiver_may_have_them(
    teams: TwoTeams, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RECORD_S", 0.0)
    async with webhook() as hook, telling(teams, hook, numbers=True) as (hub, _):
        hub.tell(call(teams, "alice", "call.ended", "outside alice"))
        hub.tell(call(teams, "alice", "call.ended", "outside carol"))  # a record that is not theirs
        first, second = await posts(hook, 2)
    assert OUTSIDE in first["numbers"].values()
    assert "numbers" not in second


async def test_it_is_told_again_until_it_takes_it_and_in_order(
    teams: TwoTeams, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "FIRST_BACK_OFF_S", 0.05)
    async with webhook() as hook, telling(teams, hook) as (hub, teller):
        hook.status = 503
        hub.tell(call(teams, "alice"))
        hub.tell(call(teams, "alice", "call.ended"))
        await posts(hook, 3)
        hook.status = 204
        tried = len(hook.posts)
        said = await posts(hook, tried + 2)
        await counted(teller, 2)
    assert {one["kind"] for one in said[:tried]} == {"call.started"}
    assert said[-1]["kind"] == "call.ended"
    assert len({one["id"] for one in said if one["kind"] == "call.started"}) == 1
    assert teller.counts["told"] == 2 and teller.counts["failures"] >= 3


async def test_what_waits_is_bounded(teams: TwoTeams, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_WAITING", 3)
    monkeypatch.setattr(module, "FIRST_BACK_OFF_S", 30.0)
    async with webhook() as hook, telling(teams, hook) as (hub, teller):
        hook.status = 500
        for _ in range(8):
            hub.tell(call(teams, "alice"))
        await counted(teller, 6, "given_up")
        kinds = [each.kind for each in teller._receivers[0].waiting]
    assert kinds == ["missed", "call.started", "call.started"]


async def test_it_follows_nowhere_and_trusts_nobody_else(
    teams: TwoTeams, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "FIRST_BACK_OFF_S", 30.0)
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    async with webhook() as hook, telling(teams, hook) as (hub, teller):
        hook.status, hook.location = 302, hook.url.rsplit("/", 1)[0] + "/elsewhere"
        hub.tell(call(teams, "alice"))
        await counted(teller, 1, "failures")
        assert hook.others == [] and teller.counts["told"] == 0
    known = trust(tmp_path)
    async with webhook(known) as hook, telling(teams, hook) as (hub, teller):
        hub.tell(call(teams, "alice"))
        await counted(teller, 1, "failures")
        assert hook.posts == []
    async with webhook(known) as hook, telling(teams, hook, ca_file=str(known.ca)) as (hub, teller):
        hub.tell(call(teams, "alice"))
        assert len(await posts(hook, 1)) == 1


async def test_one_that_does_not_answer_holds_up_no_other(teams: TwoTeams) -> None:
    async with webhook() as silent, webhook() as hook, telling(teams, silent, hook) as (hub, _):
        silent.hang = True
        for _ in range(20):
            hub.tell(call(teams, "alice"))
        await posts(silent, 1)
        assert len(await posts(hook, 20)) == 20 and len({one["id"] for one in await posts(silent, 1)}) == 1


async def test_records_are_waited_for_all_at_once(teams: TwoTeams, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten calls that end together, each with two seconds for its record: two seconds, and not twenty."""
    monkeypatch.setattr(module, "RECORD_S", 2.0)
    async with webhook() as hook, telling(teams, hook, numbers=True) as (hub, _):
        began_s = time.monotonic()
        for _ in range(10):
            hub.tell(call(teams, "alice", "call.ended", "outside alice"))
        hub.tell(call(teams, "alice"))
        said = await posts(hook, 11)
        took_s = time.monotonic() - began_s
    assert [one["kind"] for one in said] == ["call.ended"] * 10 + ["call.started"]
    assert 2.0 <= took_s < 15.0 and all(OUTSIDE in one["numbers"].values() for one in said[:10])


async def test_that_something_was_missed_is_told(teams: TwoTeams, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hubs, "BACKLOG", 3)
    async with webhook() as hook, telling(teams, hook, kinds=("call.ended",)) as (hub, _):
        for _ in range(9):
            hub.tell(call(teams, "alice", "call.ended"))
        said = await posts(hook, 4)
        await asyncio.sleep(0.2)
        assert [one["kind"] for one in said] == [*["call.ended"] * 3, "missed"] and len(hook.posts) == 4
        assert said[3].keys() == {"v", "id", "kind", "at"} and hook.posts[3].headers["Beffroi-Event"] == "missed"
        hub.tell(call(teams, "alice", "call.ended", "outside alice"))
        [after] = (await posts(hook, 5))[4:]
        assert (after["kind"], after["call"]) == ("call.ended", teams.calls["outside alice"])


async def test_one_word_is_enough_for_what_is_missing_together(
    teams: TwoTeams, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However often more is lost, but for a word that the receiver may have acted upon already."""
    monkeypatch.setattr(hubs, "BACKLOG", 1)
    monkeypatch.setattr(module, "MAX_WAITING", 4)
    monkeypatch.setattr(module, "FIRST_BACK_OFF_S", 30.0)
    async with webhook() as hook, telling(teams, hook, kinds=("call.ended",)) as (hub, teller):
        [listener], [receiver] = hub._listeners, teller._receivers

        async def heard(*calls: Happening) -> list[str]:
            for one in calls:
                hub.tell(one)
            for _ in range(500):
                if listener.queue.empty() and not listener.missed:
                    break
                await asyncio.sleep(0.02)
            await asyncio.sleep(0.05)
            return [each.kind for each in receiver.waiting]

        hook.status = 500
        lost = [call(teams, "alice")] * 2  # the first is none that it wants, and the second is lost
        assert await heard(*lost) == ["missed"]
        await counted(teller, 1, "failures")
        for _ in range(6):
            assert await heard(*lost) == ["missed", "missed"]
        ended = call(teams, "alice", "call.ended")
        assert await heard(ended) == ["missed", "missed", "call.ended"]
        assert await heard(*lost) == ["missed", "missed", "call.ended", "missed"]
        assert await heard(ended) == ["missed", "missed", "call.ended"]  # the older was given up
        assert teller.counts["given_up"] == 1


@pytest.mark.promise("0.4")
async def test_that_something_is_missing_is_told_to_nobody_who_is_gone(
    teams: TwoTeams, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(hubs, "BACKLOG", 1)
    async with webhook() as hook, telling(teams, hook, login="nobody-at-all") as (hub, teller):
        for _ in range(3):
            hub.tell(call(teams, "alice"))
        with caplog.at_level("INFO"):
            for _ in range(500):
                if "may not know missed any more" in caplog.text:
                    break
                await asyncio.sleep(0.02)
        assert "webhook crm may not know missed any more" in caplog.text
    assert hook.posts == [] and teller.counts == {"told": 0, "failures": 0, "given_up": 0}


async def test_what_is_given_up_is_missed(teams: TwoTeams, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a day; and it takes what comes after that."""
    monkeypatch.setattr(module, "FIRST_BACK_OFF_S", 0.05)
    async with webhook() as hook, telling(teams, hook) as (hub, teller):
        hook.status = 500
        hub.tell(call(teams, "alice"))
        await counted(teller, 2, "failures")
        assert teller.counts["given_up"] == 0
        teams.services.clock = lambda: NOW + module.GIVE_UP + timedelta(minutes=1)
        await counted(teller, 1, "given_up")
        hook.status = 204
        hub.tell(call(teams, "alice", "call.ended"))
        await counted(teller, 2)
    told = list(dict.fromkeys((post.headers["Beffroi-Event"], post.headers["Beffroi-Delivery"]) for post in hook.posts))
    assert [kind for kind, _ in told] == ["call.started", "missed", "call.ended"]


@pytest.mark.promise("0.4")
async def test_what_waits_is_not_told_to_whoever_may_not_know_it_any_more(
    teams: TwoTeams, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "FIRST_BACK_OFF_S", 0.05)
    monkeypatch.setattr(module, "LOOK_S", 0.0)
    async with webhook() as hook, telling(teams, hook) as (hub, teller):
        hook.status = 503
        hub.tell(call(teams, "bob"))
        await counted(teller, 2, "failures")
        async with teams.services.db.transaction() as tx:
            await people.set_roles(tx, teams.people["alice"], ["employee"])
        await asyncio.sleep(0.5)
        hook.status, tried = 204, len(hook.posts)
        hub.tell(call(teams, "alice"))
        await counted(teller, 1)
    assert [json.loads(post.body)["accounts"] for post in hook.posts[tried:]] == [["alice"]]


@pytest.mark.promise("0.6")
async def test_that_it_listens_is_written_down_and_who_is_gone_is_told_of(
    teams: TwoTeams, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "LOOK_S", 0.0)
    async with webhook() as hook, telling(teams, hook, kinds=("call.ended", "text.in")) as (hub, teller):
        hub.tell(call(teams, "alice", "call.ended"))
        await counted(teller, 1)
        assert teller.well() == {"crm": True}
        async with teams.services.db.transaction() as tx:
            await people.disable(tx, teams.people["alice"], NOW)
        hub.tell(call(teams, "alice", "call.ended"))
        await asyncio.sleep(0.5)
        assert len(hook.posts) == 1 and teller.well() == {"crm": False}
    async with teams.services.db.read() as tx:
        found = [json.loads(one.body) for one in await ledger.entries(tx, "access")]
    listens = [one for one in found if one["action"] == "listen"]
    assert [(one["object"], one["kinds"]) for one in listens] == [("call", ["call.ended"]), ("text", ["text.in"])]
    assert {one["actor_id"] for one in listens} == {teams.people["alice"]} and all(
        "reason_id" in one for one in listens
    )
    assert "webhook crm is told nothing: the person of web.webhooks.crm.login is not there" in caplog.text


async def test_a_record_that_is_not_shown_is_logged(
    teams: TwoTeams, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "RECORD_S", 0.0)
    async with webhook() as hook, telling(teams, hook, numbers=True) as (hub, _):
        hub.tell(call(teams, "alice", "call.ended", "outside carol"))
        [said] = await posts(hook, 1)
    assert "numbers" not in said and "webhook crm is not told the numbers of a call: not_found" in caplog.text
    assert OUTSIDE not in caplog.text


async def test_a_database_that_is_away_for_a_moment_costs_nothing(
    teams: TwoTeams, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LOOK_S", 0.0)
    monkeypatch.setattr(module, "DATABASE_S", 0.05)
    monkeypatch.setattr(module, "FIRST_BACK_OFF_S", 0.05)
    real, away = module.read_sight, [Unavailable("for a moment")] * 3

    async def sight(tx: Tx, who: Identity) -> Sight:
        if away:
            raise away.pop()
        return await real(tx, who)

    async with webhook() as hook, telling(teams, hook) as (hub, _):
        monkeypatch.setattr(module, "read_sight", sight)
        hub.tell(call(teams, "alice"))
        assert [one["kind"] for one in await posts(hook, 1)] == ["call.started"]
    assert not away


async def test_neither_secret_nor_certificates_are_read_where_calls_are_served(
    teams: TwoTeams, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read_by: list[str] = []
    secret, trusted = signed_posts.secret, signed_posts._trust

    def read(*given: Any) -> bytes:
        read_by.append(threading.current_thread().name)
        return secret(*given)

    def trusts(place: signed_posts.Place) -> Any:
        read_by.append(threading.current_thread().name)
        return trusted(place)

    monkeypatch.setattr(signed_posts, "secret", read)
    monkeypatch.setattr(signed_posts, "_trust", trusts)
    known = trust(tmp_path)
    async with webhook(known) as hook, telling(teams, hook, ca_file=str(known.ca)) as (hub, _):
        for _ in range(3):
            hub.tell(call(teams, "alice"))
        await posts(hook, 3)
    assert read_by == ["signed post"] * 2  # once for all three, not by the loop's thread


async def test_without_a_secret_nothing_is_sent(teams: TwoTeams) -> None:
    (teams.services.paths.keys / "webhook.crm.password").unlink()
    async with webhook() as hook, telling(teams, hook) as (hub, teller):
        hub.tell(call(teams, "alice"))
        await counted(teller, 1, "failures")
    assert hook.posts == []


@pytest.mark.parametrize(
    "line",
    [
        'url = "http://crm.example/hook"',
        'url = "https://user:word@crm.example/hook"',
        'url = "ftp://crm.example"',
        'kinds = ["everything"]',
    ],
)
def test_the_configuration_refuses_what_would_be_sent_in_clear(line: str) -> None:
    with pytest.raises(ConfigError):
        configuration.parse(f"[web.webhooks.crm]\n{line}\n")


@pytest.mark.parametrize("login", ["", 'login = ""'])
def test_the_configuration_says_whose_rights_it_has(login: str) -> None:
    with pytest.raises(ConfigError, match=r"web\.webhooks\.crm\.login.*write the login of a person"):
        configuration.parse(f'[web.webhooks.crm]\nurl = "https://crm.example/hook"\n{login}\n')
    with pytest.raises(ConfigError, match=r"web\.webhooks\.crm\.url"):
        configuration.parse('[web.webhooks.crm]\nlogin = "alice"\n')


def test_nobody_is_told_unless_the_configuration_names_them(teams: TwoTeams) -> None:
    assert Teller(teams.services, Hub()).parts() == {}
