"""The working days of those who telephone and listen."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urlsplit
from xml.etree import ElementTree

import pytest

from tests.e2e import scene
from tests.e2e.outside import DORIS_DIALLED
from tests.peers import tones
from tests.peers.baresip import Login, Phone
from tests.peers.deskphone import DeskPhone
from tests.web.day.company import LINE, LINE_NUMBER, OWN, Company
from tests.web.day.working import Day

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]
DAY = Callable[[str, str], Day]
XML = "{http://www.linphone.org/xsds/lpconfig.xsd}"
ORDER = ("--because", "order", "--reason", "tidying up")
SOUND = tones.tone(400, 90)


# --- an employee ------------------------------------------------------------------------------------------------------


@pytest.mark.promise("0.2", "1.9", "2.14", "P1", "P10", "P15", "P16", "P23", "L5", "L14")
@pytest.mark.parametrize("language", ["en", "fr"])
def test_the_day_of_an_employee(company: Company, day: DAY, language: str, tmp_path_factory: pytest.TempPathFactory):
    """A phone that sets itself up, calls out and in, silence and a forward, texts, and what is kept of all that."""
    me = day("employee", language)
    me.begin()
    with a_phone(company, me) as phone:
        phone.registered()
        me.go("My phones")
        me.shows("signed on")
        me.look("my-phone")
        shows_the_number_of_the_line(me)
        calls_somebody(company, me)
        company.quiet()
        known = scene.rec_ids(company.product)
        is_called(company, me)
        finds_the_call(me)
        is_not_to_be_disturbed(company, me)
        forwards(company, me)
    recording = scene.one_recording(company.product, but=known)
    listened = scene.first_reader(company.product)
    listened.export(company.product, recording["id"], tmp_path_factory.mktemp("heard"), reason="complaint 12")
    writes_a_text(company, me)
    sees_what_is_kept(me)
    me.go("My account")
    me.look("account")
    me.sign_out()
    me.sign_in()


def a_phone(company: Company, me: Day) -> Phone | DeskPhone:
    """In English it fetches what the code leads to; in French somebody types what stands beside it."""
    me.go("My phones")
    me.look("no-phone")
    me.write("Name of the phone", "mobile")
    me.press("Show the code")
    me.look("code")
    user, domain, server = me.fact("User name"), me.fact("Domain"), me.fact("Server or outbound proxy")
    assert (domain, server) == (company.product.domain, company.product.server("tls"))
    me.unfold("The link, to copy")
    link, password = me.page.locator(".secret-value code").all_inner_texts()
    name = f"mobile-{me.language}"
    if me.language == "fr":
        login = Login(user, domain, password)
        return company.product.phone(name, login, "tls", says=SOUND, answer="auto")
    phone, path = company.visitor(), urlsplit(link).path  # it has not signed in
    fetched = phone.get(path)
    assert fetched.status == 200
    told = {
        str(section.get("name")): {str(entry.get("name")): entry.text or "" for entry in section}
        for section in ElementTree.fromstring(fetched.text).findall(f"{XML}section")  # noqa: S314 - our own
    }
    assert told["proxy_0"]["reg_proxy"] == f"<sip:{server};transport=tls>"
    assert phone.get(path).status == 404, "once"
    login, ha1 = Login(told["auth_info_0"]["username"], domain, ""), told["auth_info_0"]["ha1"]
    return company.product.desk(name, login, says=SOUND, answer="auto", ha1=ha1)


def shows_the_number_of_the_line(me: Day) -> None:
    """So its calls are made on the line's behalf, and kept as the line's."""
    me.go("When I am called")
    me.tick("This number:")
    me.write("Number", OWN[me.language])
    me.press("Save", nth=1)
    me.look("answering")


def calls_somebody(company: Company, me: Day) -> None:
    """The own phone rings first; it is picked up, and Doris is called and asked."""
    since = len(company.doris.events)
    me.go("Calls")
    me.look("no-calls")
    me.write("Number, extension or name", DORIS_DIALLED)
    me.press("Call")
    me.told("Your phone rings. Pick it up: then the call goes on to the other side.")
    with company.recorded():
        company.doris.wait("CALL_ESTABLISHED", since=since, timeout=20)
        company.agrees()
    me.go("Calls")
    me.shows("Going on now")
    me.look("a-call-goes-on")
    company.doris.hang_up()
    company.quiet()


def is_called(company: Company, me: Day) -> None:
    """From outside, recorded because Doris agrees."""
    with company.call_of_doris(OWN[me.language]):
        scene.talk(1.5)
    company.quiet()


def finds_the_call(me: Day) -> None:
    me.go("Calls")
    me.until_there(me.page.locator("tbody tr"), 2)
    me.shows("Incoming")
    me.shows("Outgoing")
    me.look("calls")
    me.unfold("Show in clear")
    me.write("Why do you need it in clear?", "they wait for an answer")
    me.press("Show in clear")
    me.reads(DORIS_DIALLED)
    me.page.locator("tbody a").first.click()
    me.shows("Why could somebody not hear?")
    me.unfold("Who said what to whom")
    me.unfold("What becomes of it with time")
    me.reads("INVITE")
    me.look("call")


def is_not_to_be_disturbed(company: Company, me: Day) -> None:
    me.go("When I am called")
    me.press("Do not disturb me")
    me.shows("Your phones stay silent.")
    since = len(company.clara.events)
    company.clara.dial(me.who.login)
    assert "480" in company.clara.wait("CALL_CLOSED", since=since)["param"]
    me.look("do-not-disturb")
    me.press("Let them ring again")
    me.shows("Your phones ring.")


def forwards(company: Company, me: Day) -> None:
    me.write("Always", DORIS_DIALLED)
    me.press("Save")
    me.look("forward")
    since = len(company.doris.events)
    company.clara.dial(me.who.login)
    company.doris.wait("CALL_ESTABLISHED", since=since, timeout=20)
    company.clara.hang_up()
    company.doris.wait("CALL_CLOSED", since=since)
    me.write("Always", "")
    me.press("Save")
    company.quiet()


def writes_a_text(company: Company, me: Day) -> None:
    """And gets an answer."""
    me.go("Texts")
    me.look("inboxes")
    me.follow(LINE)
    me.link("Write")
    me.write("To", "+33 6 12 34 56 78")
    me.write("Text", f"Hello, your parcel has come ({me.language}).")
    me.press("What does it take?")
    me.look("looked-at")
    me.press("Send it")
    me.told("It leaves now. What becomes of it stands among the sent ones.")
    words = f"has come ({me.language})".encode()
    scene.until(lambda: any(words in one for one in company.texted()), "the network has it")
    me.link("Sent")
    me.until("arrived")
    me.look("sent")
    me.page.locator("tbody a").first.click()
    me.look("sent-one")
    me.go("Texts")
    company.texts("Merci !")
    me.until_there(me.page.get_by_role("cell", name="1", exact=True))
    me.follow(LINE)
    me.look("conversations")
    me.link("Came in")
    me.shows("new")
    me.look("came-in")
    me.press("Done", exact=False)
    me.shows("done")


def sees_what_is_kept(me: Day) -> None:
    me.go("What is kept about me")
    me.shows("Recordings in which you are heard, and who listened")
    me.reads("complaint 12")
    me.look("kept")


# --- a supervisor -----------------------------------------------------------------------------------------------------


@pytest.mark.promise("0.2", "0.4", "1.9", "P23")
@pytest.mark.parametrize("language", ["en", "fr"])
def test_the_day_of_a_supervisor(company: Company, day: DAY, language: str) -> None:
    """The team's calls while they go on and when they are over; that there are recordings, and not what is said."""
    me = day("supervisor", language)
    me.begin()
    with company.call_of_doris(LINE_NUMBER):
        me.go("Calls")
        me.shows("Going on now")
        me.reads(LINE)
        me.look("calls-go-on")
        me.go("Calls now")
        me.reads(LINE)
        me.look("board")
    company.quiet()
    me.go("Calls")
    me.until("The caller hung up")
    me.reads("06••••••78")
    me.look("calls-are-over")
    me.go("Recordings")
    me.look("recordings")
    me.page.locator("tbody a").first.click()
    me.shows("You may see that it is kept, and not listen to it: that is granted by purpose.")
    me.look("recording")
    me.rest_of_the_menu()
    me.sign_out()
    me.sign_in(by="recovery")


