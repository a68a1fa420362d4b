"""The pages of campaigns: whose they are, lists that are sent (bounded, in memory, never reckoned out), refusals."""

from __future__ import annotations

import asyncio
import io
import json
import re
import tempfile
import zlib
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp import FormData, hdrs

from server.failure import Failure
from server.services import campaign_uploads, campaigns, inboxes
from server.services.actor import Actor
from server.web import cookies, security, uploads
from storage import campaigns as stored
from storage import ledger
from tests.server.two_teams import NOW
from tests.web.mine_house import House, Page

ME = Actor("os:1000", "desk-7")
SCRIPT = "<script>alert(1)</script>"
NUMBERS = [f"06123400{n:02d}" for n in range(1, 9)]
ONE = "/campaigns/summer"
CHOSEN = {"transliterated": "yes"}


@pytest.fixture
async def house(house: House) -> House:
    """alice and bob write for sales, carol for care; dave is the data protection officer."""
    await house.appoint("dave", "dpo")
    for login in ("alice", "bob", "carol"):  # what goes on by itself asks for their roles once more
        await house.appoint(login, "supervisor")
    for inbox, members in {"sales": ("alice", "bob"), "care": ("carol",)}.items():
        await inboxes.add(house.services, ME, name=inbox)
        for login in members:
            await inboxes.member(house.services, ME, inbox=inbox, login=login, sending=True)
    for inbox, address in {"sales": "Beffroi", "care": "Belfort"}.items():
        await inboxes.add_sender(house.services, ME, inbox=inbox, address=address, classes=["marketing"],
                                 stop_code="36180", approved_by="dave")  # fmt: skip
    await campaigns.add(house.services, ME, login="alice", inbox="sales", name="summer", sector="telecom",
                        template="Bonjour {Nom}.")  # fmt: skip
    return house


def as_csv(*rows: str, heading: str = "Mobile;Nom") -> io.BytesIO:
    return io.BytesIO("\n".join((heading, *rows)).encode())


async def brought(house: House, who: str, *rows: str, language: str = "en", **more: object) -> tuple[str, Page]:
    """Where a list is looked at, and the page."""
    sent = await house.post(f"{ONE}/list", who, {"file": as_csv(*rows), **more}, language)
    assert sent.status == 303, sent.text
    return sent.went.partition("?")[0], await house.when_done(sent.went, who, language)


@pytest.mark.promise("0.4", "1.9", "P22")
async def test_another_teams_campaign_is_as_absent_as_one_that_there_is_not(house: House) -> None:
    who = house.sign_in("carol", "supervisor")
    assert "summer" not in (await house.get("/campaigns", who)).text
    paths = ("", "/lines", f"/simulation/{'0' * 16}", f"/list/{'0' * 16}?job=x")
    for path in paths:
        theirs, none = await house.get(ONE + path, who), await house.get("/campaigns/nothing" + path, who)
        assert (theirs.status, theirs.text.replace("summer", "nothing")) == (404, none.text), path
    for path in ("", "/words", "/act", "/test", "/list", "/simulation", f"/list/{'0' * 16}/take"):
        fields = {"reason": "curious", "template": "x", "act": "cancel", "to": "+33612340001"}
        files = {"file": as_csv("0612")} if path == "/list" else {}
        assert (await house.post(ONE + path, who, fields | files)).status == 404, path
    async with house.services.db.read() as tx:
        assert (await stored.by_name(tx, "summer")).state == "draft"


@pytest.mark.promise("0.4")
async def test_an_officer_sees_all_of_them_and_writes_none(house: House) -> None:
    who = house.sign_in("dave", "dpo")
    page = await house.get(ONE, who)
    assert page.status == 200 and "Bonjour {Nom}." in page.text and 'name="file"' not in page.html
    assert (await house.post(f"{ONE}/act", who, {"act": "cancel"})).status == 403
    assert "no address that you may write from" in (await house.get("/campaigns/_new", who)).text


