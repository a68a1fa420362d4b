"""Lists of recipients that people send through the portal: read, looked through and shown, then taken or forgotten.

Until it is taken a list lies in memory alone, a quarter of an hour at most, one for each person. Numbers are looked
through and written by `campaign.look` and `campaign.write`, in the name of whoever sent it.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from server.failure import Failure
from server.services.work import watch
from sms import lists
from sms.list_check import Check
from sms.lists import LineError, ListError, Sheet

MOST_BYTES = 8 << 20
MOST_ROWS = 50_000
MOST_HELD = 4
KEPT_S = 900.0
AT_ONCE = 1000  # lines of one request
MOST_ERRORS = 100  # that are told

Ask = Callable[..., Awaitable[Any]]
"""Does an operation in somebody's name, as `Visit.call`."""


@dataclass(slots=True)
class HeldList:
    """`person_id`: who sent it, and alone may see it."""

    id: str
    campaign: str
    person_id: str
    sheet: Sheet = field(repr=False)
    check: Check = field(repr=False)
    taken: bool = False  # somebody has said so; it is being written, or is

    def begin(self) -> None:
        """Raises Failure where it is being taken already."""
        if self.taken:
            raise Failure("that list is being taken", "Wait a moment", "conflict")
        if not self.check.usable:
            raise Failure("no line of that list can be used", "Send another one", "conflict")
        self.taken = True

    @property
    def errors(self) -> list[LineError]:
        return self.check.errors


class HeldLists:
    """One for the daemon."""

    def __init__(self) -> None:
        self._held: dict[str, HeldList] = {}

    def put(self, campaign: str, person_id: str, sheet: Sheet) -> HeldList:
        """In place of the one that this person sent before. Raises Failure where too many lie here already."""
        for one in [one for one in self._held.values() if one.person_id == person_id]:
            self.drop(one.id)
        if len(self._held) >= MOST_HELD:
            raise Failure("others are bringing in lists just now", "Try again in a quarter of an hour", "busy")
        made = HeldList(secrets.token_hex(8), campaign, person_id, sheet, Check(sheet))
        self._held[made.id] = made
        asyncio.get_running_loop().call_later(KEPT_S, self.drop, made.id)
        return made

    def get(self, list_id: str, campaign: str, person_id: str) -> HeldList:
        """Raises Failure."""
        found = self._held.get(list_id)
        if found is None or (found.campaign, found.person_id) != (campaign, person_id):
            raise Failure("that list is not here any more", "Send the file again", "not_found")
        return found

    def drop(self, list_id: str) -> None:
        self._held.pop(list_id, None)


async def read(body: bytes, column: str | None) -> Sheet:
    """Raises Failure. Spreadsheets are packed, and cost much to unpack: they are read by the command line."""
    if body[:4] == b"PK\x03\x04":
        raise Failure("this is a spreadsheet and no CSV", "Save it as CSV, and send that", "invalid")
    try:
        sheet = await asyncio.to_thread(lists.read, body, column=column, most_rows=MOST_ROWS)
    except ListError as error:
        remedy = error.remedy.replace("Name it with --column, or call it Mobile", "Say what it is called")
        raise Failure(error.what, remedy, "invalid") from None
    if not sheet.entries and not sheet.errors:
        raise Failure("the list has no lines", "Export it again", "invalid")
    return sheet


async def look_through(held: HeldList, ask: Ask) -> dict[str, int]:
    """Each number, as it would be written; how many can be used, and how many cannot. Raises Failure."""
    done, total = 0, len(held.sheet.entries)
    check = Check(held.sheet)
    _told(0, total)
    for some in check.pieces(AT_ONCE):
        said = await ask("campaign.look", name=held.campaign, numbers=some)
        wrong = [(one["line"], one["problem"], one["remedy"]) for one in said["errors"]]
        check.looked([(line, number) for line, number in said["numbers"]], wrong)
        done += len(some)
        _told(done, total)
    held.check = check
    return {"usable": check.usable, "wrong": len(check.errors)}


async def take(held: HeldList, ask: Ask) -> dict[str, int]:
    """The lines that can be used become the campaign's list. Raises Failure."""
    done, total = 0, held.check.usable
    _told(0, total)
    for rows in held.check.rows(AT_ONCE):
        ends = {"first": not done, "last": done + len(rows) >= total}
        await ask("campaign.write", name=held.campaign, rows=rows, **ends)
        done += len(rows)
        _told(done, total)
    return {"written": done}


def _told(done: int, total: int) -> None:
    telling = watch.get()
    if telling is not None:
        telling(done, total)
