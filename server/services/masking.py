"""What is shown of a number or a name to somebody who has given no reason to see it."""

from __future__ import annotations

DOT = "•"


def number(text: str) -> str:
    """`+33612345678` as `+33••••••78`. Inside numbers (up to four digits) and account names stay: they name a desk."""
    if not text.lstrip("+").isdigit() or len(text) <= 4:
        return text if not text.startswith("+") else text[:1] + DOT * (len(text) - 1)
    head = 3 if text.startswith("+") else 2
    return text[:head] + DOT * (len(text) - head - 2) + text[-2:]


def name(text: str) -> str:
    """`Alice Martin` as `A•••• M•••••`."""
    return " ".join(word[:1] + DOT * (len(word) - 1) for word in text.split())


def mail(text: str) -> str:
    """`alice@company.example` as `a••••@company.example`."""
    local, at, domain = text.rpartition("@")
    return local[:1] + DOT * (len(local) - 1) + at + domain


def address(text: str) -> str:
    """An IPv4 address without its last part, IPv6 without all but its network; anything else entirely."""
    if text.count(".") == 3:
        return text.rpartition(".")[0] + "." + DOT
    if ":" in text:
        return ":".join(text.split(":")[:3]) + "::" + DOT
    return DOT
