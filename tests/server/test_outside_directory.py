"""Own numbers, forwards, do not disturb, the number that is shown, limits; accounts that are disabled."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from server.commands import call_settings, limits, numbers
from server.failure import Failure
from server.services import accounts as account_service
from server.services import call_settings as settings_service
from server.services import devices as device_service
from server.services import limits as limit_service
from server.services import owned_numbers as number_service
from server.services import trunks as trunk_service
from server.services.actor import Actor
from server.services.call_settings import SettingsView
from server.services.context import Services
from server.services.limits import LimitsView
from server.services.owned_numbers import NumberView
from sip.edge.rpc import RpcError
from storage import accounts, devices, usage
from storage.limits import of_account
from tests.server.conftest import Ran

ME = Actor("os:0", "here")
CURIOUS = Actor("os:0", "here", reason="a check")
MAIN, OTHER, MOBILE = "+33142000000", "+33142000001", "+33612345678"


@dataclass
class Daemon:
    """Stands for the running daemon and its edge: keeps what it was told."""

    told: list[tuple[str, ...]] = field(default_factory=list)
    silent: bool = False

    async def trunks_changed(self) -> None:
        self.told.append(("trunks",))

    async def settings_changed(self) -> None:
        self.told.append(("settings",))

    async def lines_changed(self) -> None:
        self.told.append(("lines",))

    async def end_device(self, auth_user: str) -> None:
        self.told.append(("end", auth_user))

    async def push_device(self, auth_user: str, account: str, ha1: str, account_id: str = "") -> None:
        self.told.append(("push", auth_user))

    async def drop_device(self, auth_user: str) -> None:
        if self.silent:
            raise RpcError("drop", 0, "no answer")
        self.told.append(("drop", auth_user))

    async def refuse_device(self, auth_user: str) -> None:
        self.told.append(("refuse", auth_user))

    async def contacts(self, auth_user: str) -> Iterable[object]:
        return ()

    async def trunk_states(self) -> Mapping[str, object]:
        return {}


@pytest.fixture
def daemon(services: Services) -> Daemon:
    services.live = services.edge = Daemon()  # type: ignore[assignment]
    return services.live  # type: ignore[return-value]


def test_records_hold_just_the_documented_fields():
    for documented, view in ((call_settings.FIELDS, SettingsView), (limits.FIELDS, LimitsView),
                             (numbers.FIELDS, NumberView)):  # fmt: skip
        assert [one.name for one in documented] == [one.name for one in fields(view)]


@pytest.mark.parametrize(
    "words",
    [("account", "forward", "alice", "--off", "always"), ("account", "dnd", "alice", "on"),
     ("account", "present", "alice", "--hidden"), ("account", "limits", "alice"), ("limits", "show"),
     ("number", "add", MAIN, "--line", "200"), ("account", "call-waiting", "alice", "off")],
)  # fmt: skip
def test_json_has_the_fields_in_order(beffroi: Callable[..., Ran], words: tuple[str, ...]):
    documented = {"limits": limits.FIELDS, "number": numbers.FIELDS}
    expected = documented.get(words[1] if words[1] in documented else words[0], call_settings.FIELDS)
    assert list(beffroi(*words, "--json").json) == [one.name for one in expected]


# --- own numbers --------------------------------------------------------------------------------------------------


@pytest.mark.promise("P14")
def test_a_number_leads_to_an_account_or_a_line(beffroi: Callable[..., Ran]):
    made = beffroi("number", "add", "01 42 00 00 00", "--account", "alice", "--shared", "--json").json
    assert (made["number"], made["account"], made["line"], made["shared"]) == (MAIN, "alice", None, True)
    assert beffroi("number", "add", OTHER, "--line", "200", "--json").json["line"] == "recorded"
    masked = beffroi("number", "list").out
    assert "4200" not in masked and "+33•••••••00" in masked
    assert [one["number"] for one in beffroi("number", "list", "--json", "--reason", "x").json] == [MAIN, OTHER]
    assert MAIN in beffroi("account", "show", "alice", "--reason", "x").out
    assert beffroi("number", "remove", "0142000000").status == 0
    assert len(beffroi("number", "list", "--json").json) == 1


def test_a_mobile_number_may_be_called_but_not_shown(beffroi: Callable[..., Ran]):
    assert "not shown" in beffroi("number", "add", MOBILE, "--account", "alice", "--json").json["warning"]
    refused = beffroi("account", "present", "alice", MOBILE)
    assert refused.status == 1 and "mobile" in refused.err


def test_numbers_lie_in_no_file_in_clear(beffroi: Callable[..., Ran], data: Path):
    beffroi("number", "add", MAIN, "--account", "alice")
    beffroi("account", "present", "alice", MAIN, "--reason", "asked")
    beffroi("account", "forward", "alice", "--always", MOBILE)
    for path in data.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert MAIN[3:].encode() not in content and MOBILE[3:].encode() not in content, path


# --- what is chosen for an account --------------------------------------------------------------------------------


@pytest.mark.promise("P5")
def test_forwards_are_set_shown_and_taken_off(beffroi: Callable[..., Ran]):
    made = beffroi("account", "forward", "alice", "--always", "06 12 34 56 78", "--busy", "200", "--no-answer", "bob",
                   "--no-answer-after", "30", "--reason", "asked", "--json").json  # fmt: skip
    assert (made["always"], made["busy"], made["no_answer"], made["unregistered"], made["no_answer_s"]) == (
        MOBILE, "200", "bob", None, 30)  # fmt: skip
    shown = beffroi("account", "forward", "101", "--json").json
    assert (shown["always"], shown["busy"], shown["no_answer"]) == ("+33•••••••78", "200", "bob")
    off = beffroi("account", "forward", "alice", "--off", "always", "--off", "busy", "--unregistered", "102", "--json")
    assert [off.json[name] for name in ("always", "busy", "no_answer", "unregistered")] == [None, None, "bob", "102"]
    none = beffroi("account", "forward", "alice", "--off", "all", "--json").json
    assert {none[name] for name in ("always", "busy", "no_answer", "unregistered")} == {None}


@pytest.mark.promise("P12")
@pytest.mark.parametrize("number", ["112", "15", "*112", "+33112"])
def test_nothing_is_forwarded_to_an_emergency_service(beffroi: Callable[..., Ran], number: str):
    refused = beffroi("account", "forward", "alice", "--always", number)
    assert refused.status == 1 and "emergency" in refused.err


@pytest.mark.promise("P12")
def test_nobody_takes_an_emergency_number(beffroi: Callable[..., Ran]):
    for words in (
        ("account", "add", "carol", "112"),
        ("line", "add", "x", "18"),
        ("line", "set", "200", "--number", "17"),
    ):
        refused = beffroi(*words)
        assert refused.status == 1 and "emergency" in refused.err, words


def test_do_not_disturb_and_call_waiting(beffroi: Callable[..., Ran]):
    assert beffroi("account", "dnd", "alice", "on", "--json").json["dnd"] is True
    assert beffroi("account", "call-waiting", "alice", "off", "--json").json["call_waiting"] is False
    back = beffroi("account", "dnd", "alice", "off", "--json").json
    assert (back["dnd"], back["call_waiting"]) == (False, False)


@pytest.mark.promise("P3")
def test_only_an_own_or_a_shared_number_is_shown(beffroi: Callable[..., Ran]):
    beffroi("number", "add", MAIN, "--account", "bob")
    refused = beffroi("account", "present", "alice", MAIN)
    assert refused.status == 1 and "neither its own, nor its line's" in refused.err and MAIN not in refused.err
    assert beffroi("account", "present", "alice", OTHER).status == 1, "a number that is not ours at all"
    beffroi("number", "add", OTHER, "--line", "200", "--shared")
    shared = beffroi("account", "present", "alice", OTHER, "--reason", "x", "--json").json
    assert (shared["presented"], shared["hidden"]) == (OTHER, False)
    hidden = beffroi("account", "present", "alice", "--hidden", "--reason", "x", "--json").json
    assert (hidden["presented"], hidden["hidden"]) == (OTHER, True)
    own = beffroi("account", "present", "bob", MAIN, "--reason", "x", "--json").json
    assert own["presented"] == MAIN
    default = beffroi("account", "present", "bob", "--default", "--json").json
    assert (default["presented"], default["hidden"]) == (None, False)


def test_a_number_that_is_removed_is_shown_by_nobody(beffroi: Callable[..., Ran]):
    beffroi("number", "add", MAIN, "--account", "alice")
    beffroi("account", "present", "alice", MAIN)
    beffroi("number", "remove", MAIN)
    assert beffroi("account", "forward", "alice", "--json").json["presented"] is None


# --- limits -------------------------------------------------------------------------------------------------------


@pytest.mark.promise("P13")
async def test_limits_and_what_has_been_used(services: Services):
    made = await limit_service.of_account(services, ME, name="alice", international=False, countries=["be", "CH"],
                                          minutes_per_day=60, cents_per_month=5000)  # fmt: skip
    assert (made.owner, made.international, made.countries, made.minutes_per_day, made.cents_per_month) == (
        "account alice", False, ("BE", "CH"), 60, 5000)  # fmt: skip
    async with services.db.transaction() as tx:
        [account] = [one for one in await accounts.list_all(tx) if one.name == "alice"]
        today = services.clock().date()
        await usage.add(tx, of_account(account.id), today, 61, 123_456)
        await usage.add(tx, of_account(account.id), today - timedelta(days=60), 600, 900_000)
    again = await limit_service.of_account(services, ME, name="alice", inherit=["international", "countries"])
    assert (again.international, again.countries, again.minutes_per_day) == (None, (), 60)
    assert (again.minutes_today, again.cents_today, again.minutes_this_month) == (2, 13, 2)


def test_limits_of_trunks_and_of_everybody(beffroi: Callable[..., Ran]):
    beffroi("trunk", "add", "north", "--host", "192.0.2.1")
    of_trunk = beffroi("limits", "set", "--trunk", "north", "--euros-per-day", "12,5", "--json").json
    assert (of_trunk["owner"], of_trunk["cents_per_day"]) == ("trunk north", 1250)
    default = beffroi("limits", "set", "--no-international", "--max-calls", "2", "--json").json
    assert (default["owner"], default["international"], default["max_calls"]) == ("default", False, 2)
    assert beffroi("limits", "show", "--json").json["cents_per_day"] is None
    assert beffroi("limits", "show", "--trunk", "north", "--json").json["cents_per_day"] == 1250
    back = beffroi("limits", "set", "--trunk", "north", "--inherit", "euros-per-day", "--json").json
    assert back["cents_per_day"] is None


# --- what goes wrong ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words",
    [("number", "add"), ("number", "add", MAIN), ("number", "add", MAIN, "--line", "200", "--account", "bob"),
     ("account", "forward"), ("account", "forward", "alice", "--off", "sometimes"),
     ("account", "forward", "alice", "--always", "bob", "--off", "always"), ("account", "dnd", "alice"),
     ("account", "dnd", "alice", "perhaps"), ("account", "present", "alice"),
     ("account", "present", "alice", MAIN, "--hidden"), ("limits", "set", "--euros-per-day", "much"),
     ("limits", "set", "--inherit", "everything"), ("limits", "set", "--premium", "--inherit", "premium"),
     ("line", "set", "200", "--strategy", "random")],
)  # fmt: skip
def test_misuse_ends_with_2(beffroi: Callable[..., Ran], words: tuple[str, ...]):
    ran = beffroi(*words)
    assert (ran.status, ran.out) == (2, "") and ran.err


@pytest.mark.parametrize(
    "words",
    [("number", "add", "12", "--line", "200"), ("number", "add", MAIN, "--line", "nowhere"),
     ("number", "add", MAIN, "--account", "nobody"), ("number", "add", MAIN, "--line", "200", "--trunk", "nowhere"),
     ("number", "remove", MAIN), ("account", "forward", "nobody", "--off", "all"),
     ("account", "forward", "alice", "--always", "alice"), ("account", "forward", "alice", "--always", "101"),
     ("account", "forward", "alice", "--always", "carol"), ("account", "forward", "alice", "--always", "999"),
     ("account", "forward", "alice", "--no-answer-after", "0"), ("account", "present", "alice", "no number"),
     ("account", "limits", "alice", "--countries", "France"), ("account", "limits", "nobody"),
     ("account", "limits", "alice", "--minutes-per-day", "-5"), ("limits", "show", "--trunk", "nowhere"),
     ("account", "disable", "nobody"), ("account", "enable", "nobody"), ("line", "set", "200", "--member-ring", "0")],
)  # fmt: skip
def test_a_failure_is_one_line_that_says_what_to_do(beffroi: Callable[..., Ran], words: tuple[str, ...]):
    ran = beffroi(*words)
    assert (ran.status, ran.out) == (1, "")
    assert ran.err.startswith("beffroi: ") and ran.err.count("\n") == 1 and ran.err.count(". ") >= 1


def test_the_same_number_twice(beffroi: Callable[..., Ran]):
    beffroi("number", "add", MAIN, "--line", "200")
    again = beffroi("number", "add", "0142000000", "--account", "bob")
    assert again.status == 1 and "somewhere already" in again.err


@pytest.mark.promise("P5")
def test_lines_ring_together_or_one_after_the_other(beffroi: Callable[..., Ran]):
    made = beffroi("line", "add", "sales", "300", "--members", "alice,bob", "--json").json
    assert (made["strategy"], made["member_ring_s"]) == ("simultaneous", 20)
    changed = beffroi("line", "set", "sales", "--strategy", "sequential", "--member-ring", "15", "--json").json
    assert (changed["strategy"], changed["member_ring_s"], changed["members"]) == ("sequential", 15, ["alice", "bob"])


# --- the running daemon is told -----------------------------------------------------------------------------------


async def test_the_daemon_is_told_of_every_change(services: Services, daemon: Daemon):
    await trunk_service.add(services, ME, name="north", host="127.0.0.1", transport="tcp", port=9)
    await trunk_service.set_(services, ME, trunk="north", channels=3)
    await trunk_service.disable(services, ME, trunk="north")
    await trunk_service.enable(services, ME, trunk="north")
    assert daemon.told == [("trunks",)] * 4
    daemon.told.clear()
    await number_service.add(services, ME, number=MAIN, account="alice", trunk="north")
    await number_service.remove(services, ME, number=MAIN)
    assert daemon.told == [("trunks",), ("settings",)] * 2
    daemon.told.clear()
    await trunk_service.remove(services, ME, trunk="north")
    await settings_service.forward(services, ME, name="alice", busy="bob")
    await settings_service.dnd(services, ME, name="alice", on=True)
    await settings_service.present(services, ME, name="alice", hidden=True)
    await limit_service.of_account(services, ME, name="alice", premium=True)
    await limit_service.set_(services, ME, premium=False)
    assert daemon.told == [("trunks",)] + [("settings",)] * 5
    daemon.told.clear()
    await settings_service.forward(services, ME, name="alice")
    await limit_service.show(services, ME)
    assert daemon.told == [], "who only looks changes nothing"


@pytest.mark.promise("P1")
async def test_a_revoked_phone_is_signed_off_and_its_calls_end_the_others_go_on(
    services: Services, daemon: Daemon, shown: dict[str, Any]
):
    second = (await device_service.add(services, ME, account="alice")).device.user
    daemon.told.clear()
    await device_service.revoke(services, ME, user=second)
    assert daemon.told == [("drop", second), ("end", second)]


@pytest.mark.promise("P1")
async def test_a_phone_is_cut_off_from_its_calls_even_where_the_edge_is_silent(services: Services, daemon: Daemon):
    second = (await device_service.add(services, ME, account="alice")).device.user
    daemon.told.clear()
    daemon.silent = True
    with pytest.raises(Failure, match="did not answer"):
        await device_service.revoke(services, ME, user=second)
    assert daemon.told == [("end", second)]


@pytest.mark.promise("P12")
async def test_a_disabled_account_keeps_emergency_calls_and_nothing_else(
    services: Services, daemon: Daemon, shown: dict[str, Any]
):
    user = shown["devices"][0]["user"]
    disabled = await account_service.disable(services, CURIOUS, name="alice")
    assert disabled.disabled_at is not None
    assert daemon.told == [("refuse", user), ("end", user)]
    async with services.db.read() as tx:
        assert await accounts.by_dialled(tx, "101") is None
        flags = {one.auth_user: one.only_emergency for one in await devices.credentials(tx)}
    assert flags[user] is True and not all(flags.values())
    daemon.told.clear()
    later = (await device_service.add(services, ME, account="alice")).device.user
    assert daemon.told == [], "a phone that is added now is not let in either"
    enabled = await account_service.enable(services, CURIOUS, name="alice")
    assert enabled.disabled_at is None
    assert sorted(daemon.told) == sorted([("push", user), ("push", later)])
    async with services.db.read() as tx:
        assert await accounts.by_dialled(tx, "101") is not None


def test_every_write_and_look_is_in_the_ledger(beffroi: Callable[..., Ran]):
    beffroi("number", "add", MAIN, "--account", "alice", "--json")
    beffroi("account", "forward", "alice", "--busy", MOBILE, "--reason", "she asked")
    beffroi("limits", "set", "--premium")
    entries = [(one["action"], one["subject"]) for one in beffroi("ledger", "show", "--json").json]
    assert {("add", "number"), ("change", "account"), ("change", "limits")} <= set(entries)
    assert MOBILE not in json.dumps(entries)
