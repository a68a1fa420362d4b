"""Which replies are set apart, on this machine and explained: unwanted, sensitive, corrections, rights, machines.

Nothing is deleted and nothing answered by it. In doubt a reply is set apart: an innocent one costs a person a look.
The words are data (config/data/sms_replies.toml); a reply may fall under several.
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass

from config import sms_replies
from sms.words import folding, secrets


class Category(enum.StrEnum):
    UNWANTED = "unwanted"  # insults, threats, fraud, spam, links
    SENSITIVE = "sensitive"  # GDPR Art. 9 and 10, and what opens accounts
    CORRECTION = "correction"  # Art. 16: opens a case
    RIGHTS = "rights"  # Art. 15, 17, 21: opens a case
    MACHINE = "machine"  # nobody wrote it: never answered


@dataclass(frozen=True, slots=True)
class Found:
    """`rule`: its id in the data, or what was found by its check digits. `request`: which right of the GDPR, or ""."""

    category: Category
    rule: str
    request: str = ""


@dataclass(frozen=True, slots=True)
class Sorting:
    """All that was found; empty for what goes to its inbox as it is."""

    found: tuple[Found, ...]

    @property
    def categories(self) -> frozenset[Category]:
        return frozenset(each.category for each in self.found)

    @property
    def set_apart(self) -> bool:
        """Not to be shown to the whole inbox before somebody has looked."""
        return bool(self.categories & {Category.UNWANTED, Category.SENSITIVE})

    @property
    def opens_case(self) -> bool:
        """A correction (promise 1.13), or a right that somebody claims."""
        return bool(self.categories & {Category.CORRECTION, Category.RIGHTS})


_LINK = re.compile(
    r"https?://(\S+)|\bwww\.(\S+)|(?<![@\w.-])((?:[a-z0-9-]+\.)+[a-z]{2,12}/\S*)|"
    r"(?<![@\w.-])((?:[a-z0-9-]+\.)+(?:com|net|org|info|xyz|top|icu|vip|cfd|shop|site|online|club|live|link|click|app|io|"
    r"me|ly|co|fr|eu|uk|be|ch|ru|cn|tk|buzz|store|tech|biz|us|help|support|today|website|space|pro|cc|win|loan|work|world|agency|services|page|dev|de|es|it|nl))\b",
    re.IGNORECASE,
)


def sort(text: str) -> Sorting:
    """What the reply falls under. Whatever it holds, an answer comes."""
    known = sms_replies.load()
    flat = folding.words(folding.folded(text))
    found = [Found(Category.SENSITIVE, kind) for kind in secrets.found(text[: folding.MOST])]
    for rule in known.rules:
        if rule.pattern.search(flat) and not (rule.unless and rule.unless.search(flat)):
            found.append(Found(Category(rule.category), rule.id, rule.request))
    if any(not _harmless(match, known.harmless_hosts) for match in _LINK.finditer(text[: folding.MOST])):
        found.append(Found(Category.UNWANTED, "link"))
    return Sorting(tuple(found))


def _harmless(match: re.Match[str], hosts: tuple[str, ...]) -> bool:
    address = next(group for group in match.groups() if group is not None).lower().removeprefix("www.")
    return any(address == host or address.startswith((f"{host}/", f"{host}?")) for host in hosts)
