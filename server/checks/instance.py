"""One instance: its configuration, files, ports, certificate, database, prompts and recorder."""

from __future__ import annotations

import os
import shutil
import socket
import stat
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from config import contact_rules
from config import settings as configuration
from config.addresses import Endpoint
from config.paths import Paths
from config.settings import ConfigError, Settings
from server import tls
from server.checks import outside
from server.checks.finding import Finding, note, ok, wrong
from server.client import Asking, ask, connected
from server.control_socket import MAX_PATH_BYTES
from server.edge_plan import edge_run_dir
from server.failure import Failure
from server.services.context import load_keys
from storage.errors import StorageError

_QUICKSTART = "Type: beffroi quickstart"


def examine(data: Path) -> Iterator[Finding]:
    paths = Paths(data)
    if not paths.config.exists():
        yield wrong("set-up", f"{data} is not set up", f"{_QUICKSTART}, or name another directory with --data")
        return
    try:
        settings = configuration.load(paths.config)
    except ConfigError as error:
        for problem in error.problems:
            yield wrong("configuration", f"{problem.key} {problem.message}", problem.remedy)
        return
    yield ok("configuration", "sound")
    running = is_running(data)
    yield ok("daemon", "runs") if running else note("daemon", "does not run", "Type: beffroi serve")
    yield _paths(paths)
    yield _permissions(paths)
    yield _space(paths, settings)
    yield _keys(paths, settings)
    yield from _certificate(paths, settings)
    yield from _ports(settings, running=running, edge=running or _listens(edge_run_dir(paths) / "rpc.sock"))
    yield from _database(data, running=running)
    if running:
        yield from _retention(data)
    yield from outside.examine(data, settings)
    yield _prompts(paths)
    yield _encoder(settings)


def is_running(data: Path) -> bool:
    """Whether a daemon answers there."""
    try:
        with connected(data) as connection:
            return connection is not None
    except Failure:
        return False


