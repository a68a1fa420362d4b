"""`beffroi`: the command line. Misuse ends with 2, failure with 1 and one line on standard error, success with 0."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from server.commands import (
    accounts,
    alerts,
    calls,
    campaigns,
    contacts,
    emergency,
    going_out,
    holds,
    inboxes,
    keys,
    ledger,
    limits,
    lines,
    mail,
    numbers,
    people,
    policies,
    prompts,
    recordings,
    retention,
    roles,
    sign_in,
    system,
    texts,
    trunks,
)
from server.commands.base import Parser, common, tell
from server.failure import Failure

_EPILOG = "Type beffroi COMMAND --help for what a command takes and what its answers hold."


def default_data() -> Path:
    """$BEFFROI_DATA, else var/ of a clone, else where the units keep it."""
    given = os.environ.get("BEFFROI_DATA")
    if given:
        return Path(given)
    clone = Path(__file__).resolve().parent.parent
    return clone / "var" if (clone / "scripts" / "run").exists() else Path("/var/lib/beffroi")


def parser() -> argparse.ArgumentParser:
    """Everything that can be typed."""
    top = Parser(prog="beffroi", description="A self-hosted communications server.", epilog=_EPILOG)
    common(top)
    top.add_argument("--version", action="store_true", help="print the version")
    subparsers = top.add_subparsers(metavar="COMMAND", dest="command")
    for subject in (
        system,
        people,
        roles,
        sign_in,
        accounts,
        mail,
        texts,
        inboxes,
        campaigns,
        lines,
        trunks,
        numbers,
        limits,
        contacts,
        emergency,
        calls,
        policies,
        prompts,
        recordings,
        keys,
        retention,
        holds,
        alerts,
        going_out,
        ledger,
    ):
        subject.register(subparsers)
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the exit status."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    top = parser()
    args = top.parse_args(argv)
    if args.version:
        return _version()
    if args.command is None:
        top.print_help(sys.stderr)
        return 2
    args.data = (args.data if hasattr(args, "data") else default_data()).absolute()
    status = _run(args)
    try:
        sys.stdout.flush()
    except OSError:
        # Nobody can read our output any more. The interpreter must not try again: its failure would be our status.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return status or 1
    return status


def _run(args: argparse.Namespace) -> int:
    verbose = getattr(args, "verbose", False)
    try:
        return int(args.handler(args))
    except Failure as failure:
        if verbose:
            raise
        tell(f"beffroi: {failure}")
        return _status(failure, args.command)
    except KeyboardInterrupt:
        tell("beffroi: interrupted")
        return 130
    except BrokenPipeError:
        return 1
    except Exception as error:  # process boundary: a person gets one line, --verbose gives the traceback
        if verbose:
            raise
        tell(f"beffroi: {type(error).__name__}: {error}. Type it again with --verbose, and report what it shows.")
        return 1


def _status(failure: Failure, command: str) -> int:
    if failure.code == "misuse":
        return 2
    # sysexits.h: EX_CONFIG. Whoever restarts what runs for long must not try this again and again.
    return 78 if failure.code == "configuration" and command in ("serve", "edge") else 1


def _version() -> int:
    from importlib.metadata import version

    sys.stdout.write(f"beffroi {version('beffroi')}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