@pytest.mark.promise("0.1")
async def test_a_list_never_touches_the_disk(house: House, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "there-is-none"))  # whoever writes a file there fails
    who = house.sign_in("alice", "supervisor")
    rows = [f"{number};Person{n}" for n, number in enumerate(NUMBERS)] * 3000  # more than a piece
    where, page = await brought(house, who, *rows)
    assert page.status == 200 and "Take 8 lines" in page.text and "the same number as in line 2" in page.text
    assert not any(NUMBERS[0][1:] in path.read_bytes().decode(errors="ignore") for path in _files(house))
    left = await house.post(f"{where}/leave", who)
    assert left.status == 303 and (await house.get(f"{where}?job=x", who)).status == 404


def _files(house: House) -> list[Path]:
    return [path for path in house.services.paths.data.rglob("*") if path.is_file()]


@pytest.mark.promise("1.7", "P22")
@pytest.mark.parametrize("language", ["en", "fr"])
async def test_what_was_understood_is_seen_before_it_is_taken(house: House, language: str) -> None:
    """Each line that cannot be used by its number, never by what stands in it; nothing is reckoned out."""
    who = house.sign_in("alice", "supervisor")
    rows = (f"{NUMBERS[0]};{SCRIPT}", f"{NUMBERS[1]};=HYPERLINK(1)", "112;x", ";y", f"{NUMBERS[0]};twice")
    where, page = await brought(house, who, *rows, language=language)
    said = {
        "en": ("the same number as in line 2", "the number is missing", "Take 2 lines"),
        "fr": ("le même numéro qu’à la ligne 2", "le numéro manque", "Prendre 2 lignes"),
    }[language]
    assert all(one in page.text for one in said), page.text
    assert "=HYPERLINK(1)" in page.text and SCRIPT not in page.html and NUMBERS[0] not in page.html
    async with house.services.db.read() as tx:
        campaign = await stored.by_name(tx, "summer")
        assert await stored.counts(tx, campaign.id) == {}
    job = page.html.split('name="job" value="')[1][:16]
    refused = await house.post(f"{where}/take", who, {"job": job}, language)
    assert refused.status == 422
    taken = await house.post(f"{where}/take", who, {"job": job, "skip": "yes"}, language)
    assert taken.status == 303
    assert (await house.when_done(taken.went, who, language)).went == ONE
    async with house.services.db.read() as tx:
        some = await stored.recipients(tx, campaign.id, limit=9)
    assert [(one.line, one.number) for one in some] == [(2, f"+33{NUMBERS[0][1:]}"), (3, f"+33{NUMBERS[1][1:]}")]
    assert some[1].fields == {"Nom": "=HYPERLINK(1)"}, "a text, as it stands"
    again = await house.post(f"{where}/take", who, {"job": job, "skip": "yes"}, language)
    assert again.status == 404, "it is taken once"


@pytest.mark.promise("P22")
async def test_a_list_is_told_as_taken_when_it_is_written(house: House) -> None:
    """Not by a second click, not by its time being over, not by another one that is sent, not where nobody begins."""
    who, waiting = house.sign_in("alice", "supervisor"), asyncio.Event()
    where, page = await brought(house, who, *(f"{number};x" for number in NUMBERS))
    looked = {"job": page.html.split('name="job" value="')[1][:16]}

    async def waits() -> None:
        await waiting.wait()

    work, now = house.services.work, house.services.clock()
    others = [work.begin("other", "bob", now, waits) for _ in range(5)]
    busy = await house.post(f"{where}/take", who, looked)
    assert busy.status == 409 and "Take 8 lines" in busy.text and "Others wait for such an answer" in busy.text
    others[0].ended_at = now  # one of them has its answer
    taken = await house.post(f"{where}/take", who, looked)
    again = await house.post(f"{where}/take", who, looked)
    left = await house.post(f"{where}/leave", who)
    assert taken.went == again.went == left.went and left.message == "" and looked["job"] not in taken.went
    assert (await house.post(f"{ONE}/list", who, {"file": as_csv(f"{NUMBERS[0]};x")})).status == 409, "all still wait"
    house.services.lists.expire(where.rpartition("/")[2])
    for path in (taken.went, f"{where}?job={looked['job']}"):
        shown = await house.get(path, who)
        assert shown.status == 200 and 'http-equiv="refresh"' in shown.html, "it waits for its turn"
    assert await _written(house) == 0
    waiting.set()
    ended = await house.when_done(f"{where}?job={looked['job']}", who)
    assert (ended.went, ended.message) == (ONE, "The list is taken. Now simulate it.")
    assert await _written(house) == len(NUMBERS)
    with pytest.raises(Failure, match="not here any more"):
        house.services.lists.get(where.rpartition("/")[2], "summer", house.teams.people["alice"])


