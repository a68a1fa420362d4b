"""Versions of own prompts, on both databases."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

import pytest

from storage import prompt_versions
from storage.database import Database
from storage.errors import Conflict, Duplicate, NotFound
from storage.prompt_versions import PromptVersion


def version(number: int, now: datetime, **other: object) -> PromptVersion:
    made = PromptVersion("PROMPT_BUSY", "fr", number, "words", f"Occupé, {number}.", {}, "0" * 64, "a" * 32, now)
    return replace(made, **other)  # type: ignore[arg-type]


async def test_a_draft_becomes_what_is_said_and_nothing_is_taken_away(db: Database, now: datetime) -> None:
    first, second, third = (version(number, now) for number in (1, 2, 3))
    async with db.transaction() as tx:
        assert await prompt_versions.next_number(tx, "PROMPT_BUSY", "fr") == 1
        await prompt_versions.add(tx, first)
        with pytest.raises(Duplicate):
            await prompt_versions.add(tx, version(1, now))
        await prompt_versions.put_in_force(tx, first, "b" * 32, now, b"signed")
        with pytest.raises(Conflict):
            await prompt_versions.put_in_force(tx, first, "b" * 32, now, b"signed")
        with pytest.raises(Conflict):
            await prompt_versions.discard(tx, first.id, now)
        for one in (second, third):
            await prompt_versions.add(tx, one)
        await prompt_versions.discard(tx, second.id, now)
    async with db.read() as tx:
        assert [(one.number, one.waits) for one in await prompt_versions.current(tx)] == [(1, False), (3, True)]
        every = await prompt_versions.of_prompt(tx, "PROMPT_BUSY", "fr")
        assert [one.number for one in every] == [3, 2, 1]
        assert every[2] == replace(first, in_force_at=now, approved_by="b" * 32, signature=b"signed")
        assert await prompt_versions.of_prompt(tx, "PROMPT_BUSY", "en") == ()
        assert await prompt_versions.next_number(tx, "PROMPT_BUSY", "fr") == 4
    async with db.transaction() as tx:
        await prompt_versions.put_in_force(tx, third, "b" * 32, now, b"signed")
        assert [one.number for one in await prompt_versions.current(tx)] == [3]


async def test_a_recording_is_read_only_when_it_is_asked_for(db: Database, now: datetime) -> None:
    recorded = version(1, now, kind="recording", audio=b"RIFF", filled={"org": "Exemple"})
    async with db.transaction() as tx:
        await prompt_versions.add(tx, recorded)
        await prompt_versions.add(tx, version(2, now))
        found = (await prompt_versions.of_prompt(tx, "PROMPT_BUSY", "fr"))[1]
        assert found.audio is None and found.filled == {"org": "Exemple"}
        assert await prompt_versions.audio(tx, recorded.id) == b"RIFF"
        with pytest.raises(NotFound):
            await prompt_versions.audio(tx, "f" * 32)


async def test_there_is_room_for_so_many_and_no_more(db: Database, now: datetime) -> None:
    async with db.transaction() as tx:
        await prompt_versions.add(tx, version(prompt_versions.MOST, now))
        with pytest.raises(Conflict, match="999 times"):
            await prompt_versions.next_number(tx, "PROMPT_BUSY", "fr")
