"""What is kept about one person: in which tables, how much; their texts in counts; what they did on the telephone when
they were asked for consent.

Each table of the data map that is about people is in FOUND, in COUNTED, or in LEFT_OUT with the reason.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Table, false, func, literal, null, or_, select, type_coerce, union_all

from storage import tables
from storage.limits import of_account
from storage.table_metadata import metadata
from storage.tx import Tx
from storage.types import Instant

_IN_ONE = 400


@dataclass(frozen=True, slots=True)
class Counted:
    """So many things kept for one purpose, on one basis. `kind`: metadata class, or "sent" and "received"."""

    kind: str
    purpose: str
    legal_basis: str
    count: int
    first_at: datetime
    last_at: datetime
    next_expiry: datetime
    last_expiry: datetime


@dataclass(frozen=True, slots=True)
class By:
    """What leads from a row to a person. Names of columns, with spaces: `person` hold the id of a person, `account` of
    an account, `owner` of an account as `storage.limits` writes it, `login` of a login for mail. `at`: since when it is
    there. `once`: a column that has to be set, else the row is not told of yet."""

    person: str = ""
    account: str = ""
    owner: str = ""
    login: str = ""
    at: str = ""
    once: str = ""


FOUND: Mapping[str, By] = {
    "people": By("id", at="created_at"),
    "accounts": By("person_id", at="created_at"),
    "devices": By(account="account_id", at="created_at"),
    "mail_logins": By(account="account_id", at="created_at"),
    "mail_addresses": By(login="login_id"),
    "line_members": By(account="account_id"),
    "dialled": By(account="account_id"),
    "owned_numbers": By(account="account_id"),
    "call_settings": By(account="account_id"),
    "limits": By(owner="owner"),
    "usage": By(owner="owner"),
    "emergency_calls": By(account="account_id", at="at"),
    "passwords": By("person_id", at="changed_at"),
    "sign_in_totp": By("person_id", at="created_at"),
    "passkeys": By("person_id", at="created_at"),
    "recovery_codes": By("person_id"),
    "sessions": By("person_id", at="created_at"),
    "known_browsers": By("person_id"),
    "sign_in_challenges": By("person_id", at="created_at"),
    "invitations": By("person_id", at="created_at"),
    "api_tokens": By("person_id", at="created_at"),
    "reader_keys": By("person_id", at="created_at"),
    "reader_rights": By("person_id granted_by", at="granted_at"),
    "reader_totp": By("person_id"),
    "kek_wraps": By("reader_id"),
    "recording_notes": By("author_id", at="written_at"),
    "listening_requests": By("person_id decided_by", at="asked_at"),
    "policy_approvals": By("person_id", at="at"),
    "policy_preconditions": By("entered_by withdrawn_by", at="entered_at"),
    # Whoever an alert is about is told once somebody has looked at it: not while it is being found out.
    "alerts": By("subject judged_by", at="first_at", once="judged_at"),
    "clear_looks": By("actor_id"),
    "person_locks": By("person_id", at="at"),
    "inboxes": By(account="account_id", at="created_at"),
    "inbox_members": By("person_id", at="granted_at"),
    "sms_senders": By("approved_by", at="created_at"),
    "sms_events": By("actor_id", at="at"),
    "sms_waiting": By(account="account_id", at="created_at"),
    "sms_requests": By("closed_by", at="opened_at"),
    "conversations": By("assigned_to", at="opened_at"),
    "campaigns": By("created_by approved_by", at="created_at"),
    "mail_orders": By(login="login_id", at="arrived_at"),
}
"""Tables that say by an id whom they are about."""

COUNTED: Mapping[str, str] = {
    "call_records": "as calls, by class, purpose and basis",
    "recordings": "one by one, with who opened each",
    "sms_sent": "as texts that they wrote",
    "sms_received": "as texts that came for them, or that they handled",
}
"""Tables that are told of apart."""

_WITH_IT = "goes with what it belongs to, which is counted"
_OUTSIDE = "about whoever has a number outside: found by number, and answered to them by number"
_OF_THE_HOUSE = "keys of the house: they lead to nobody by themselves"
_SEALED = "found by nobody's name or id"
LEFT_OUT: Mapping[str, str] = {
    **dict.fromkeys(("call_peers", "call_month_peers", "call_diagnoses", "recording_peers", "rec_keys", "held_keys",
                     "key_slots", "sms_parts", "sms_keys"), _WITH_IT),
    **dict.fromkeys(("contact_consents", "contact_references", "contact_suppressions", "contact_attempts",
                     "campaign_recipients", "sms_fragments", "sms_deliveries"), _OUTSIDE),
    **dict.fromkeys(("index_keys", "month_keys"), _OF_THE_HOUSE),
    **dict.fromkeys(("api_answers", "orphans", "receipts"), _SEALED),
    "holds": "whom a hold is about is sealed with it; of a recording it is told that it is held",
    "hold_targets": "whom a hold is about is sealed with it; of a recording it is told that it is held",
    "recording_openings": "told with each recording",
    "access_reasons": "told with the openings of a recording; others are found by their entry in the ledger alone",
    "ledger_entries": "in days that are signed, by opaque ids: it is said in words that it names them",
}  # fmt: skip
"""Tables about people of which a person is not told here, and why."""


@dataclass(frozen=True, slots=True)
class Found:
    """So many rows of a table are about somebody, the oldest since then."""

    table: str
    count: int
    since: datetime | None


async def found(tx: Tx, person_id: str, account_ids: Collection[str], login_ids: Collection[str]) -> tuple[Found, ...]:
    """In the order of FOUND; `login_ids`: of their logins for mail."""
    owners = [of_account(account_id) for account_id in account_ids]
    each = []
    for name, by in FOUND.items():
        table = metadata.tables[name]
        keys = ((by.person, [person_id]), (by.account, account_ids), (by.owner, owners), (by.login, login_ids))
        theirs = or_(*(table.c[column].in_(ids) for columns, ids in keys for column in columns.split()))
        since = func.min(table.c[by.at]) if by.at else null()
        wanted = select(literal(name), func.count(), type_coerce(since, Instant)).where(theirs)
        each.append(wanted.where(table.c[by.once].is_not(None)) if by.once else wanted)
    counted = {row[0]: Found(*row) for row in await tx.tuples(union_all(*each))}
    return tuple(counted[name] for name in FOUND if counted[name].count)


async def received(tx: Tx, boxes: Mapping[str, datetime]) -> tuple[Counted, ...]:
    """Texts that came into these inboxes: by id of the inbox, since when it is theirs."""
    if not boxes:
        return ()
    table = tables.sms_received
    return await _counted(tx, "received", table, table.c.received_at, _came(boxes))


async def handled(tx: Tx, person_id: str, beside: Mapping[str, datetime]) -> tuple[Counted, ...]:
    """Texts that this person handled, whatever inbox they came into, but those that `received` counts."""
    table = tables.sms_received
    return await _counted(tx, "handled", table, table.c.received_at, (table.c.handled_by == person_id) & ~_came(beside))


async def written(tx: Tx, person_id: str, since: Mapping[str, datetime]) -> tuple[Counted, ...]:
    """Texts by this person and by these accounts, since each is theirs, from whatever inbox."""
    table = tables.sms_sent
    by_accounts = ((table.c.author_id == each) & (table.c.created_at >= at) for each, at in since.items())
    return await _counted(tx, "sent", table, table.c.created_at, or_(table.c.author_id == person_id, *by_accounts))


def _came(boxes: Mapping[str, datetime]) -> ColumnElement[bool]:
    table = tables.sms_received
    return or_(false(), *((table.c.inbox_id == box) & (table.c.received_at >= at) for box, at in boxes.items()))


async def _counted(
    tx: Tx, kind: str, table: Table, at: ColumnElement[datetime], where: ColumnElement[bool]
) -> tuple[Counted, ...]:
    by = (table.c.purpose, table.c.legal_basis)
    wanted = select(*by, *counts(table, at)).where(where).group_by(*by).order_by(*by)
    return tuple(Counted(kind, *row) for row in await tx.tuples(wanted))


def counts(table: Table, at: ColumnElement[datetime]) -> Sequence[ColumnElement[Any]]:
    """What `Counted` tells of a group, after its purpose and basis."""
    ends = table.c.expires_at
    return (func.count(), func.min(at), func.max(at), func.min(ends), func.max(ends))


async def acts(tx: Tx, seqs: Collection[int]) -> dict[int, Mapping[str, Any]]:
    """These entries of the consent log, as far as it still has them."""
    found: dict[int, Mapping[str, Any]] = {}
    wanted, entries = sorted(seqs), tables.ledger_entries
    for start in range(0, len(wanted), _IN_ONE):
        some = entries.c.seq.in_(wanted[start : start + _IN_ONE])
        for row in await tx.rows(select(entries.c.seq, entries.c.body).where(entries.c.log == "consent", some)):
            found[row["seq"]] = json.loads(row["body"])
    return found
