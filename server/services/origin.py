"""From where somebody acts, as far as this machine knows. Light: the command line asks it at every command."""

from __future__ import annotations

import os
from pathlib import Path

_NOT_KEPT = 0xFFFFFFFF


def login_uid(pid: int | str = "self") -> int | None:
    """Who signed in on this machine, as the kernel's audit says: sudo does not change it. None where it is not kept."""
    try:
        uid = int(Path(f"/proc/{pid}/loginuid").read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None
    return None if uid == _NOT_KEPT else uid


def workstation_here() -> str:
    """Where the person sits: the address that SSH came from, or this machine."""
    remote = os.environ.get("SSH_CONNECTION", "").split()
    return f"ssh:{remote[0]}" if remote else os.uname().nodename
