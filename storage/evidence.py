"""Evidence of consent: what was said to whom, in which words, and what they did. One entry of the "consent" log each.

GDPR art. 7(1): the controller must be able to show that the person consented. The entry names the prompt by id,
version, language and hash of its audio, the leg, the key, and where in the media it happened; never the person.
"""

import json
from dataclasses import asdict, dataclass
from datetime import datetime

from storage import ledger
from storage.errors import Invalid
from storage.ledger import Entry
from storage.ledger_payload import ACTS, Value
from storage.tx import Tx

# Acts that follow a prompt and must say which one.
_NEEDS_PROMPT = frozenset({"heard", "key0", "key1", "key2", "timeout", "prompt_failed"})
_KEYS = {"key0": "0", "key1": "1", "key2": "2"}


@dataclass(frozen=True, slots=True)
class ConsentEvidence:
    call_id: str
    leg_id: str
    purpose: str  # "quality": exactly one (one recording, one purpose)
    act: str  # of ledger_payload.ACTS
    rule: str  # which policy rule asked for it: "country.FR"
    media_ms: int  # since the leg was answered
    prompt_id: str | None = None
    prompt_version: str | None = None
    prompt_sha256: str | None = None  # of the WAV file that was played, 64 hexadecimal characters
    language: str | None = None
    key: str | None = None  # the digit; filled in for key0, key1, key2
    pack: str | None = None
    pack_version: str | None = None
    policy_version: int | None = None  # of the company's policy; None: none is in force
    rec_id: str | None = None  # for an objection to a recording that runs

    def payload(self) -> dict[str, Value | None]:
        """Raises `Invalid` when the act is unknown, or follows a prompt that is not named in full."""
        if self.act not in ACTS:
            raise Invalid("act", f"must be one of {', '.join(sorted(ACTS))}")
        prompt = (self.prompt_id, self.prompt_version, self.prompt_sha256, self.language)
        # A prompt that failed to play may have had no file: its hash alone may be absent.
        needed = prompt if self.act != "prompt_failed" else (self.prompt_id, self.language)
        if self.act in _NEEDS_PROMPT and None in needed:
            raise Invalid("prompt_id", f"{self.act} needs prompt id, version, hash and language")
        if self.act in _KEYS and self.key not in (None, _KEYS[self.act]):
            raise Invalid("key", f"does not belong to {self.act}")
        return {**asdict(self), "key": self.key or _KEYS.get(self.act)}


async def record(tx: Tx, evidence: ConsentEvidence, now: datetime) -> Entry:
    """`Entry.seq` is what recordings and proof tokens refer to. Raises `Invalid`, `LedgerRefused`."""
    return await ledger.append(tx, "consent", evidence.payload(), now)


async def objection_to(tx: Tx, call_id: str, after_seq: int) -> int | None:
    """Sequence number of an objection or refusal in that call, later than `after_seq`; None if nobody objected."""
    for entry in await ledger.entries(tx, "consent", after_seq=after_seq):
        said = json.loads(entry.body)
        if said.get("call_id") == call_id and said.get("act") == "objection":
            return entry.seq
    return None
