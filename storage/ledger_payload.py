"""What a ledger entry may say: an allow-list of keys, each with one shape. No name, no number, no free text, ever.

The ledger outlives the data it speaks of (CNIL délib. 2021-122: logs kept longer than the data must not hold it), so
whatever is not on this list is refused, not filtered. Why somebody looked is free text: it goes sealed into
`storage.access`, and here only as id and digest.
"""

import re
from collections.abc import Callable, Mapping
from datetime import datetime

from config.happenings import KINDS
from storage.errors import LedgerRefused
from storage.types import canonical_json

Value = str | int | bool | list[int] | list[str]


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


ACTIONS = _words(
    "acknowledge add approve change configure destroy disable enable erase export grant hold list listen lock open"
    " move prune reload remove restore revoke search send show sign_in start stop test unlock use verify wrap"
)
OBJECTS = _words(
    "account alert call campaign carrier case configuration consent contact contract conversation device diagnosis"
    " emergency escrow hold inbox invitation kek key ledger limits line mail_login note number orphan passkey"
    " password person policy precondition prompt reader recipient recording recovery report request retention right"
    " role sender session suppression system text token totp trunk usage vault"
)
OUTCOMES = _words("denied done failed locked refused replayed wrong")
CAUSES = _words("admin crash error expiry no_contract objection refusal request restore shutdown withdrawal")
ACTS = _words("heard key0 key1 key2 objection timeout hangup prompt_failed statute withdrawn given")
# How somebody agreed to be contacted, or took that back.
WAYS = _words("dtmf utterance checkbox sms signature email link agent letter")
MEDIA = _words("voice sms recording")
REACHES = _words("none own team all")  # of a right
VERDICTS = _words("false_alarm real_danger misuse")  # of whoever looked at an alert

_OPAQUE = re.compile(r"[0-9a-f]{32}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_CODE = re.compile(r"[A-Za-z][A-Za-z0-9_.:-]{0,63}")
_MANY_DIGITS = re.compile(r"(?:[0-9][_.:-]*){6}")
_VERSION = re.compile(r"[0-9]{1,4}(\.[0-9]{1,3}){0,2}|20[0-9]{2}-[01][0-9]-[0-3][0-9](\.[0-9]{1,3})?")
_LANGUAGE = re.compile(r"[a-z]{2,3}(-[A-Z]{2})?")
_DIGIT = re.compile(r"\*?[0-9*#]")
_TIME = re.compile(r"20[0-9]{2}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]:[0-6][0-9](\.[0-9]{1,6})?Z")
_SYSTEM_ACTORS = frozenset({"system", "quickstart", "escrow"})

_Check = Callable[[object], bool]


def _shaped(shape: re.Pattern[str]) -> _Check:
    return lambda value: isinstance(value, str) and shape.fullmatch(value) is not None


def _one_of(allowed: frozenset[str]) -> _Check:
    return lambda value: isinstance(value, str) and value in allowed


def _at_most(limit: int) -> _Check:
    return lambda value: isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= limit


def _code(value: object) -> bool:
    """An identifier that our configuration or packs define: "REC_QUALITY", "country.FR". No six digits in a row."""
    return isinstance(value, str) and _CODE.fullmatch(value) is not None and _MANY_DIGITS.search(value) is None


def _actor(value: object) -> bool:
    return _opaque(value) or _one_of(_SYSTEM_ACTORS)(value)


def _refs(value: object) -> bool:
    return isinstance(value, list) and len(value) <= 64 and all(_at_most(10**9)(item) for item in value)


def _some_of(allowed: frozenset[str]) -> _Check:
    return lambda value: isinstance(value, list) and 0 < len(value) <= len(allowed) and set(value) <= allowed


_opaque = _shaped(_OPAQUE)
_hash = _shaped(_SHA256)
_DAY_MS = 86_400_000

ALLOWED: Mapping[str, _Check] = {
    # opaque ids
    **dict.fromkeys(("call_id", "leg_id", "rec_id", "kek_id", "account_id", "device_id", "line_id"), _opaque),
    **dict.fromkeys(("person_id", "case_id", "hold_id", "reason_id", "receipt_id", "session_id"), _opaque),
    **dict.fromkeys(("trunk_id", "number_id", "consent_id", "contract_id", "suppression_id", "orphan_id"), _opaque),
    **dict.fromkeys(("policy_id", "precondition_id", "alert_id", "login_id", "token_id", "passkey_id"), _opaque),
    **dict.fromkeys(("text_id", "inbox_id", "sender_id", "conversation_id", "campaign_id", "request_id"), _opaque),
    **dict.fromkeys(("actor_id", "reader_id"), _actor),
    # enumerations
    "action": _one_of(ACTIONS),
    "object": _one_of(OBJECTS),
    "outcome": _one_of(OUTCOMES),
    "cause": _one_of(CAUSES),
    "act": _one_of(ACTS),
    "by": _one_of(WAYS),
    "medium": _one_of(MEDIA),
    "reach": _one_of(REACHES),
    "verdict": _one_of(VERDICTS),
    "kinds": _some_of(frozenset(KINDS)),
    # identifiers out of packs and configuration
    **dict.fromkeys(("purpose", "pack", "prompt_id", "rule", "legal_basis", "role"), _code),
    "language": _shaped(_LANGUAGE),
    "key": _shaped(_DIGIT),
    **dict.fromkeys(("prompt_version", "pack_version"), _shaped(_VERSION)),
    # hashes
    **dict.fromkeys(("prompt_sha256", "sha256", "reason_digest", "receipt_sha256", "policy_sha256"), _hash),
    "before_sha256": _hash,
    "workstation": _hash,
    # counts and durations, bounded below what a telephone number needs where that is possible
    **dict.fromkeys(("media_ms", "from_ms", "to_ms", "duration_ms"), _at_most(_DAY_MS)),
    "size_bytes": _at_most(10**12),
    "count": _at_most(10**6),
    "policy_version": _at_most(10**5),
    "channel": _at_most(7),
    "consent_refs": _refs,
    "complete": lambda value: isinstance(value, bool),
    # times
    **dict.fromkeys(("expires_at", "started_at", "ended_at"), _shaped(_TIME)),
    "day": _shaped(re.compile(r"20[0-9]{2}-[01][0-9]-[0-3][0-9]")),
}
_OURS = frozenset({"at", "log", "seq"})


def utc_text(moment: datetime) -> str:
    """RFC 3339, UTC, microseconds: "2026-11-21T22:58:00.000000Z". `moment` has a zone."""
    return (moment - (moment.utcoffset() or moment - moment)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def body(log: str, seq: int, payload: Mapping[str, Value | None], now: datetime) -> bytes:
    """The bytes that are stored and hashed. Keys whose value is None are left out. Raises `LedgerRefused`."""
    said = {key: value for key, value in payload.items() if value is not None}
    for key, value in said.items():
        check = ALLOWED.get(key)
        if check is None or not check(value):
            raise LedgerRefused(f"{key!r} is not allowed, or not with that kind of value" if check else _unknown(key))
    if not said:
        raise LedgerRefused("an entry that says nothing")
    return canonical_json({**said, "at": utc_text(now), "log": log, "seq": seq})


def _unknown(key: str) -> str:
    # An unknown key may itself be somebody's name: say so without repeating it.
    return "a key that the ledger does not know" if key not in _OURS else f"{key!r} is written by the ledger itself"
