"""Who sends and who receives a text: three types that are never mistaken for each other.

A telephone number, a short code (which belongs to a country and to no number plan: `36105` is not `+3336105`), and a
name of letters, which can send and can never be answered.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Number:
    """`e164`: "+33612345678"."""

    e164: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class ShortCode:
    """`digits`: three to eight of them, as dialled in `country` (ISO 3166)."""

    digits: str = field(repr=False)
    country: str


@dataclass(frozen=True, slots=True)
class SenderName:
    """An alphanumeric sender (GSM 03.40 §9.1.2.5, type of number 5): at most 11 characters."""

    name: str


Address = Number | ShortCode | SenderName


def as_text(address: Address) -> str:
    """What a person writes and reads, and what is stored (sealed). `of_text` takes it back."""
    match address:
        case Number(e164):
            return e164
        case ShortCode(digits, country):
            return f"{digits}/{country}"
        case SenderName(name):
            return f"'{name}"


def of_text(text: str) -> Address:
    """What `as_text` gave. Raises ValueError."""
    if text.startswith("+"):
        return Number(text)
    if text.startswith("'"):
        return SenderName(text[1:])
    digits, slash, country = text.partition("/")
    if not slash or not digits.isdigit():
        raise ValueError("neither a number, nor a short code, nor a name")
    return ShortCode(digits, country)


def can_be_answered(address: Address) -> bool:
    """A person's telephone. Nothing is ever sent by itself to anything else: machines answer each other for ever."""
    return isinstance(address, Number)
