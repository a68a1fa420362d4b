"""retention: what goes when, and the sweep that makes it go."""

from __future__ import annotations

import argparse

from server.client import ask
from server.commands import number_requests
from server.commands import register as register_command
from server.commands.base import (
    Field,
    Subparsers,
    answer,
    asking,
    group,
    leaf,
    minutes,
    operation,
    out,
    print_json,
    short,
    words,
)

FIELDS = (
    Field("id", "opaque id; of a sum: owner and day; of a key: its month", "ID", short),
    Field(
        "kind",
        "recording, call_record, diagnosis, usage, emergency_call, contact_consent, contact_reference, contact_attempt,"
        " text_words (of a text that was sent), text_sent, text_received, text_copy (for phones), text_request,"
        " conversation, campaign, mail_order (who is told when a text ordered by mail fails), text_key,"
        " access_day, consent_day, erasure_day (of the ledger), hold (a lifted one), kek (a week's key), alert;"
        " call_field: a call record of which fields become coarser; month_key: a key of a month's hashes;"
        " index_key: a key by which numbers were found, until it was replaced; recording_note;"
        " listening_request: one that was used, refused, or not decided in time",
        "KIND",
    ),
    Field("pack", "what it is kept under, with its version", "PACK"),
    Field("expires_at", "since when it is due", "SINCE", minutes),
    Field("goes", "whether the next sweep destroys it", "GOES"),
    Field("rule", "why, or what stands against it", "RULE"),
)
DAY_FIELDS = (
    Field("day", "day, UTC", "DAY"),
    Field("recording", "recordings that expire", "RECORDINGS"),
    Field("call_record", "call records", "CALLS"),
    Field("diagnosis", "how calls went (calls why)", "DIAGNOSES"),
    Field("usage", "sums of use of an account or trunk", "SUMS"),
    Field("emergency_call", "entries of the list of emergency calls", "EMERGENCIES"),
    Field("contact_consent", "proofs of consent to be contacted"),
    Field("contact_reference", "contracts that stood in for consent"),
    Field("contact_attempt", "attempts of canvassing lines"),
    Field("recording_note", "notes on recordings"),
    Field("listening_request", "requests to listen that are over"),
    Field("text_words", "words of texts that were sent; the rest stays longer", "WORDS"),
    Field("text_sent", "texts that were sent"),
    Field("text_received", "texts that came in", "TEXTS IN"),
    Field("text_copy", "copies that wait for phones"),
    Field("text_request", "requests that texts made"),
    Field("conversation", "conversations by text"),
    Field("campaign", "campaigns"),
    Field("mail_order", "orders of texts by mail, and whom to tell when they fail"),
    Field("text_key", "keys of texts that were sent, of which no words are left"),
    Field("access_day", "days of the access log, with the typed reasons"),
    Field("consent_day", "days of the consent log"),
    Field("erasure_day", "days of the erasure log, with the receipts"),
    Field("hold", "legal holds that were lifted long ago"),
    Field("kek", "week keys that nothing needs any more"),
    Field("alert", "alerts"),
    Field("call_field", "call records of which a field becomes coarser, by their next step", "FIELDS"),
    Field("month_key", "keys of months that go"),
    Field("index_key", "keys of the index of numbers that were replaced and go"),
)
SWEEP_FIELDS = (
    Field("began_at", "when the last sweep began"),
    Field("ended_at", "when it ended"),
    Field("due", "how many of each kind were due"),
    Field("destroyed", "how many are gone, with a receipt"),
    Field("held", "how many stay: a legal hold, a minimum period, somebody who listens just now"),
    Field("left", "how many are not gone in spite of all; they are tried again"),
    Field("problem", "what does not add up, or why nothing was deleted; empty where all is well"),
    Field("unfinished", "items of which the destruction was begun and not finished"),
    Field("holds", "legal holds that stand"),
    Field("holds_to_review", "those of them whose day of review is past: beffroi hold list"),
    Field("orphans", "how many of each kind the last look found: beffroi retention orphans --last"),
    Field("orphans_looked_at", "when that look ended"),
)
ORPHAN_FIELDS = (
    Field("id", "opaque id; its beginning is enough to name it", "ID", short),
    Field("kind", "what is wrong, in one word", "KIND"),
    Field(
        "item",
        "where: an id, a table with an id, a day of a log, or a file; what may be called after somebody is shown "
        "with --reason only",
        "WHERE",
        short,
    ),
    Field("what", "what is wrong, in words"),
    Field("remedy", "what to do"),
    Field("removable", "whether --remove takes it away", "REMOVABLE"),
    Field("first_seen_at", "when a look found it first", "SINCE", minutes),
)
MAP_FIELDS = (
    Field("what", "what it is", "WHAT"),
    Field("kind", "table or file"),
    Field("where", "name of the table, or pattern of paths", "WHERE"),
    Field("place", "exactly where: database and table, or directory and pattern"),
    Field("subject", "whom it is about; empty: nobody", "ABOUT"),
    Field("purpose", "for what it is kept: a pack, or in words", "PURPOSE"),
    Field("basis", "article of the GDPR; empty where each row says its own", "BASIS"),
    Field("expiry", "where its end stands: a column, a period, an event", "UNTIL"),
    Field("erased_by", "which kind of the deletion gate takes it away", "BY", words),
    Field("unless", "why nothing takes it away"),
    Field("columns", "of a table: each column, and whether it is a name, sealed, a digest, an id, a fact or a time"),
    Field("rows", "of a table: how many there are now"),
)


