"""The API as programs meet it: who is let in, what is refused and how, and that nothing of it is our own fault."""

from __future__ import annotations

import asyncio
import gzip
import json
import logging
import re

import pytest
from yarl import URL

from server.rights import Identity
from server.web import cookies, security
from server.web.api import serving
from server.web.api.document import document
from server.web.api.rates import Limit
from storage import access, ledger
from tests.server.two_teams import OUTSIDE, TwoTeams
from tests.web.api.house import Program, served

pytestmark = pytest.mark.promise("P16")


@pytest.mark.parametrize(
    "sent",
    [
        {},
        {"Authorization": "Bearer wrong"},
        {"Authorization": "Basic cm9vdDo="},
        {"Authorization": "Bearer root extra"},
        {"Cookie": "__Host-session=wrong"},
    ],
)
async def test_nobody_is_let_in_without_a_token(program: Program, sent: dict[str, str]) -> None:
    """promise 0.4"""
    program.token = None
    said = await program.get("/accounts", headers=sent)
    assert (said.status, said.code) == (401, "unauthenticated")
    assert said.headers["WWW-Authenticate"].startswith("Bearer")


async def test_what_a_person_may_not_do_their_token_may_not(program: Program) -> None:
    """promise 0.4"""
    program.token = "nobody"
    assert (await program.get("/accounts")).code == "denied"
    assert (await program.post("/people", {"login": "eve", "display_name": "Eve"})).code == "denied"


async def test_a_list_comes_in_pages_and_holds_everything_once(program: Program) -> None:
    seen, cursor = [], None
    for _ in range(20):
        query = {"limit": "3", **({"cursor": cursor} if cursor else {})}
        said = await program.get("/calls", query=query)
        assert said.status == 200, said
        seen += [one["id"] for one in said.json["items"]]
        cursor = said.json["next"]
        if cursor is None:
            break
    assert len(seen) == len(set(seen))
    whole = await program.get("/calls", query={"limit": "200"})
    assert [one["id"] for one in whole.json["items"]] == seen != []
    program.token = "alice"
    first = await program.get("/calls", query={"limit": "1"})
    program.token = "root"
    assert (await program.get("/calls", query={"limit": "1", "cursor": first.json["next"]})).code == "misuse"


async def test_numbers_are_masked_unless_a_reason_is_given(program: Program, teams: TwoTeams) -> None:
    """promise 1.9"""
    masked = await program.get("/calls", query={"limit": "200"})
    assert masked.status == 200 and OUTSIDE not in masked.body.decode()
    clear = await program.get("/calls", query={"limit": "200"}, reason="r%C3%A9clamation", headers={"X-Case": "7"})
    assert OUTSIDE in clear.body.decode()
    assert (await program.get("/calls", reason="%FF")).code == "misuse"


@pytest.mark.promise("0.6", "1.9")
async def test_a_recording_is_shown_with_reason_and_case_and_both_are_written_down(
    program: Program, teams: TwoTeams
) -> None:
    rec_id = teams.recordings["alice"]
    masked = await program.get(f"/recordings/{rec_id}")
    assert masked.status == 200 and OUTSIDE not in masked.body.decode()
    clear = await program.get(f"/recordings/{rec_id}", reason="r%C3%A9clamation", headers={"X-Case": "2026-7"})
    assert clear.status == 200 and OUTSIDE in clear.body.decode()
    async with teams.services.db.read() as tx:
        looks = [json.loads(one.body) for one in await ledger.entries(tx, "access")][-2:]
        assert [(one["action"], one["object"], one["rec_id"]) for one in looks] == [("show", "recording", rec_id)] * 2
        assert "reason_id" not in looks[0]
        assert await access.reason(tx, looks[1]["reason_id"]) == "réclamation [case 2026-7]"


