"""One kind of thing that is kept: what the data map says of a table or of a kind of file."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Kept:
    """`where`: name of a table, or a pattern of paths under the data directory.

    `subject`: whom it is about; "" where it is about nobody. Of what is about somebody, `expiry` says where the end
    stands (a column, a period, an event), and `erased_by` which kind of the deletion gate takes it away; where nothing
    does, `unless` says why.
    """

    where: str
    what: str
    subject: str = ""
    purpose: str = ""  # a pack, or in words
    basis: str = ""  # GDPR article; "" where the row itself says it
    expiry: str = ""
    erased_by: tuple[str, ...] = ()
    unless: str = ""

    @property
    def personal(self) -> bool:
        return bool(self.subject)

    def flaw(self) -> str:
        """What is missing of what must be said; "" where all is said."""
        if not self.what:
            return "nothing says what it is"
        if self.personal and not (self.purpose and self.expiry):
            return "personal data without purpose or expiry"
        if self.personal and not self.erased_by and not self.unless:
            return "personal data that nothing erases, and no reason why"
        return ""
