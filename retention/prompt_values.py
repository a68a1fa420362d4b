"""What fills the {placeholders} of a prompt for one decision."""

from __future__ import annotations

from config import packs, words
from config.periods import Period
from retention.recording_decision import CompanyFacts, RecordingDecision


def prompt_values(decision: RecordingDecision, company: CompanyFacts, language: str) -> dict[str, str]:
    """org, purpose, basis, recipients, time, url, dpo_contact in `language` ("fr" or "en").

    Raises KeyError where the decision's pack does not speak that language.
    """
    kept = decision.retention if decision.retention != Period() else decision.provisional or Period()
    spoken = (packs.load()[decision.pack].spoken or {})[language]
    return {
        "org": company.name,
        "purpose": spoken.purpose,
        "basis": spoken.basis,
        "recipients": spoken.recipients,
        "time": words.period(kept, language),
        "url": company.rights_url,
        "dpo_contact": company.dpo_contact,
    }
