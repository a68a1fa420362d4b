"""Consent with people outside: asked before they are connected, by the line on whose behalf the call is made."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e import office, scene
from tests.e2e.outside import DORIS_DIALLED, Outside, outside
from tests.e2e.scene import PROMPT_S

pytestmark = [pytest.mark.e2e]

SALES = "+33170000003"


@pytest.fixture(scope="module")
def out(product_seed: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outside]:
    with outside(tmp_path_factory.mktemp("sales"), product_seed) as made:
        made.product.add_line("sales", "300", members=["ben"], pack="REC_QUALITY", **{"class": "standard"})
        made.product.cli("number", "add", SALES, "--line", "sales")
        made.product.cli("account", "present", "ben", SALES)
        yield made


@pytest.fixture(autouse=True)
def as_before(out: Outside) -> Iterator[None]:
    yield
    out.quiet()


def ben_calls_doris(out: Outside, number: str, *, key: str = "", talk_s: float = 1.5) -> tuple[list[str], list[str]]:
    """What Ben heard and what Doris heard. She presses ``key`` while she is asked."""
    before = len(out.ben.recordings()), len(out.doris.recordings())
    since, at = len(out.doris.events), len(out.ben.events)
    out.ben.dial(number)
    out.doris.wait("CALL_INCOMING", since=since, timeout=20)
    out.doris.answer()
    out.doris.wait("CALL_ESTABLISHED", since=since)
    if key:
        time.sleep(PROMPT_S / 2)
        out.doris.press(key)
    out.ben.wait("CALL_ESTABLISHED", since=at)
    time.sleep(PROMPT_S + 3.0)  # the question, and the time to refuse
    scene.talk(talk_s)
    out.ben.hang_up()
    out.doris.wait("CALL_CLOSED", since=since)
    heard = office.Heard({out.ben.name: before[0]}).by(out.ben)
    return heard, out.doris_heard(before[1])


@pytest.mark.promise("L1", "2.1")
def test_who_is_called_on_behalf_of_a_line_is_asked_before_the_two_are_connected(out: Outside, tmp_path: Path) -> None:
    known = scene.rec_ids(out.product)
    heard_by_ben, heard_by_doris = ben_calls_doris(out, DORIS_DIALLED)
    assert heard_by_doris == ["optout_quality", "ben"], "asked first, connected then"
    assert heard_by_ben[:1] == ["staff"] and heard_by_ben[-1] == "dora"
    recording = scene.one_recording(out.product, but=known)
    sound = scene.by_escrow(out.product, recording["id"], tmp_path)
    assert office.story(sound[:, 0])[-1:] == ["ben"] and office.story(sound[:, 1])[-1:] == ["dora"]
    assert out.provider.seen("INVITE")[-1]["From"].count(SALES) == 1


@pytest.mark.promise("L1")
def test_who_refuses_is_not_recorded_and_talks_all_the_same(out: Outside) -> None:
    known = scene.rec_ids(out.product)
    heard_by_ben, heard_by_doris = ben_calls_doris(out, DORIS_DIALLED, key="2")
    assert heard_by_doris[0] == "optout_quality" and heard_by_doris[-1] == "ben" and "refused" in heard_by_doris
    assert heard_by_ben[-1] == "dora"
    out.quiet()
    assert scene.rec_ids(out.product) == known


@pytest.mark.promise("2.3")
def test_who_has_objected_for_good_is_never_asked_again_in_either_direction(out: Outside) -> None:
    """The next call already, without a restart; when the objection is lifted they are asked as before."""
    known = scene.rec_ids(out.product)
    doris = out.product.json("contact", "suppress", "add", DORIS_DIALLED, "--channel", "recording")
    heard_by_ben, heard_by_doris = ben_calls_doris(out, DORIS_DIALLED)
    assert heard_by_doris == ["ben"] and heard_by_ben == ["dora"], "nobody hears a question"
    out.quiet()
    assert scene.rec_ids(out.product) == known
    before, since, at = len(out.doris.recordings()), len(out.ben.events), len(out.doris.events)
    out.doris.dial(SALES)
    out.ben.wait("CALL_INCOMING", since=since, timeout=20)
    out.ben.answer()
    out.doris.wait("CALL_ESTABLISHED", since=at, timeout=20)
    scene.talk(1.5)
    out.doris.hang_up()
    out.ben.wait("CALL_CLOSED", since=since)
    assert [each for each in out.doris_heard(before) if each != "ringback"] == ["ben"]
    out.quiet()
    assert scene.rec_ids(out.product) == known
    out.product.cli("contact", "suppress", "remove", doris["id"], "--reason", "she changed her mind, letter of today")
    _, heard = ben_calls_doris(out, DORIS_DIALLED)
    assert heard == ["optout_quality", "ben"]


@pytest.mark.promise("L5")
def test_a_private_call_outside_is_neither_asked_about_nor_recorded_nor_listed(out: Outside) -> None:
    known = scene.rec_ids(out.product)
    with scene.database(out.product) as db:
        records = db.execute("SELECT count(*) FROM call_records").fetchone()[0]
    heard_by_ben, heard_by_doris = ben_calls_doris(out, f"*8{DORIS_DIALLED}", talk_s=0.5)
    assert heard_by_doris == ["ben"] and heard_by_ben[-1:] == ["dora"] and "staff" not in heard_by_ben
    out.quiet()
    assert scene.rec_ids(out.product) == known
    with scene.database(out.product) as db:
        assert db.execute("SELECT count(*) FROM call_records").fetchone()[0] == records


@pytest.mark.promise("L1")
def test_who_calls_the_line_from_outside_is_asked(out: Outside, tmp_path: Path) -> None:
    known = scene.rec_ids(out.product)
    before, since, at = len(out.doris.recordings()), len(out.ben.events), len(out.doris.events)
    out.doris.dial(SALES)
    out.doris.wait("CALL_ESTABLISHED", since=at, timeout=20)
    out.ben.wait("CALL_INCOMING", since=since, timeout=20)
    out.ben.answer()
    out.ben.wait("CALL_ESTABLISHED", since=since)
    scene.talk(PROMPT_S + 1.5)
    out.doris.hang_up()
    out.ben.wait("CALL_CLOSED", since=since)
    story = [each for each in out.doris_heard(before) if each != "ringback"]
    assert story == ["optout_quality", "ben"]
    recording = scene.one_recording(out.product, but=known)
    sound = scene.by_escrow(out.product, recording["id"], tmp_path)
    assert "dora" in office.story(sound[:, 0]) and "ben" in office.story(sound[:, 1])
