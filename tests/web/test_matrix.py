"""Every route of the portal, for somebody of every role and for nobody: who lacks the right sees nothing of it."""

from __future__ import annotations

import re

import pytest

from config import roles as shipped_roles
from server.web.routes import OPEN, SIGNED_IN, Route
from server.web.site import load
from storage.people import ROLES
from tests.web.portal import Portal

NAMES_NOTHING = "0" * 32
ROUTES = load().routes
GETS = [route for route in ROUTES if route.method == "GET"]
POSTS = [route for route in ROUTES if route.method == "POST"]


def path(route: Route) -> str:
    return re.sub(r"\{(?:[^{}]|\{[^{}]*\})*\}", NAMES_NOTHING, route.path)


def has(role: str, route: Route) -> bool:
    """By the shipped roles, not by the code that decides."""
    return bool(route.rights & {SIGNED_IN, OPEN}) or bool(route.rights & shipped_roles.load().get(role, {}).keys())


@pytest.mark.promise("0.4")
@pytest.mark.parametrize("role", sorted(ROLES))
def test_every_page_is_open_to_those_who_hold_its_right(portal: Portal, role: str) -> None:
    """A page that names something there is not is absent, never a fault of ours."""
    visitor, wrong = portal.visitor(portal.people[role]), {}
    for route in GETS:
        answer = visitor.get(path(route))
        if not has(role, route):
            fits = answer.status == 403
        elif "{" in route.path:
            fits = answer.status in (200, 303, 404)
        else:
            fits = answer.status in (200, 303)
        if not fits:
            wrong[route.path] = answer.status
    assert wrong == {}


@pytest.mark.promise("0.2", "0.4", "1.17")
def test_whoever_has_not_signed_in_sees_the_door_alone(portal: Portal) -> None:
    for route in GETS:
        answer = portal.visitor().get(path(route))
        if route.right == OPEN:
            assert answer.status in (200, 303, 404), route.path
        else:
            assert (answer.status, answer.to[:8]) == (303, "/sign-in"), route.path
            assert answer.text == ""
    for route in POSTS:
        answer = portal.visitor().post(path(route))
        if route.right != OPEN:
            assert (answer.status, answer.to) == (303, "/sign-in"), route.path


@pytest.mark.promise("0.4")
@pytest.mark.parametrize("role", sorted(ROLES))
def test_no_form_is_taken_without_its_right(portal: Portal, role: str) -> None:
    visitor = portal.visitor(portal.people[role])
    token = visitor.get("/").form_token
    for route in POSTS:
        if not has(role, route):
            assert visitor.post(path(route), token=token).status == 403, route.path


def test_no_form_is_taken_that_is_not_ours(portal: Portal) -> None:
    """Without its token, with that of another session, or sent by another site: nothing is done (CSRF)."""
    visitors = {role: portal.visitor(who) for role, who in portal.people.items()}
    tokens = {role: visitor.get("/").form_token for role, visitor in visitors.items()}
    foreign: list[dict[str, str]] = [{"Origin": "https://evil.example"}, {"Sec_Fetch_Site": "cross-site"}]
    for route in POSTS:
        role = next(role for role in sorted(visitors) if has(role, route))
        other = next(token for each, token in tokens.items() if each != role)
        visitor, where = visitors[role], path(route)
        assert visitor.post(where, token="").status == 403, route.path
        assert visitor.post(where, token=other).status == 403, route.path
        for sent in (*foreign, {"Origin": "null"}):
            assert visitor.post(where, token=tokens[role], **sent).status == 403, route.path
    assert all(visitor.get("/").status == 200 for visitor in visitors.values()), "still signed in"


def test_the_first_view_is_small(portal: Portal) -> None:
    """Page, style, scripts and pictures together, as they are sent: 60 kB at most, of which the browser keeps most."""
    visitor, sizes = portal.visitor(portal.people["admin"]), {}
    named = set(re.findall(r'(?:href|src)="(/static/[^"]+)"', visitor.get("/account").text))
    assert len(named) >= 3
    for each in ("/account", *named):
        answer = visitor.get(each, Accept_Encoding="gzip")
        assert answer.headers["Content-Encoding"] == "gzip", each
        sizes[each] = int(answer.headers["Content-Length"])
    assert sum(sizes.values()) < 60_000, sizes
