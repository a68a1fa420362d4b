"""From the settings to plain values: the controller as policy knows it, the habits of the site as the planner does."""

from __future__ import annotations

import logging
from pathlib import Path

from config import rates
from config.rates import Rates
from config.settings import Settings
from config.shipped import DataError
from retention.recording_decision import CompanyFacts
from sip.calls.numbers import SiteNumbering
from sip.calls.permission import Defaults
from sip.calls.planning_outside import OutsideHabits

log = logging.getLogger(__name__)


def company_facts(settings: Settings) -> CompanyFacts:
    """Who is responsible for what is recorded (GDPR art. 13), and how it speaks."""
    company = settings.company
    return CompanyFacts(company.name, company.country, company.languages, company.rights_url, company.dpo_contact)


def site_numbering(settings: Settings) -> SiteNumbering:
    """How numbers are dialled here."""
    numbering = settings.numbering
    return SiteNumbering(numbering.country or settings.company.country, numbering.area_code, numbering.outside_prefix)


def limit_defaults(settings: Settings) -> Defaults:
    """What holds where neither an account nor the common limits say anything. Zero in the file is no limit."""
    limits = settings.limits
    return Defaults(
        international=limits.international,
        premium=limits.premium,
        minutes_per_day=limits.minutes_per_day or None,
        cents_per_day=limits.money_per_day_cents or None,
        warn_before_s=float(limits.warn_before_s),
        alert_at_percent=limits.alert_at_percent,
    )


def rates_of(own: Path) -> Rates:
    """The company's prices. A mistake in them keeps no telephone silent: the examples count, and `doctor` says so."""
    try:
        return rates.load(own)
    except DataError as error:
        log.error("calls are reckoned by the shipped examples: %s", error)
        return rates.load()


def outside_habits(settings: Settings, rates: Rates) -> OutsideHabits:
    """Everything that the planner needs for calls that leave the house, and those that come in."""
    emergency = settings.emergency
    return OutsideHabits(
        site=site_numbering(settings),
        rates=rates,
        defaults=limit_defaults(settings),
        emergency_trunks=emergency.trunks,
        emergency_location=dict(emergency.location),
        callback_min=emergency.callback_min,
        drill=emergency.drill,
    )
