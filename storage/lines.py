"""Lines: a dialled number with a purpose. It rings its members, or echoes; its pack says whether it may record."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import RowMapping, delete, insert, select, update

from storage import dialplan, tables
from storage.accounts import METADATA_CLASSES
from storage.errors import Invalid, NotFound
from storage.ids import ACCOUNT_NAME, CODE, DIALLED, LANGUAGE, new_id, require, require_in
from storage.tx import Tx

KINDS = frozenset({"ring", "echo"})
CONSENT_MODES = frozenset({"none", "announce", "opt_out", "opt_in", "forbidden"})
STRATEGIES = frozenset({"simultaneous", "sequential"})
NO_RECORDING = "REC_NONE"
CANVASSING_TARGETS = frozenset({"consumer", "professional", "ask"})
MAX_MEMBER_RING_S = 300
_IN_ONE = 500  # ids in one statement
_T = tables.lines
_M = tables.line_members


@dataclass(frozen=True, slots=True)
class Line:
    id: str
    name: str  # shape of ids.ACCOUNT_NAME
    number: str  # dialled: "200", "*43"
    kind: str  # of KINDS
    pack: str  # recording pack id, or NO_RECORDING
    consent_mode: str | None  # of CONSENT_MODES: only ever stricter than the pack and the countries
    metadata_class: str  # of accounts.METADATA_CLASSES
    language: str | None
    statute: str | None  # the text of law that a legal-obligation pack rests on
    members: tuple[str, ...]  # account ids, in ringing order
    ask_staff: bool  # the called side is asked for consent as well
    created_at: datetime
    disabled_at: datetime | None
    strategy: str = "simultaneous"  # of STRATEGIES: all members at once, or one after the other
    member_ring_s: int = 20  # how long each rings, one after the other
    canvassing: str | None = None  # sector of config.contact_rules; None: it canvasses nobody
    canvassing_target: str | None = None  # of CANVASSING_TARGETS, where it canvasses


async def add(
    tx: Tx,
    name: str,
    number: str,
    now: datetime,
    *,
    kind: str = "ring",
    pack: str = NO_RECORDING,
    consent_mode: str | None = None,
    metadata_class: str = "minimal",
    language: str | None = None,
    statute: str | None = None,
    members: Iterable[str] = (),
    ask_staff: bool = False,
    strategy: str = "simultaneous",
    member_ring_s: int = 20,
) -> Line:
    """Raises `Duplicate` ("name", "number", "dialled"), `Invalid`, `Conflict` for an unknown member."""
    line = Line(
        id=new_id(),
        name=name,
        number=number,
        kind=kind,
        pack=pack,
        consent_mode=consent_mode,
        metadata_class=metadata_class,
        language=language,
        statute=statute,
        members=tuple(members),
        ask_staff=ask_staff,
        created_at=now,
        disabled_at=None,
        strategy=strategy,
        member_ring_s=member_ring_s,
    )
    await tx.write(insert(_T).values(id=line.id, created_at=now, **_columns(line)))
    await dialplan.claim(tx, number, line_id=line.id)
    await _write_members(tx, line)
    return line


async def save(tx: Tx, line: Line) -> Line:
    """Write a changed record back: `save(tx, dataclasses.replace(line, pack=...))`. Members too.

    Raises `NotFound`, and what `add` raises.
    """
    before = await get(tx, line.id)
    await tx.write(update(_T).where(_T.c.id == line.id).values(**_columns(line)))
    if before.number != line.number:
        await dialplan.release(tx, before.number)
        await dialplan.claim(tx, line.number, line_id=line.id)
    await tx.write(delete(_M).where(_M.c.line_id == line.id))
    await _write_members(tx, line)
    return line


async def get(tx: Tx, line_id: str) -> Line:
    """Disabled ones too. Raises `NotFound`."""
    found = await _some(tx, _T.c.id == line_id)
    if not found:
        raise NotFound("line", line_id)
    return found[0]


async def by_name(tx: Tx, name: str) -> Line:
    """Disabled ones too. Raises `NotFound`."""
    found = await _some(tx, _T.c.name == name)
    if not found:
        raise NotFound("line")
    return found[0]


async def by_number(tx: Tx, number: str) -> Line | None:
    """The enabled line with that number; None if there is none."""
    found = await _some(tx, (_T.c.number == number) & _T.c.disabled_at.is_(None))
    return found[0] if found else None


async def list_all(tx: Tx) -> tuple[Line, ...]:
    """By name, disabled ones included."""
    return tuple(await _some(tx))


async def names(tx: Tx) -> dict[str, str]:
    """Id to name of all, disabled ones included."""
    return {row["id"]: row["name"] for row in await tx.rows(select(_T.c.id, _T.c.name))}


async def ringing_at(tx: Tx, account_ids: Collection[str]) -> tuple[Line, ...]:
    """Those of which one of these accounts is a member, by name, disabled ones included."""
    if len(account_ids) > _IN_ONE:
        return tuple(line for line in await list_all(tx) if not set(line.members).isdisjoint(account_ids))
    theirs = select(_M.c.line_id).where(_M.c.account_id.in_(account_ids))
    return tuple(await _some(tx, _T.c.id.in_(theirs)))


async def disable(tx: Tx, line_id: str, now: datetime) -> Line:
    """Raises `NotFound`."""
    return await save(tx, replace(await get(tx, line_id), disabled_at=now))


async def _some(tx: Tx, *conditions: object) -> list[Line]:
    rows = await tx.rows(select(_T).where(*conditions).order_by(_T.c.name))  # type: ignore[arg-type]
    ids = [row["id"] for row in rows]
    members: dict[str, list[str]] = {}
    for member in await tx.rows(select(_M).where(_M.c.line_id.in_(ids)).order_by(_M.c.line_id, _M.c.position)):
        members.setdefault(member["line_id"], []).append(member["account_id"])
    return [_line(row, tuple(members.get(row["id"], ()))) for row in rows]


async def _write_members(tx: Tx, line: Line) -> None:
    for position, account_id in enumerate(line.members):
        await tx.write(insert(_M).values(line_id=line.id, account_id=account_id, position=position))


def _columns(line: Line) -> dict[str, object]:
    if len(set(line.members)) != len(line.members):
        raise Invalid("members", "names an account twice")
    if not 1 <= line.member_ring_s <= MAX_MEMBER_RING_S:
        raise Invalid("member_ring_s", f"must be 1 to {MAX_MEMBER_RING_S}")
    return {
        "name": require("name", line.name, ACCOUNT_NAME),
        "number": require("number", line.number, DIALLED),
        "kind": require_in("kind", line.kind, KINDS),
        "pack": line.pack,
        "consent_mode": line.consent_mode and require_in("consent_mode", line.consent_mode, CONSENT_MODES),
        "metadata_class": require_in("metadata_class", line.metadata_class, METADATA_CLASSES),
        "language": line.language and require("language", line.language, LANGUAGE),
        "statute": line.statute,
        "ask_staff": line.ask_staff,
        "disabled_at": line.disabled_at,
        "strategy": require_in("strategy", line.strategy, STRATEGIES),
        "member_ring_s": line.member_ring_s,
        "canvassing": line.canvassing and require("canvassing", line.canvassing, CODE),
        "canvassing_target": _target(line),
    }


def _target(line: Line) -> str | None:
    if line.canvassing is None:
        return None
    return require_in("canvassing_target", line.canvassing_target or "ask", CANVASSING_TARGETS)


def _line(row: RowMapping, members: tuple[str, ...]) -> Line:
    fields = {name: row[name] for name in Line.__slots__ if name != "members"}
    return Line(members=members, **fields)
