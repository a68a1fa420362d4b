"""All texts of one number, for whoever asks to be forgotten: sent, received, conversations, places on lists of
campaigns, and what their texts asked for by law."""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Select, literal, select, update

from storage import tables, text_expiry
from storage.numbers import digests
from storage.tx import Tx

_SENT, _RECEIVED, _TALKS, _REQUESTS = tables.sms_sent, tables.sms_received, tables.conversations, tables.sms_requests
_CAMPAIGNS, _LISTED = tables.campaigns, tables.campaign_recipients
_OPEN = ("waiting", "later")
_WAITING = ("queued", "held")
_WORDLESS = {"queued_sealed": None}
FORGOTTEN = "they have asked to be forgotten"
_IN_ONE = 400


@dataclass(frozen=True, slots=True)
class OfNumber:
    """`kind`: see `storage.text_expiry`. `pack`: that it is kept under. `state`: of the text; of a place on a list
    that of its campaign; of a request "open" or "closed". `stop`: what a received one says of being contacted."""

    kind: str
    id: str
    pack: str
    at: datetime
    expires_at: datetime
    state: str = ""
    stop: str = ""


async def find(tx: Tx, number: str) -> tuple[OfNumber, ...]:
    """`number`: E.164. The oldest of each kind first."""
    owner = await digests(tx, number)
    none = literal("")
    sent = select(_SENT.c.id, _SENT.c.purpose, _SENT.c.created_at, _SENT.c.expires_at, _SENT.c.state, none)
    received = select(_RECEIVED.c.id, _RECEIVED.c.purpose, _RECEIVED.c.received_at, _RECEIVED.c.expires_at,
                      _RECEIVED.c.state, _RECEIVED.c.stop)  # fmt: skip
    pack = literal(text_expiry.pack_of("conversation"))
    talks = select(_TALKS.c.id, pack, _TALKS.c.opened_at, _TALKS.c.expires_at, none, none)
    pack = literal(text_expiry.pack_of("campaign"))
    listed = select(text_expiry.RECIPIENT_ID, pack, _CAMPAIGNS.c.created_at, _CAMPAIGNS.c.expires_at,
                    _CAMPAIGNS.c.state, none).join(_CAMPAIGNS, _CAMPAIGNS.c.id == _LISTED.c.campaign_id)  # fmt: skip
    found = [
        *await _found(tx, "text_sent", sent.where(_SENT.c.digest.in_(owner))),
        *await _found(tx, "text_received", received.where(_RECEIVED.c.digest.in_(owner))),
        *await _found(tx, "conversation", talks.where(_TALKS.c.digest.in_(owner))),
        *await _found(tx, "campaign_recipient", listed.where(_LISTED.c.digest.in_(owner))),
    ]
    return (*found, *await _asked(tx, [one.id for one in found if one.kind == "text_received"]))


async def stop_sending(tx: Tx, ids: Sequence[str], held: Set[str], now: datetime) -> int:
    """Of these texts, those that wait are cancelled, and what waited of their words goes but for the `held`. How
    many."""
    count = 0
    free = [one for one in ids if one not in held]
    for some, words in (
        ([one for one in ids if one in held], {}),
        (free, _WORDLESS),
    ):
        said = {"state": "cancelled", "why": FORGOTTEN, "updated_at": now, **words}
        for at in range(0, len(some), _IN_ONE):
            here = _SENT.c.id.in_(some[at : at + _IN_ONE]), _SENT.c.state.in_(_WAITING)
            count += await tx.write(update(_SENT).where(*here).values(**said))
    return count


async def stop_campaigns(tx: Tx, number: str) -> int:
    """No campaign takes this number any more; the places on the lists stay. A campaign that is taking somebody at this
    moment is waited for. How many."""
    owner = _LISTED.c.digest.in_(await digests(tx, number))
    names = [row[0] for row in await tx.tuples(select(_LISTED.c.campaign_id).where(owner, _LISTED.c.state.in_(_OPEN)))]
    for campaign_id in sorted(names):  # the lock of `campaigns.hold_still`
        await tx.row(select(_CAMPAIGNS.c.id).where(_CAMPAIGNS.c.id == campaign_id).with_for_update())
    stopped = update(_LISTED).where(owner, _LISTED.c.state.in_(_OPEN)).values(state="cancelled", why=FORGOTTEN)
    return await tx.write(stopped)


async def _asked(tx: Tx, received_ids: Sequence[str]) -> list[OfNumber]:
    found = []
    pack = text_expiry.pack_of("text_request")
    for at in range(0, len(received_ids), _IN_ONE):
        some = _REQUESTS.c.received_id.in_(list(received_ids[at : at + _IN_ONE]))
        for row in await tx.rows(select(_REQUESTS).where(some).order_by(_REQUESTS.c.opened_at, _REQUESTS.c.id)):
            state = "open" if row["closed_at"] is None else "closed"
            found.append(OfNumber("text_request", row["id"], pack, row["opened_at"], row["expires_at"], state))
    return found


async def _found(tx: Tx, kind: str, wanted: Select[Any]) -> list[OfNumber]:
    columns = list(wanted.selected_columns)
    return [OfNumber(kind, *row) for row in await tx.tuples(wanted.order_by(columns[2], columns[0]))]
