"""A company's own words for a prompt, and recordings of them, in versions.

Nothing is ever changed or taken away but a draft's state: a consent names the version that was heard. The newest one
that was put in force is heard; one of kind "shipped" means the text of the product.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from sqlalchemy import Update, func, insert, select, update

from storage import tables
from storage.errors import Conflict, Duplicate, NotFound
from storage.ids import new_id
from storage.tx import Tx
from storage.types import canonical_json

_T = tables.prompt_versions

Kind = Literal["words", "recording", "shipped"]
MOST = 999
"""Versions of one prompt in one language: so many numbers the evidence of a consent has room for."""


@dataclass(frozen=True, slots=True)
class PromptVersion:
    """`sha256`: of the words, or of a recording's audio. `filled`: what a recording says in place of placeholders."""

    prompt_id: str
    language: str
    number: int
    kind: Kind
    words: str
    filled: Mapping[str, str]
    sha256: str
    author: str
    created_at: datetime
    audio: bytes | None = field(default=None, repr=False)
    in_force_at: datetime | None = None
    approved_by: str | None = None
    signature: bytes | None = field(default=None, repr=False)
    discarded_at: datetime | None = None
    id: str = field(default_factory=new_id)

    @property
    def waits(self) -> bool:
        """It is a draft."""
        return self.in_force_at is None and self.discarded_at is None


def statement(version: PromptVersion, approved_by: str, at: datetime) -> bytes:
    """What is signed when a version is put in force."""
    said = {"format": "beffroi/prompt/1", "prompt": version.prompt_id, "language": version.language}
    said |= {"kind": version.kind, "words": version.words, "sha256": version.sha256, "author": version.author}
    return canonical_json(
        {**said, "filled": dict(version.filled), "number": version.number, "by": approved_by, "at": at.isoformat()}
    )


async def next_number(tx: Tx, prompt_id: str, language: str) -> int:
    """Raises `Conflict` where there have been too many."""
    query = select(func.max(_T.c.number).label("n")).where(_T.c.prompt_id == prompt_id, _T.c.language == language)
    row = await tx.row(query)
    number = int(row["n"] or 0) + 1 if row is not None else 1
    if number > MOST:
        raise Conflict(f"{prompt_id} has been changed {MOST} times")
    return number


async def add(tx: Tx, version: PromptVersion) -> None:
    """Raises `Duplicate("number")`: somebody else has just made one."""
    same = select(_T.c.id).where(
        _T.c.prompt_id == version.prompt_id, _T.c.language == version.language, _T.c.number == version.number
    )
    if await tx.row(same) is not None:
        raise Duplicate("number")
    values = {name: getattr(version, name) for name in PromptVersion.__slots__}
    await tx.write(insert(_T).values(**{**values, "filled": dict(version.filled)}))


async def put_in_force(tx: Tx, version: PromptVersion, by: str, at: datetime, signature: bytes) -> None:
    """Of a draft. Raises `Conflict` where it is none any more."""
    changed = await tx.write(_draft(version.id).values(in_force_at=at, approved_by=by, signature=signature))
    if not changed:
        raise Conflict("that version is no draft any more")


async def discard(tx: Tx, version_id: str, now: datetime) -> None:
    """Raises `Conflict` where it is no draft."""
    if not await tx.write(_draft(version_id).values(discarded_at=now)):
        raise Conflict("that version is no draft any more")


async def of_prompt(tx: Tx, prompt_id: str, language: str) -> tuple[PromptVersion, ...]:
    """Every version, newest first; without audio."""
    query = select(*_WITHOUT_AUDIO).where(_T.c.prompt_id == prompt_id, _T.c.language == language)
    rows = await tx.rows(query.order_by(_T.c.number.desc()))
    return tuple(PromptVersion(**row) for row in rows)


async def current(tx: Tx) -> tuple[PromptVersion, ...]:
    """Of each prompt in each language its drafts, and the newest that was put in force; without audio."""
    newest = (
        select(_T.c.prompt_id, _T.c.language, func.max(_T.c.number).label("number"))
        .where(_T.c.in_force_at.is_not(None))
        .group_by(_T.c.prompt_id, _T.c.language)
    )
    holds = {(row["prompt_id"], row["language"], row["number"]) for row in await tx.rows(newest)}
    rows = await tx.rows(select(*_WITHOUT_AUDIO).where(_T.c.discarded_at.is_(None)).order_by(_T.c.number))
    found = [PromptVersion(**row) for row in rows]
    return tuple(one for one in found if one.waits or (one.prompt_id, one.language, one.number) in holds)


async def audio(tx: Tx, version_id: str) -> bytes:
    """Of a recording. Raises `NotFound`."""
    row = await tx.row(select(_T.c.audio).where(_T.c.id == version_id))
    if row is None or row["audio"] is None:
        raise NotFound("prompt", version_id)
    return bytes(row["audio"])


_WITHOUT_AUDIO = [column for column in _T.c if column.name != "audio"]


def _draft(version_id: str) -> Update:
    return update(_T).where(_T.c.id == version_id, _T.c.in_force_at.is_(None), _T.c.discarded_at.is_(None))
