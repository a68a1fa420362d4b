"""Every table and every column: whom it is about, why it is kept, until when, and what takes it away.

A table or column that is not declared here fails `tests/rules/test_inventory.py`. Columns are of these sorts:

    name    identifies somebody, in clear: an internal identifier, never a number outside
    sealed  opens with the field key, or with a person's own
    digest  keyed: found by whoever has the number and the key
    id      opaque, tells nothing by itself
    fact    about the subject, or about the thing itself
    time
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from config.kept import Kept

SORTS = ("name", "sealed", "digest", "id", "fact", "time")
_STAFF = "staff: whoever has an account"
_PARTIES = "whoever calls or is called"
_LOOKER = "whoever looked or changed something"
_LISTENERS = "readers"
_CONTACTED = "whoever may be contacted"
_EMPLOYMENT = "GDPR 6(1)(b); 6(1)(f)"
_UNTIL_REMOVED = "until the account is removed"


@dataclass(frozen=True, slots=True)
class TableKept:
    """`columns`: column -> sort."""

    kept: Kept
    columns: Mapping[str, str]


def _table(kept: Kept, **sorts: str) -> tuple[str, TableKept]:
    columns = {column: sort for sort, names in sorts.items() for column in names.split()}
    return kept.where, TableKept(kept, columns)


def _account(where: str, what: str, subject: str = _STAFF) -> Kept:
    return Kept(where, what, subject, "telephony of the house", _EMPLOYMENT, _UNTIL_REMOVED, ("account",))


def _contact(where: str, what: str, kind: str, pack: str) -> Kept:
    return Kept(where, what, _CONTACTED, pack, "", f"{where}.kept_until", (kind,))


_DIRECTORY: Sequence[tuple[str, TableKept]] = (
    _table(Kept("meta", "facts about the database itself"), id="name", sealed="value"),
    _table(
        Kept(
            "people", "persons with a role", "staff with a role", "who may do what", _EMPLOYMENT,
            "until the audit log that names them is pruned",
            unless="a person is disabled, not removed: the ledger names them by this id for its whole period",
        ),
        id="id", name="login", sealed="display_name_sealed", fact="roles language", time="created_at disabled_at",
    ),
    _table(
        _account("accounts", "accounts"), id="id person_id", name="name extension", sealed="display_name_sealed",
        fact="country language metadata_class", time="created_at given_at disabled_at",
    ),
    _table(
        _account("devices", "phones and their credentials"), id="id account_id", name="auth_user",
        sealed="label_sealed ha1_sealed", time="created_at revoked_at",
    ),
    _table(
        _account("mail_logins", "logins of those who order texts by mail"), id="id account_id", name="login",
        sealed="label_sealed verifier_sealed", fact="automatic", time="created_at revoked_at",
    ),
    _table(
        _account("mail_addresses", "mail addresses that a login may write as sender"), id="id login_id",
        digest="digest", sealed="address_sealed",
    ),
    _table(
        Kept("lines", "lines of the company"), id="id", time="created_at disabled_at",
        fact="name number kind pack consent_mode metadata_class language statute ask_staff strategy member_ring_s"
        " canvassing canvassing_target",
    ),
    _table(_account("line_members", "who answers which line"), id="line_id account_id", fact="position"),
    _table(_account("dialled", "what can be dialled inside"), name="dialled", id="account_id line_id"),
    _table(
        Kept("trunks", "providers of the company"), id="id", sealed="access_sealed ha1_sealed", time="created_at",
        fact="name port transport srtp ipv6 register preference weight max_channels international_format enabled",
    ),
    _table(
        _account("owned_numbers", "numbers of the company, and whose they are"), id="id account_id line_id trunk_id",
        sealed="number_sealed", digest="digest", fact="shared",
    ),
    _table(
        _account("call_settings", "forwards and the number shown", "staff, and whoever calls are forwarded to"),
        id="account_id", sealed="numbers_sealed", fact="no_answer_s dnd hide_number call_waiting",
    ),
    _table(
        _account("limits", "what an account or trunk may call"), id="owner",
        fact="international premium countries minutes_per_day minutes_per_month cents_per_day cents_per_month"
        " max_calls",
    ),
    _table(
        Kept("usage", "sums of use by account, trunk and day", _STAFF, "USAGE_SUMS", "",
             "pack USAGE_SUMS, from the day", ("usage", "account")),
        id="owner", time="day", fact="seconds cost_microeuros calls",
    ),
    _table(
        Kept("emergency_calls", "emergency calls", _STAFF, "EMERGENCY_LIST", "", "pack EMERGENCY_LIST, from the call",
             ("emergency_call",)),
        id="id account_id trunk_id", digest="presented_digest", time="at", fact="number drill outcome reported_to",
    ),
)  # fmt: skip

_KEYS: Sequence[tuple[str, TableKept]] = (
    _table(
        Kept("reader_keys", "readers' keys, sealed by their passphrases", _LISTENERS, "listening", _EMPLOYMENT,
             "until the key is replaced", ("reader",)),
        id="person_id", fact="alg public", sealed="secret", time="created_at",
    ),
    _table(
        Kept("reader_rights", "who may listen to what", _LISTENERS, "listening", _EMPLOYMENT,
             "until the right is revoked",
             unless="a revoked right goes at once, with an entry of the access log: it proves nothing about a call"),
        id="person_id granted_by", fact="purpose", time="granted_at",
    ),
    _table(
        Kept("reader_totp", "memory of readers' codes", _LISTENERS, "listening", _EMPLOYMENT,
             "until the key is replaced", ("reader",)),
        id="person_id", sealed="secret_sealed", fact="last_step failures", time="locked_until",
    ),
    _table(
        Kept("index_keys", "keys by which numbers are found", _PARTIES, "finding somebody's calls", "GDPR 15, 21",
             "replaced by keys rotate", ("index_key",)),
        id="version", sealed="secret_sealed", time="created_at",
    ),
    _table(
        Kept("month_keys", "keys of the hashes of a month", _PARTIES, "CDR_STANDARD", "GDPR 6(1)(f)",
             "three months after the month's end", ("month_key",)),
        id="month", sealed="secret_sealed", time="created_at",
    ),
    _table(Kept("escrow_key", "public key of the escrow sheet"), id="id", fact="alg public", time="created_at"),
    _table(
        Kept("keks", "public keys of purpose and week"), id="id", fact="purpose period alg public signature",
        time="created_at not_after destroyed_at",
    ),
    _table(
        Kept("kek_wraps", "who opens which week", _LISTENERS, "listening", _EMPLOYMENT,
             "when the last recording of that week is gone", ("kek", "reader")),
        id="kek_id reader_id", fact="alg", sealed="blob",
    ),
    _table(
        Kept("rec_keys", "which key belongs to which recording", _PARTIES, "the pack of the recording", "",
             "recordings.expires_at", ("recording", "kek")),
        id="rec_id kek_id slot", fact="alg",
    ),
    _table(
        Kept("held_keys", "keys of held recordings, wrapped a second time", _PARTIES, "legal hold",
             "GDPR 17(3)(e)", "when the hold is lifted", ("recording", "kek")),
        id="rec_id hold_id kek_id slot", fact="alg",
    ),
    _table(
        Kept("key_slots", "places of the recordings' wrapped keys, overwritten where one goes", _PARTIES,
             "the pack of the recording", "", "recordings.expires_at", ("recording", "kek")),
        id="slot", sealed="content",
    ),
    _table(Kept("free_key_slots", "places that hold nothing"), id="slot"),
)  # fmt: skip

_CALLS: Sequence[tuple[str, TableKept]] = (
    _table(
        Kept("call_records", "call records, as their class allows", _PARTIES, "call_records.purpose", "",
             "call_records.expires_at", ("call_record", "call_field")),
        id="id line_id recording_id", fact="metadata_class purpose legal_basis", time="at expires_at ages_at",
        sealed="fields_sealed numbers_sealed",
    ),
    _table(
        Kept("call_peers", "by which number a call is found", _PARTIES, "call_records.purpose", "",
             "call_records.expires_at", ("call_record",)),
        id="call_id", fact="role", digest="digest",
    ),
    _table(
        Kept("call_month_peers", "by which number a call is found that has aged", _PARTIES, "call_records.purpose", "",
             "what config/data/metadata_ages.toml says of numbers", ("call_record", "call_field", "month_key")),
        id="call_id role", digest="digest",
    ),
    _table(Kept("call_totals", "calls by day, of every class"), time="day", fact="direction calls minutes"),
    _table(
        Kept("call_diagnoses", "how a call went: figures", _PARTIES, "calls.diagnosis_days", "GDPR 6(1)(f)",
             "call_diagnoses.expires_at", ("diagnosis",)),
        id="call_id", time="at expires_at", fact="verdict mos_centi", sealed="facts_sealed",
    ),
    _table(
        Kept("recordings", "what the vault holds; of a destroyed one its id and times", _PARTIES, "recordings.purpose",
             "", "recordings.expires_at; the rest with the day of the erasure log", ("recording", "erasure_day")),
        id="id call_id kek_id line_id", sealed="parties_sealed",
        time="started_at expires_at ended_at destroyed_at event_at objected_at",
        fact="state purpose pack_version policy_version legal_basis codec rate_hz channels duration_ms size_bytes"
        " sha256 consent_refs gaps kept_for",
    ),
    _table(
        Kept("recording_peers", "by which number a recording is found", _PARTIES, "recordings.purpose", "",
             "recordings.expires_at", ("recording",)),
        id="recording_id", fact="channel", digest="digest",
    ),
    _table(
        Kept("recording_notes", "notes on a recording, sealed under its key", "whoever is heard; readers",
             "recordings.purpose", "", "recording_notes.kept_until, or with the recording",
             ("recording_note", "recording")),
        id="id recording_id author_id", sealed="words", time="written_at kept_until", fact="at_ms",
    ),
    _table(
        Kept("listening_requests", "who asked a second person to let them listen, and why", _LISTENERS, "listening",
             _EMPLOYMENT, "listening_requests.until; when it is used, refused or over",
             ("listening_request", "recording")),
        id="id recording_id person_id decided_by", sealed="why_sealed", fact="state", time="asked_at until decided_at",
    ),
    _table(
        Kept("recording_openings", "which entries of the access log say that a recording was opened", _LISTENERS,
             "listening", _EMPLOYMENT, "recordings.expires_at", ("recording",)),
        id="recording_id", fact="seq",
    ),
    _table(
        Kept("receipts", "receipts of destruction: opaque", "whoever it was about, by keyed commitment",
             "ERASURE_LEDGER", "", "pack ERASURE_LEDGER, from the erasure", ("erasure_day",)),
        id="id", fact="body", time="at",
    ),
    _table(
        Kept("access_reasons", "why somebody looked, as they typed it", f"{_LOOKER}; whom they wrote of", "AUDIT_LOG",
             "", "retention.access_log, from the look", ("access_day",)),
        id="id", sealed="reason_sealed", time="at",
    ),
)  # fmt: skip

_RETENTION: Sequence[tuple[str, TableKept]] = (
    _table(
        Kept("holds", "legal holds", "whoever asked, approved, or is concerned", "legal hold", "GDPR 17(3)(e); 6(1)(f)",
             "pack LEGAL_HOLD, from the lifting", ("hold",)),
        id="id line_id", fact="scope", sealed="about_sealed", time="created_at review_at lifted_at since until",
    ),
    _table(
        Kept("hold_targets", "what a hold lies on", "whoever is concerned", "legal hold", "GDPR 17(3)(e); 6(1)(f)",
             "pack LEGAL_HOLD, from the lifting", ("hold",)),
        id="hold_id", digest="target",
    ),
    _table(
        Kept("destructions", "destructions that are under way"), id="id ordered_by", time="begun_at",
        fact="kind items trigger request_ref kept",
    ),
    _table(
        Kept("sweeps", "what each sweep came to: counts"), id="id", time="began_at ended_at",
        fact="due destroyed held left problem",
    ),
    _table(
        Kept("orphans", "what has no owner, purpose or expiry", "perhaps somebody: a file may be named so",
             "reconciliation", "GDPR 5(2); 32", "until a look does not find it any more", ("orphan",)),
        id="id", fact="kind", sealed="about_sealed", time="first_seen_at last_seen_at",
    ),
    _table(
        Kept("orphan_looks", "what each look came to: counts"), id="id", time="began_at ended_at",
        fact="rows files found",
    ),
)  # fmt: skip

_PROOF = "it proves by which version, and after which steps, something was recorded: GDPR Art. 5(2)"
_POLICY: Sequence[tuple[str, TableKept]] = (
    _table(
        Kept("policies", "versions of the company's policy: rules, by opaque ids"), id="id", fact="number body",
        time="created_at discarded_at",
    ),
    _table(
        Kept("policy_approvals", "who approved which version", "persons with the role dpo", "accountability",
             "GDPR 5(2), 24", "never: as long as the company records", unless=_PROOF),
        id="policy_id person_id", time="at", fact="sha256 needed signature ledger_seq",
    ),
    _table(
        Kept("prompt_versions", "words and recordings of the company's own prompts: consents name them"),
        id="id author approved_by", fact="prompt_id language number kind words audio filled sha256 signature",
        time="created_at in_force_at discarded_at",
    ),
    _table(
        Kept("policy_preconditions", "what was done before recording began, and who did it",
             "whoever informed staff, consulted, assessed", "accountability", "GDPR 5(2), 24, 35",
             "never: as long as the company records", unless=_PROOF),
        id="id line_id entered_by withdrawn_by", sealed="about_sealed", fact="kind pack",
        time="done_on entered_at withdrawn_at",
    ),
    _table(Kept("policy_samples", "how many calls of a line were recorded, by day"), id="subject", time="day",
           fact="held taken"),
)  # fmt: skip

_ALERTS: Sequence[tuple[str, TableKept]] = (
    _table(
        Kept("alerts", "what was worth an alert, and its verdict", _LOOKER, "SECURITY_LOG", "", "alerts.kept_until",
             ("alert",)),
        id="id subject judged_by", sealed="note_sealed", time="first_at last_at judged_at due_at kept_until",
        fact="kind severity state count lasts episode verdict waiting tries",
    ),
    _table(Kept("alert_cursors", "up to where a log was read for alerts"), id="log", fact="seq"),
    _table(
        Kept("clear_looks", "how much somebody was shown in clear on their newest day", _LOOKER, "security",
             "GDPR 6(1)(f), 32", "replaced with each day of looking",
             unless="one count a person, by an opaque id: the next day's replaces it"),
        id="actor_id", time="day", fact="count",
    ),
    _table(
        Kept("person_locks", "what an unlock gives back", _STAFF, "security", "GDPR 6(1)(f), 32",
             "until the person is unlocked", unless="unlocking is what takes it away"),
        id="person_id accounts", time="at", fact="person",
    ),
    _table(
        Kept("role_rights", "what the company has changed of the shipped roles"), time="changed_at",
        fact="role granted reach",
    ),
)  # fmt: skip

_SIGN_IN_BY_ITSELF = "it lets somebody in and proves nothing about a call; "


def _sign_in(where: str, what: str, expiry: str, ends: str) -> Kept:
    return Kept(where, what, _STAFF, "signing in", _EMPLOYMENT, expiry, unless=_SIGN_IN_BY_ITSELF + ends)


_UNTIL_DISABLED = "until the person is disabled or leaves"
_SIGN_IN: Sequence[tuple[str, TableKept]] = (
    _table(
        _sign_in("passwords", "what passwords are checked against", _UNTIL_DISABLED, "another takes its place"),
        id="person_id", sealed="verifier_sealed", time="changed_at",
    ),
    _table(
        _sign_in("sign_in_totp", "secrets of authenticator programs, for the portal", _UNTIL_DISABLED,
                 "another takes its place"),
        id="person_id", sealed="secret_sealed", fact="last_step", time="created_at",
    ),
    _table(
        _sign_in("passkeys", "public keys of passkeys", _UNTIL_DISABLED, "their person removes it"),
        id="id person_id", sealed="name_sealed credential_sealed", fact="sign_count", time="created_at last_used_at",
    ),
    _table(
        _sign_in("recovery_codes", "codes for whoever has lost their second factor, hashed", _UNTIL_DISABLED,
                 "each goes when it is used"),
        id="id person_id", digest="code_sha256",
    ),
    _table(
        _sign_in("sessions", "who is signed in, from where", "sessions.expires_at; 7 days at most",
                 "signing out takes it away, the sweep what has expired"),
        id="id person_id", digest="token_sha256", sealed="source_sealed", fact="browser",
        time="created_at last_seen_at expires_at fresh_until",
    ),
    _table(
        _sign_in("known_browsers", "browsers that somebody has signed in with", "known_browsers.expires_at; 180 days",
                 "the sweep takes away what has expired"),
        id="id person_id", digest="token_sha256", time="expires_at",
    ),
    _table(
        _sign_in("sign_in_challenges", "what waits for its second half", "sign_in_challenges.expires_at; minutes",
                 "the sweep takes away what has expired"),
        id="id person_id session_id invitation_id browser_id", digest="token_sha256", sealed="held_sealed",
        fact="kind browser tries", time="created_at expires_at",
    ),
    _table(
        _sign_in("invitations", "links for a first sign-in", "invitations.expires_at; a day",
                 "it goes when it is used"),
        id="id person_id", digest="token_sha256", time="created_at expires_at",
    ),
    _table(
        _sign_in("api_tokens", "tokens of programs, and what they may do", "api_tokens.expires_at",
                 "it goes when it is revoked"),
        id="id person_id", digest="token_sha256", sealed="name_sealed", fact="rights",
        time="created_at expires_at last_used_at",
    ),
    _table(
        Kept("api_answers", "what programs were answered that may ask once more", "whoever such an answer is about",
             "doing each request once", "GDPR 6(1)(f)", "a day: api_answers.kept_until",
             unless="sealed, found by nobody's name or number; gone with the first sweep after a day"),
        id="id", digest="request", fact="status", sealed="answer_sealed", time="at kept_until",
    ),
)  # fmt: skip

_CONTACTS: Sequence[tuple[str, TableKept]] = (
    _table(
        _contact("contact_consents", "who agreed to be contacted", "contact_consent", "CONSENT_EVIDENCE"),
        id="id", digest="digest", sealed="number_sealed details_sealed",
        time="given_at expires_at withdrawn_at kept_until",
        fact="channel purpose act text_id text_version text_sha256 language out_of_hours withdrawn_by legal_basis",
    ),
    _table(
        _contact("contact_references", "contracts that stand beside consent", "contact_reference", "CONSENT_EVIDENCE"),
        id="id", digest="digest", sealed="number_sealed reference_sealed", time="since until kept_until",
        fact="kind purpose legal_basis",
    ),
    _table(
        Kept("contact_suppressions", "who is not to be contacted", _CONTACTED, "SUPPRESSION_LIST", "",
             "while prospecting goes on; looked at after kept_until",
             unless="whoever objected is not forgotten by itself (GDPR 21(3)); contact suppress remove takes one off"),
        id="id", digest="digest", fact="channel reason source purpose legal_basis", time="since until kept_until",
    ),
    _table(
        Kept("contact_keys", "index keys of the list of objections"), id="version", sealed="secret_sealed",
        time="created_at",
    ),
    _table(
        _contact("contact_attempts", "attempts of canvassing lines", "contact_attempt", "VOICE_CANVASSING"),
        id="id line_id evidence", digest="digest", time="at kept_until", fact="channel outcome purpose legal_basis",
    ),
)  # fmt: skip

_TEXTERS = "whoever is texted, or texts"
_DIRECTORY_OF_TEXTS = "until the inbox has no use"


def _text(where: str, what: str, expiry: str, *kinds: str, purpose: str = "") -> Kept:
    return Kept(where, what, _TEXTERS, purpose or f"{where}.purpose", "" if not purpose else "GDPR 6(1)(b); 6(1)(f)",
                expiry, kinds)  # fmt: skip


_TEXTS: Sequence[tuple[str, TableKept]] = (
    _table(
        Kept("inboxes", "inboxes, and what they answer by themselves", _STAFF, "texts of the house", _EMPLOYMENT,
             _DIRECTORY_OF_TEXTS,
             unless="an inbox is closed, not removed: what came to it names it; inbox away takes its answer back"),
        id="id account_id", name="name", fact="kind language", sealed="away_sealed", time="created_at disabled_at",
    ),
    _table(
        Kept("inbox_members", "who writes from which inbox", _STAFF, "texts of the house", _EMPLOYMENT,
             "until the right is taken",
             unless="a right that is taken goes at once, with an entry of the access log"),
        id="inbox_id person_id", fact="sends sees_sent", time="granted_at",
    ),
    _table(
        Kept("sms_senders", "addresses of the company that texts are sent from", _STAFF, "texts of the house",
             _EMPLOYMENT, "as long as texts were sent from it",
             unless="an address of the company: it is disabled, and texts name it"),
        id="id inbox_id approved_by", sealed="address_sealed", digest="digest",
        fact="kind classes stop_code carriers", time="created_at disabled_at",
    ),
    _table(
        _text("sms_sent", "texts that were sent; their words go first", "sms_sent.content_until; sms_sent.expires_at",
              "text_words", "text_sent"),
        id="id inbox_id sender_id author_id campaign_id conversation_id evidence key_id", digest="digest",
        sealed="recipient_sealed queued_sealed body_sealed",
        fact="message_class purpose legal_basis state why coding parts reference cost_microeuros one_time",
        time="created_at due_at valid_until updated_at content_until expires_at",
    ),
    _table(
        _text("sms_parts", "what became of each part", "sms_sent.expires_at", "text_sent", purpose="the text's pack"),
        id="message_id network_id", fact="number state carrier code", time="handed_at accepted_at done_at",
    ),
    _table(
        _text("sms_events", "what happened to texts besides", "with the text, conversation or campaign", "text_sent",
              "text_received", "conversation", "campaign", purpose="the text's pack"),
        id="id about actor_id", fact="what part detail", time="at",
    ),
    _table(
        _text("sms_keys", "keys of the words of texts that were sent, wrapped", "when no text is under it",
              "text_key", purpose="the text's pack"),
        id="id kek_id", fact="purpose", sealed="wrap", time="created_at",
    ),
    _table(Kept("sms_receipts", "receipts whose text is not known: ids of networks"), id="id network_id",
           fact="carrier delivery code", time="at expires_at"),
    _table(
        _text("sms_received", "texts that came in, sealed to the readers of their inbox", "sms_received.expires_at",
              "text_received"),
        id="id inbox_id sender_id conversation_id campaign_id in_reply_to kek_id handled_by", digest="digest",
        sealed="addresses_sealed body_sealed",
        fact="carrier purpose legal_basis stop sorting rule state parts missing",
        time="received_at sent_at handled_at expires_at",
    ),
    _table(
        Kept("sms_deliveries", "by what a repeated delivery is known", _TEXTERS, "taking each text once",
             "GDPR 6(1)(f)", "a day, from the delivery",
             unless="a keyed digest of a whole delivery, by which nobody is found; gone after a day"),
        digest="fingerprint", id="delivery link", time="at",
    ),
    _table(
        Kept("sms_fragments", "parts of long texts that wait for the others", _TEXTERS, "SMS_REPLIES",
             "GDPR 6(1)(b); 6(1)(f)", "a day: then what is there becomes a text",
             unless="its words become those of a text, which is kept and goes like any other"),
        digest="whole", fact="number", sealed="part_sealed", time="at",
    ),
    _table(
        _text("sms_waiting", "copies that wait for a person's phones", "sms_waiting.expires_at", "text_copy",
              purpose="SMS_REPLIES"),
        id="id account_id", sealed="text_sealed", time="created_at expires_at",
    ),
    _table(
        _text("sms_requests", "what texts ask for by law", "sms_requests.expires_at", "text_request",
              purpose="GDPR 12(3), 5(2)"),
        id="id received_id inbox_id closed_by", fact="kind", time="opened_at due_at closed_at expires_at",
    ),
    _table(
        _text("conversations", "with whom an inbox writes", "conversations.expires_at", "conversation",
              purpose="SMS_CONVERSATION"),
        id="id inbox_id sender_id assigned_to", sealed="remote_sealed", digest="digest",
        time="opened_at last_at closed_at expires_at",
    ),
    _table(
        _text("campaigns", "campaigns: what is sent to a list, and who approved it", "campaigns.expires_at", "campaign",
              purpose="SMS_MARKETING"),
        id="id inbox_id sender_id created_by approved_by", sealed="template_sealed",
        fact="name message_class sector target language state why per_minute approved_sha256",
        time="starts_at ends_at created_at updated_at expires_at",
    ),
    _table(
        _text("campaign_recipients", "who is on the list of a campaign", "campaigns.expires_at", "campaign",
              purpose="SMS_MARKETING"),
        id="campaign_id message_id", sealed="number_sealed fields_sealed", digest="digest", fact="line state why",
        time="due_at",
    ),
    _table(
        _text("mail_orders", "who ordered a text by mail, to be told when it fails", "mail_orders.expires_at",
              "mail_order", purpose="SMS_CONVERSATION"),
        id="id login_id", sealed="about_sealed", time="arrived_at expires_at",
    ),
)  # fmt: skip

_LEDGER: Sequence[tuple[str, TableKept]] = (
    _table(Kept("ledger_logs", "where each log stands"), id="log", fact="state"),
    _table(
        Kept("ledger_segments", "signed heads of the days"), id="log", time="day",
        fact="first_seq size frontier head pruned",
    ),
    _table(
        Kept("ledger_entries", "the three logs: opaque ids, no name and no number", f"{_LOOKER}; whoever was asked",
             "AUDIT_LOG, CONSENT_EVIDENCE, ERASURE_LEDGER", "", "retention.access_log; packs, from the day",
             ("access_day", "consent_day", "erasure_day")),
        id="log seq", time="day", fact="body leaf_hash",
    ),
)  # fmt: skip

TABLES: Mapping[str, TableKept] = dict(
    (*_DIRECTORY, *_SIGN_IN, *_KEYS, *_CALLS, *_RETENTION, *_POLICY, *_ALERTS, *_CONTACTS, *_TEXTS, *_LEDGER)
)
