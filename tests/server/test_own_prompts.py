"""Own words for prompts, from a draft to what the next call hears: services on a real database, a real voice."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import wave
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from config import prompt_texts
from recording import prompt_audio
from recording.prompts import PromptStore
from server.failure import Failure
from server.own_prompts import OwnPrompts
from server.services import prompts
from server.services.actor import Actor
from server.services.context import Services
from server.services.prompts import Unsaid
from server.spoken import Spoken
from storage import ledger, lines, people, tables
from tests.peers import tones
from tests.server.conftest import Ran

NOW = datetime(2026, 12, 1, 8, tzinfo=UTC)
ANNOUNCE = ("PROMPT_OPTOUT_QUALITY", "fr")
OWN = "Ici {org}. Nous pouvons enregistrer cet appel, gardé {time}. Pour refuser, touche 2. Détails, touche 0."
BUSY = {"prompt": "PROMPT_BUSY", "language": "fr"}


class House:
    """An admin, two who may approve, a line that records, and what calls ask."""

    def __init__(self, services: Services) -> None:
        self.services = services
        services.clock = lambda: NOW
        self.own = OwnPrompts(services.db, services.keys.ledger.public_key())
        self.store = PromptStore(services.paths.prompts, own=self.own)
        self.spoken = Spoken(self.store, services.paths.custom_prompts, self.own)
        self.ids: dict[str, str] = {}

    async def settle_in(self) -> None:
        async with self.services.db.transaction() as tx:
            for login, role in (("adam", "admin"), ("dora", "dpo"), ("dirk", "dpo"), ("emma", "employee")):
                self.ids[login] = (await people.add(tx, login, login.title(), NOW, roles=(role,))).id

    def actor(self, login: str) -> Actor:
        return Actor(self.ids[login], "desk-7")

    async def quality_line(self) -> None:
        async with self.services.db.transaction() as tx:
            await lines.add(tx, "sales", "377", NOW, pack="REC_QUALITY")

    async def values(self) -> Any:
        async with self.services.db.read() as tx:
            house = await prompts._House.read(self.services, tx)
        return house.values(prompt_texts.load()[ANNOUNCE[0]], "fr")

    async def heard(self, prompt: str, language: str, values: Any) -> Any:
        """By the next call."""
        await self.own.refresh()
        await self.spoken.prepare(prompt, language, values)  # as the daemon does: on a busy machine it takes its time
        return await self.spoken.get(prompt, language, values)

    async def written_down(self) -> list[dict[str, Any]]:
        async with self.services.db.read() as tx:
            entries = [json.loads(entry.body) for entry in await ledger.entries(tx, "access")]
        return [entry for entry in entries if entry.get("object") == "prompt"]


@pytest.fixture
async def house(services: Services) -> House:
    made = House(services)
    await made.settle_in()
    return made


def recording(seconds: float = 2.0, amplitude: int = 3000) -> str:
    return base64.b64encode(prompt_audio.to_wav(tones.tone(500, seconds, amplitude=amplitude) / 32768)).decode()


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


async def test_other_words_count_from_the_next_call_on(house: House) -> None:
    adam, before = house.actor("adam"), await house.heard(**BUSY, values={})
    draft = await prompts.write(house.services, adam, **BUSY, text="C’est \n occupé.")
    assert (draft.number, draft.state, draft.words, draft.author) == (1, "draft", "C’est occupé.", "adam")
    assert (await house.heard(**BUSY, values={})).sha256 == before.sha256, "a draft is not heard"
    of_draft = await prompts.hear(house.services, adam, **BUSY, of="draft")
    used = await prompts.use(house.services, adam, **BUSY)
    assert (used.state, used.approved_by) == ("in force", "adam")
    after = await house.heard(**BUSY, values={})
    assert (after.version, after.sha256) == ("1.1", of_draft.sha256) and before.version == "1"
    assert hashlib.sha256(after.path.read_bytes()).hexdigest() == after.sha256 != before.sha256
    shown = await prompts.show(house.services, adam, **BUSY)
    assert (shown.source, shown.version, shown.words, shown.draft) == ("words", "1.1", "C’est occupé.", None)
    added, put = await house.written_down()
    assert (added["action"], put["action"], put["actor_id"]) == ("add", "use", house.ids["adam"])
    shipped = prompt_texts.load()["PROMPT_BUSY"].texts["fr"]
    assert (put["before_sha256"], put["sha256"], put["prompt_version"]) == (sha(shipped), sha("C’est occupé."), "1.1")


async def test_what_counts_is_the_draft_that_was_heard(house: House) -> None:
    adam = house.actor("adam")
    first = await prompts.write(house.services, adam, **BUSY, text="Occupé.")
    second = await prompts.write(house.services, adam, **BUSY, text="Toujours occupé.")
    with pytest.raises(Failure, match="no draft any more"):
        await prompts.use(house.services, adam, **BUSY, number=first.number)
    assert (await prompts.show(house.services, adam, **BUSY)).source == "shipped"
    used = await prompts.use(house.services, adam, **BUSY, number=second.number)
    assert (used.number, used.state) == (second.number, "in force")
    with pytest.raises(Failure, match="no draft"):
        await prompts.use(house.services, adam, **BUSY, number=second.number)


async def test_whether_a_person_brought_it_is_told_with_who_it_was(house: House) -> None:
    machine = Actor("os:1000", "desk-7")
    for number, who in enumerate((house.actor("adam"), machine, house.actor("emma"), machine)):
        await prompts.write(house.services, who, **BUSY, text=f"Occupé {number}.")
        await prompts.use(house.services, who, **BUSY)
    history = (await prompts.show(house.services, machine, **BUSY)).history
    told = [(one.author_is_person, one.approver_is_person) for one in history]
    assert told == [(False, False), (True, True), (False, False), (True, True)]
    assert [one.author for one in history if one.author_is_person] == ["emma", "adam"]
    assert {one.state for one in history[1:]} == {"superseded"} and history[0].state == "in force"


async def test_back_to_the_shipped_text_and_every_version_can_still_be_heard(house: House) -> None:
    adam = house.actor("adam")
    shipped = await house.heard(**BUSY, values={})
    with pytest.raises(Failure, match="already"):
        await prompts.reset(house.services, adam, **BUSY)
    for text in ("Occupé.", "Toujours occupé."):
        await prompts.write(house.services, adam, **BUSY, text=text)
        await prompts.use(house.services, adam, **BUSY)
    first = await prompts.hear(house.services, adam, **BUSY, version=1)
    await prompts.write(house.services, adam, **BUSY, text="Encore une idée.")
    await prompts.reset(house.services, adam, **BUSY)
    assert await house.heard(**BUSY, values={}) == shipped
    shown = await prompts.show(house.services, adam, **BUSY)
    assert [(one.kind, one.state) for one in shown.history] == [
        ("shipped", "in force"), ("words", "discarded"), ("words", "superseded"), ("words", "superseded"),
    ]  # fmt: skip
    assert (await prompts.hear(house.services, adam, **BUSY, version=1)).sha256 == first.sha256
    assert (await prompts.hear(house.services, adam, **BUSY)).sha256 == shipped.sha256
    with pytest.raises(Failure, match="no such version"):
        await prompts.hear(house.services, adam, **BUSY, version=9)


@pytest.mark.promise("2.4")
async def test_what_a_consent_rests_on_is_approved_by_somebody_else(house: House) -> None:
    adam, dora, (prompt, language) = house.actor("adam"), house.actor("dora"), ANNOUNCE
    with pytest.raises(Unsaid, match="{time}") as refused:
        await prompts.write(house.services, adam, prompt=prompt, language=language, text="Ici {org}. Touche 2 ou 0.")
    assert {one.what for one in refused.value.flaws} == {"missing", "unsaid"}
    draft = await prompts.write(house.services, adam, prompt=prompt, language=language, text=OWN)
    with pytest.raises(Failure, match="another person approves"):
        await prompts.use(house.services, adam, prompt=prompt, language=language)
    given = {"prompt": prompt, "language": language, "number": draft.number}
    with pytest.raises(Failure, match="may not approve"):
        await prompts.approve(house.services, adam, **given, login="adam")
    with pytest.raises(Failure, match="no draft any more"):
        await prompts.approve(house.services, dora, **{**given, "number": 7}, login="dora")
    values = await house.values()
    assert (await house.heard(prompt, language, values)).version == "1"
    done = await prompts.approve(house.services, dora, **given, login="dora")
    assert (done.state, done.approved_by) == ("in force", "dora")
    heard = await house.heard(prompt, language, values)
    assert heard.version == "1.1"
    added, approved = await house.written_down()
    assert (added["action"], approved["action"], approved["person_id"]) == ("add", "approve", house.ids["dora"])
    assert "person_id" not in added


async def test_nobody_approves_what_they_brought(house: House) -> None:
    prompt, language = ANNOUNCE
    async with house.services.db.transaction() as tx:
        await people.set_roles(tx, house.ids["dirk"], ("admin", "dpo"))
    draft = await prompts.write(house.services, house.actor("dirk"), prompt=prompt, language=language, text=OWN)
    given = {"prompt": prompt, "language": language, "number": draft.number}
    with pytest.raises(Failure, match="dirk brought it"):
        await prompts.approve(house.services, house.actor("dirk"), **given, login="dirk")
    await prompts.approve(house.services, house.actor("dora"), **given, login="dora")


@pytest.mark.promise("2.4")
async def test_a_recording_is_heard_only_where_what_it_says_is_true(house: House) -> None:
    adam, (prompt, language) = house.actor("adam"), ANNOUNCE
    given = {"prompt": prompt, "language": language, "audio": recording()}
    with pytest.raises(Failure, match="no line uses"):
        await prompts.upload(house.services, adam, **given, text="x")
    await house.quality_line()
    values = await house.values()
    with pytest.raises(Unsaid) as refused:
        await prompts.upload(
            house.services, adam, **given, text="Nous enregistrons, touche 2, touche 0, effacé un jour."
        )
    assert {one.name for one in refused.value.flaws} == {values["org"], values["time"]}
    text = f"{values['org']} peut enregistrer, gardé {values['time']}. Non : touche 2. Plus : touche 0."
    brought = await prompts.upload(house.services, adam, **given, text=text)
    await prompts.approve(house.services, house.actor("dora"), prompt=prompt, language=language,
                          number=brought.version.number, login="dora")  # fmt: skip
    heard = await house.heard(prompt, language, values)
    assert (heard.version, heard.sha256) == ("1.1", brought.version.sha256)
    other = await house.heard(prompt, language, {**values, "time": "cinq ans"})
    assert other.version == "1" and other.sha256 != heard.sha256, "it would be untrue, so the shipped text is spoken"
    settings = house.services.settings
    renamed = settings.company.model_copy(update={"name": "Autre SARL"})
    house.services.settings = settings.model_copy(update={"company": renamed})
    shipped = prompt_texts.load()[prompt].texts[language]
    now = await prompts.hear(house.services, adam, prompt=prompt, language=language)
    shown = await prompts.show(house.services, adam, prompt=prompt, language=language)
    listed = {one.prompt: one for one in await prompts.list_(house.services, adam, language=language)}[prompt]
    for view in (shown, listed):
        assert (view.source, view.version, view.words) == (
            "shipped",
            "1",
            shipped,
        ) and view.duration_ms == now.duration_ms
    assert (now.version, now.said) == ("1", shown.said) and "Autre SARL" in now.said and now.sha256 != heard.sha256
    assert (await house.heard(prompt, language, await house.values())).sha256 == now.sha256
    assert (
        await prompts.hear(house.services, adam, prompt=prompt, language=language, version=1)
    ).sha256 == heard.sha256
    async with house.services.db.transaction() as tx:
        await tx.write(update(tables.prompt_versions).values(filled={**values, "time": "cinq ans"}))
    shown = await prompts.show(house.services, adam, prompt=prompt, language=language)
    assert (shown.history[0].state, shown.source) == ("altered", "shipped")


async def test_a_recording_is_levelled_and_its_faults_are_told(house: House) -> None:
    adam = house.actor("adam")
    quiet = await prompts.upload(house.services, adam, **BUSY, audio=recording(amplitude=100), text="Occupé.")
    assert quiet.level_dbfs < -45 and quiet.clipped_ms == 0 and quiet.duration_ms == 2000
    heard = await prompts.hear(house.services, adam, **BUSY, of="draft")
    assert abs(heard.level_dbfs - -20) < 0.3 and len(heard.outline) == 120
    with wave.open(io.BytesIO(base64.b64decode(heard.audio))) as file:
        assert (file.getframerate(), file.getnchannels()) == (8000, 1)
    for audio, why in (("?", "no base64"), (base64.b64encode(b"RIFFxxxxWAVE").decode(), "cannot be read"),
                       ("A" * 11_000_000, "larger than 8 MB"), (recording(0.1), "lasts")):  # fmt: skip
        with pytest.raises(Failure, match=why):
            await prompts.upload(house.services, adam, **BUSY, audio=audio, text="Occupé.")


@pytest.mark.parametrize("what", ["words", "audio"])
async def test_what_was_altered_in_the_database_is_not_said(house: House, what: str) -> None:
    adam, shipped = house.actor("adam"), await house.heard(**BUSY, values={})
    await prompts.upload(house.services, adam, **BUSY, audio=recording(), text="Occupé.")
    await prompts.use(house.services, adam, **BUSY)
    async with house.services.db.transaction() as tx:
        changed = {"words": "Raccrochez."} if what == "words" else {"audio": base64.b64decode(recording(3.0))}
        await tx.write(update(tables.prompt_versions).values(**changed))
    assert (await house.heard(**BUSY, values={})).sha256 == shipped.sha256


@pytest.mark.parametrize("damage", [{"audio": b"RIFF"}, {"audio": None}], ids=["altered", "gone"])
async def test_one_damaged_recording_holds_up_no_other_change(house: House, damage: dict[str, Any]) -> None:
    adam, shipped = house.actor("adam"), await house.heard(**BUSY, values={})
    await prompts.upload(house.services, adam, **BUSY, audio=recording(), text="Occupé.")
    await prompts.use(house.services, adam, **BUSY)
    async with house.services.db.transaction() as tx:
        await tx.write(update(tables.prompt_versions).values(**damage))
    assert (await house.heard(**BUSY, values={})).sha256 == shipped.sha256
    for language, words in (("en", "Engaged."), ("en", "Still engaged.")):
        other = {"prompt": "PROMPT_BUSY", "language": language}
        await prompts.write(house.services, adam, **other, text=words)
        await prompts.use(house.services, adam, **other)
        await house.own.refresh()
        said = house.own("PROMPT_BUSY", language)
        assert said is not None and said.words == words and house.own("PROMPT_BUSY", "fr") is None
    shown = await prompts.show(house.services, adam, **BUSY)
    assert shown.source == "shipped"
    with pytest.raises(Failure, match="altered"):
        await prompts.hear(house.services, adam, **BUSY, version=1)


async def test_a_file_laid_by_hand_goes_before_all_and_nothing_is_changed_behind_it(house: House) -> None:
    adam = house.actor("adam")
    await prompts.write(house.services, adam, **BUSY, text="Occupé.")
    await prompts.use(house.services, adam, **BUSY)
    file = house.services.paths.custom_prompts / "PROMPT_BUSY.fr.wav"
    tones.write_wav(file, tones.tone(700, 1.0))
    assert (await house.heard(**BUSY, values={})).version == "1"
    shown = await prompts.show(house.services, adam, **BUSY)
    assert (shown.source, shown.file, shown.words) == ("file", "prompts/custom/PROMPT_BUSY.fr.wav", "")
    assert (await prompts.hear(house.services, adam, **BUSY)).duration_ms < 1300
    for change in (
        prompts.write(house.services, adam, **BUSY, text="Pris."),
        prompts.reset(house.services, adam, **BUSY),
    ):
        with pytest.raises(Failure, match="laid by hand"):
            await change
    file.unlink()
    assert (await house.heard(**BUSY, values={})).version == "1.1"


async def test_a_list_says_of_each_whose_words_they_are(house: House) -> None:
    await prompts.write(house.services, house.actor("adam"), **BUSY, text="Occupé.")
    seen = {one.prompt: one for one in await prompts.list_(house.services, house.actor("dora"), language="fr")}
    assert seen.keys() == {text.prompt_id for text in prompt_texts.load().values() if text.mode != "written"}
    assert seen["PROMPT_BUSY"].draft is not None and seen["PROMPT_BUSY"].source == "shipped"
    assert seen["PROMPT_OPTIN"].informs and "{" not in seen["PROMPT_OPTIN"].said
    for given in (
        {"language": "de"},
        {"language": "fr", "prompt": "NOTICE_STAFF"},
        {"language": "fr", "prompt": "../x"},
    ):
        with pytest.raises(Failure, match="no such prompt|does not speak"):
            await (prompts.show if "prompt" in given else prompts.list_)(house.services, house.actor("dora"), **given)  # type: ignore[operator]


def test_the_command_line_brings_hears_and_takes_back(beffroi: Callable[..., Ran], tmp_path: Path) -> None:
    file = tones.write_wav(tmp_path / "own.wav", tones.tone(500, 30.0, rate=48_000), rate=48_000)
    brought = beffroi("prompt", "upload", "PROMPT_BUSY", "fr", str(file), "--text", "Occupé.", "--json").json
    assert brought["version"]["state"] == "draft" and 29_000 < brought["duration_ms"] <= 30_000
    assert (brought["rate_hz"], brought["clipped_ms"]) == (48_000, 0)
    loud = tones.tone(500, 30.0, rate=48_000, amplitude=30_000).astype(int) * 3
    file = tones.write_wav(tmp_path / "loud.wav", loud.clip(-32_768, 32_767).astype("<i2"), rate=48_000)
    assert file.stat().st_size > 2_000_000, "it is made small before it is sent"
    brought = beffroi("prompt", "upload", "PROMPT_BUSY", "fr", str(file), "--text", "Occupé.", "--json").json
    assert brought["version"]["number"] == 2 and brought["clipped_ms"] > 5_000 and brought["peak_dbfs"] > -0.1
    stale = beffroi("prompt", "use", "PROMPT_BUSY", "fr", "1")
    assert stale.status == 1 and "no draft any more" in stale.err
    assert beffroi("prompt", "use", "PROMPT_BUSY", "fr", "2").status == 0
    out = tmp_path / "heard.wav"
    heard = beffroi("prompt", "hear", "PROMPT_BUSY", "fr", "--out", str(out), "--json").json
    assert hashlib.sha256(out.read_bytes()).hexdigest() == heard["sha256"] and heard["version"] == "1.2"
    assert "already there" in beffroi("prompt", "hear", "PROMPT_BUSY", "fr", "--out", str(out)).err
    assert "Occupé" in beffroi("prompt", "show", "PROMPT_BUSY", "fr").out
    assert beffroi("prompt", "reset", "PROMPT_BUSY", "fr").status == 0
    refused = beffroi("prompt", "write", "PROMPT_OPTIN", "fr", "Bonjour.")
    assert refused.status != 0 and "{purpose} has to be said" in refused.err
    assert "PROMPT_BUSY" in beffroi("prompt", "list", "--language", "fr").out
