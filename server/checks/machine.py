"""The machine: system, programs, clock, memory. Nothing here needs an instance to be set up."""

from __future__ import annotations

import ctypes
import importlib.util
import locale
import os
import platform
import re
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path

from server.checks.finding import Finding, note, ok, wrong

SYSTEMS = {("debian", "12"), ("ubuntu", "24.04")}
ROOMS = ("config", "recording", "retention", "server", "sip", "sms", "storage")
# import name -> what cannot be done without it
PACKAGES = {
    "pjsua2": "conversations (the media engine; its packages stop at CPython 3.12 on x86_64)",
    "av": "recordings",
    "py_nanotts": "spoken prompts",
    "cryptography": "anything sealed",
    "sqlalchemy": "the database",
    "aiosqlite": "the database",
    "aiohttp": "health and metrics",
}
_NOFILE_WANTED = 1024
_EARLIEST = datetime(2026, 1, 1, tzinfo=UTC)
_TIME_ERROR = 5  # adjtimex(2): the clock is not synchronised
_INSTALL = "Type: scripts/run --install-only"


def examine() -> Iterator[Finding]:
    yield _system()
    yield _python()
    yield from _packages()
    yield _shadows()
    yield from _kamailio()
    yield _debian_service()
    yield _clock()
    yield _swap()
    yield _core_dumps()
    yield _locale()
    yield _descriptors()


def _system() -> Finding:
    release = _os_release()
    name = f"{release.get('ID', '?')} {release.get('VERSION_ID', '?')} on {platform.machine()}"
    if (release.get("ID"), release.get("VERSION_ID")) in SYSTEMS and platform.machine() == "x86_64":
        return ok("system", name)
    return wrong("system", f"{name} is not supported", "Use Debian 12 or Ubuntu 24.04 on x86_64")


def _os_release() -> dict[str, str]:
    try:
        lines = Path("/etc/os-release").read_text(encoding="utf-8").splitlines()
    except OSError:
        return {}
    return {key: value.strip('"') for key, _, value in (line.partition("=") for line in lines)}


def _python() -> Finding:
    version = platform.python_version()
    if (3, 11) <= sys.version_info < (3, 13) and platform.python_implementation() == "CPython":
        return ok("python", f"CPython {version}")
    return wrong("python", f"{platform.python_implementation()} {version}", "Use CPython 3.11 or 3.12: scripts/run")


def _packages() -> Iterator[Finding]:
    missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    for name in missing:
        yield wrong("packages", f"{name} is missing: no {PACKAGES[name]}", _INSTALL)
    if not missing:
        yield ok("packages", "all that are needed can be found")


def _shadows() -> Finding:
    """Our rooms have everyday names: another package of one of them would be loaded in our place."""
    home = Path(__file__).resolve().parent.parent.parent
    strange = []
    for room in ROOMS:
        found = importlib.util.find_spec(room)
        if found is None or found.origin is None or home not in Path(found.origin).resolve().parents:
            strange.append(f"{room} ({found.origin if found else 'nowhere'})")
    if not strange:
        return ok("imports", "the program's own parts are the ones that are loaded")
    return wrong("imports", f"loaded from elsewhere: {', '.join(strange)}",
                 "Unset PYTHONPATH, and use the virtual environment that scripts/run makes")  # fmt: skip


