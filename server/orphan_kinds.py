"""What each kind of orphan is, and what to do about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

REMOVE = "Look what it is, then type: beffroi retention orphans --remove ID --reason TEXT"
_VERIFY = "Keep this directory as it is, and type: beffroi ledger verify"
_RESTART = "Restart the daemon, which judges what a crash left; then look again"


@dataclass(frozen=True, slots=True)
class OrphanKind:
    """`removable`: whether the deletion gate takes it away when somebody says so."""

    what: str
    remedy: str
    removable: bool = False


KINDS: Mapping[str, OrphanKind] = {
    # files
    "file_without_row": OrphanKind("a sealed file that no recording lists", REMOVE, True),
    "row_without_file": OrphanKind(
        "a recording whose file is gone", f"Put the file back from a backup of the vault. Else: {REMOVE}", True
    ),
    "part_unattended": OrphanKind("a recording that grows, and nobody writes it", _RESTART),
    "unknown_file": OrphanKind("a file that this program does not make", f"Move it out of this directory, or: {REMOVE}",
                               True),
    "leftover": OrphanKind("a file that was to be there for a moment only", REMOVE, True),
    # keys
    "key_without_recording": OrphanKind("a wrapped key of no recording", REMOVE, True),
    "recording_without_key": OrphanKind(
        "a recording that nobody can open: its key is gone", f"Put the key store back from a backup. Else: {REMOVE}",
        True,
    ),
    "wrap_without_reader": OrphanKind(
        "a week's key is wrapped to somebody who has no key, or is destroyed",
        "Type: beffroi person revoke, for that purpose; of a destroyed one: beffroi retention sweep",
    ),
    "key_without_hold": OrphanKind("a key that a legal hold made, and there is no such hold",
                                    "Type: beffroi retention sweep. It goes by itself"),
    "place_without_key": OrphanKind("bytes of a wrapped key that no recording names", REMOVE, True),
    # rows
    "index_without_owner": OrphanKind("an entry of the index of numbers that belongs to no call or recording", REMOVE,
                                      True),
    "record_of_no_recording": OrphanKind("a call record that names a recording that never was",
                                         "It goes at its expiry; compare with a backup what happened"),
    "limit_of_nobody": OrphanKind("limits of an account or trunk that there is not", REMOVE, True),
    "without_purpose": OrphanKind("a row that does not say for what, or by which law, it is kept",
                                  "Compare with a backup what it said; a recording without purpose opens to nobody"),
    "without_expiry": OrphanKind("a row that does not say until when it is kept: it would stay for ever",
                                 "Compare with a backup what it said"),
    "overdue": OrphanKind("it should have gone two days ago, and nothing stands against it",
                          "Type: beffroi retention status, then beffroi retention sweep"),
    "unfinished_destruction": OrphanKind("a destruction that was begun a day ago and is not over",
                                         "Type: beffroi retention sweep, and look at the log of the daemon"),
    # proofs
    "consent_missing": OrphanKind("a recording that rests on an entry of the consent log that is not there", _VERIFY),
    "entry_without_reason": OrphanKind("an entry of the access log whose typed reason is gone", _VERIFY),
    "reason_without_entry": OrphanKind("a typed reason that no entry of the access log names", REMOVE, True),
    "entry_without_receipt": OrphanKind("an entry of the erasure log whose receipt is gone", _VERIFY),
    "receipt_without_entry": OrphanKind("a receipt of destruction that the erasure log does not name", _VERIFY),
    "head_without_leaves": OrphanKind("a day of the ledger with more or fewer entries than its head says", _VERIFY),
    "leaves_without_head": OrphanKind("entries of the ledger on a day that has no head", _VERIFY),
}  # fmt: skip
