"""person invite, session and token, as they are typed."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from tests.server.conftest import Ran


@pytest.mark.promise("0.2")
def test_a_link_is_shown_once_and_leads_to_the_portal(beffroi: Callable[..., Ran]) -> None:
    """Promise 0.2: the first sign-in begins with it."""
    assert beffroi("person", "add", "carol", "Carol").status == 0
    said = beffroi("person", "invite", "carol")
    assert said.status == 0
    assert re.search(r"^    https://localhost:8443/invitation/[\w-]{43}$", said.out, re.MULTILINE), said.out
    again = beffroi("person", "invite", "carol", "--json").json
    assert again["link"] not in said.out
    assert beffroi("person", "disable", "carol").status == 0
    refused = beffroi("person", "invite", "carol")
    assert (refused.status != 0, "disabled" in refused.err) == (True, True)
    assert beffroi("person", "invite", "nobody").status != 0


def test_tokens_are_made_listed_and_revoked(beffroi: Callable[..., Ran]) -> None:
    assert beffroi("person", "add", "carol", "Carol").status == 0
    said = beffroi("token", "create", "carol", "the CRM", "--rights", "calls.read=own,texts.use=own", "--days", "7")
    assert said.status == 0, said.err
    text = re.search(r"bfr_[\w-]{43}", said.out)
    assert text is not None
    [masked] = beffroi("token", "list", "carol", "--json").json
    [clear] = beffroi("token", "list", "carol", "--json", "--reason", "who uses what").json
    assert masked["name"] != clear["name"] == "the CRM"
    assert clear["rights"] == {"calls.read": "own", "texts.use": "own"}
    listed = beffroi("token", "list", "carol")
    assert "calls.read=own" in listed.out
    assert text[0] not in listed.out
    assert beffroi("token", "revoke", "carol", clear["id"][:10]).status == 0
    assert beffroi("token", "list", "carol", "--json").json == []
    for wrong in ("calls.read", "calls.read=most", "=own", "people.manage=all"):
        assert beffroi("token", "create", "carol", "x", "--rights", wrong).status != 0


def test_sessions_of_somebody_who_has_not_signed_in(beffroi: Callable[..., Ran]) -> None:
    assert beffroi("person", "add", "carol", "Carol").status == 0
    assert beffroi("session", "list", "carol", "--json").json == []
    refused = beffroi("session", "revoke", "carol", "0")
    assert (refused.status != 0, "no session" in refused.err) == (True, True)
    assert beffroi("session", "list", "nobody").status != 0