async def test_a_list_that_could_not_be_written_can_be_taken_again(house: House) -> None:
    who = house.sign_in("alice", "supervisor")
    where, page = await brought(house, who, *(f"{number};x" for number in NUMBERS))
    looked = {"job": page.html.split('name="job" value="')[1][:16]}
    await house.appoint("alice", "employee")  # who may not
    first = await house.post(f"{where}/take", who, looked)
    failed = await house.when_done(first.went, who)
    assert failed.status == 403 and await _written(house) == 0
    assert "Take 8 lines" in (await house.get(f"{where}?job={looked['job']}", who)).text
    await house.appoint("alice", "supervisor")
    second = await house.post(f"{where}/take", who, looked)
    assert second.went != first.went
    assert (await house.when_done(second.went, who)).went == ONE and await _written(house) == len(NUMBERS)


async def _written(house: House) -> int:
    async with house.services.db.read() as tx:
        campaign = await stored.by_name(tx, "summer")
        return sum((await stored.counts(tx, campaign.id)).values())


@pytest.mark.promise("0.4")
async def test_a_list_is_seen_by_who_sent_it_alone_and_not_for_long(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(campaign_uploads, "KEPT_S", 0.5)
    who = house.sign_in("alice", "supervisor")
    sent = await house.post(f"{ONE}/list", who, {"file": as_csv(f"{NUMBERS[0]};x")})
    assert (await house.get(sent.went, house.sign_in("bob", "supervisor"))).status == 404
    assert (await house.get(sent.went, who)).status == 200
    await asyncio.sleep(0.7)
    assert (await house.get(sent.went, who)).status == 404


async def test_only_so_many_lists_are_held(house: House) -> None:
    sheet = await campaign_uploads.read(as_csv(f"{NUMBERS[0]};x").getvalue(), None)
    held = [house.services.lists.put("summer", f"person-{n}", sheet) for n in range(campaign_uploads.MOST_HELD)]
    who = house.sign_in("alice", "supervisor")
    full = await house.post(f"{ONE}/list", who, {"file": as_csv(f"{NUMBERS[0]};x")})
    assert full.status == 409 and "others are bringing in lists" in full.text.lower()
    house.services.lists.put("other", "person-0", sheet)  # in place of their own
    with pytest.raises(Exception, match="not here any more"):
        house.services.lists.get(held[0].id, "summer", "person-0")


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "Choose a file"),
        (b"A;B\n1;2\n", "No column is named as one with telephone numbers"),
        (b"Mobile;Mobile\n0612340001;2\n", "Two columns have the same name"),
        (b"Mobile\n", "The list has no lines"),
        (b"PK\x03\x04" + b"0" * 64, "This is a spreadsheet"),
        (b"\x89PNG\r\n\x1a\n\0\0\0", "The file is no text"),
        (b"Mobile\n" + b"0612340001\n" * (campaign_uploads.MOST_ROWS + 1), "more than 50000 lines"),
        (
            b"Mobile;" + b";".join(b"f%d" % n for n in range(99)) + b"\n0612340001" * 10_001,
            "too many lines for so many",
        ),
        (b"Mobile;" + b"x;" * 200 + b"\n0612340001\n", "more than 100 columns"),
    ],
)
async def test_a_file_that_cannot_be_used_is_refused_in_words(house: House, body: bytes, said: str) -> None:
    page = await house.post(f"{ONE}/list", house.sign_in("alice", "supervisor"), {"file": io.BytesIO(body)})
    assert page.status == 422 and said in page.text, page.text