def _kamailio() -> Iterator[Finding]:
    program = shutil.which("kamailio", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if program is None:
        yield wrong("kamailio", "is not installed: no phone can register", _INSTALL)
        return
    said = _run(program, "-v")
    version = re.search(r"kamailio (\d+)\.(\d+)\.(\d+)", said)
    if version is None or int(version[1]) < 5 or (int(version[1]), int(version[2])) < (5, 6):
        yield wrong("kamailio", said.splitlines()[0] if said else "does not say its version",
                    "Use 5.6 or later, as Debian 12 has it")  # fmt: skip
        return
    missing = sorted(name for name in _modules_wanted() if not _has_module(name))
    if missing:
        yield wrong("kamailio", f"modules are missing: {', '.join(missing)}", _INSTALL)
    else:
        yield ok("kamailio", f"{version[1]}.{version[2]}.{version[3]} with all its modules")


def _modules_wanted() -> set[str]:
    text = resources.files("sip.edge").joinpath("kamailio.cfg.in").read_text(encoding="utf-8")
    return set(re.findall(r'^loadmodule "([a-z0-9_]+\.so)"', text, re.MULTILINE)) | {"tls.so"}


def _has_module(name: str) -> bool:
    return any(Path("/usr/lib").glob(f"*/kamailio/modules/{name}"))


def _debian_service() -> Finding:
    if shutil.which("systemctl") is None or not Path("/run/systemd/system").is_dir():
        masked = Path("/etc/systemd/system/kamailio.service")
        if masked.is_symlink() and os.readlink(masked) == "/dev/null":
            return ok("kamailio.service", "Debian's own is masked")
        return ok("kamailio.service", "systemd does not run here: Debian's own cannot start")
    active, enabled = _run("systemctl", "is-active", "kamailio"), _run("systemctl", "is-enabled", "kamailio")
    if active.strip() == "active":
        return wrong("kamailio.service", "Debian's own runs and takes the SIP ports",
                     "Type: systemctl mask --now kamailio.service")  # fmt: skip
    if enabled.strip() == "enabled":
        return wrong("kamailio.service", "Debian's own would take the SIP ports at the next boot",
                     "Type: systemctl mask kamailio.service")  # fmt: skip
    return ok("kamailio.service", f"Debian's own is {enabled.strip() or 'absent'}")


def _clock() -> Finding:
    now = datetime.now(UTC)
    if now < _EARLIEST:
        return wrong("clock", f"says {now:%Y-%m-%d}", "Set it: certificates, codes and the ledger depend on it")
    # struct timex is 208 bytes on 64-bit Linux; modes = 0 only reads. The answer is the state of the clock.
    state = ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(256))
    if state == _TIME_ERROR:
        return note("clock", f"{now:%Y-%m-%d %H:%M:%S} UTC, not synchronised as far as the kernel knows",
                    "Run a time service (systemd-timesyncd, chrony): codes are good for 30 s only")  # fmt: skip
    return ok("clock", f"{now:%Y-%m-%d %H:%M:%S} UTC, synchronised")


def _swap() -> Finding:
    try:
        lines = Path("/proc/swaps").read_text(encoding="ascii").splitlines()[1:]
    except OSError:
        lines = []
    open_ = [line.split()[0] for line in lines if not _swap_is_safe(Path(line.split()[0]))]
    if open_:
        return note("swap", f"{', '.join(open_)} is not encrypted: audio in memory may be written to it",
                    "Type: swapoff -a, or encrypt it (/etc/crypttab, swap option)")  # fmt: skip
    return ok("swap", "none, or encrypted, or in memory")


def _swap_is_safe(device: Path) -> bool:
    name = device.resolve().name
    if name.startswith("zram"):
        return True
    try:
        return Path(f"/sys/block/{name}/dm/uuid").read_text(encoding="ascii").startswith("CRYPT-")
    except OSError:
        return False


def _core_dumps() -> Finding:
    try:
        pattern = Path("/proc/sys/kernel/core_pattern").read_text(encoding="utf-8").strip()
    except OSError:
        return ok("core dumps", "their place cannot be read")
    if pattern.startswith("|"):
        return note("core dumps", f"go to {pattern.split()[0][1:]}, which keeps memory of crashed programs",
                    "Processes with audio or keys forbid it themselves; to be sure: "
                    "sysctl kernel.core_pattern=core")  # fmt: skip
    return ok("core dumps", "not handed to another program; ours make none")


def _locale() -> Finding:
    encoding = locale.getpreferredencoding(False)
    if encoding.lower().replace("-", "") == "utf8":
        return ok("locale", encoding)
    return note("locale", f"texts are {encoding}: names with accents may look wrong", "Type: export LC_ALL=C.UTF-8")


def _descriptors() -> Finding:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft >= _NOFILE_WANTED or soft == resource.RLIM_INFINITY:
        return ok("open files", f"{soft} allowed")
    return wrong("open files", f"only {soft} allowed", f"Type: ulimit -n {_NOFILE_WANTED}")


def _run(*command: str) -> str:
    """Standard output of a program, empty where it does not run."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout
