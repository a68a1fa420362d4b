"""retention: what goes when, and the sweep that makes it go."""

from __future__ import annotations

import argparse

from server.client import ask
from server.commands.base import Field, Subparsers, answer, asking, group, leaf, minutes, operation, short

FIELDS = (
    Field("id", "opaque id; of a sum: owner and day", "ID", short),
    Field(
        "kind",
        "recording, call_record, diagnosis, usage, emergency_call, contact_consent, contact_reference, contact_attempt",
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
    leaf(retention, "status", "say how the last sweep went", operation("retention.status"), fields=SWEEP_FIELDS)


def _sweep(args: argparse.Namespace) -> int:
    said = ask(asking(args), "retention.sweep", clock_is_right=args.clock_is_right)
    answer(args, said)
    return 1 if said["problem"] else 0
