"""Of texts, what has a date on which it goes: found in the order of that date, counted, removed, looked for again.

Kinds: text_words (the words of a text that was sent; the rest stays longer), text_sent, text_received, text_copy (for
phones), text_request, conversation, campaign, mail_order (who is told when it fails), text_key (of words that are gone
by then). Besides campaign_recipient: a place on a list, "<campaign>.<line>", which has no date of its own.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any

from sqlalchemy import (
    Column,
    ColumnElement,
    Select,
    String,
    Table,
    and_,
    cast,
    delete,
    exists,
    false,
    func,
    literal,
    not_,
    or_,
    select,
    true,
    update,
)

from storage import tables
from storage.coming_days import Dated
from storage.tx import Tx

_SENT, _PARTS, _RECEIVED, _EVENTS = tables.sms_sent, tables.sms_parts, tables.sms_received, tables.sms_events
_COPIES, _REQUESTS, _TALKS, _KEYS = tables.sms_waiting, tables.sms_requests, tables.conversations, tables.sms_keys
_CAMPAIGNS, _RECIPIENTS = tables.campaigns, tables.campaign_recipients
RECIPIENT_ID: ColumnElement[str] = _RECIPIENTS.c.campaign_id + "." + cast(_RECIPIENTS.c.line, String)
_ORDERS = tables.mail_orders
IN_USE = timedelta(days=2)  # a key is in the memory of the process that made it for some hours


@dataclass(frozen=True, slots=True)
class _Kind:
    """`began`, `until`: columns. `label`: a column that says the pack, or what it is."""

    table: Table
    began: Column[Any]
    until: Column[Any]
    label: ColumnElement[str]
    pack: str  # "" where the row says it


_KINDS = MappingProxyType(
    {
        "text_words": _Kind(_SENT, _SENT.c.created_at, _SENT.c.content_until, _SENT.c.purpose, ""),
        "text_sent": _Kind(_SENT, _SENT.c.created_at, _SENT.c.expires_at, _SENT.c.purpose, ""),
        "text_received": _Kind(_RECEIVED, _RECEIVED.c.received_at, _RECEIVED.c.expires_at, _RECEIVED.c.purpose, ""),
        "text_copy": _Kind(_COPIES, _COPIES.c.created_at, _COPIES.c.expires_at, literal(""), "SMS_REPLIES"),
        "text_request": _Kind(
            _REQUESTS, _REQUESTS.c.opened_at, _REQUESTS.c.expires_at, literal(""), "CONSENT_EVIDENCE"
        ),
        "conversation": _Kind(_TALKS, _TALKS.c.opened_at, _TALKS.c.expires_at, literal(""), "SMS_CONVERSATION"),
        "campaign": _Kind(_CAMPAIGNS, _CAMPAIGNS.c.created_at, _CAMPAIGNS.c.expires_at, literal(""), "SMS_MARKETING"),
        "mail_order": _Kind(_ORDERS, _ORDERS.c.arrived_at, _ORDERS.c.expires_at, literal(""), "SMS_CONVERSATION"),
        "text_key": _Kind(_KEYS, _KEYS.c.created_at, _KEYS.c.created_at, literal(""), "SMS_CONVERSATION"),
    }
)
KINDS = tuple(_KINDS)
# What is written anew after rows of a kind have gone (`Database.forget_rows`).
TABLES = MappingProxyType(
    {
        "text_words": ("sms_sent",),
        "text_sent": ("sms_parts", "sms_events", "sms_sent"),
        "text_received": ("sms_events", "sms_received"),
        "text_copy": ("sms_waiting",),
        "text_request": ("sms_requests",),
        "conversation": ("sms_events", "conversations"),
        "campaign": ("sms_events", "campaign_recipients", "campaigns"),
        "mail_order": ("mail_orders",),
        "text_key": ("sms_keys",),
        "campaign_recipient": ("campaign_recipients",),
    }
)
_WITH_EVENTS = frozenset({"text_sent", "text_received", "conversation", "campaign"})


def pack_of(kind: str) -> str:
    """The pack of a kind whose rows do not say it; "" for the others."""
    return _KINDS[kind].pack


def found(kind: str, before: datetime) -> Select[Any]:
    """id, at, expires_at, label of those that expire by then, the longest overdue first."""
    one = _KINDS[kind]
    columns = (
        one.table.c.id,
        one.began.label("at"),
        one.until.label("expires_at"),
        one.label.label("label"),
    )
    wanted = select(*columns).where(_over(kind, before))
    return wanted.order_by(one.until, one.table.c.id)


def dated(kind: str, end: datetime) -> Dated:
    """As `found`, for those that expire by `end`."""
    return Dated(_KINDS[kind].until, _standing(kind, end))


def _over(kind: str, before: datetime) -> ColumnElement[bool]:
    return and_(_KINDS[kind].until <= before, _standing(kind, before))


def _standing(kind: str, before: datetime) -> ColumnElement[bool]:
    """What has to hold besides the date."""
    if kind == "text_key":
        used = exists(select(_SENT.c.id).where(_SENT.c.key_id == _KEYS.c.id))
        return and_(_KEYS.c.created_at <= before - IN_USE, not_(used))
    if kind == "text_words":  # one that waits to be sent is not in the way of its own end
        return or_(_SENT.c.body_sealed.is_not(None), _SENT.c.queued_sealed.is_not(None))
    return true()


async def remove(tx: Tx, kind: str, ids: Sequence[str]) -> None:
    """For the deletion gate alone."""
    some = list(ids)
    if kind == "text_words":
        gone = {"body_sealed": None, "queued_sealed": None, "key_id": None, "content_until": None}
        await tx.write(update(_SENT).where(_SENT.c.id.in_(some)).values(**gone))
        return
    if kind == "campaign_recipient":
        await tx.write(delete(_RECIPIENTS).where(_places(some)))
        return
    if kind in _WITH_EVENTS:
        await tx.write(delete(_EVENTS).where(_EVENTS.c.about.in_(some)))
    if kind == "text_sent":
        await tx.write(delete(_PARTS).where(_PARTS.c.message_id.in_(some)))
    if kind == "campaign":
        await tx.write(delete(_RECIPIENTS).where(_RECIPIENTS.c.campaign_id.in_(some)))
    table = _KINDS[kind].table
    await tx.write(delete(table).where(table.c.id.in_(some)))


async def still(tx: Tx, kind: str, ids: Sequence[str]) -> list[str]:
    """What is left of these: an id for each row."""
    some = list(ids)
    if kind == "text_words":
        words = or_(_SENT.c.body_sealed.is_not(None), _SENT.c.queued_sealed.is_not(None))
        return [row[0] for row in await tx.tuples(select(_SENT.c.id).where(_SENT.c.id.in_(some), words))]
    if kind == "campaign_recipient":
        return [row[0] for row in await tx.tuples(select(RECIPIENT_ID).where(_places(some)))]
    table = _KINDS[kind].table
    rows = [row[0] for row in await tx.tuples(select(table.c.id).where(table.c.id.in_(some)))]
    if kind in _WITH_EVENTS:
        rows += [row[0] for row in await tx.tuples(select(_EVENTS.c.about).where(_EVENTS.c.about.in_(some)))]
    if kind == "text_sent":
        rows += [row[0] for row in await tx.tuples(select(_PARTS.c.message_id).where(_PARTS.c.message_id.in_(some)))]
    if kind == "campaign":
        listed = select(_RECIPIENTS.c.campaign_id).where(_RECIPIENTS.c.campaign_id.in_(some))
        rows += [row[0] for row in await tx.tuples(listed)]
    return rows


def _places(ids: Sequence[str]) -> ColumnElement[bool]:
    keys = [one.rpartition(".") for one in ids]
    same = (and_(_RECIPIENTS.c.campaign_id == campaign, _RECIPIENTS.c.line == int(line)) for campaign, _, line in keys)
    return or_(false(), *same)


# By which value of a row a legal hold may lie on it, besides its id: the digest of a number, an account, a call.
HELD_BY: Mapping[str, tuple[ColumnElement[str], Column[Any]]] = MappingProxyType(
    {
        "text_words": (_SENT.c.id, _SENT.c.digest),
        "text_sent": (_SENT.c.id, _SENT.c.digest),
        "text_received": (_RECEIVED.c.id, _RECEIVED.c.digest),
        "text_copy": (_COPIES.c.id, _COPIES.c.account_id),
        "conversation": (_TALKS.c.id, _TALKS.c.digest),
        "text_request": (_REQUESTS.c.id, _REQUESTS.c.received_id),
        "campaign_recipient": (RECIPIENT_ID, _RECIPIENTS.c.digest),
    }
)


async def keys_needed(tx: Tx, kek_id: str) -> int:
    """Texts, and keys of texts, under a KEK."""
    count = 0
    for table in (_RECEIVED, _KEYS):
        row = await tx.row(select(func.count().label("n")).where(table.c.kek_id == kek_id))
        count += row["n"] if row is not None else 0
    return count


def under(kek_id: ColumnElement[str]) -> ColumnElement[bool]:
    """Whether a KEK still opens a text, or a key of texts."""
    return or_(
        exists(select(_RECEIVED.c.id).where(_RECEIVED.c.kek_id == kek_id)),
        exists(select(_KEYS.c.id).where(_KEYS.c.kek_id == kek_id)),
    )
