"""ledger, vault, ban: what was done, whether all is there, who is kept out."""

from __future__ import annotations

import argparse

from server.client import ask
from server.commands.base import (
    Field,
    Subparsers,
    asking,
    group,
    leaf,
    minutes,
    misuse,
    operation,
    out,
    print_json,
    table,
    words,
)

ENTRY_FIELDS = (
    Field("seq", "number of the entry in its log", "SEQ"),
    Field("at", "when, UTC", "AT", lambda at: str(at)[:19].replace("T", " ")),
    Field("who", "login, or os:<user> of this machine", "WHO"),
    Field("action", "what was done", "ACTION"),
    Field("subject", "to what kind of thing", "TO"),
    Field("outcome", "done, denied, failed, locked, refused, replayed or wrong", "OUTCOME"),
    Field("reason", "why, as it was typed; shown only with --reason", "REASON"),
    Field("body", "the entry itself, with all its ids"),
)
VERIFY_FIELDS = (
    Field("sound", "whether nothing is wrong"),
    Field("findings", "what is wrong: fault (flipped, missing, reordered, head, chain, extra), log, day, seq"),
    Field("heads", "where each log stands: log, entries, head. Keep them elsewhere, and give them to --anchor later"),
    Field("pruned", "what has had its time, heads intact: log, first_day, last_day, days, entries"),
)
RECEIPT_FIELDS = (
    Field("id", "of the receipt, as the erasure log names it"),
    Field("genuine", "whether its signature is this server's and nothing in it was changed"),
    Field("in_log", "whether the erasure log holds exactly this receipt"),
    Field("receipt", "the receipt: trigger, pack, objects, method, verification, times, signature"),
)
_COUNTS = (
    Field("opened", "recordings opened", "OPENED"),
    Field("exported", "recordings and other things exported", "EXPORTED"),
    Field("clear", "looks that showed numbers or names in clear", "CLEAR"),
    Field("searched", "searches, masked", "SEARCHED"),
    Field("looked", "other looks"),
    Field("changed", "all else: changes, sign-ins, checks", "ELSE"),
    Field("refused", "what was refused or failed: no right, a wrong code, a limit, a damaged file", "REFUSED"),
)
WEEK_FIELDS = (Field("week", "its Monday, UTC", "WEEK"), *_COUNTS)
PERSON_FIELDS = (
    Field("who", "login, or os:<user> of this machine", "WHO"),
    *_COUNTS,
    Field("weeks", "what was opened, exported or shown in clear, week by week"),
    Field("newest", "of these, the newest week"),
    Field("median", "the median of the weeks before, since their first"),
    Field("unusual", "whether the newest is ten or more, and more than three times that median", "UNUSUAL"),
)
STATISTICS_FIELDS = (
    Field("since", "what is counted goes back to there"),
    Field("whole", "whether all of the period has been counted"),
    Field("weeks", f"the oldest first: {', '.join(field.name for field in WEEK_FIELDS)}"),
    Field("people", f"the unusual first: {', '.join(field.name for field in PERSON_FIELDS)}"),
    Field("purposes", "of recordings: purpose, opened, exported"),
    Field("refusals", "right that was missing (empty: another cause), refused"),
)
VAULT_FIELDS = (
    Field("sound", "whether files, keys and records agree"),
    Field("recordings", "finished recordings"),
    Field("bytes", "size of all sealed files"),
    Field("missing_files", "ids that are listed without a file", show=words),
    Field("missing_keys", "ids that are listed without a key", show=words),
    Field("unlisted_files", "files that nothing lists", show=words),
    Field("unlisted_keys", "keys that nothing lists", show=words),
    Field("altered", "ids whose file is not what was sealed (with --contents)", show=words),
    Field("running", "recordings in progress"),
    Field("checked_contents", "whether every file was read"),
)
BAN_FIELDS = (
    Field("source", "address, or one connection as proto:address:port", "SOURCE"),
    Field("why", "what led to it", "WHY"),
    Field("until", "when it ends by itself", "UNTIL", minutes),
)


