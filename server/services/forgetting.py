"""After something was taken away: no byte of it stays in the database's files."""

from __future__ import annotations

import logging

from server.services.context import Services
from storage.errors import Unavailable

logger = logging.getLogger(__name__)


async def forget(services: Services) -> None:
    """Call it once the change has committed. Where a reader holds the file back, the next call does it as well."""
    try:
        await services.db.checkpoint_truncate()
    except Unavailable as error:
        logger.warning("traces of what was removed are still in the database's files: %s", error)
