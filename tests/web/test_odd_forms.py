"""Every form of the portal, sent by somebody who may: with nothing in it, and with a script in every field."""

from __future__ import annotations

import logging
import re
from pathlib import Path

import pytest

import server.web
from server.web.routes import OPEN, SIGNED_IN, Route
from storage.people import ROLES
from tests.web.admin_house import House
from tests.web.test_matrix import POSTS, has, path

SCRIPT = "\"'><script>alert(1)</script>>{{7*7}}\u202e\x00=cmd|' /C calc'!A0"
TEMPLATES = Path(server.web.__file__).parent / "templates"
_NAMED = re.compile(r"""(?:name="|ui\.(?:field|area|choice|select|tick|hidden|reason|upload)\w*\(")(\w+)""")
FIELDS = sorted(
    {name for each in TEMPLATES.glob("*.html") for name in _NAMED.findall(each.read_text())} - {"form_token"}
)


async def asker(house: House, route: Route, n: int) -> str:
    if route.right in {OPEN, SIGNED_IN}:
        return await house.person("employee", login=f"odd-{n}")
    role = next(role for role in sorted(ROLES) if has(role, route))
    return await house.person(role, login=f"odd-{n}")


def test_the_fields_are_found() -> None:
    assert {"login", "reason", "number", "name", "password"} <= set(FIELDS)


@pytest.mark.parametrize("what", ["nothing", "a script"])
async def test_no_form_is_our_fault_and_no_script_comes_back(
    place: House, what: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Each with a session of its own, whose second factor was just given: some forms end the session."""
    fields = dict.fromkeys(FIELDS, SCRIPT) if what == "a script" else {}
    wrong = dict[str, object]()
    with caplog.at_level(logging.ERROR):
        for n, route in enumerate(POSTS):
            token = await asker(place, route, n)
            answer = await place.post(path(route), token, fields)
            after = await place.get("/", token)
            shown = answer.html + after.html
            if answer.status >= 500 and not _is_away(answer.status, answer.text):
                wrong[route.path] = answer.status
            elif "<script>alert" in shown or "&gt;49" in shown:
                wrong[route.path] = "a script"
    assert wrong == {}
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR] == []


def _is_away(status: int, text: str) -> bool:
    """No daemon runs here: what needs it says so."""
    return status == 503 and "daemon" in text
