"""Places that the configuration names are told what happens: signed, in order, no more than a person's rights allow."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from config import settings as configuration
from config.paths import Paths
from config.problems import ConfigError
from config.web_section import Webhook
from server.happenings.hub import Happening, Hub
from server.services.context import ServerKeys, Services
from server.webhooks import teller as module
from server.webhooks.teller import Teller
from storage import people
from storage.database import Database
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
async def telling(teams: TwoTeams, hook: Hook, **chosen: Any) -> AsyncIterator[tuple[Hub, Teller]]:
    receiver = Webhook(**{"url": hook.url, "login": "alice", **chosen})
    web = teams.services.settings.web.model_copy(update={"webhooks": {"crm": receiver}})
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
        await counted(teller, 5, "given_up")
        assert len(teller._receivers[0].waiting) == 3


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


def test_nobody_is_told_unless_the_configuration_names_them(teams: TwoTeams) -> None:
    assert Teller(teams.services, Hub()).parts() == {}
