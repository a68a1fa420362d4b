"""The register of processing (GDPR Art. 30), from what is really there: tables and files, roles, receivers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from config import packs as pack_data
from config.kept import Kept
from config.places import PLACES
from server.rights import Reach
from server.services import roles
from server.services.actor import Actor
from server.services.audit import note
from server.services.context import Services
from server.services.receivers import ReceiverView, receivers
from storage.inventory import TABLES

FORMS = ("clear", "hashed", "sealed")
SEEN_BY: Mapping[str, str] = {
    **dict.fromkeys(("people", "reader_rights", "reader_keys", "person_locks"), "people.read"),
    **dict.fromkeys(("accounts", "line_members", "dialled"), "accounts.read"),
    **dict.fromkeys(("devices", "mail_logins", "mail_addresses"), "devices.manage"),
    **dict.fromkeys(("owned_numbers", "emergency_calls"), "switchboard.read"),
    "call_settings": "accounts.settings",
    **dict.fromkeys(("limits", "usage"), "accounts.manage"),
    **dict.fromkeys(("sessions", "sign_in_totp", "passkeys", "recovery_codes"), "sessions.use"),
    "api_tokens": "tokens.use",
    **dict.fromkeys(("call_records", "call_peers", "call_month_peers", "call_diagnoses"), "calls.read"),
    **dict.fromkeys(
        ("recordings", "recording_peers", "recording_notes", "listening_requests", "recording_openings"),
        "recordings.read",
    ),
    "vault": "recordings.read",
    **dict.fromkeys(("receipts", "access_reasons", "ledger_entries"), "ledger.read"),
    **dict.fromkeys(("holds", "hold_targets", "orphans"), "retention.read"),
    **dict.fromkeys(("policy_approvals", "policy_preconditions"), "policy.read"),
    "alerts": "alerts.read",
    **dict.fromkeys(
        ("contact_consents", "contact_references", "contact_suppressions", "contact_attempts"), "contacts.read"
    ),
    **dict.fromkeys(("inboxes", "inbox_members", "sms_senders"), "inboxes.manage"),
    **dict.fromkeys(
        ("sms_sent", "sms_parts", "sms_events", "sms_received", "sms_requests", "conversations"), "texts.use"
    ),
    **dict.fromkeys(("campaigns", "campaign_recipients"), "campaigns.use"),
}
"""The right without which nobody sees in the portal what a table says of somebody. Each table that is about people is
here, or in `SEEN_BY_NOBODY`."""

_COMPARED = "it is only compared with what somebody gives"
_OPENS = "it only opens or finds something else"
_ON_ITS_WAY = "it is on its way, and shown as the text that it becomes"
SEEN_BY_NOBODY: Mapping[str, str] = {
    **dict.fromkeys(
        ("passwords", "known_browsers", "sign_in_challenges", "invitations", "reader_totp", "sms_deliveries"), _COMPARED
    ),
    **dict.fromkeys(
        ("index_keys", "month_keys", "kek_wraps", "rec_keys", "held_keys", "key_slots", "sms_keys"), _OPENS
    ),
    **dict.fromkeys(("sms_fragments", "sms_waiting"), _ON_ITS_WAY),
    "mail_orders": "whoever ordered the text is told by mail",
    "clear_looks": "it is only compared with the limit of a day",
    "api_answers": "it is given again to the program that asked",
}
"""Tables about people of which nobody is shown anything, and why."""
_FORM_OF = {"name": "clear", "fact": "clear", "digest": "hashed", "sealed": "sealed"}


@dataclass(frozen=True, slots=True)
class EntryView:
    """Fields: see `server.commands.register.ENTRY_FIELDS`."""

    group: str
    what: str
    where: str
    subject: str
    purpose: str
    basis: str
    forms: tuple[str, ...]
    expiry: str
    period: str | None
    erased_by: tuple[str, ...]
    unless: str
    seen_by: tuple[str, ...]
    unseen: str


@dataclass(frozen=True, slots=True)
class RegisterView:
    """Fields: see `server.commands.register.FIELDS`."""

    company: str
    contact: str
    data: str
    database: str
    entries: tuple[EntryView, ...]
    receivers: tuple[ReceiverView, ...]


async def register(services: Services, actor: Actor) -> RegisterView:
    """What is about somebody, and who is sent anything. Counts nothing, so it costs the same however much there is.
    Raises StorageError."""
    async with services.db.transaction() as tx:
        every = await roles.effective(tx)
        sent_to = await receivers(services, tx)
        entries = [
            _entry(services, one.kept, "" if name is None else name, tuple(one.columns.values()), every)
            for name, one in TABLES.items()
            if one.kept.personal
        ]
        for place in PLACES:
            if place.kept.where.endswith(r"\.rec"):
                entries.append(_entry(services, place.kept, "vault", ("sealed",), every))
        await note(services, tx, actor, "show", "retention", count=len(entries))
    company = services.settings.company
    return RegisterView(
        company=company.name,
        contact=company.dpo_contact,
        data=str(services.paths.data),
        database=services.settings.storage.url or str(services.paths.database),
        entries=tuple(entries),
        receivers=tuple(sent_to),
    )


def _entry(
    services: Services,
    kept: Kept,
    name: str,
    sorts: Sequence[str],
    every: Mapping[str, Mapping[str, Reach]],
) -> EntryView:
    forms = {_FORM_OF[sort] for sort in sorts if sort in _FORM_OF}
    pack = pack_data.load().get(kept.purpose)
    period = None if pack is None or pack.retention is None else str(pack.retention)
    basis = kept.basis or ("" if pack is None else pack.legal_basis)
    if "retention.access_log" in kept.expiry:
        period = services.settings.retention.access_log
    return EntryView(
        group=_group(name),
        what=kept.what,
        where=kept.where if name != "vault" else "vault/*.rec",
        subject=kept.subject,
        purpose=kept.purpose,
        basis=basis,
        forms=tuple(form for form in FORMS if form in forms),
        expiry=kept.expiry,
        period=period,
        erased_by=kept.erased_by,
        unless=kept.unless,
        seen_by=() if name in SEEN_BY_NOBODY else _seen_by(SEEN_BY[name], every),
        unseen=SEEN_BY_NOBODY.get(name, ""),
    )


def _seen_by(right: str, every: Mapping[str, Mapping[str, Reach]]) -> tuple[str, ...]:
    """Roles, with whose things: "supervisor (team)"."""
    return tuple(f"{role} ({rights[right]})" for role, rights in sorted(every.items()) if right in rights)


_GROUPS: Sequence[tuple[str, tuple[str, ...]]] = (
    ("recordings", ("vault", "record", "rec_", "held_keys", "key_slots", "kek_", "reader_", "listening_")),
    ("calls", ("call_records", "call_peers", "call_month", "call_diag", "emergency", "usage", "index_", "month_")),
    ("texts", ("sms_", "conversations", "campaign", "mail_orders", "inbox")),
    ("contacts", ("contact_",)),
    ("proof", ("receipts", "access_", "hold", "orphans", "polic", "alerts", "clear_", "ledger_")),
)
GROUPS = (*(name for name, _ in _GROUPS), "staff")


def _group(name: str) -> str:
    return next((group for group, begins in _GROUPS if name.startswith(begins)), "staff")
