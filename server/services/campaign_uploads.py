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
MOST_CELLS = 1_000_000
MOST_HELD = 4
KEPT_S = 900.0
AT_ONCE = 1000  # lines of one request
MOST_ERRORS = 100  # that are told

Ask = Callable[..., Awaitable[Any]]
"""Does an operation in somebody's name, as `Visit.call`."""


@dataclass(slots=True)
class HeldList:
    """`person_id`: who sent it, and alone may see it. `writing`: the job that writes it, or has."""

    id: str
    campaign: str
    person_id: str
    sheet: Sheet = field(repr=False)
    check: Check = field(repr=False)
    writing: str = ""
    written: bool = False

    def require_usable(self, *, skip: bool) -> None:
        """`skip`: lines that cannot be used are left out. Raises Failure: conflict, and invalid where that was not said
        and there are some."""
        if not self.check.usable:
            raise Failure("no line of that list can be used", "Send another one", "conflict")
        if self.check.refuses(skip=skip):
            remedy = "Correct these lines and send it again, or say that they are left out."
            raise Failure("some of its lines cannot be used", remedy, "invalid")

    @property
    def under_way(self) -> bool:
        """It is being written: nobody drops it now."""
        return bool(self.writing) and not self.written

    @property
    def errors(self) -> list[LineError]:
        return self.check.errors


class HeldLists:
    """One for the daemon."""

    def __init__(self) -> None:
        self._held: dict[str, HeldList] = {}

    def put(self, campaign: str, person_id: str, sheet: Sheet) -> HeldList:
        """In place of the one that this person sent before, but for one that is being written. Raises Failure where too
        many lie here already."""
        for one in [one for one in self._held.values() if one.person_id == person_id and not one.under_way]:
            self.drop(one.id)
        if len(self._held) >= MOST_HELD:
            raise Failure("others are bringing in lists just now", "Try again in a quarter of an hour", "busy")
        made = HeldList(secrets.token_hex(8), campaign, person_id, sheet, Check(sheet))
        self._held[made.id] = made
        self._expire_later(made.id)
        return made

    def get(self, list_id: str, campaign: str, person_id: str) -> HeldList:
        """Raises Failure."""
        found = self._held.get(list_id)
        if found is None or (found.campaign, found.person_id) != (campaign, person_id):
            raise Failure("that list is not here any more", "Send the file again", "not_found")
        return found

    def drop(self, list_id: str) -> None:
        self._held.pop(list_id, None)

    def _expire_later(self, list_id: str) -> None:
        asyncio.get_running_loop().call_later(KEPT_S, self.expire, list_id)

    def expire(self, list_id: str) -> None:
        """Its time is over; one that is being written is given as much again."""
        found = self._held.get(list_id)
        if found is not None and found.under_way:
            self._expire_later(list_id)
        else:
            self.drop(list_id)


async def read(body: bytes, column: str | None) -> Sheet:
    """Raises Failure. Spreadsheets are packed, and cost much to unpack: they are read by the command line."""
    if body[:4] == b"PK\x03\x04":
        raise Failure("this is a spreadsheet and no CSV", "Save it as CSV, and send that", "invalid")
    try:
        bounds = {"most_rows": MOST_ROWS, "most_cells": MOST_CELLS}
        sheet = await asyncio.to_thread(lists.read, body, column=column, **bounds)
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
    """The lines that can be used become the campaign's list. Raises Failure: then it is held as before."""
    done, total = 0, held.check.usable
    _told(0, total)
    try:
        for rows in held.check.rows(AT_ONCE):
            ends = {"first": not done, "last": done + len(rows) >= total}
            await ask("campaign.write", name=held.campaign, rows=rows, **ends)
            done += len(rows)
            _told(done, total)
        held.written = True
    finally:
        if not held.written:
            held.writing = ""
    return {"written": done}


def _told(done: int, total: int) -> None:
    telling = watch.get()
    if telling is not None:
        telling(done, total)
