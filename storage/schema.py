"""The schema's version: from whatever the database holds to what this code expects."""

from pathlib import Path

from sqlalchemy import Connection, inspect, text

from storage.errors import SchemaTooNew

HEAD = "0023"
_MIGRATE_LOCK = 0x62656666  # PostgreSQL advisory lock: two nodes that start together migrate one after the other


def bring_up_to_date(connection: Connection) -> None:
    """Run the missing migrations inside the caller's transaction. Raises `SchemaTooNew`."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _MIGRATE_LOCK})
    present = version(connection)
    if present == HEAD:
        return
    if present is not None and present > HEAD:
        raise SchemaTooNew(f"the database has schema {present}, this Beffroi knows {HEAD}: install the newer one")
    # Only where there is something to migrate: it takes a fifth of a second, and a start has three.
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")))
    config.attributes["connection"] = connection
    command.upgrade(config, HEAD)


def version(connection: Connection) -> str | None:
    """The schema version in the database ("0001"...), None when it is empty."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one_or_none()
