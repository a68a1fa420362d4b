"""What things are kept for, as people read it: a short name for each pack (config/data/policy_packs.toml)."""

from __future__ import annotations

from collections.abc import Mapping

from server.web.language import N_

PURPOSES: Mapping[str, str] = {
    "REC_QUALITY": N_("Recording: quality and training"),
    "REC_CONTRACT": N_("Recording: proof of a contract"),
    "REC_MIFID": N_("Recording: orders of clients, required by law"),
    "REC_INSURANCE_FR": N_("Recording: canvassing for insurance, required by law"),
    "REC_EMERGENCY": N_("Recording: emergency and rescue"),
    "REC_HEALTH": N_("Recording: care record"),
    "REC_WHISTLEBLOW": N_("Recording: report of a whistle-blower"),
    "REC_NONE": N_("Never recorded"),
    "VOICEMAIL": N_("Voice message"),
    "TRANSCRIPTION": N_("Transcript of a recording"),
    "CDR_STANDARD": N_("Call record: costs, faults and fraud"),
    "CDR_MINIMAL": N_("Call record: operation only"),
    "CDR_NONE_PROTECTED": N_("Protected line: no record"),
    "CDR_OPERATOR": N_("Call record of an operator, required by law"),
    "USAGE_SUMS": N_("Sums of use: costs and limits"),
    "EMERGENCY_LIST": N_("Emergency calls"),
    "AUDIT_LOG": N_("Access log"),
    "SECURITY_LOG": N_("Security log"),
    "CONSENT_EVIDENCE": N_("Proof of consent"),
    "ERASURE_LEDGER": N_("Proof of erasure"),
    "LEGAL_HOLD": N_("Legal hold"),
    "VOICE_CANVASSING": N_("Commercial calls, counted"),
    "SUPPRESSION_LIST": N_("Objections to being contacted"),
    "SMS_TRANSACTIONAL": N_("Service texts"),
    "SMS_MARKETING": N_("Commercial texts"),
    "SMS_CONVERSATION": N_("Conversations by text"),
    "SMS_INTERNAL": N_("Texts within the company"),
    "SMS_REPLIES": N_("Texts received"),
}


def purpose(pack: str | None) -> str:
    """An English msgid; the pack's id where it has no name yet."""
    return PURPOSES.get(pack or "", pack or "")
