"""The API of a running daemon: what docs/api.md tells people to type, and the API's own description turned against it.

Of all requests that the description allows, and that it does not: no answer is our own fault, each is what the
description says, and none holds anything of somebody else.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from requests.adapters import HTTPAdapter
from schemathesis.checks import CheckFunction
from schemathesis.generation import GenerationMode
from schemathesis.schemas import APIOperation
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from server.web import security
from server.web.api.document import document
from tests.web.portal import HOST, SESSION, Portal, Somebody

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "api.md"

pytestmark = [pytest.mark.promise("P16", "0.4", "1.9"), pytest.mark.timeout(300)]

LEFT_OUT = {"events", "session.revoke"}  # it goes on; it ends the session that asks
SAID_BY_OURS = {503, 507}  # a part does not run here: said in words
MARK = "zzyzx"  # what is somebody else's is called so
CHECKS: list[CheckFunction] = [content_type_conformance, response_schema_conformance, status_code_conformance]


class _Named(HTTPAdapter):
    """To loopback, whatever the name; the certificate has to be for the name."""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs, server_hostname=HOST, assert_hostname=HOST)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory, product_seed: tuple[Path, dict[str, Any]]) -> Iterator[Portal]:
    """One of its own: what is asked changes it."""
    made = Portal(tmp_path_factory.mktemp("schema") / "product", product_seed)
    made.product.cli("account", "add", f"{MARK}-account", "7799", "--display-name", f"{MARK} person")
    made.product.cli("line", "add", f"{MARK}-line", "7798", "--members", f"{MARK}-account")
    with made.product:
        made.wait_served()
        yield made


LONGEST_LINE_BYTES = 7000  # past 8190 aiohttp says 400 and hangs up, and the API has no request to answer


class Asker:
    """Sends what is generated in somebody's name, and remembers what was wrong with an answer."""

    def __init__(self, portal: Portal, who: Somebody, *, hidden: bool) -> None:
        self.hidden = hidden
        self.base = f"https://127.0.0.1:{portal.product.web_port}/api/v1"
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.mount("https://", _Named())
        self.session.verify = str(portal.product.ca)
        self.headers = {
            "Host": portal.authority,
            "Cookie": f"{SESSION}={who.session}",
            "X-Form-Token": security.form_token(who.session),
        }
        self.statuses: dict[int, int] = {}
        self.asked: set[str] = set()

    def ask(self, case: Any) -> None:
        lines = (case.path_parameters, case.query, dict(case.headers or {}))
        if any(len(quote(str(dict(one or {})))) > LONGEST_LINE_BYTES for one in lines):
            return
        for name in ("Cookie", "Authorization", "X-Form-Token", "Host"):
            case.headers.pop(name, None)
        case.cookies.clear()
        answer = case.call(
            base_url=self.base, headers=self.headers, session=self.session, verify=self.session.verify, timeout=30
        )
        if answer.status_code == 429:  # as asked: it waits, and asks no more of this
            time.sleep(min(2, int(answer.headers.get("Retry-After", "1"))))
            return
        self.asked.add(case.operation.label)
        self.statuses[answer.status_code] = self.statuses.get(answer.status_code, 0) + 1
        said = answer.content.decode(errors="replace")
        assert answer.status_code < 500 or answer.status_code in SAID_BY_OURS, (case.operation.label, said[:500])
        assert not self.hidden or MARK not in said.lower(), case.operation.label
        assert "Traceback" not in said and "/site-packages/" not in said
        case.validate_response(answer, checks=CHECKS)


def operations() -> list[APIOperation[Any, Any, Any, Any]]:
    schema = schemathesis.openapi.from_dict(document())
    found = [one.ok() for one in schema.get_all_operations()]
    return [one for one in found if one.definition.raw["operationId"] not in LEFT_OUT]