# --- who listens ------------------------------------------------------------------------------------------------------


@pytest.mark.promise("0.2", "2.9", "2.10", "P23")
@pytest.mark.parametrize("language", ["en", "fr"])
def test_the_day_of_somebody_who_sees_to_quality(company: Company, day: DAY, language: str) -> None:
    me = day("quality", language)
    me.begin()
    rec_id = is_recorded(company)
    listens(me, rec_id, "a complaint of Friday", "2026-17")
    me.write("Note", "greets well")
    me.press("Keep the note")
    me.told("The note is kept with the recording.")
    me.reads("greets well")
    me.look("listening")
    me.press("Close the recording")
    me.told("The recording is closed.")
    me.reads("a complaint of Friday")
    me.press("Lock it")
    me.told("The listening room is locked.")
    me.rest_of_the_menu()


@pytest.mark.promise("0.2", "2.9", "2.10", "2.11", "P23")
@pytest.mark.parametrize("language", ["en", "fr"])
def test_the_day_of_somebody_of_the_legal_department(company: Company, day: DAY, language: str) -> None:
    """Listens for a case, and what the case needs is not destroyed before the hold is lifted."""
    me = day("legal", language)
    me.begin()
    rec_id = is_recorded(company)
    listens(me, rec_id, "the claim of Doris", f"A-17-{language}")
    me.press("Close the recording")
    me.go("Legal holds")
    me.look("no-hold")
    me.link("Lay a hold")
    me.tick("One recording")
    me.write("Which", rec_id)
    me.write("Case", f"A-17-{language}")
    me.write("Why", "the claim of Doris")
    me.write("Asked for by", "the court")
    me.write("To be looked at again", "2031-01-01")
    me.look("new-hold")
    me.press("Lay the hold")
    me.reads("the court")
    me.look("hold")
    said = scene.refused(company.product, "recordings", "destroy", rec_id, *ORDER)
    assert "hold" in said
    me.go("Recordings")
    me.shows("Held")
    me.look("recordings")
    me.rest_of_the_menu()
    me.go("Legal holds")
    me.follow(f"A-17-{language}")
    me.write("Why", "the judgment of Monday")
    me.press("Lift the hold")
    company.product.cli("recordings", "destroy", rec_id, *ORDER)
    me.go("Ledger")
    me.verifies_the_ledger()


