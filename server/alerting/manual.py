"""docs/alerts.md, made from the shipped data: `python -m server.alerting.manual > docs/alerts.md`."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from config import alerts as alert_data
from config.alerts import Kind

_HEAD = """\
# Alerts

Made by `python -m server.alerting.manual > docs/alerts.md` from `config/data/alerts.toml`; a test compares the two.

    .venv/bin/beffroi alert list
    .venv/bin/beffroi alert show ID
    .venv/bin/beffroi alert ack ID --verdict misuse --note "spoken to"

One kind and what it is about are one alert with a count, however often it happens. It stays open until somebody gives
one of three verdicts: `false_alarm`, `real_danger`, `misuse`. When it happens again it is open again, and told again.
Six months after it happened last it goes through the deletion gate. `alert runbook KIND` says what to do, in French
with `--language fr`.

## Whom they reach

Nobody but whom `beffroi.toml` names in its section `[alerts]`; the service's own log always.

| way | keys | what is sent |
|---|---|---|
| log | none | one line |
| syslog | `alerts.syslog` | one message of RFC 5424, in clear: within the house |
| mail | `alerts.mail_*` | a mail without content, to the roles that the kind names; password: `keys/mail.password` |
| webhook | `alerts.webhook` | a POST of JSON, signed; secret: `keys/webhook.secret` |

Kind, severity, id, count, times, the machine's name and the kind's fixed words leave the machine; never whom it is
about, no number, no name. What was not taken is tried again, after 5 s at first, 10 minutes at most, for 72 hours. No
redirection is followed; a certificate that does not hold ends it (`alerts.ca_file` for a private authority). To see
that alerts arrive:

    .venv/bin/beffroi alert test

The secret of the webhook is made once, and told to the other side:

    (umask 077; openssl rand -hex 32 > var/keys/webhook.secret)

The header `Beffroi-Signature: t=TIME,v1=HEX` holds HMAC-SHA256, under the secret without its line end, of TIME, a dot
and the body. Refuse what differs, and what is older than a few minutes. An id may come twice.

## What raises them

Entries of the access log are read each second, whoever wrote them; the house is looked at every 5 s; the ledger is
verified 90 s after the start and every 6 hours. An alert is written before it is told, so a crash in between tells it
later. `database-silent` alone is told from memory. Thresholds are changed by `alerts.thresholds`; `alert rules` shows
those that hold. `alerts.clear_per_day` is the limit behind `numbers-refused`.
"""
_CONTAIN = """\
## Containment

    .venv/bin/beffroi person lock LOGIN --reason "alert"
    .venv/bin/beffroi calls hangup ID
    .venv/bin/beffroi trunk disable NAME --hang-up

`person lock` signs off every phone of the person, ends their calls, closes their listening rooms, and lets nothing be
opened in their name; `person unlock` gives back what the lock took, and no more. Locked phones still call emergency
services. No emergency call is ever ended, and cutting the last way for them is said.
"""


def markdown() -> str:
    """The whole page."""
    return "\n".join(
        [_HEAD, *_table(), _CONTAIN, "## Runbooks\n", *(_book(kind) for kind in alert_data.load().values())]
    )


def _table() -> Iterator[str]:
    yield "| kind | severity | told | when |"
    yield "|---|---|---|---|"
    for kind in alert_data.load().values():
        yield f"| [{kind.id}](#{kind.id}) | {kind.severity} | {', '.join(kind.tell)} | {_when(kind)} |"
    yield ""


def _when(kind: Kind) -> str:
    limits = kind.limits
    if "count" in limits:
        return f"{limits['count']} within {limits['within_min']} min"
    if "after_s" in limits:
        return f"after {limits['after_s']} s"
    if "days" in limits:
        return f"{limits['days']} days before"
    if "per_mille" in limits:
        return f"{limits['at_least']}, and {limits['per_mille']} to a thousand delivered"
    return f"below {limits['times']} times `recording.min_free_mb`" if "times" in limits else "at once"


def _book(kind: Kind) -> str:
    book = kind.runbook
    lines = [f"### {kind.id}", "", kind.says["en"], book.means["en"], ""]
    lines += [f"{number}. {step}" for number, step in enumerate(book.steps["en"], 1)]
    return "\n".join([*lines, "", *(f"    .venv/bin/{command}" for command in book.commands), ""])


if __name__ == "__main__":
    sys.stdout.write(markdown())
