"""The REST API under /api/v1: every operation by a route of its own, for scripts and CRMs that bring a token."""

from server.web.api.serving import attach

__all__ = ["attach"]
