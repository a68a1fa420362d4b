"""``beffroi edge``: the edge as a process of its own, which outlives the daemon."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
import os
import pwd
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

from config import settings as configuration
from config.paths import Paths
from server.edge_plan import RUN_DIR_PREFIX, edge_plan
from server.failure import Failure
from sip.edge.process import EdgeError, Identity, run_edge
from sip.edge.template import EdgePlan, PlanError

log = logging.getLogger(__name__)

_OWNER = "owner"
_locks: list[int] = []  # held until this process ends
UNPRIVILEGED = ("kamailio", "nobody")  # the first that exists; only when started by root


def identity() -> Identity | None:
    """Whom the edge becomes when root starts it; None when we are nobody special already. Raises Failure."""
    if os.geteuid() != 0:
        return None
    for name in UNPRIVILEGED:
        try:
            user = pwd.getpwnam(name)
        except KeyError:
            continue
        return Identity(user.pw_uid, user.pw_gid)
    raise Failure("there is no unprivileged user for the edge", "Create one: adduser --system --group kamailio")


async def run(data: Path, on_ready: Callable[[], None] = lambda: None) -> None:
    """Serve until SIGTERM or SIGINT. Raises Failure, ConfigError."""
    paths = Paths(data)
    if not paths.config.exists():
        raise Failure(f"{data} is not set up", "Type: beffroi quickstart, or name another directory with --data")
    paths.make()
    settings = configuration.load(paths.config)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    whoever = identity()
    try:
        plan = edge_plan(settings, paths)
        sweep(plan.run_dir)
        _prepare(plan, paths, whoever)
        try:
            await run_edge(plan, identity=whoever, stop=stop, on_ready=on_ready)
        finally:
            shutil.rmtree(plan.run_dir, ignore_errors=True)  # generated files, copies, sockets: made anew at each start
    except (EdgeError, PlanError) as error:
        raise Failure(f"the edge: {error}", "Type: beffroi doctor", "unavailable") from error


def sweep(own: Path) -> None:
    """Removes what edges have left behind that were killed: their directories hold a copy of a private key."""
    for directory in own.parent.glob(f"{RUN_DIR_PREFIX}*") if own.name.startswith(RUN_DIR_PREFIX) else ():
        try:
            descriptor = os.open(directory / _OWNER, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:
            continue
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:  # it lives
            continue
        finally:
            os.close(descriptor)
        if directory != own:
            log.info("what a killed edge has left behind is removed")
            shutil.rmtree(directory, ignore_errors=True)


def _own(directory: Path) -> None:
    """A lock for as long as this process lives: see sweep()."""
    descriptor = os.open(directory / _OWNER, os.O_RDONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with contextlib.suppress(OSError):
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    _locks.append(descriptor)


def _prepare(plan: EdgePlan, paths: Paths, whoever: Identity | None) -> None:
    """The edge's directory, with copies of certificates and key that it may read."""
    plan.run_dir.mkdir(mode=0o700, exist_ok=True)
    plan.run_dir.chmod(0o700)
    _own(plan.run_dir)
    copies = [(paths.tls_certificate, plan.tls_certificate), (paths.tls_key, plan.tls_key)]
    if plan.trunk_ca is not None:
        copies.append((paths.trunk_ca, plan.trunk_ca))
    for source, target in copies:
        if not source.exists():
            raise Failure(
                f"{source} is missing", "Put it back from a backup, or make a new one with: beffroi quickstart"
            )
        target.unlink(missing_ok=True)
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as copy, source.open("rb") as original:
            shutil.copyfileobj(original, copy)
            if whoever is not None:  # the file, not the name: the directory is theirs, and a name may become a link
                os.fchown(copy.fileno(), whoever.uid, whoever.gid)
    if whoever is not None:
        os.chown(plan.run_dir, whoever.uid, whoever.gid)
