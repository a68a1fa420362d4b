"""Recognises an emergency call before everything else, however it is dialled. Pure.

With and without the outside prefix, with a country code that a phone has put before it, behind the private-call code,
with signs between the digits: what stands in the data for the site's country is an emergency number, and nothing that
is longer or shorter by one digit. No rule of the house is asked before (facts of other systems: their ``9*`` made 11 of
911).
"""

from __future__ import annotations

from collections.abc import Iterator

import phonenumbers

from config import emergency as data
from config.emergency import EmergencyNumber
from sip.calls.numbers import SiteNumbering, clean

PRIVATE_CODE = "*8"
DRILL_CODE = "*"  # *112


def recognise(text: str, site: SiteNumbering) -> EmergencyNumber | None:
    """The emergency number that ``text`` (as dialled) means; None where it means none."""
    known = data.load().of(site.country)
    for form in _forms(text, site):
        if form in known:
            return known[form]
    return None


def drill(text: str, site: SiteNumbering) -> EmergencyNumber | None:
    """The emergency number that is only tried: ``*112``. ``*8`` and a number is no drill but a private call."""
    if not text.startswith(DRILL_CODE) or text.startswith(PRIVATE_CODE):
        return None
    known = data.load().of(site.country)
    return known.get(clean(text.removeprefix(DRILL_CODE)))


def shadows_emergency(dialled: str, country: str, outside_prefix: str = "") -> bool:
    """Whether an extension, a line's number or an account's name would stand where an emergency number is dialled.

    Such a number may not be given away: it would never ring.
    """
    site = SiteNumbering(country, "", outside_prefix)
    return recognise(dialled, site) is not None or drill(dialled, site) is not None


def numbers_for_edge(site: SiteNumbering) -> tuple[str, ...]:
    """Everything that is dialled for an emergency, for the edge, which compares whole strings and knows no rules."""
    known = data.load().of(site.country)
    code = phonenumbers.country_code_for_region(site.country)
    forms: dict[str, None] = {}
    for number in known:
        for form in (number, f"{site.outside_prefix}{number}", f"+{code}{number}", f"{PRIVATE_CODE}{number}"):
            forms[form] = None
    return tuple(forms)


def _forms(text: str, site: SiteNumbering) -> Iterator[str]:
    """What the text may stand for, the plainest first."""
    code = phonenumbers.country_code_for_region(site.country)
    for spoken in dict.fromkeys((text, text.removeprefix(PRIVATE_CODE))):
        dialled = clean(spoken)
        if not dialled:
            continue
        yield dialled
        for lead in (site.outside_prefix, f"+{code}", f"00{code}", f"{site.outside_prefix}00{code}", "+"):
            rest = dialled.removeprefix(lead)
            if lead and rest != dialled:
                yield rest
