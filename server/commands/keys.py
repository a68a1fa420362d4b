"""keys: by which numbers are found."""

from __future__ import annotations

from server.commands.base import Field, Subparsers, group, leaf, minutes, operation

FIELDS = (
    Field("line", "number: calls, recordings, own numbers, consents; suppression: whom not to contact; month: hashes "
          "of calls whose numbers have aged", "LINE"),
    Field("version", "version, or the month; field.key: made before there were keys of this kind", "VERSION"),
    Field("state", "current: in use (of a month: until it goes); replaced: goes once nothing is left", "STATE"),
    Field("created_at", "since when", "SINCE", minutes),
    Field("goes_at", "when the key of a month goes at the latest, but for legal holds", "GOES", minutes),
    Field("left", "how many entries are found by it", "LEFT"),
    Field("places", "in which tables"),
)  # fmt: skip


def register(subparsers: Subparsers) -> None:
    keys = group(subparsers, "keys", "keys by which numbers are found")
    leaf(keys, "list", "list the keys of the index, and what is left under those that were replaced",
         operation("keys.list"), fields=FIELDS, many=True)  # fmt: skip
    rotate = leaf(keys, "rotate", "put a new key in place of the newest, while everything runs",
                  operation("keys.rotate", "line"), fields=FIELDS, many=True,
                  details="What is written from now on is under the new key. Numbers go over little by little, and are "
                  "found all the while; the old key goes with the sweep when none is left, with a receipt. "
                  "Attempts of canvassing lines keep theirs for 31 days; suppressions hold no number, and stay.",
                  )  # fmt: skip
    rotate.add_argument("line", choices=("number", "suppression"), help="which")
