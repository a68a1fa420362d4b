"""retention erase: what is kept of one number, and what becomes of it when the person asks to be forgotten."""

from __future__ import annotations

import argparse

from server.client import ask
from server.commands.base import Field, Subparsers, asking, leaf, minutes, out, print_json, short, table

FIELDS = (
    Field("id", "opaque id", "ID", short),
    Field(
        "kind",
        "recording, call_record, diagnosis, contact_consent, contact_reference, contact_attempt, suppression, "
        "text_sent, text_received, conversation, campaign_recipient (a place on a list), text_request",
        "KIND",
    ),
    Field("pack", "what it is kept under, with its version"),
    Field("answer", "erase, keep, decide (somebody has to), wait (it is in use: ask again)", "ANSWER"),
    Field("article", "of the GDPR", "ARTICLE"),
    Field("rule", "why", "WHY"),
    Field("expires_at", "when it goes by itself"),
    Field("gone", "whether it is gone now"),
)
PROOF_FIELDS = (
    Field("kind", "of what", "KIND"),
    Field("count", "how many things", "COUNT"),
    Field("receipt", "id: beffroi ledger receipt ID", "RECEIPT"),
    Field("live_erased_at", "when they were gone from this server", "GONE"),
    Field("backup_effective_at", "when no backup of a key is left either", "BACKUPS"),
)
ANSWER_FIELDS = (
    Field("done", "whether it was carried out; of a dry run: no"),
    Field("erased", "how many things go, or are gone"),
    Field("kept", "how many are kept, and the article says why"),
    Field("to_decide", "how many somebody has to decide"),
    Field("waiting", "how many are in use just now"),
    Field("items", f"each of them: {', '.join(field.name for field in FIELDS)}"),
    Field("receipts", f"one for each recording, else for each kind: {', '.join(f.name for f in PROOF_FIELDS)}"),
)

DESTROYED_FIELDS = (
    Field("seq", "of the entry in the erasure log", "SEQ"),
    Field("at", "when it was gone", "AT", minutes),
    Field("cause", "objection (in the call), withdrawal (of a consent), request (GDPR Art. 17)", "BECAUSE OF"),
    Field("kind", "what", "WHAT"),
    Field("count", "how many", "COUNT"),
    Field("recording", "its id, where it was one recording"),
    Field("receipt", "id: beffroi ledger receipt ID", "RECEIPT", short),
)
OBJECTIONS_FIELDS = (
    Field("destroyed", f"the newest first: {', '.join(field.name for field in DESTROYED_FIELDS)}"),
    Field("older", "give it to --before to see what comes before; none where that was all"),
)


def register(retention: Subparsers) -> None:
    """Within the group of `retention`."""
    erase = leaf(retention, "erase", "answer a request to be forgotten: what is kept of one number", _erase,
                 fields=ANSWER_FIELDS,
                 details="Each thing is decided by the pack that it is kept under (GDPR Art. 17). What goes passes the "
                 "deletion gate, with receipts; evidence and objections are kept, and said; what somebody has to "
                 "decide is left: a recording for recordings destroy. Begin with a dry run.")  # fmt: skip
    erase.add_argument("number", metavar="NUMBER", help="of the person who asks")
    erase.add_argument("--reason", required=True, metavar="TEXT", help="why; is written down")
    erase.add_argument("--case", required=True, metavar="TEXT", help="the request's own; is written down")
    weighed = "it was weighed: nothing overrides it for records of class standard (Art. 17(1)(c))"
    erase.add_argument("--no-overriding-ground", action="store_true", help=weighed)
    erase.add_argument("--dry-run", action="store_true", help="say what would become of each, and touch nothing")

    said = leaf(retention, "objections", "list what was destroyed because somebody said no, with receipts", _objections,
                fields=OBJECTIONS_FIELDS,
                details="Objections in calls, withdrawn consents, requests to be forgotten: by the erasure log. At "
                "most 20000 of its entries are looked at, at once.")  # fmt: skip
    said.add_argument("--last", type=int, metavar="N", help="at most so many (default 50)")
    said.add_argument("--before", type=int, metavar="SEQ", help="those before this entry of the log")


def _objections(args: argparse.Namespace) -> int:
    given = {name: getattr(args, name) for name in ("last", "before") if getattr(args, name) is not None}
    said = ask(asking(args), "retention.objections", **given)
    if args.json:
        print_json(said)
        return 0
    out(table(DESTROYED_FIELDS, said["destroyed"]))
    if said["older"] is not None:
        out(f"there may be more: --before {said['older']}")
    return 0


def _erase(args: argparse.Namespace) -> int:
    said = ask(asking(args), "retention.erase", number=args.number, dry_run=args.dry_run,
               no_overriding_ground=args.no_overriding_ground)  # fmt: skip
    if args.json:
        print_json(said)
        return 0
    if said["items"]:
        out(table(FIELDS, said["items"]))
    for rule in dict.fromkeys(f"{one['kind']}: {one['rule']} (GDPR {one['article']})" for one in said["items"]):
        out(f"  {rule}")
    if said["receipts"]:
        out(table(PROOF_FIELDS, said["receipts"]))
    goes = "gone" if said["done"] else "would go"
    out(f"{said['erased']} {goes}, {said['kept']} kept, {said['to_decide']} to decide, {said['waiting']} in use")
    return 0