async def raw(house: House, who: str, form: FormData | bytes, **headers: str) -> int:
    origin = house.services.settings.web.origin
    sent = {"Host": origin.removeprefix("https://"), "Origin": origin, "Cookie": f"{cookies.SESSION}={who}"}
    async with house.client.post(f"{ONE}/list", data=form, headers=sent | headers, allow_redirects=False) as answer:
        return answer.status


async def test_bombs_are_not_unpacked_and_what_is_too_large_is_not_read(house: House) -> None:
    who = house.sign_in("alice", "supervisor")
    token = security.form_token(who)
    large = FormData({"form_token": token})
    large.add_field("file", b"0" * (campaign_uploads.MOST_BYTES + 1), filename="x.csv")
    assert await raw(house, who, large) == 413
    edge = "e"
    packed = zlib.compress(b"0" * 10_000_000)
    head = f'--{edge}\r\nContent-Disposition: form-data; name="file"; filename="x"\r\nContent-Encoding: deflate\r\n\r\n'
    bomb = head.encode() + packed + f"\r\n--{edge}--\r\n".encode()
    assert await raw(house, who, bomb, **{hdrs.CONTENT_TYPE: f"multipart/form-data; boundary={edge}"}) == 422
    whole = zlib.compress(b"0" * 100_000_000)
    packed_all = {hdrs.CONTENT_TYPE: f"multipart/form-data; boundary={edge}", hdrs.CONTENT_ENCODING: "deflate"}
    assert await raw(house, who, whole, **packed_all) in (400, 413, 422)
    many = FormData({"form_token": token})
    for number in range(2100):
        many.add_field(f"f{number}", "x", content_type="text/plain")
    assert await raw(house, who, many) == 422


@pytest.mark.promise("0.4")
async def test_whoever_has_not_signed_in_keeps_nobody_from_sending_a_file(house: House) -> None:
    """Their forms are answered before they end, however slowly they come."""
    over = asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        yield b'--e\r\nContent-Disposition: form-data; name="login"\r\n\r\n'
        await over.wait()

    headers = house.headers("") | {hdrs.CONTENT_TYPE: "multipart/form-data; boundary=e"}
    async with asyncio.timeout(30), AsyncExitStack() as open_:
        for path in ["/sign-in"] * uploads.MOST_AT_ONCE + [f"{ONE}/list"]:
            asked = house.client.post(path, data=slow(), headers=headers, allow_redirects=False)
            answer = await open_.enter_async_context(asked)
            assert answer.status == (422 if path == "/sign-in" else 303), path
        who = house.sign_in("alice", "supervisor")
        sent = await house.post(f"{ONE}/list", who, {"file": as_csv(f"{NUMBERS[0]};x")})
        over.set()
    assert sent.went.startswith(f"{ONE}/list/")


async def test_a_form_without_files_is_not_read_in_parts(house: House) -> None:
    who = house.sign_in("alice", "supervisor")
    page = await house.post(f"{ONE}/words", who, {"template": "Salut", "file": as_csv("0612")})
    assert page.status == 422 and "That form cannot be read" in page.text


