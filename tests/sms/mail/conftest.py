"""Certificates for listeners on loopback, made once."""

from __future__ import annotations

import pytest

from tests.server.alerting.receivers import Trust, trust
from tests.sms.mail.mailroom import Desk


@pytest.fixture(scope="session")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Trust:
    return trust(tmp_path_factory.mktemp("mail"))


@pytest.fixture
def desk() -> Desk:
    return Desk()