@pytest.mark.promise("0.2")
def test_no_route_gives_out_sound() -> None:
    """docs/api.md says so: a token is no reader. What the company itself has said, prompts, are nobody's voice."""
    kinds = {
        (path, kind)
        for path, methods in document()["paths"].items()
        for one in methods.values()
        for kind in one["responses"]["200"]["content"]
        if kind != "application/json"
    }
    assert kinds == {("/", "text/html"), ("/events", "text/event-stream")}
    assert not {"open", "listen", "export", "audio"} & {
        word for path in document()["paths"] if not path.startswith("/prompts") for word in re.findall("[a-z]+", path)
    }


async def test_who_holds_an_answer_is_told_that_it_still_holds(program: Program) -> None:
    first = await program.get("/lines")
    again = await program.get("/lines", headers={"If-None-Match": first.headers["ETag"]})
    assert (first.status, again.status, again.body) == (200, 304, b"")
    assert (await program.get("/lines", headers={"If-None-Match": '"another"'})).status == 200


async def test_a_page_of_ours_may_use_it_with_its_session(program: Program) -> None:
    program.token = None
    cookie = {"Cookie": f"{cookies.SESSION}=root"}
    body = {"number": OUTSIDE}
    assert (await program.get("/lines", headers=cookie)).status == 200
    assert (await program.post("/opt-outs/check", body, headers=cookie)).code == "denied"
    ours = {**cookie, "X-Form-Token": security.form_token("root"), "Sec-Fetch-Site": "same-origin"}
    assert (await program.post("/opt-outs/check", body, headers=ours)).status == 200
    for foreign in ({"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://elsewhere.example"}):
        assert (await program.post("/opt-outs/check", body, headers={**ours, **foreign})).code == "denied"
    other = {**ours, "X-Form-Token": security.form_token("alice")}
    assert (await program.post("/opt-outs/check", body, headers=other)).code == "denied"


async def test_what_asks_too_often_waits_and_the_others_do_not(
    teams: TwoTeams, holders: dict[str, Identity], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving, "PER_CALLER", Limit(quota=3, window_s=600))
    async with served(teams.services, "root") as program:
        said = [await program.get("/lines") for _ in range(4)]
        assert [one.status for one in said] == [200, 200, 200, 429]
        assert said[0].headers["RateLimit"].startswith('"token";r=2')
        assert said[3].code == "too_many" and int(said[3].headers["Retry-After"]) > 100
        program.token = "alice"
        assert (await program.get("/accounts")).status == 200


async def test_whoever_guesses_tokens_locks_nobody_out(program: Program) -> None:
    """promise 0.4: the same source, another program with a token that holds."""
    assert (await program.get("/lines")).status == 200
    program.token = "guess"
    said = [(await program.get("/lines")).status for _ in range(70)]
    assert said[0] == 401 and said[-1] == 429
    program.token = "root"
    assert (await program.get("/lines")).status == 200


async def test_a_source_is_seen_through_a_proxy_that_the_configuration_names(program: Program, teams: TwoTeams) -> None:
    forwarded = {"X-Forwarded-For": "203.0.113.7"}
    program.token = "guess"
    for _ in range(70):
        await program.get("/lines", headers=forwarded)
    assert (await program.get("/lines")).status == 429  # nobody is believed
    web = teams.services.settings.web.model_copy(update={"behind_proxy": ("127.0.0.0/8",)})
    teams.services.settings = teams.services.settings.model_copy(update={"web": web})
    assert (await program.get("/lines", headers=forwarded)).status == 401  # seen for the first time


@pytest.mark.promise("0.4")
async def test_whoever_has_one_address_of_ipv6_has_a_network_of_them(program: Program, teams: TwoTeams) -> None:
    web = teams.services.settings.web.model_copy(update={"behind_proxy": ("127.0.0.0/8",)})
    teams.services.settings = teams.services.settings.model_copy(update={"web": web})
    program.token = "guess"
    said = [
        (await program.get("/lines", headers={"X-Forwarded-For": f"2001:db8:1:2::{n:x}"})).status for n in range(1, 71)
    ]
    assert said[0] == 401 and said[-1] == 429
    assert (await program.get("/lines", headers={"X-Forwarded-For": "2001:db8:1:3::1"})).status == 401