def _listens(path: Path) -> bool:
    """Whether somebody reads from this datagram socket: a file alone may be left over from a crash."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            return False
    return True


def _paths(paths: Paths) -> Finding:
    if len(os.fsencode(paths.control_socket)) > MAX_PATH_BYTES:
        return wrong("paths", "the data directory's path is too long for a socket", "Use a shorter one")
    return ok("paths", str(paths.data))


def _permissions(paths: Paths) -> Finding:
    """Nothing of an instance is for others; names first, so that the remedy can name them."""
    places = [paths.data, paths.keys, paths.tls, paths.run, paths.vault, paths.config, paths.tls_key]
    places += [*paths.keys.glob("*"), *paths.data.glob("beffroi.sqlite3*")]
    loose = [place for place in places if place.exists() and stat.S_IMODE(place.stat().st_mode) & 0o077]
    if loose:
        names = " ".join(str(place) for place in loose)
        return wrong("permissions", f"others may look into {names}", f"Type: chmod go= {names}")
    strange = [place for place in places if place.exists() and not os.access(place, os.R_OK)]
    if strange:
        return wrong("permissions", f"{strange[0]} cannot be read", "Run this as the user of the service, or as root")
    return ok("permissions", "keys, database and recordings are for the owner only")


def _space(paths: Paths, settings: Settings) -> Finding:
    free_mb = shutil.disk_usage(paths.vault if paths.vault.exists() else paths.data).free // 1_000_000
    needed_mb = settings.recording.min_free_mb
    if free_mb < needed_mb:
        return wrong("disk", f"{free_mb} MB free; below {needed_mb} MB nothing is recorded",
                     "Make room, or lower recording.min_free_mb")  # fmt: skip
    if free_mb < 4 * needed_mb:
        return note("disk", f"{free_mb} MB free", f"Make room: below {needed_mb} MB nothing is recorded")
    return ok("disk", f"{free_mb} MB free")


def _keys(paths: Paths, settings: Settings) -> Finding:
    try:
        load_keys(paths, settings)
    except Failure as failure:
        return wrong("keys", failure.what, failure.remedy)
    except StorageError as error:
        return wrong("keys", f"{paths.field_key}: {error}", "Put it back from a backup")
    return ok("keys", "readable and whole")


def _certificate(paths: Paths, settings: Settings) -> Iterator[Finding]:
    if not settings.sip.tls_listen:
        return
    try:
        pair = tls.Pair(paths.tls_certificate.read_bytes(), paths.tls_key.read_bytes())
        left = tls.expires_at(pair.certificate) - datetime.now(UTC)
        names = tls.names_of(pair.certificate)
        if paths.tls_ca.exists() and not tls.belongs_to(pair, paths.tls_ca.read_bytes()):
            yield wrong("certificate", "certificate, key and authority do not belong together",
                        f"Put them back from one backup, or remove them: {_QUICKSTART}")  # fmt: skip
            return
    except OSError as error:
        yield wrong("certificate", f"{error.filename}: {error.strerror}", f"{_QUICKSTART}; it makes what is missing")
        return
    except ValueError:
        yield wrong("certificate", f"{paths.tls_certificate} is damaged", f"Remove it. {_QUICKSTART}")
        return
    missing = {settings.sip.domain.strip("[]"), settings.media.address} - set(names)
    if left.days < 0:
        yield wrong("certificate", "has expired: phones refuse it", f"{_QUICKSTART}, then restart the edge")
    elif missing:
        yield wrong("certificate", f"lacks {', '.join(sorted(missing))}: phones that check names refuse it",
                    f"{_QUICKSTART}, then restart the edge")  # fmt: skip
    elif left < tls.RENEW_BEFORE:
        yield note("certificate", f"expires in {left.days} days", f"{_QUICKSTART}, then restart the edge")
    else:
        yield ok("certificate", f"good for {left.days} days")


def _ports(settings: Settings, *, running: bool, edge: bool) -> Iterator[Finding]:
    """Free, or taken by ourselves."""
    sip = settings.sip
    wanted = [("sip.tls_listen", text, socket.SOCK_STREAM, edge) for text in sip.tls_listen]
    wanted += [("sip.tcp_listen", text, socket.SOCK_STREAM, edge) for text in sip.tcp_listen]
    wanted += [("sip.udp_listen", text, socket.SOCK_DGRAM, edge) for text in sip.udp_listen]
    wanted += [
        ("sip.worker_port", f"127.0.0.1:{sip.worker_port}", socket.SOCK_DGRAM, edge),
        ("sip.control_port", f"127.0.0.1:{sip.control_port}", socket.SOCK_STREAM, edge),
        ("http.listen", settings.http.listen, socket.SOCK_STREAM, running),
    ]
    if settings.web.listen:
        wanted.append(("web.listen", settings.web.listen, socket.SOCK_STREAM, running))
    clear = True
    for key, text, kind, ours in wanted:
        problem = _bind_problem(Endpoint.parse(text), kind)
        if problem and not ours:
            clear = False
            yield wrong("ports", f"{key} {text}: {problem}",
                        f"Stop what has it (ss -lnp), or change {key}")  # fmt: skip
    if clear:
        yield ok("ports", "free, or ours")


def _bind_problem(endpoint: Endpoint, kind: socket.SocketKind) -> str:
    family = socket.AF_INET6 if endpoint.host.version == 6 else socket.AF_INET
    with socket.socket(family, kind) as probe:
        if kind == socket.SOCK_STREAM:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((str(endpoint.host), endpoint.port))
        except OSError as error:
            return os.strerror(error.errno or 0).lower()
    return ""


def _retention(data: Path) -> Iterator[Finding]:
    """What has expired goes, and holds are looked at again."""
    try:
        swept = ask(Asking(data), "retention.status")
        standing = ask(Asking(data), "hold.list")
    except Failure as failure:
        yield note("expiry", failure.what, failure.remedy)
        return
    if swept["ended_at"] is None:
        yield ok("expiry", "nothing was swept yet: that begins a minute after the start")
    elif swept["problem"]:
        yield wrong("expiry", swept["problem"], "Look: beffroi retention due. Sweep again: beffroi retention sweep")
    else:
        yield ok("expiry", f"last swept {swept['ended_at'][:16].replace('T', ' ')} UTC")
    overdue = sum(1 for one in standing if one["overdue"])
    if overdue:
        yield note("holds", f"{overdue} legal hold(s) should have been looked at again", "Type: beffroi hold list")


def _database(data: Path, *, running: bool) -> Iterator[Finding]:
    try:
        status: dict[str, Any] = ask(Asking(data), "status")
        lines: list[dict[str, Any]] = ask(Asking(data), "line.list")
    except Failure as failure:
        yield wrong("database", failure.what, failure.remedy)
        return
    yield ok("database", f"{status['accounts']} accounts, {status['devices']} phones")
    yield _policy(str(status["policy"]))
    if running and status["edge"] != "attached":
        yield wrong("edge", f"is {status['edge']}: phones cannot register", "Type: beffroi edge")
    if running and status["live"].get("recorder") in (False, "gone"):
        yield wrong("recorder", "does not run: nothing is recorded", "See the daemon's log")
    for line in lines:
        if line["warning"]:
            yield note("lines", f"{line['name']}: {line['warning']}", "Type: beffroi person grant, or line set")
    if any(line["canvassing"] for line in lines):
        yield from contact_rules_to_review(datetime.now(UTC).date())


def _policy(said: str) -> Finding:
    """What the company's policy is doing, as `status` says it."""
    if "altered" in said:
        return wrong("policy", said, "Type: beffroi policy verify")
    if "none in force" in said:
        return note("policy", "none is in force: each line's own settings hold, and nothing is sampled",
                    "Make one: beffroi policy draft --from-lines")  # fmt: skip
    if "not recorded" in said:
        return note("policy", said, "Type: beffroi policy needs, beffroi person list")
    return ok("policy", said)


def contact_rules_to_review(today: date) -> Iterator[Finding]:
    """Rules about canvassing that somebody should have looked at again by now."""
    for rule in contact_rules.load().rules:
        if rule.review_by is not None and rule.review_by < today:
            yield note(
                "canvassing law",
                f"rule {rule.id} was to be looked at again by {rule.review_by}",
                "Ask whoever answers for it whether it still holds: config/data/contact_rules.toml",
            )


def _prompts(paths: Paths) -> Finding:
    spoken = list(paths.prompts.glob("*.wav"))
    if not spoken:
        return note("prompts", "none spoken yet", "The daemon speaks them when it starts")
    broken = [path for path in spoken if path.stat().st_size <= 44]
    if broken:
        return wrong("prompts", f"{len(broken)} hold no sound", f"Type: rm {broken[0]}; the daemon speaks it anew")
    return ok("prompts", f"{len(spoken)} spoken")


def _encoder(settings: Settings) -> Finding:
    try:
        from av.codec import Codec

        for name in ("libopus", "flac"):
            Codec(name, "w")
    except (ImportError, ValueError) as error:
        return wrong("encoder", f"recordings cannot be encoded ({error})", "Type: scripts/run --install-only")
    return ok("encoder", f"Opus at {settings.recording.bitrate_bps} b/s, FLAC")