def is_recorded(company: Company) -> str:
    """Doris calls the line and agrees; the recording."""
    known = scene.rec_ids(company.product)
    with company.call_of_doris(LINE_NUMBER):
        scene.talk(2.5)
    return str(scene.one_recording(company.product, but=known)["id"])


def listens(me: Day, rec_id: str, reason: str, case: str) -> None:
    """With key, reason and case; and it sounds."""
    assert me.who.key is not None
    me.go("Recordings")
    me.page.locator(f"a[href='/recordings/{rec_id}']").click()
    me.look("locked")
    me.link("Unlock to listen")
    me.look("room")
    me.write("Passphrase of your reader's key", me.who.key.passphrase)
    me.write("Code of your authenticator for that key", me.who.key.code())
    me.press("Unlock")
    me.told("The listening room is open for 15 minutes.")
    me.write("Why do you need to listen?", reason)
    me.write("Which case is it for?", case)
    me.press("Open the recording")
    me.press("Play")
    scene.until(lambda: me.page.evaluate("document.querySelector('audio').currentTime") > 0.3, "it sounds", 30)
    if me.button("Pause").count():
        me.press("Pause")
    assert me.page.evaluate("document.querySelector('audio').error") is None
    assert me.page.evaluate("document.querySelector('audio').duration") > 1.5
