"""What a browser says about a passkey comes as one field of a form (static/passkey.js puts it there)."""

from __future__ import annotations

import json
from typing import Any

from server.failure import Failure
from server.web.visit import Visit


def answer_of(visit: Visit) -> dict[str, Any]:
    """Raises Failure for what is no answer of a browser."""
    try:
        read = json.loads(visit.given.get("answer", ""))
    except (ValueError, RecursionError):
        read = None
    if not isinstance(read, dict):
        raise Failure("the passkey was not used", "Try again, or take another way", "invalid")
    return read