@pytest.mark.promise("1.4")
async def test_words_are_counted_with_what_is_added(house: House) -> None:
    who = house.sign_in("alice", "supervisor")
    sent = {"from": "sales|Beffroi", "message_class": "marketing", "template": f"Salut {{Nom}} {SCRIPT}"}
    origin = house.services.settings.web.origin
    headers = {"Host": origin.removeprefix("https://"), "Origin": origin, "Cookie": f"{cookies.SESSION}={who}"}

    async def counted(token: str, body: object) -> tuple[int, Any]:
        async with house.client.post(
            "/campaigns/_measure", json=body, headers=headers | {"X-Form-Token": token}
        ) as answer:
            return answer.status, await answer.json() if answer.content_type == "application/json" else None

    assert (await counted("", sent))[0] == 403
    status, said = await counted(security.form_token(who), sent)
    assert status == 200 and "1 part each" in said["html"]
    assert "<mark>" in said["html"] and "STOP au 36180" in said["html"] and SCRIPT not in said["html"]
    status, said = await counted(security.form_token(who), sent | {"template": "a { b"})
    assert status == 422 and "Correct them" in said["told"]
    assert (await counted(security.form_token(who), sent | {"from": "care|Belfort"}))[0] == 404
    for strange in ([], None, "x", {"from": 1}, sent | {"message_class": "spam"}):
        assert (await counted(security.form_token(who), strange))[0] in (404, 422), strange


@pytest.mark.parametrize("language", ["en", "fr"])
async def test_script_in_every_field_is_text(house: House, language: str) -> None:
    who = house.sign_in("alice", "supervisor")
    names = ("name", "from", "message_class", "sector", "target", "template", "language", "per_minute", "starts_at",
             "ends_at", "transliterated")  # fmt: skip
    good = {"name": "other", "from": "sales|Beffroi", "message_class": "marketing", "sector": "telecom",
            "target": "ask", "template": "Salut", "language": "", "per_minute": "60"}  # fmt: skip
    for name in names:
        page = await house.post("/campaigns/_new", who, good | {name: SCRIPT}, language)
        assert page.status in (303, 403, 404, 409, 422), (name, page.status)
        assert SCRIPT not in page.html, name
    seen = await house.get("/campaigns/other", who, language)
    assert seen.status == 200 and SCRIPT not in seen.html
    for path, field in (
        ("/words", "template"),
        ("/act", "act"),
        ("/test", "to"),
        ("/simulation", "at"),
        ("", "reason"),
    ):
        page = await house.post(f"{ONE}{path}", who, {field: SCRIPT}, language)
        assert page.status in (200, 303, 404, 409, 422), (path, page.status)
        assert SCRIPT not in page.html, path


@pytest.mark.promise("P22")
async def test_a_second_person_approves_with_their_second_factor(house: House) -> None:
    who = house.sign_in("alice", "supervisor")
    where, page = await brought(house, who, *(f"{number};x" for number in NUMBERS))
    job = page.html.split('name="job" value="')[1][:16]
    taken = await house.post(f"{where}/take", who, {"job": job})
    await house.when_done(taken.went, who)
    assert (await house.post(f"{ONE}/act", who, {"act": "submit"})).status == 409, "nobody has simulated it"
    begun = await house.post(f"{ONE}/simulation", who)
    picture = await house.when_done(begun.went, who)
    assert "8 get nothing" in picture.text and "No consent of theirs is known" in picture.text
    assert (await house.post(f"{ONE}/act", who, {"act": "submit"})).message == (
        "It waits for somebody else to approve it."
    )
    assert (await house.post(f"{ONE}/act", who, {"act": "approve"})).status == 403
    stale = house.sign_in("bob", "supervisor", fresh_until=NOW - timedelta(minutes=1))
    assert (await house.post(f"{ONE}/act", stale, {"act": "approve"})).asks_again
    assert (await house.post(f"{ONE}/act", house.sign_in("bob", "supervisor"), {"act": "approve"})).status == 303
    assert "Start it" in (await house.get(ONE, who)).text
    refused = await house.post(f"{ONE}/words", who, {"template": "other words"})
    assert refused.status == 409 and "Bonjour {Nom}." in refused.text


