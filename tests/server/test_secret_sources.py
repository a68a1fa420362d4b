"""The server's own secrets, from wherever the configuration says; what is missing or open to others is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from config import settings as configuration
from config.paths import Paths
from config.settings import Settings
from server.failure import Failure
from server.services.context import database_url, load_keys


def settings_of(data: Path, **overrides: dict[str, object]) -> Settings:
    return configuration.parse(configuration.sample(**overrides))


def test_files(data: Path):
    keys = load_keys(Paths(data), settings_of(data))
    assert keys.ledger.private_bytes_raw() == Paths(data).ledger_key.read_bytes()
    assert "PrivateKey" not in repr(keys) and str(keys.ledger.private_bytes_raw()) not in repr(keys)


def test_credentials_of_systemd(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    handed = tmp_path / "credentials"
    Paths(data).keys.rename(handed)
    chosen = settings_of(data, secrets={"source": "systemd"})
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    with pytest.raises(Failure, match="CREDENTIALS_DIRECTORY"):
        load_keys(Paths(data), chosen)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(handed))
    assert load_keys(Paths(data), chosen).proof.private_bytes_raw() == (handed / "proof.key").read_bytes()


@pytest.mark.parametrize("harm", ["missing", "open", "short"])
def test_what_is_wrong_is_named_and_no_secret_told(data: Path, harm: str):
    path = Paths(data).ledger_key
    secret = path.read_bytes()
    if harm == "missing":
        path.unlink()
    elif harm == "open":
        path.chmod(0o640)
    else:
        path.write_bytes(secret[:16])
    with pytest.raises(Failure, match="ledger.key") as failed:
        load_keys(Paths(data), settings_of(data))
    assert failed.value.remedy and secret[:16].hex() not in str(failed.value)


def test_the_password_of_a_database_is_a_secret_of_its_own(data: Path):
    chosen = settings_of(data, storage={"url": "postgresql://beffroi@db.example/beffroi"})
    assert database_url(Paths(data), chosen) == "postgresql://beffroi@db.example/beffroi"
    password = Paths(data).keys / "database.password"
    password.write_text("p@ss/w:rd\n")
    password.chmod(0o600)
    assert database_url(Paths(data), chosen) == "postgresql://beffroi:p%40ss%2Fw%3Ard@db.example/beffroi"
    assert database_url(Paths(data), settings_of(data)).startswith("sqlite:")
