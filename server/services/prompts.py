"""What is said to people: the shipped texts, and the company's own words and recordings in their place.

Whatever somebody brings is a draft first, to be heard. What a consent or a duty to inform rests on is put in force by
another person, who holds `policy.approve`; the rest by whoever brought it. Each version stays: a consent names it.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from config import packs as pack_data
from config import prompt_texts, prompt_words, words
from config.periods import Period
from config.prompt_texts import PlaceholderError, PromptText
from config.prompt_words import Flaw
from recording.prompt_wav import BROUGHT_MAX_BYTES, AudioError
from recording.prompts import Own, Prompt, PromptError, PromptStore
from server.company import company_facts
from server.failure import Failure
from server.own_prompts import genuine, in_force, own
from server.policy_desk import every_rule
from server.services import roles
from server.services.actor import Actor, ledger_id
from server.services.audit import note
from server.services.context import Services
from server.services.directory import person_by_login
from server.services.policy_house import known
from sip.calls.planning_terms import prompts_for, prompts_ruled
from storage import lines, people, prompt_versions
from storage.prompt_versions import PromptVersion
from storage.tx import Tx

if TYPE_CHECKING:
    from recording.prompt_upload import Brought

APPROVES = "policy.approve"
Which = Literal["now", "draft", "shipped"]
Values = Mapping[str, str]
_EXAMPLE = "REC_QUALITY"


class Unsaid(Failure):
    """These words may not be said. `flaws`: all that stands against them."""

    def __init__(self, prompt_id: str, found: Sequence[Flaw]) -> None:
        said = "\n".join(f"- {one}" for one in found)
        super().__init__(f"{prompt_id} cannot be said like that:\n{said}", "Correct the words", "invalid")
        self.flaws = tuple(found)


class Unusable(Failure):
    """This recording cannot be used. `says`: why not, with the names of `values` as %(name)s."""

    def __init__(self, error: AudioError) -> None:
        super().__init__(f"the recording {error}", "Bring another file", "invalid")
        self.says, self.values = f"the recording {error.what}", error.values


@dataclass(frozen=True, slots=True)
class VersionView:
    """Fields: see `server.commands.prompts.VERSION_FIELDS`."""

    number: int
    kind: str
    state: str
    words: str
    sha256: str
    author: str
    author_is_person: bool
    created_at: datetime
    in_force_at: datetime | None
    approved_by: str | None
    approver_is_person: bool


@dataclass(frozen=True, slots=True)
class PromptView:
    """Fields: see `server.commands.prompts.FIELDS`."""

    prompt: str
    language: str
    mode: str
    informs: bool
    used: bool
    source: str
    version: str
    words: str
    said: str
    duration_ms: int | None
    file: str | None
    draft: VersionView | None


@dataclass(frozen=True, slots=True)
class OneView(PromptView):
    """Fields: those of `PromptView`, and see `server.commands.prompts.ONE_FIELDS`."""

    shipped: str
    required: tuple[str, ...]
    allowed: tuple[str, ...]
    must: tuple[tuple[str, ...], ...]
    recorded: Mapping[str, str] | None
    history: tuple[VersionView, ...]


@dataclass(frozen=True, slots=True)
class BroughtView:
    """Fields: see `server.commands.prompts.BROUGHT_FIELDS`."""

    version: VersionView
    duration_ms: int
    rate_hz: int
    channels: int
    level_dbfs: float
    peak_dbfs: float
    clipped_ms: int
    silent_ms: int


@dataclass(frozen=True, slots=True)
class HeardView:
    """Fields: see `server.commands.prompts.HEARD_FIELDS`. `audio`: a WAV file in base64."""

    prompt: str
    language: str
    version: str
    said: str
    duration_ms: int
    sha256: str
    level_dbfs: float
    peak_dbfs: float
    outline: tuple[int, ...]
    audio: str


async def list_(services: Services, actor: Actor, *, language: str | None = None) -> list[PromptView]:
    """Every prompt that is spoken, in each language of the company. Raises Failure."""
    wanted: tuple[str, ...] = services.settings.company.languages
    if language is not None:
        wanted = (_spoken(services, language),)
    async with services.db.read() as tx:
        house = await _House.read(services, tx)
        waiting = {(one.prompt_id, one.language): one for one in await prompt_versions.current(tx) if one.waits}
        drafts = dict(zip(waiting, await _views(services, tx, list(waiting.values())), strict=True))
        owns = {key: await own(tx, one) for key, one in house.holding.items() if one.language in wanted}
    keys = [
        (text.prompt_id, each) for text in prompt_texts.load().values() if text.mode != "written" for each in wanted
    ]

    def views() -> list[PromptView]:
        return [_prompt_view(services, house, key, owns.get(key), drafts.get(key)) for key in keys]

    return await asyncio.to_thread(views)


async def show(services: Services, actor: Actor, *, prompt: str, language: str) -> OneView:
    """One prompt, with every version that there was, newest first. Raises Failure."""
    text = _text(services, prompt, language)
    key = (prompt, language)
    async with services.db.read() as tx:
        house = await _House.read(services, tx)
        every = await prompt_versions.of_prompt(tx, prompt, language)
        history = await _views(services, tx, every)
        says = await own(tx, house.holding[key]) if key in house.holding else None
    draft = next((view for view, one in zip(history, every, strict=True) if one.waits), None)
    seen = await asyncio.to_thread(_prompt_view, services, house, key, says, draft)
    values = {name: getattr(seen, name) for name in PromptView.__slots__}
    needed = prompt_words.required(text, language)
    try:
        recorded: Values | None = _recorded_values(house, text, language)
    except Failure:
        recorded = None
    return OneView(
        **values,
        shipped=text.texts[language],
        required=needed,
        allowed=(*needed, *sorted(prompt_words.allowed(text) - set(needed))),
        must=text.must.get(language, ()),
        recorded=recorded,
        history=tuple(history),
    )


async def hear(
    services: Services, actor: Actor, *, prompt: str, language: str, of: Which = "now", version: int | None = None
) -> HeardView:
    """The audio, as a call would hear it: what is said now, a draft, the shipped text, or version number `version`.

    Raises Failure.
    """
    text, store = _text(services, prompt, language), _store(services)
    async with services.db.read() as tx:
        house = await _House.read(services, tx)
        chosen: Own | None = None
        if version is not None or of == "draft":
            every = await prompt_versions.of_prompt(tx, prompt, language)
            found = next((one for one in every if (one.waits if version is None else one.number == version)), None)
            if found is None:
                raise Failure("there is no such version", "Type: beffroi prompt show", "not_found")
            chosen = await own(tx, found) if found.kind != "shipped" else None
            if chosen is None and found.kind != "shipped":
                raise Failure("that recording was altered", "Bring it once more", "damaged")
        elif of == "now" and (prompt, language) in house.holding:
            chosen = await own(tx, house.holding[prompt, language])
    values, now = house.values(text, language), of == "now" and version is None
    if now:
        chosen = _fitting(chosen, values)
    elif chosen is not None and chosen.audio is not None:
        values = {**values, **chosen.filled}
    by_hand = now and store.laid_by_hand(prompt, language) is not None
    made = await _made(store, prompt, language, values, chosen, by_hand=by_hand)
    content, level, peak, outline = await asyncio.to_thread(_looked_at, made.path)
    return HeardView(
        prompt=prompt,
        language=language,
        version=made.version,
        said="" if by_hand else _said(text, language, values, chosen),
        duration_ms=made.duration_ms,
        sha256=made.sha256,
        level_dbfs=level,
        peak_dbfs=peak,
        outline=outline,
        audio=base64.b64encode(content).decode(),
    )


async def write(services: Services, actor: Actor, *, prompt: str, language: str, text: str) -> VersionView:
    """Own words, as a draft in place of an earlier one. Raises Unsaid, Failure."""
    shipped = _changeable(services, prompt, language)
    typed = " ".join(text.split())
    found = prompt_words.flaws(shipped, language, typed)
    if found:
        raise Unsaid(prompt, found)
    async with services.db.read() as tx:
        values = (await _House.read(services, tx)).values(shipped, language)
    await _made(_store(services), prompt, language, values, Own(0, typed))
    sha256 = hashlib.sha256(typed.encode()).hexdigest()
    async with services.db.transaction() as tx:
        return await _add(services, tx, actor, _new(services, actor, prompt, language, "words", typed, sha256))


async def upload(services: Services, actor: Actor, *, prompt: str, language: str, audio: str, text: str) -> BroughtView:
    """A recording, as a draft. `audio`: a WAV file in base64 (`recording.prompt_upload.read` says which); `text`: what
    is said in it. Raises Unsaid, Failure."""
    shipped = _changeable(services, prompt, language)
    typed = " ".join(text.split())
    async with services.db.read() as tx:
        house = await _House.read(services, tx)
    filled = _recorded_values(house, shipped, language)
    found = prompt_words.flaws_recorded(shipped, language, typed, filled)
    if found:
        raise Unsaid(prompt, found)
    brought, played = await asyncio.to_thread(_read, audio)
    sha256 = hashlib.sha256(played).hexdigest()
    new = replace(
        _new(services, actor, prompt, language, "recording", typed, sha256), audio=played, filled=dict(filled)
    )
    async with services.db.transaction() as tx:
        view = await _add(services, tx, actor, new)
    names = [name for name in BroughtView.__slots__ if name != "version"]
    return BroughtView(view, **{name: getattr(brought, name) for name in names})


async def use(
    services: Services, actor: Actor, *, prompt: str, language: str, number: int | None = None
) -> VersionView:
    """The draft counts from the next call on, where nothing rests on it that somebody else has to approve; `number`:
    the one that was heard, and no newer one. Raises Failure."""
    text = _text(services, prompt, language)
    if text.informs:
        raise Failure(
            f"{prompt} tells people of a recording: another person approves it",
            f"Somebody who may {APPROVES}: beffroi prompt approve {prompt} {language} --as LOGIN",
            "denied",
        )
    by = ledger_id(actor.who, services.keys.ledger)
    async with services.db.transaction() as tx:
        view = await _put_in_force(services, tx, actor, await _draft(tx, prompt, language, number), by, "use")
    await _tell(services)
    return view


async def approve(
    services: Services, actor: Actor, *, prompt: str, language: str, number: int, login: str
) -> VersionView:
    """The draft with this number counts from the next call on. By a person who may approve policies, and did not write
    it. Raises Failure."""
    text = _text(services, prompt, language)
    async with services.db.transaction() as tx:
        person = await person_by_login(tx, login)
        if person.disabled_at is not None or APPROVES not in await roles.granted(tx, person):
            raise Failure(f"{login} may not approve", f"Somebody who may {APPROVES} does: beffroi role show", "denied")
        draft = await _draft(tx, prompt, language, number)
        if draft.author == person.id:
            raise Failure(f"{login} brought it", "Another person has to approve it", "denied")
        house = await _House.read(services, tx)
        if draft.kind == "recording" and dict(draft.filled) != dict(_recorded_values(house, text, language)):
            raise Failure("it says another purpose or period than calls have now", "Bring a new recording", "conflict")
        view = await _put_in_force(services, tx, actor, draft, person.id, "approve", approver_id=person.id)
    await _tell(services)
    return view


async def discard(services: Services, actor: Actor, *, prompt: str, language: str) -> VersionView:
    """A draft that comes to nothing. Raises Failure."""
    _text(services, prompt, language)
    async with services.db.transaction() as tx:
        draft = await _draft(tx, prompt, language)
        await prompt_versions.discard(tx, draft.id, services.clock())
        await _note(services, tx, actor, "remove", draft)
        return await _view(services, tx, replace(draft, discarded_at=services.clock()))


async def reset(services: Services, actor: Actor, *, prompt: str, language: str) -> VersionView:
    """Back to the shipped text, from the next call on; a draft is given up. Raises Failure."""
    text = _changeable(services, prompt, language)
    by = ledger_id(actor.who, services.keys.ledger)
    async with services.db.transaction() as tx:
        holding = await in_force(tx, services.keys.ledger.public_key())
        if (prompt, language) not in holding:
            raise Failure("the shipped text is said already", "There is nothing to do", "conflict")
        shipped = text.texts[language]
        sha256 = hashlib.sha256(shipped.encode()).hexdigest()
        new = _new(services, actor, prompt, language, "shipped", shipped, sha256)
        number = await prompt_versions.next_number(tx, prompt, language)
        await _give_up_draft(services, tx, prompt, language)
        new = replace(new, number=number)
        await prompt_versions.add(tx, new)
        view = await _put_in_force(services, tx, actor, new, by, "restore")
    await _tell(services)
    return view


# --- parts ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _House:
    """What the company is, and which values its calls fill in: (prompt, language) -> each of them once."""

    uses: Mapping[tuple[str, str], tuple[Values, ...]]
    holding: Mapping[tuple[str, str], PromptVersion]
    example: Mapping[str, Values]

    @classmethod
    async def read(cls, services: Services, tx: Tx) -> _House:
        company, now = company_facts(services.settings), services.clock()
        ruled = every_rule(await known(services, tx), now)
        every = await lines.list_all(tx)
        uses: dict[tuple[str, str], list[Values]] = {}
        for prompt_id, language, values in (*prompts_for(every, company, now), *prompts_ruled(ruled, company, now)):
            found = uses.setdefault((prompt_id, language), [])
            if values and values not in found:
                found.append(values)
        holding = await in_force(tx, services.keys.ledger.public_key())
        example = {language: _example(services, language) for language in pack_data.LANGUAGES}
        return cls({key: tuple(found) for key, found in uses.items()}, holding, example)

    def values(self, text: PromptText, language: str) -> Values:
        """Such as a call would fill in; where none does yet, an example."""
        uses = self.uses.get((text.prompt_id, language), ())
        if uses:
            return uses[0]
        return self.example[language] if text.informs else {}


def _example(services: Services, language: str) -> Values:
    company, pack = company_facts(services.settings), pack_data.load()[_EXAMPLE]
    spoken = (pack.spoken or {})[language]
    return {
        "org": company.name,
        "purpose": spoken.purpose,
        "basis": spoken.basis,
        "recipients": spoken.recipients,
        "time": words.period(pack.retention or Period(), language),
        "url": company.rights_url,
        "dpo_contact": company.dpo_contact,
    }


def _recorded_values(house: _House, text: PromptText, language: str) -> Values:
    """What a recording has to say in place of placeholders. Raises Failure where no one recording can."""
    names = prompt_words.required(text, language) if text.informs else ()
    if not names:
        return {}
    uses = house.uses.get((text.prompt_id, language), ())
    found = {tuple((name, values[name]) for name in names) for values in uses}
    if not found:
        raise Failure("no line uses this prompt, so nobody can tell what a recording has to say",
                      "Type own words: placeholders fill themselves in", "conflict")  # fmt: skip
    if len(found) > 1:
        raise Failure("calls differ in the purpose or the period that it names: one recording cannot say both",
                      "Type own words: placeholders fill themselves in", "conflict")  # fmt: skip
    return dict(found.pop())


def _spoken(services: Services, language: str) -> str:
    """Raises Failure."""
    if language not in services.settings.company.languages:
        raise Failure("the company does not speak that language", "See company.languages in beffroi.toml", "not_found")
    return language


def _text(services: Services, prompt: str, language: str) -> PromptText:
    """Raises Failure."""
    text = prompt_texts.load().get(prompt)
    if text is None or text.mode == "written":
        raise Failure("there is no such prompt", "Type: beffroi prompt list", "not_found")
    _spoken(services, language)
    return text


def _changeable(services: Services, prompt: str, language: str) -> PromptText:
    """Raises Failure where a file that somebody laid by hand would be heard all the same."""
    text = _text(services, prompt, language)
    file = _store(services).laid_by_hand(prompt, language)
    if file is not None:
        raise Failure(f"a file laid by hand is heard instead: prompts/custom/{file.name}",
                      "Remove it from the machine first", "conflict")  # fmt: skip
    return text


def _store(services: Services) -> PromptStore:
    return services.prompts or PromptStore(services.paths.prompts)


def _decoded(audio: str) -> bytes:
    """Raises Failure; AudioError by its size alone where it is too large."""
    if len(audio) > BROUGHT_MAX_BYTES * 4 // 3 + 4:
        raise AudioError("is larger than %(size)s MB", size=BROUGHT_MAX_BYTES // 1_000_000)
    try:
        return base64.b64decode(audio, validate=True)
    except (binascii.Error, ValueError):
        raise Failure("the recording is no base64", "Send the WAV file in base64", "invalid") from None


def _read(audio: str) -> tuple[Brought, bytes]:
    """What was brought, and what is played of it. Raises Failure."""
    from recording import prompt_upload  # with numpy, which a daemon that nobody brings anything does not load

    try:
        brought = prompt_upload.read(_decoded(audio))
        return brought, prompt_upload.made(brought)
    except AudioError as error:
        raise Unusable(error) from None


def _looked_at(path: Path) -> tuple[bytes, float, float, tuple[int, ...]]:
    """Of a file that is played: its bytes, its level, its peak, and how loud each span of it is."""
    from recording import prompt_upload  # with numpy, which a daemon in which nobody listens does not load

    content = path.read_bytes()
    return content, *prompt_upload.levels(content), tuple(prompt_upload.outline(content))


async def _made(
    store: PromptStore, prompt: str, language: str, values: Values, chosen: Own | None, *, by_hand: bool = False
) -> Prompt:
    """Raises Failure."""
    try:
        if by_hand:
            return await store.get(prompt, language, values)
        return await store.speak(prompt, language, values, chosen)
    except PlaceholderError as error:
        raise Failure(str(error), "Enter it in beffroi.toml, or leave it out", "invalid") from None
    except PromptError as error:
        raise Failure(str(error), "Type: beffroi doctor", "failed") from None


def _said(text: PromptText, language: str, values: Values, chosen: Own | None) -> str:
    """As it is spoken; as it stands where it cannot be filled in."""
    words_ = chosen.words if chosen is not None else text.texts[language]
    if chosen is not None and chosen.audio is not None:
        return words_
    try:
        return replace(text, texts={**text.texts, language: words_}).render(language, values)
    except PlaceholderError:
        return words_


def _fitting(says: Own | None, values: Values) -> Own | None:
    """What is in force, where a call would hear it: a recording that would be untrue is passed over."""
    return says if says is not None and says.fits(values) else None


def _prompt_view(
    services: Services, house: _House, key: tuple[str, str], says: Own | None, draft: VersionView | None
) -> PromptView:
    prompt, language = key
    text, store = prompt_texts.load()[prompt], _store(services)
    values, file = house.values(text, language), store.laid_by_hand(prompt, language)
    says = _fitting(says, values)
    kind = house.holding[key].kind if says is not None else "shipped"
    duration_ms = None
    try:
        ready = store.get_blocking(prompt, language, values) if file else store.ready(prompt, language, values, says)
        duration_ms = ready.duration_ms if ready is not None else None
    except (PromptError, PlaceholderError):
        duration_ms = None
    return PromptView(
        prompt=prompt,
        language=language,
        mode=text.mode,
        informs=text.informs,
        used=not text.informs or key in house.uses,
        source="file" if file else kind,
        version=f"{text.version}.{says.version}" if says is not None and not file else str(text.version),
        words="" if file else says.words if says is not None else text.texts[language],
        said="" if file else _said(text, language, values, says),
        duration_ms=duration_ms,
        file=f"prompts/custom/{file.name}" if file else None,
        draft=draft,
    )


def _new(
    services: Services, actor: Actor, prompt: str, language: str, kind: prompt_versions.Kind, typed: str, sha256: str
) -> PromptVersion:
    author = ledger_id(actor.who, services.keys.ledger)
    return PromptVersion(prompt, language, 0, kind, typed, {}, sha256, author, services.clock())


async def _add(services: Services, tx: Tx, actor: Actor, new: PromptVersion) -> VersionView:
    prompt, language = new.prompt_id, new.language
    holding = (await in_force(tx, services.keys.ledger.public_key())).get((prompt, language))
    if holding is not None and (holding.kind, holding.sha256) == (new.kind, new.sha256):
        raise Failure("that is what is said already", "Change something", "conflict")
    new = replace(new, number=await prompt_versions.next_number(tx, prompt, language))
    await _give_up_draft(services, tx, prompt, language)
    await prompt_versions.add(tx, new)
    await _note(services, tx, actor, "add", new)
    return await _view(services, tx, new)


async def _give_up_draft(services: Services, tx: Tx, prompt: str, language: str) -> None:
    for one in await prompt_versions.of_prompt(tx, prompt, language):
        if one.waits:
            await prompt_versions.discard(tx, one.id, services.clock())


async def _draft(tx: Tx, prompt: str, language: str, number: int | None = None) -> PromptVersion:
    """Raises Failure; also where it is not the one with this number."""
    found = next((one for one in await prompt_versions.of_prompt(tx, prompt, language) if one.waits), None)
    if found is None:
        raise Failure("there is no draft", "Write one first", "not_found")
    if number not in (None, found.number):
        raise Failure("that version is no draft any more", "Hear the newest one first", "conflict")
    return found


async def _put_in_force(
    services: Services,
    tx: Tx,
    actor: Actor,
    draft: PromptVersion,
    by: str,
    action: str,
    *,
    approver_id: str | None = None,
) -> VersionView:
    """Signed and written down, with what was said before."""
    before = (await in_force(tx, services.keys.ledger.public_key())).get((draft.prompt_id, draft.language))
    now = services.clock()
    signature = services.keys.ledger.sign(prompt_versions.statement(draft, by, now))
    await prompt_versions.put_in_force(tx, draft, by, now, signature)
    shipped = prompt_texts.load()[draft.prompt_id].texts[draft.language]
    was = before.sha256 if before is not None else hashlib.sha256(shipped.encode()).hexdigest()
    await _note(services, tx, actor, action, draft, before_sha256=was, person_id=approver_id)
    done = replace(draft, in_force_at=now, approved_by=by, signature=signature)
    return await _view(services, tx, done)


async def _note(
    services: Services,
    tx: Tx,
    actor: Actor,
    action: str,
    version: PromptVersion,
    *,
    before_sha256: str | None = None,
    person_id: str | None = None,
) -> None:
    text = prompt_texts.load()[version.prompt_id]
    await note(services, tx, actor, action, "prompt", prompt_id=version.prompt_id, language=version.language,
               prompt_version=f"{text.version}.{version.number}", sha256=version.sha256,
               before_sha256=before_sha256, person_id=person_id)  # fmt: skip


async def _view(services: Services, tx: Tx, one: PromptVersion) -> VersionView:
    """The newest of its prompt."""
    [view] = await _views(services, tx, [one])
    return view


async def _views(services: Services, tx: Tx, some: Sequence[PromptVersion]) -> list[VersionView]:
    """Of each prompt that is among them the newest that was put in force is, too."""
    logins = await people.logins(tx) if some else {}
    newest: dict[tuple[str, str], int] = {}
    for one in some:
        if one.in_force_at is not None:
            key = one.prompt_id, one.language
            newest[key] = max(one.number, newest.get(key, 0))
    return [
        VersionView(
            number=one.number,
            kind=one.kind,
            state=_state(services, one, holds=newest.get((one.prompt_id, one.language)) == one.number),
            words=one.words,
            sha256=one.sha256,
            author=logins.get(one.author, one.author),
            author_is_person=one.author in logins,
            created_at=one.created_at,
            in_force_at=one.in_force_at,
            approved_by=None if one.approved_by is None else logins.get(one.approved_by, one.approved_by),
            approver_is_person=one.approved_by in logins,
        )
        for one in some
    ]


def _state(services: Services, one: PromptVersion, *, holds: bool) -> str:
    if one.in_force_at is None:
        return "draft" if one.waits else "discarded"
    if not genuine(one, services.keys.ledger.public_key()):
        return "altered"
    return "in force" if holds else "superseded"


async def _tell(services: Services) -> None:
    if services.live is not None:
        await services.live.prompts_changed()
