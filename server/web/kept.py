"""Words for what is kept: periods, purposes, kinds of things. For the pages of the data protection officer."""

from __future__ import annotations

from collections.abc import Mapping

from config.periods import Period
from server.web.language import N_
from server.web.purposes import PURPOSES
from server.web.visit import Visit

KINDS: Mapping[str, str] = {
    "recording": N_("Recordings"),
    "recording_note": N_("Notes on recordings"),
    "listening_request": N_("Requests to listen that are over"),
    "call_record": N_("Call records"),
    "diagnosis": N_("Reports on calls"),
    "usage": N_("Sums of use"),
    "emergency_call": N_("Emergency calls"),
    "contact_consent": N_("Consents to be contacted"),
    "contact_reference": N_("Contracts and purchases"),
    "contact_attempt": N_("Attempts to call"),
    "text_words": N_("Words of texts"),
    "text_sent": N_("Texts sent"),
    "text_received": N_("Texts received"),
    "text_copy": N_("Copies for phones"),
    "text_request": N_("Requests by text"),
    "conversation": N_("Conversations"),
    "campaign": N_("Campaigns"),
    "mail_order": N_("Orders by mail"),
    "text_key": N_("Keys of texts"),
    "access_day": N_("Days of the access log"),
    "consent_day": N_("Days of the consent log"),
    "erasure_day": N_("Days of the erasure log"),
    "hold": N_("Legal holds that were lifted"),
    "kek": N_("Keys of weeks"),
    "alert": N_("Alerts"),
    "call_field": N_("Fields of call records that become coarser"),
    "month_key": N_("Keys of months"),
    "index_key": N_("Keys of the index"),
}


def kind(visit: Visit, name: str) -> str:
    """What things of a kind are called; the name itself where it is not known."""
    return visit._(KINDS[name]) if name in KINDS else name


def purpose(visit: Visit, pack_id: str) -> str:
    """What a pack is for; "" where it is not known."""
    return visit._(PURPOSES[pack_id]) if pack_id in PURPOSES else ""


def period(visit: Visit, text: str | None) -> str:
    """ISO 8601 in words: P1Y2M is "1 year, 2 months". The text itself where it is none."""
    if not text:
        return ""
    try:
        read = Period.parse(text)
    except ValueError:
        return text
    years, months = divmod(read.months, 12)
    parts = [
        visit.plural("%(num)s year", "%(num)s years", years) if years else "",
        visit.plural("%(num)s month", "%(num)s months", months) if months else "",
        visit.plural("%(num)s day", "%(num)s days", read.days) if read.days else "",
        visit.times.span(read.seconds) if read.seconds else "",
    ]
    return ", ".join(part for part in parts if part) or visit._("at once")