async def test_a_source_is_counted_with_its_network(
    teams: TwoTeams, holders: dict[str, Identity], monkeypatch: pytest.MonkeyPatch
) -> None:
    web = teams.services.settings.web.model_copy(update={"behind_proxy": ("127.0.0.0/8",)})
    teams.services.settings = teams.services.settings.model_copy(update={"web": web})
    monkeypatch.setattr(serving, "PER_SOURCE", Limit(quota=3, window_s=600))
    async with served(teams.services, "root") as program:
        said = [
            (await program.get("/lines", headers={"X-Forwarded-For": f"2001:db8::{n}"})).status for n in (1, 2, 3, 4)
        ]
        assert said == [200, 200, 200, 429]
        assert (await program.get("/lines", headers={"X-Forwarded-For": "2001:db8:0:1::1"})).status == 200


def faults(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What was written down as our own; aiohttp itself says when bytes are no HTTP."""
    bad = [one for one in caplog.records if one.levelno >= logging.ERROR and one.name != "aiohttp.server"]
    return [one.getMessage() for one in bad]


BAD: list[tuple[str, str, bytes | None, dict[str, str]]] = [
    ("GET", "/nowhere", None, {}),
    ("GET", "/calls/%00", None, {}),
    ("GET", "/calls/%FF%FE", None, {}),
    ("GET", "/calls/..%2f..%2fetc%2fpasswd", None, {}),
    ("GET", "/calls/" + "9" * 6000, None, {}),
    ("GET", "/calls?limit=0", None, {}),
    ("GET", "/calls?limit=201", None, {}),
    ("GET", "/calls?limit=%C2%B2", None, {}),
    ("GET", "/calls?limit=1&limit=2", None, {}),
    ("GET", "/calls?cursor=AAAA", None, {}),
    ("GET", "/calls?strange=1", None, {}),
    ("GET", "/lookup", None, {}),
    ("GET", "/lookup?number=%00", None, {}),
    ("GET", "/lookup?number=0612345678&x=1", None, {}),
    ("DELETE", "/calls", None, {}),
    ("PATCH", "/openapi.json", None, {}),
    ("POST", "/people", b"{", {}),
    ("POST", "/people", b"[]", {}),
    ("POST", "/people", b"null", {}),
    ("POST", "/people", b'{"login": 1}', {}),
    ("POST", "/people", b'{"login": "a\\u0000"}', {}),
    ("POST", "/people", b'{"login": "\\ud800", "display_name": "x"}', {}),
    ("POST", "/people", b'{"login": "a", "login": "b"}', {}),
    ("POST", "/people", b"[" * 50_000, {}),
    ("POST", "/people", b"x" * (3 << 20), {}),
    ("POST", "/people", b"<a/>", {"Content-Type": "application/xml"}),
    ("POST", "/people", gzip.compress(b"{}"), {"Content-Encoding": "gzip"}),
    ("POST", "/people", b"{}", {"Accept": "text/html"}),
    ("POST", "/people", b"{}", {"X-Reason": "%00"}),
    ("POST", "/people", b"{}", {"X-Reason": "x" * 600}),
]


async def test_bad_input_is_refused_in_words(program: Program, caplog: pytest.LogCaptureFixture) -> None:
    wrong = []
    for method, path, body, headers in BAD:
        said = await program.ask(method, str(URL(path, encoded=True)), raw=body, headers=headers)
        if not 400 <= said.status < 500 or not said.code or b"Traceback" in said.body or b"/server/" in said.body:
            wrong.append((method, path[:60], said))
    assert wrong == []
    assert faults(caplog) == []


RAW = [
    b"POST /api/v1/people HTTP/1.1\r\n%sTransfer-Encoding: chunked\r\nContent-Type: application/json\r\n\r\nzz\r\n",
    b"POST /api/v1/people HTTP/1.1\r\n%sContent-Length: 90\r\nContent-Type: application/json\r\n\r\n{}",
    b"GET /api/v1/calls/%%zz HTTP/1.1\r\n%s\r\n",
    b"GET /api/v1//calls HTTP/1.1\r\n%s\r\n",
    b"GET /api/v1/calls?%%zz=%%zz HTTP/1.1\r\n%s\r\n",
    b"GET /api/v1/accounts HTTP/1.1\r\n%sX-Reason: \xff\xfe\r\n\r\n",
    b"POST /api/v1/people HTTP/1.1\r\n%sContent-Type: \xff; charset=\xfe\r\nContent-Length: 2\r\n\r\n{}",
    b"POST /api/v1/people HTTP/1.1\r\n%sContent-Type: application/json; charset=utf-7\r\nContent-Length: 2\r\n\r\n{}",
    b"GET /api/v1/accounts HTTP/1.1\r\n%sCookie: __Host-session=\xff\r\n\r\n",
    b"GET /api/v1/accounts HTTP/1.1\r\n%sAuthorization: Bearer \xff\r\n\r\n",
    b"GET /api/v1/accounts HTTP/1.1\r\n%sIf-None-Match: \xff\r\nAccept: \xff;q=x\r\n\r\n",
]


async def test_bytes_that_are_no_request_are_refused(program: Program, caplog: pytest.LogCaptureFixture) -> None:
    head = b"Host: %s\r\nAuthorization: Bearer root\r\nConnection: close\r\n" % program.host.encode()
    for request in RAW:
        reader, writer = await asyncio.open_connection("127.0.0.1", program.port)
        writer.write(request % head)
        await writer.drain()
        writer.write_eof()
        said = await asyncio.wait_for(reader.read(), 10)
        writer.close()
        assert not said or 200 <= int(said.split()[1]) < 500, (request, said)
    assert faults(caplog) == []


async def test_what_we_did_not_foresee_is_written_down_and_told_as_ours(
    program: Program, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(*_: object, **__: object) -> object:
        raise RuntimeError("the secret thing")

    monkeypatch.setattr(serving.permitted, "call", broken)
    said = await program.get("/lines")
    assert (said.status, said.code) == (500, "fault")
    assert b"secret" not in said.body and "secret thing" in caplog.text


async def test_the_document_and_the_page_are_served(program: Program) -> None:
    document = await program.get("/openapi.json")
    assert document.json["openapi"].startswith("3.1") and len(document.json["paths"]) > 100
    page = await program.get("/")
    assert page.headers["Content-Type"].startswith("text/html") and b"/calls" in page.body
    assert "script-src 'self'" in page.headers["Content-Security-Policy"]
    assert (await program.get("/reference.css")).status == 200
    moved = await program.get("")
    assert (moved.status, moved.headers["Location"]) == (308, "/api/v1/")


async def test_another_name_is_none_of_ours(program: Program) -> None:
    said = await program.get("/lines", headers={"Host": "evil.example"})
    assert said.status == 421 and said.headers["Content-Type"].startswith("application/problem+json")


async def test_who_is_that(program: Program) -> None:
    """Look-up for a CRM."""
    quiet = (await program.get("/lookup", query={"number": "06 12 34 56 78"})).json
    assert OUTSIDE not in json.dumps(quiet) and quiet["calls"] is None and quiet["opt_out"] is not None
    said = (await program.get("/lookup", query={"number": OUTSIDE}, reason="they call")).json
    assert said["number"] == OUTSIDE and len(said["calls"]) == 5
    program.token = "alice"
    hers = (await program.get("/lookup", query={"number": OUTSIDE}, reason="they call")).json
    assert hers["account"] is None and 0 < len(hers["calls"]) <= 5
    program.token = "nobody"
    assert (await program.get("/lookup", query={"number": OUTSIDE})).code == "denied"
