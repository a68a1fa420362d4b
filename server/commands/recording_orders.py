"""recordings destroy, recordings event: what ends a recording before its time, or says from when that runs."""

from __future__ import annotations

import argparse
from datetime import date

from server.client import ask
from server.commands.base import Field, Subparsers, answer, asking, leaf, minutes, operation, short, words

FIELDS = (
    Field("id", "opaque id of the recording", "ID", short),
    Field("because", "the reason that was given: withdrawal, no-contract, order"),
    Field("pack", "what it was kept under, with its version"),
    Field("goes", "whether nothing stands against it"),
    Field("done", "whether it is gone; of a dry run: no"),
    Field("rule", "why, or what stands against it"),
    Field("remedy", "what to do where something does"),
    Field("also", "what goes with it", show=words),
    Field("receipt", "id of the signed receipt: beffroi ledger receipt ID"),
    Field("live_erased_at", "when it was gone from this server"),
    Field("backup_effective_at", "when no backup of its key is left either"),
)
EVENT_FIELDS = (
    Field("id", "opaque id of the recording", "ID", short),
    Field("event", "what happened"),
    Field("day", "on which day"),
    Field("corrected", "whether another day was entered before"),
    Field("expired_before", "when it would have been destroyed", show=minutes),
    Field("expires_at", "when it is destroyed now", show=minutes),
    Field("due", "whether that is past: then the next sweep destroys it"),
)
BECAUSE = ("withdrawal", "no-contract", "order")
EVENTS = ("contract_concluded", "contract_signed", "case_closed", "transferred_to_care_record")


def register(recordings: Subparsers) -> None:
    """Within the group of `recordings`."""
    destroy = leaf(recordings, "destroy", "destroy a recording before its time, through the deletion gate", _destroy,
                   fields=FIELDS,
                   details="A legal hold stops it, and a minimum period that the reason does not end; so does somebody "
                   "who listens to it just now. There is no way back. A dry run ends with 1 where something stands "
                   "against it.")  # fmt: skip
    destroy.add_argument("rec_id", metavar="ID", help="as recordings list shows it")
    destroy.add_argument("--because", required=True, choices=BECAUSE,
                         help="consent was withdrawn, no contract came about, or the controller orders it")  # fmt: skip
    destroy.add_argument("--dry-run", action="store_true", help="say what would go, and what stands against it")
    happened = leaf(recordings, "event", "enter the event from which the period of a recording runs", operation(
        "recordings.event", "rec_id", "event", "on", "correct"), fields=EVENT_FIELDS,
        details="Only the one that its pack names; until it is entered the recording goes when the provisional period "
        "is over. The period runs from the end of that day.")  # fmt: skip
    happened.add_argument("rec_id", metavar="ID", help="as recordings list shows it")
    happened.add_argument("event", choices=EVENTS)
    happened.add_argument("--on", required=True, type=_day, metavar="DAY", help="such as 2026-11-28")
    happened.add_argument("--correct", action="store_true", default=None, help="the day that was entered is wrong")
    for parser in (destroy, happened):
        parser.add_argument("--reason", required=True, metavar="TEXT", help="why; is written down")
        parser.add_argument("--case", metavar="TEXT", help="the case it belongs to; is written down")


def _destroy(args: argparse.Namespace) -> int:
    said = ask(asking(args), "recordings.destroy", rec_id=args.rec_id, because=args.because, dry_run=args.dry_run)
    answer(args, said)
    return 0 if said["goes"] else 1


def _day(text: str) -> str:
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError:
        raise argparse.ArgumentTypeError("write a day as 2026-11-28") from None
