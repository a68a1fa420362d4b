"""A held recording's key, wrapped a second time to the KEK of its legal hold, by a reader who has unlocked.

The audio is not touched. The daemon hands over what it cannot open, and is given what it cannot open.
"""

from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from recording.keys import DEK_WRAP_BYTES, algorithm, unwrap_dek, unwrap_kek, wrap_dek

AT_ONCE: Final = 8  # in one line of the control socket
_BYTES: Final = ("kek_wrap", "dek_wrap", "hold_public")


@dataclass(frozen=True, slots=True)
class Rewrap:
    """One recording of one hold. `kek_wrap`: of the key that `dek_wrap` is made for, to the reader who unlocks."""

    rec_id: str
    hold_id: str
    purpose: str
    kek_id: str
    kek_wrap: bytes = field(repr=False)
    dek_wrap: bytes = field(repr=False)
    hold_kek_id: str
    hold_public: bytes = field(repr=False)

    def to_wire(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self) | {name: b64encode(getattr(self, name)).decode("ascii") for name in _BYTES}

    @classmethod
    def from_wire(cls, raw: Mapping[str, Any]) -> "Rewrap":
        """Raises ValueError, KeyError, TypeError."""
        return cls(**(dict(raw) | {name: b64decode(raw[name], validate=True) for name in _BYTES}))


def rewrapped(one: Rewrap, reader_id: str, reader_secret: bytes) -> bytes:
    """The key, wrapped to the hold's KEK. Raises KeysError: this reader does not open it."""
    kek_secret = unwrap_kek(one.kek_wrap, reader_secret, kek_id=one.kek_id, reader_id=reader_id)
    dek = unwrap_dek(one.dek_wrap, kek_secret, rec_id=one.rec_id, purpose=one.purpose, kek_id=one.kek_id)
    return wrap_dek(dek, one.hold_public, rec_id=one.rec_id, purpose=one.purpose, kek_id=one.hold_kek_id)


def is_wrap(blob: bytes) -> bool:
    """Whether it can be the wrap of a key: whoever cannot open it can tell no more. Raises MalformedKey."""
    return len(blob) == DEK_WRAP_BYTES and bool(algorithm(blob))
