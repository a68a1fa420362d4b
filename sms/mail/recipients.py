"""Whom a mail address means: what stands before the "@" of the domain that is for texts. Pure."""

from __future__ import annotations

import re

from sms.mail.answers import Rejection

_NUMBER = re.compile(r"\+?[0-9]{3,15}")
_PLAIN = r"""[^\s@<>()",;\\\x00-\x1f\x7f\ud800-\udfff]"""
_SENDER = re.compile(f"{_PLAIN}{{1,64}}@{_PLAIN}{{1,255}}")
_SPACERS = str.maketrans("", "", " .-()")


def number_of(address: str, domain: str) -> str | Rejection:
    """ "+33612345678" of `+33612345678@domain`, as it was written but for blanks, dots, hyphens and brackets.

    National forms and short codes are left as they are: whoever knows the country reads them.
    """
    local, at, where = address.rpartition("@")
    if not at or where.rstrip(".").lower() != domain.lower():
        return Rejection(550, "5.7.1", "this server takes mail for texts alone")
    bare = local.strip('"').translate(_SPACERS)
    if not _NUMBER.fullmatch(bare):
        return Rejection(550, "5.1.3", "write the number before the @, such as +33612345678")
    return bare


def is_sender(address: str) -> bool:
    """Whether it looks like somebody's mail address: no quotes, no blanks, no bytes that are no letters."""
    return _SENDER.fullmatch(address) is not None