@pytest.mark.promise("P22")
async def test_whoever_has_started_one_finds_what_stops_it(house: House) -> None:
    """Though nothing may be sent from its address any more, or they may write from its inbox no longer."""
    who = house.sign_in("alice", "supervisor")
    where, page = await brought(house, who, *(f"{number};Zoé" for number in NUMBERS))
    job = page.html.split('name="job" value="')[1][:16]
    await house.when_done((await house.post(f"{where}/take", who, {"job": job})).went, who)
    await house.when_done((await house.post(f"{ONE}/simulation", who)).went, who)
    await house.post(f"{ONE}/act", who, {"act": "submit"})
    await house.post(f"{ONE}/act", house.sign_in("bob", "supervisor"), {"act": "approve"})
    assert (await house.post(f"{ONE}/act", who, {"act": "start"})).status == 303
    await inboxes.remove_sender(house.services, ME, address="Beffroi")
    assert "Pause it" in (await house.get(ONE, who)).text
    await inboxes.member(house.services, ME, inbox="sales", login="alice", sending=False)
    assert "summer" in (await house.get("/campaigns", who)).text
    page = await house.get(ONE, who)
    assert page.status == 200 and "Pause it" in page.text and "Cancel it for good" in page.text
    assert "Line 2 of the list" not in page.text and "/lines" not in page.html and "One to your own" not in page.text
    assert (await house.post(f"{ONE}/act", who, {"act": "pause"})).message.startswith("It is held")
    page = await house.get(ONE, who)
    assert "Let it run on" not in page.text
    assert (await house.post(f"{ONE}/act", who, {"act": "resume"})).status == 403
    ended = await house.post(f"{ONE}/act", who, {"act": "cancel"})
    assert ended.went == ONE and (await house.get(ONE, who)).status == 200


async def test_the_choice_to_replace_letters_stands_as_it_was_made(house: House) -> None:
    """On the form of a new one as the company does it, then as it was kept; as it was sent, where that was refused."""
    who = house.sign_in("alice", "supervisor")

    def ticked(page: Page) -> bool:
        found = re.search(r'name="transliterated" value="yes"( checked)?', page.html)
        assert found
        return bool(found[1])

    sms = house.services.settings.sms
    for usual in (True, False):
        changed = sms.model_copy(update={"transliterate": usual})
        house.services.settings = house.services.settings.model_copy(update={"sms": changed})
        assert ticked(await house.get("/campaigns/_new", who)) is usual
        refused = await house.post("/campaigns/_new", who, {"template": "x"} | ({} if usual else CHOSEN))
        assert refused.status == 422 and ticked(refused) is not usual
    for choice in (CHOSEN, {}, CHOSEN):
        await house.post(f"{ONE}/words", who, {"template": "Bonjour {Nom}.", **choice})
        assert ticked(await house.get(ONE, who)) is bool(choice)
        for sent in (CHOSEN, {}):
            refused = await house.post(f"{ONE}/words", who, {"template": "", **sent})
            assert refused.status == 422 and ticked(refused) is bool(sent)
        assert ticked(await house.post(f"{ONE}/act", who, {"act": "none"})) is bool(choice), "another form"


async def test_a_page_that_is_watched_is_one_look(house: House) -> None:
    who = house.sign_in("alice", "supervisor", session_id="7" * 32)
    for _ in range(4):
        assert (await house.get(ONE, who)).status == 200
    async with house.services.db.read() as tx:
        seen = [json.loads(one.body) for one in await ledger.entries(tx, "access")]
    mine = [one for one in seen if (one["action"], one["object"]) == ("show", "campaign")]
    assert len(mine) == 5, "four of the campaign, one of its figures"


@pytest.mark.promise("0.6")
async def test_what_a_list_says_of_persons_is_shown_with_a_reason(house: House) -> None:
    who = house.sign_in("alice", "supervisor")
    where, page = await brought(house, who, f"{NUMBERS[0]};Zoé")
    job = page.html.split('name="job" value="')[1][:16]
    await house.when_done((await house.post(f"{where}/take", who, {"job": job})).went, who)
    page = await house.get(ONE, who)
    assert "Bonjour …." in page.text and "Zoé" not in page.html
    assert (await house.post(ONE, who, {"reason": " "})).status == 422
    assert "Bonjour Zoé." in (await house.post(ONE, who, {"reason": "to see it"})).text
