"""What an account's user has chosen: forwards, do not disturb, which number is shown. Numbers are sealed."""

import json
import re
from dataclasses import dataclass, field

from sqlalchemy import delete, select, text

from storage import tables
from storage.errors import Invalid
from storage.ids import require
from storage.numbers import E164
from storage.tx import Tx
from storage.types import canonical_json

MAX_NO_ANSWER_S = 120
# What can be dialled: a number, an extension, a line, an account's name.
TARGET = re.compile(r"[0-9*#+]{1,32}|[a-z0-9][a-z0-9._-]{0,63}")
FORWARDS = ("forward_always", "forward_busy", "forward_no_answer", "forward_unregistered")
_T = tables.call_settings
_SAVE = text(
    "INSERT INTO call_settings (account_id, numbers_sealed, no_answer_s, dnd, hide_number, call_waiting) "
    "VALUES (:account_id, :numbers_sealed, :no_answer_s, :dnd, :hide_number, :call_waiting) "
    "ON CONFLICT (account_id) DO UPDATE SET numbers_sealed = excluded.numbers_sealed, "
    "no_answer_s = excluded.no_answer_s, dnd = excluded.dnd, hide_number = excluded.hide_number, "
    "call_waiting = excluded.call_waiting"
)


@dataclass(frozen=True, slots=True)
class CallSettings:
    account_id: str
    # Where calls go instead, as it would be dialled; shape of TARGET.
    forward_always: str | None = field(default=None, repr=False)
    forward_busy: str | None = field(default=None, repr=False)
    forward_no_answer: str | None = field(default=None, repr=False)
    forward_unregistered: str | None = field(default=None, repr=False)
    no_answer_s: int = 20
    dnd: bool = False
    hide_number: bool = False
    call_waiting: bool = True
    presented: str | None = field(default=None, repr=False)  # E.164; None: the account's own, or its trunk's main one


async def get(tx: Tx, account_id: str) -> CallSettings:
    """The defaults where nothing was ever chosen."""
    row = await tx.row(select(_T).where(_T.c.account_id == account_id))
    if row is None:
        return CallSettings(account_id)
    numbers = json.loads(tx.keys.open("call_settings", "numbers", account_id, row["numbers_sealed"]))
    return CallSettings(
        account_id=account_id,
        **{name: numbers[name] for name in (*FORWARDS, "presented")},
        no_answer_s=row["no_answer_s"],
        dnd=row["dnd"],
        hide_number=row["hide_number"],
        call_waiting=row["call_waiting"],
    )


async def save(tx: Tx, settings: CallSettings) -> CallSettings:
    """Raises `Invalid`, `Conflict` where there is no such account."""
    numbers = {name: getattr(settings, name) for name in (*FORWARDS, "presented")}
    for name in FORWARDS:
        if numbers[name] is not None:
            require(name, numbers[name], TARGET)
    if settings.presented is not None:
        require("presented", settings.presented, E164)
    if not 1 <= settings.no_answer_s <= MAX_NO_ANSWER_S:
        raise Invalid("no_answer_s", f"must be 1 to {MAX_NO_ANSWER_S}")
    sealed = tx.keys.seal("call_settings", "numbers", settings.account_id, canonical_json(numbers))
    await tx.write(
        _SAVE.bindparams(
            account_id=settings.account_id,
            numbers_sealed=sealed,
            no_answer_s=settings.no_answer_s,
            dnd=settings.dnd,
            hide_number=settings.hide_number,
            call_waiting=settings.call_waiting,
        )
    )
    return settings


async def list_all(tx: Tx) -> tuple[CallSettings, ...]:
    """Of every account that ever chose something."""
    rows = await tx.rows(select(_T.c.account_id).order_by(_T.c.account_id))
    return tuple([await get(tx, row["account_id"]) for row in rows])


async def remove(tx: Tx, account_id: str) -> None:
    await tx.write(delete(_T).where(_T.c.account_id == account_id))
