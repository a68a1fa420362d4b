"""Each operation has one route and each route says its right; the document holds what the routes take."""

from __future__ import annotations

import re

import pytest

from server.operation_rules import CLOSED, RULES
from server.services.operations import OPERATIONS
from server.web.api.document import document
from server.web.api.own import OWN
from server.web.api.routes import GROUPS, routes
from server.web.api.signatures import fields


def test_every_operation_is_reachable_exactly_once() -> None:
    """Whoever adds an operation adds its route: server/web/api/routes.py."""
    names = [route.operation for route in routes()]
    assert sorted(names) == sorted(RULES.keys() & OPERATIONS.keys() - CLOSED)
    assert len(names) == len(set(names))
    places = [(route.method, re.sub(r"{[a-z_]+}", "{}", route.path)) for route in routes()]
    assert sorted(places) == sorted(set(places))
    assert sum(len(table) for table in GROUPS.values()) == len(names)


def test_what_stands_in_a_path_is_an_argument() -> None:
    for route in routes():
        known = {field.argument for field in fields(route)}
        assert set(route.parts) <= known, route.operation


@pytest.mark.promise("0.4")
def test_nobody_says_in_whose_name_they_ask() -> None:
    for route in routes():
        assert route.rule.login not in {field.argument for field in fields(route)}


@pytest.mark.promise("P16")
def test_the_document_has_every_route_with_its_right() -> None:
    found = document()
    assert found["openapi"].startswith("3.1")
    said = {
        (method.upper(), path): one["x-right"]
        for path, methods in found["paths"].items()
        for method, one in methods.items()
    }
    assert said == {
        **{(route.method, route.path): route.rule.right for route in routes()},
        **{(one.method, one.path): one.right for one in OWN},
    }


def test_the_document_refers_to_nothing_that_it_does_not_hold() -> None:
    found = document()
    referred: set[str] = set()

    def walk(value: object) -> None:
        if isinstance(value, dict):
            if isinstance(value.get("$ref"), str):
                referred.add(value["$ref"])
            for one in value.values():
                walk(one)
        elif isinstance(value, list):
            for one in value:
                walk(one)

    walk(found)
    for reference in referred:
        _, room, kind, name = reference.split("/", 3)
        assert name in found[room][kind], reference
    assert "FIELDS" not in str(found)


@pytest.mark.promise("P16", "P18")
def test_each_subject_can_be_looked_at_and_changed() -> None:
    """What the API is to hold, each as the document has it."""
    found = document()["paths"]
    wanted = {
        "calls": "GET /calls, GET /calls/{call_id}, GET /calls/{call_id}/verdict, GET /call-statistics",
        "live calls": "GET /live-calls, DELETE /calls/{call_id}, POST /calls/{call_id}/transfer,"
        " PUT /calls/{call_id}/pause, GET /events",
        "click-to-call": "POST /calls",
        "look-up": "GET /lookup",
        "recordings": "GET /recordings, GET /recordings/{rec_id}, GET /recordings/{rec_id}/openings,"
        " POST /recordings/{rec_id}/destroy, POST /recordings/{rec_id}/requests",
        "texts": "GET /texts, POST /texts, GET /texts/{text}, POST /texts/{text}/cancel, GET /inboxes,"
        " GET /inboxes/{inbox}/conversations",
        "campaigns": "GET /campaigns, POST /campaigns, POST /campaigns/{name}/list, POST /campaigns/{name}/approve,"
        " POST /campaigns/{name}/start, POST /campaigns/{name}/cancel, GET /campaigns/{name}/statistics",
        "consents": "GET /consents, POST /consents, POST /consents/withdraw, GET /suppressions, POST /opt-outs",
        "permission to contact": "POST /contact-checks",
        "policy": "GET /policy, GET /policies, POST /policies, PATCH /policies/{number},"
        " POST /policies/{number}/simulation, POST /policies/{number}/approve",
        "people": "GET /people, POST /people, PUT /people/{login}/roles, POST /people/{login}/lock",
        "devices": "GET /devices, POST /devices, POST /devices/offers, DELETE /devices/{user}",
        "holds": "GET /holds, POST /holds, GET /holds/{hold}, POST /holds/{hold}/lift",
        "retention": "GET /retention/due, GET /retention/forecast, GET /retention/map, POST /retention/sweeps",
        "ledger": "GET /ledger, POST /ledger/verify, GET /receipts/{receipt}",
        "roles": "GET /roles, GET /roles/{role}, PUT /roles/{role}/rights/{right}",
    }
    for subject, routes_of_it in wanted.items():
        for one in routes_of_it.split(", "):
            method, path = one.split(" ")
            assert method.lower() in found[path], (subject, one)
