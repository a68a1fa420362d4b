"""A directory on a real SQLite database."""

from __future__ import annotations

from tests.sip.calls.conftest import db, field_keys, template

__all__ = ["db", "field_keys", "template"]
