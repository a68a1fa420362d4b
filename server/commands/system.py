"""The instance as a whole: set-up, running, checking, how it is."""

from __future__ import annotations

import argparse
import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from server.commands.base import Field, Subparsers, leaf, operation, out, print_json, words
from server.failure import Failure

STATUS_FIELDS = (
    Field("running", "whether the daemon runs"),
    Field("edge", "attached, away, silent, or unknown without the daemon"),
    Field("accounts", "accounts that are not disabled"),
    Field("devices", "phones that are not revoked"),
    Field("registered", "phones that are registered now; null: not known"),
    Field("recordings", "how many in each state"),
    Field("policy", "which version of the company's policy is in force"),
    Field("alerts", "how many are open, by severity: beffroi alert list"),
    Field("live", "calls, workers and recorder of the running daemon"),
)
RELOAD_FIELDS = (
    Field("applied", "keys that changed and are in use now", show=words),
    Field("need_restart", "keys that changed and take effect at the next start", show=words),
)
CHECK_FIELDS = (
    Field("sound", "whether the configuration can be used"),
    Field("problems", "all mistakes: key, value, message, remedy"),
)
DOCTOR_FIELDS = (
    Field("check", "what was looked at", "CHECK"),
    Field("verdict", "ok, note (it works), or wrong", "VERDICT"),
    Field("what", "what was found", "WHAT"),
    Field("remedy", "what to do about it"),
)
WELCOME_FIELDS = (Field("text", "the text"),)


def register(subparsers: Subparsers) -> None:
    first = leaf(subparsers, "quickstart", "set up a working instance; a second run changes nothing", _quickstart,
                 details="Options count at the first run only.")  # fmt: skip
    first.add_argument("--address", metavar="IP", help="address that phones reach this machine by")
    first.add_argument("--port-base", type=int, metavar="N", help="take all ports from N upwards")
    first.add_argument("--rtp", type=_range, metavar="FIRST-LAST", help="UDP ports for audio")
    first.add_argument("--domain", metavar="NAME", help="SIP domain (default: the address)")
    first.add_argument("--company", metavar="NAME", help="company named in every question to a caller")
    first.add_argument("--qr", action=argparse.BooleanOptionalAction, help="show QR codes (default: on a terminal)")
    first.add_argument("--secrets-fd", type=int, metavar="N", help="write the secrets as JSON to descriptor N instead")
    leaf(subparsers, "serve", "run the daemon in the foreground", _serve)
    leaf(subparsers, "edge", "run the edge (Kamailio) in the foreground", _edge)
    leaf(subparsers, "check", "check the configuration as a whole", _check, fields=CHECK_FIELDS)
    leaf(subparsers, "doctor", "say what is wrong on this machine, and what to do", _doctor, fields=DOCTOR_FIELDS,
         many=True)  # fmt: skip
    leaf(subparsers, "sample-config", "print an annotated configuration", _sample)
    leaf(subparsers, "status", "how the instance is", operation("status"), fields=STATUS_FIELDS)
    leaf(subparsers, "reload", "use a changed configuration, without dropping calls", operation("reload"),
         fields=RELOAD_FIELDS)  # fmt: skip
    leaf(subparsers, "welcome", "what listens where, what to type into a softphone, what to dial", _welcome)


def _range(text: str) -> tuple[int, int]:
    first, _, last = text.partition("-")
    try:
        return int(first), int(last)
    except ValueError:
        raise argparse.ArgumentTypeError("write it as FIRST-LAST, such as 20000-20999") from None


def _quickstart(args: argparse.Namespace) -> int:
    import asyncio

    from config.settings import Settings
    from server import quickstart, welcome
    from server.services.failures import told
    from server.shown_once import wants_qr

    def show(settings: Settings, first: quickstart.FirstSecrets) -> None:
        if args.secrets_fd is not None:
            quickstart.write_secrets(args.secrets_fd, settings, first)
            return
        out(welcome.secrets_text(settings, first, with_qr=wants_qr(sys.stdout, args.qr)))
        sys.stdout.flush()

    wishes = quickstart.Wishes(args.address, args.port_base, args.rtp, args.domain, args.company)
    with told():
        outcome = asyncio.run(quickstart.quickstart(args.data, wishes, show))
    out(welcome.text(outcome.settings, args.data))
    if not outcome.done:
        out("Set up already; nothing was changed.")
    return 0


def _serve(args: argparse.Namespace) -> int:
    import asyncio

    with _loading():
        from server import daemon
        from server.services.failures import told

    with told():
        _logging(args)
        asyncio.run(daemon.serve(args.data))
    return 0


def _edge(args: argparse.Namespace) -> int:
    import asyncio

    with _loading():
        from server import edge_process
        from server.services.failures import told

    with told():
        _logging(args)
        asyncio.run(edge_process.run(args.data))
    return 0


@contextmanager
def _loading() -> Iterator[None]:
    """Modules stay for as long as the process: to look for rubbish among them takes a tenth of a start, and a long
    pause now and then afterwards."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def _logging(args: argparse.Namespace) -> None:
    from config import logs, settings
    from config.paths import Paths

    place = Paths(args.data).config
    if place.exists():
        log = settings.load(place).log
        logs.set_up(log.level, log.format)


def _check(args: argparse.Namespace) -> int:
    from config import settings
    from config.paths import Paths

    problems: list[dict[str, Any]] = []
    try:
        settings.load(Paths(args.data).config)
    except settings.ConfigError as error:
        problems = [{"key": p.key, "value": p.value, "message": p.message, "remedy": p.remedy} for p in error.problems]
        if not args.json:
            raise _config_failure(error) from None
    if args.json:
        print_json({"sound": not problems, "problems": problems})
    else:
        out("the configuration is sound")
    return 1 if problems else 0


def _config_failure(error: Any) -> Failure:
    from server.services.failures import from_config

    return from_config(error)


def _doctor(args: argparse.Namespace) -> int:
    from server import doctor

    findings = doctor.examine(args.data)
    if args.json:
        print_json([finding.plain() for finding in findings])
    else:
        out(doctor.text(findings))
    return 1 if any(finding.verdict == "wrong" for finding in findings) else 0


def _sample(args: argparse.Namespace) -> int:
    from config import settings

    out(settings.sample())
    return 0


def _welcome(args: argparse.Namespace) -> int:
    from config import settings
    from config.paths import Paths
    from server import welcome
    from server.services.failures import told

    with told():
        out(welcome.text(settings.load(Paths(args.data).config), args.data))
    return 0
