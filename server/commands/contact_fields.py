"""Fields of what the `contact` commands answer."""

from __future__ import annotations

from server.commands.base import Field, minutes, short, words

CHECK_FIELDS = (
    Field("allowed", "whether the law lets it be"),
    Field("why", "why, or why not, in words"),
    Field("again_at", "when the same would be allowed; null: never, or nobody can know", show=minutes),
    Field("ground", "allowed, sector, suppressed, no_consent, refused, hours, attempts, caller, no_rule"),
    Field("rule", "the rule that decided; suppression is the list"),
    Field("basis", "the text that it rests on"),
    Field("confidence", "V1 read in the text itself, V2 in a secondary source, K from knowledge, D a decision here"),
    Field("evidence", "id of the consent, contract or purchase that it rests on"),
    Field("number", "in international form; masked without --reason"),
    Field("line", "the line that canvasses"),
    Field("channel", "voice or sms"),
    Field("at", "for when it was asked"),
    Field("zones", "time zones that the number may be in: it must be allowed in all", show=words),
    Field("holidays", "whose public holidays are kept; a + behind a country: of all its regions", show=words),
    Field("shown", "number of the line that would be shown; masked without --reason"),
    Field("warning", "what else should be known; null: nothing"),
)
CONSENT_FIELDS = (
    Field("id", "opaque id; what the ledger calls it", "ID", short),
    Field("number", "in international form; masked without --reason", "NUMBER"),
    Field("channel", "voice or sms", "BY"),
    Field("purpose", "the sector that it is for", "FOR"),
    Field("state", "given, expired or withdrawn", "STATE"),
    Field("act", "what the person did", "ACT"),
    Field("given_at", "when", "GIVEN", minutes),
    Field("expires_at", "when it ends", "ENDS", minutes),
    Field("out_of_hours", "whether it is an express one for times that the law leaves out"),
    Field("text_id", "the words that were agreed to"),
    Field("text_version", "in which version"),
    Field("text_sha256", "SHA-256 of the words or their audio"),
    Field("language", "language of the words"),
    Field("collector", "who asked; only with --reason, and not in lists"),
    Field("source", "where the proof is; only with --reason, and not in lists"),
    Field("withdrawn_at", "when it was taken back", show=minutes),
    Field("withdrawn_by", "by which way"),
    Field("legal_basis", "by which law it is kept"),
    Field("kept_until", "until when its proof is kept; each use makes it five years from then"),
    Field("warning", "why it may be of no use; null: it is; not in lists"),
)
CONTRACT_FIELDS = (
    Field("id", "opaque id", "ID", short),
    Field("number", "in international form; masked without --reason", "NUMBER"),
    Field("kind", "contract, customer, or professional", "KIND"),
    Field("purpose", "the sector that the contract or purchase is about; null: a professional", "FOR"),
    Field("reference", "its number; only with --reason"),
    Field("since", "from when it counts", "SINCE", minutes),
    Field("until", "until when", "UNTIL", minutes),
    Field("running", "whether it counts now", "RUNS"),
    Field("legal_basis", "by which law it is kept"),
    Field("kept_until", "until when its proof is kept"),
)
SUPPRESSION_FIELDS = (
    Field("id", "opaque id; the number itself is not kept", "ID"),
    Field("channel", "all, voice or sms", "BY"),
    Field("reason", "objection, refusal, withdrawal, import or order", "REASON"),
    Field("source", "by which way it came", "FROM"),
    Field("since", "from when it holds", "SINCE", minutes),
    Field("until", "until when; null: without end"),
    Field("legal_basis", "by which law it is kept"),
    Field("kept_until", "when somebody should look whether it is needed; it is not dropped by itself"),
)
IMPORT_FIELDS = (
    Field("added", "how many were entered"),
    Field("known", "how many were on the list before, or stand twice"),
    Field("wrong", "how many lines cannot be used"),
    Field("errors", "the first hundred of them: line, problem, remedy"),
)
ERROR_FIELDS = (
    Field("line", "line of the file", "LINE"),
    Field("problem", "what is wrong with it", "PROBLEM"),
    Field("remedy", "what to do", "REMEDY"),
)
