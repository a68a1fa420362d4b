"""The portal's document says of each role what the shipped roles say: no right more, and none less."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from config import roles as shipped_roles
from server.operation_rules import RIGHTS
from server.rights import Reach

PORTAL = Path(__file__).resolve().parents[2] / "docs" / "portal.md"
WORDS: Mapping[str, tuple[str, ...]] = {
    "calls": ("calls.read",),
    "calls that go on": ("calls.live",),
    "calling": ("calls.make",),
    "statistics": ("calls.statistics",),
    "who calls whom": ("calls.circle",),
    "texts": ("texts.use",),
    "campaigns": ("campaigns.use",),
    "inboxes": ("inboxes.manage",),
    "who may be contacted": ("contacts.read",),
    "contacts and permissions": ("contacts.read", "contacts.manage"),
    "people": ("people.read",),
    "adding people and giving rights": ("people.manage", "people.rights"),
    "locking people": ("people.contain",),
    "accounts": ("accounts.read",),
    "adding accounts": ("accounts.manage",),
    "do not disturb and forwards": ("accounts.settings",),
    "devices": ("devices.manage",),
    "lines and trunks": ("switchboard.read",),
    "changing lines and trunks": ("switchboard.manage",),
    "prompts": ("prompts.read",),
    "changing prompts": ("prompts.manage",),
    "recordings' list": ("recordings.read",),
    "files as they were sealed": ("recordings.verify",),
    "events that begin a period": ("recordings.event",),
    "policy": ("policy.read",),
    "policy (draft, approve)": ("policy.draft", "policy.approve"),
    "retention": ("retention.read",),
    "erasing and sweeping": ("retention.manage", "retention.erase"),
    "objections": ("retention.erase",),
    "holds": ("holds.manage",),
    "the ledger": ("ledger.read",),
    "alerts": ("alerts.read",),
    "judging alerts": ("alerts.decide",),
    "registrations and bans": ("security.read",),
    "lifting bans": ("security.manage",),
    "the system": ("system.read",),
    "reloading": ("system.manage",),
}
EVERYBODY = {"sessions.use", "kept.read"}
PERSONAL = {"tokens.use", "texts.use", "campaigns.use", "calls.make"}  # of one's own whatever the role
BEGINS = {Reach.OWN: "their own", Reach.TEAM: "the lines that they are on", Reach.ALL: "all"}


def rows() -> dict[str, tuple[list[str], str]]:
    """Role -> what it sees and does, of whom."""
    table = PORTAL.read_text().split("| role | sees and does | of whom |", 1)[1].split("\n\n", 1)[0]
    found = re.findall(r"^\| (\w+) \| (.+?) \| (.+?) \|$", table, re.M)
    # A comma within brackets is none between two things.
    return {role: (re.split(r", (?![^(]*\))", things), whom) for role, things, whom in found}


def test_the_roles_are_those_that_are_shipped() -> None:
    assert list(rows()) == list(shipped_roles.load())
    assert {right for rights in WORDS.values() for right in rights} | EVERYBODY | PERSONAL == RIGHTS


@pytest.mark.promise("0.4", "1.9")
@pytest.mark.parametrize("role", list(shipped_roles.load()))
def test_a_role_is_told_to_see_and_do_what_it_may(role: str) -> None:
    things, whom = rows()[role]
    granted = {right: Reach.parse(word) for right, word in shipped_roles.load()[role].items()}
    assert granted.keys() >= EVERYBODY
    told = {right for thing in things for right in WORDS[thing]}
    assert told == granted.keys() - EVERYBODY - {"tokens.use"}
    assert whom.startswith(BEGINS[min(reach for right, reach in granted.items() if right in told - PERSONAL)])