def typed() -> list[str]:
    """Commands of docs/api.md that ask the API, of somebody whose account is called otherwise."""
    return [one.replace("alice", "of-employee") for one in re.findall(r"(?m)^    (curl .*)$", DOCUMENT.read_text())]


def test_what_the_document_tells_people_to_type_works(house: Portal, tmp_path: Path) -> None:
    product = house.product
    rights = re.search(r"--rights (\S+)", DOCUMENT.read_text())
    assert rights
    made = json.loads(product.cli("token", "create", "employee-one", "CRM link", "--rights", rights[1], "--json"))
    told = f"resolve = {HOST}:{product.web_port}:127.0.0.1\ncacert = {product.ca}\n"
    (tmp_path / ".curlrc").write_text(told + 'write-out = "\\n%{http_code}"\n')
    env = {**os.environ, "CURL_HOME": str(tmp_path), "BEFFROI": house.origin, "TOKEN": made["text"]}
    said: dict[str, list[str]] = {}
    for command in typed():
        ran = subprocess.run(["bash", "-c", command], env=env, capture_output=True, text=True, timeout=30)
        assert ran.returncode == 0 or "events" in command, (command, ran.stderr)
        said[command] = ran.stdout.rsplit("\n", 1)
    assert len(said) >= 6
    for command, (body, status) in said.items():
        if "events" in command:
            assert status == "200" and body.startswith("retry:"), (command, body)
        elif "-X DELETE" in command:
            assert status == "404" and json.loads(body)["code"] == "not_found", (command, body)
        elif "-d " in command:  # no telephone of hers is there
            assert status == "403" and json.loads(body)["detail"].startswith("refused"), (command, body)
        else:
            assert status == "200" and json.loads(body), (command, body)


def test_a_session_of_the_portal_does_by_the_api_what_its_pages_do(house: Portal) -> None:
    """promise 0.2: neither without the form's token, nor without the session."""
    asker = Asker(house, house.people["employee"], hidden=True)
    url = f"{asker.base}/accounts/of-employee/do-not-disturb"
    known = asker.session.get(f"{asker.base}/accounts", headers=asker.headers, timeout=30)
    assert [one["name"] for one in known.json()["items"]] == ["of-employee"]
    bare = {name: value for name, value in asker.headers.items() if name != "X-Form-Token"}
    assert asker.session.put(url, json={"on": True}, headers=bare, timeout=30).status_code == 403
    assert asker.session.put(url, json={"on": True}, headers=asker.headers, timeout=30).status_code == 200
    nobody = {**asker.headers, "Cookie": ""}
    assert asker.session.put(url, json={"on": True}, headers=nobody, timeout=30).status_code == 401


@pytest.mark.parametrize("role", ["employee", "admin"])
@pytest.mark.parametrize(
    ("examples", "budget_s"),  # of each operation and mode, at most; for one person
    [
        pytest.param(2, 60, id="some"),
        pytest.param(40, 1200, id="many", marks=[pytest.mark.full, pytest.mark.timeout(1500)]),
    ],
)
def test_no_request_is_our_fault_and_no_answer_somebody_elses(
    house: Portal, role: str, examples: int, budget_s: float
) -> None:
    asker, every = Asker(house, house.people[role], hidden=role == "employee"), operations()
    ends_s = time.monotonic() + budget_s
    for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
        for operation in every:
            if time.monotonic() > ends_s:
                break

            @settings(
                max_examples=examples, deadline=None, database=None, derandomize=True, phases=[Phase.generate],
                suppress_health_check=list(HealthCheck),
            )  # fmt: skip
            @given(case=operation.as_strategy(generation_mode=mode))
            def run(case: Any) -> None:
                asker.ask(case)

            run()
    assert len(asker.asked) > len(every) // 2, asker.statuses
    assert asker.statuses.keys() >= {200, 400, 404} or role == "employee", asker.statuses
    assert asker.statuses.get(401) is None, "the session was lost on the way"