def register(subparsers: Subparsers) -> None:
    retention = group(subparsers, "retention", "what is deleted when")
    listed = leaf(retention, "due", "list what is due for deletion, and why something of it stays",
                  operation("retention.due", "limit"), fields=FIELDS, many=True,
                  details="Changes nothing: what a sweep would find now.")  # fmt: skip
    listed.add_argument("--limit", type=int, metavar="N", help="at most so many of each kind (default 100)")
    ahead = leaf(retention, "forecast", "count what expires on each of the coming days",
                 operation("retention.forecast", "days"), fields=DAY_FIELDS, many=True,
                 details="What is overdue counts for today; legal holds are not looked at.")  # fmt: skip
    ahead.add_argument("--days", type=int, metavar="N", help="how far to look (default 30)")
    swept = leaf(retention, "sweep", "delete now what is due", _sweep, fields=SWEEP_FIELDS,
                 details="The daemon does it by itself, every quarter of an hour.")  # fmt: skip
    swept.add_argument("--clock-is-right", action="store_true",
                       help="you have looked at this server's clock: the sweep may trust it again")  # fmt: skip
    mapped = leaf(retention, "map", "say what is kept where, of whom, for what and until when: the data map", _map,
                  fields=MAP_FIELDS, many=True)  # fmt: skip
    mapped.add_argument("--all", action="store_true", help="also what is about nobody")
    found = leaf(retention, "orphans", "compare rows and files: list what has no owner or expiry", _orphans,
                 fields=ORPHAN_FIELDS, many=True, reasons=True,
                 details="Removes nothing. Ends with 1 where there are any. The daemon looks every night.")  # fmt: skip
    found.add_argument("--last", action="store_true", help="what the last look found, without another")
    found.add_argument("--remove", metavar="ID", help="take one away through the deletion gate; needs --reason")
    number_requests.register(retention)
    register_command.register(retention)
    leaf(retention, "status", "say how the last sweep went", operation("retention.status"), fields=SWEEP_FIELDS)


def _map(args: argparse.Namespace) -> int:
    said = ask(asking(args), "retention.map")
    if args.json:
        print_json(said)
        return 0
    for one in said:
        if not one["subject"] and not args.all:
            continue
        count = "" if one["rows"] is None else f" ({one['rows']} rows)"
        out(f"{one['place']}{count}\n  {one['what']}")
        if one["subject"]:
            ends = f"erased as: {words(one['erased_by'])}" if one["erased_by"] else f"not erased: {one['unless']}"
            basis = one["basis"] or "as each row says"
            until = one["expiry"].removeprefix("until ")
            out(f"  about {one['subject']}; for {one['purpose']}; by {basis}\n  until {until}; {ends}")
    return 0


def _orphans(args: argparse.Namespace) -> int:
    if args.remove is not None:
        said = ask(asking(args), "retention.orphan-remove", orphan=args.remove)
        print_json([said]) if args.json else out(f"gone, with a receipt: {said['what']}")
        return 0
    said = ask(asking(args), "retention.orphans", last=args.last)
    if args.json:
        print_json(said)
        return 1 if said else 0
    for kind in dict.fromkeys(one["kind"] for one in said):
        some = [one for one in said if one["kind"] == kind]
        out(f"{kind}: {some[0]['what']}. {some[0]['remedy']}")
        for one in some:
            out(f"  {short(one['id'])}  {one['item']}  since {minutes(one['first_seen_at'])}")
    out("no orphans" if not said else f"{len(said)} orphans: nothing was removed")
    return 1 if said else 0


def _sweep(args: argparse.Namespace) -> int:
    said = ask(asking(args), "retention.sweep", clock_is_right=args.clock_is_right)
    answer(args, said)
    return 1 if said["problem"] else 0
