"""From the settings to the controller as policy knows it."""

from __future__ import annotations

from config.settings import Settings
from retention.recording_decision import CompanyFacts


def company_facts(settings: Settings) -> CompanyFacts:
    """Who is responsible for what is recorded (GDPR art. 13), and how it speaks."""
    company = settings.company
    return CompanyFacts(company.name, company.country, company.languages, company.rights_url, company.dpo_contact)