def register(subparsers: Subparsers) -> None:
    ledger = group(subparsers, "ledger", "what was done, and proof that nobody changed it")
    show = leaf(ledger, "show", "show entries of a log, oldest first",
                operation("ledger.show", "log", "last", "after", "before"), fields=ENTRY_FIELDS,
                many=True, reasons=True)  # fmt: skip
    show.add_argument("log", nargs="?", choices=("access", "consent", "erasure"), default="access")
    show.add_argument("--last", type=int, metavar="N", help="so many (default 50, at most 1000)")
    show.add_argument("--after", type=int, metavar="SEQ", help="those after this number, instead of the newest")
    show.add_argument("--before", type=int, metavar="SEQ", help="the last ones before this number")
    verify = leaf(ledger, "verify", "find any entry that was flipped, removed or moved", _verify, fields=VERIFY_FIELDS)
    verify.add_argument("--anchor", action="append", metavar="LOG=ENTRIES:HEAD", default=[],
                        help="where a log stood earlier: it must still contain that")  # fmt: skip
    receipt = leaf(ledger, "receipt", "show and check a receipt of destruction", operation("ledger.receipt", "receipt"),
                   fields=RECEIPT_FIELDS)  # fmt: skip
    receipt.add_argument("receipt", metavar="ID", help="as ledger show erasure names it (receipt_id)")
    leaf(ledger, "statistics", "count who opened, exported and searched how often, by week", _statistics,
         fields=STATISTICS_FIELDS,
         details="Of the newest 13 weeks. Unusual: more than three times the own median week was read.")  # fmt: skip

    vault = group(subparsers, "vault", "sealed recordings on disk")
    check = leaf(vault, "check", "do files, keys and records agree?", _check, fields=VAULT_FIELDS)
    check.add_argument("--contents", action="store_true", help="read every file as well")

    bans = group(subparsers, "ban", "sources that are not listened to for now")
    leaf(bans, "list", "list bans", operation("ban.list"), fields=BAN_FIELDS, many=True)
    lift = leaf(bans, "lift", "listen to a source again", operation("ban.lift", "source"), fields=BAN_FIELDS)
    lift.add_argument("source", help="as ban list shows it")


def _verify(args: argparse.Namespace) -> int:
    anchors = {}
    for text in args.anchor:
        log, equals, head = text.partition("=")
        if not equals:
            raise misuse(f"--anchor {text}", "Write it as LOG=ENTRIES:HEAD")
        anchors[log] = head
    said = ask(asking(args), "ledger.verify", anchors=anchors)
    if args.json:
        print_json(said)
        return 0 if said["sound"] else 1
    for found in said["findings"]:
        out(f"{found['fault']}: {found['log']} log, day {found['day'] or '?'}, entry {found['seq'] or '?'}")
    for head in said["heads"]:
        out(f"{head['log']:<8} {head['entries']:>8} entries  {head['head']}")
    for one in said["pruned"]:
        intact = "heads intact" if said["sound"] else "see above"
        out(f"{one['log']:<8} pruned to {one['last_day']}: {one['entries']} entries of {one['days']} days, {intact}")
    out("sound" if said["sound"] else "NOT sound: keep this directory as it is, and compare with a backup")
    return 0 if said["sound"] else 1


def _statistics(args: argparse.Namespace) -> int:
    said = ask(asking(args), "ledger.statistics")
    if args.json:
        print_json(said)
        return 0
    out(table(WEEK_FIELDS, said["weeks"]))
    out("")
    out(table(PERSON_FIELDS, said["people"]))
    for one in said["purposes"]:
        out(f"{one['purpose'] or 'no purpose'}: {one['opened']} opened, {one['exported']} exported")
    for one in said["refusals"]:
        out(f"refused, {one['right'] or 'another cause'}: {one['refused']}")
    if not said["whole"]:
        out(f"the log is still being counted: back to {said['since']}")
    return 0


def _check(args: argparse.Namespace) -> int:
    said = ask(asking(args), "vault.check", contents=args.contents)
    if args.json:
        print_json(said)
        return 0 if said["sound"] else 1
    out(f"{said['recordings']} recordings, {said['bytes']} bytes, {said['running']} in progress")
    for field in VAULT_FIELDS[3:8]:
        for name in said[field.name]:
            out(f"{field.name.replace('_', ' ')}: {name}")
    out("sound" if said["sound"] else "NOT sound")
    return 0 if said["sound"] else 1
