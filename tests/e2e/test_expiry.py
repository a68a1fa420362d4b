"""A real recording, sealed and listed, goes when its time is over; one under a hold stays; the proof holds."""

from __future__ import annotations

import base64
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.e2e import scene
from tests.e2e.test_opening import record_one
from tests.peers.product import Product

pytestmark = [pytest.mark.e2e, pytest.mark.promise("L3", "2.5", "2.12", "3.9", "L9")]
YESTERDAY_US = 86_400_000_000


def overdue(product: Product, *rec_ids: str) -> None:
    """As if they had been made three months earlier: by somebody who has the disk, while the daemon does not run."""
    with closing(sqlite3.connect(product.data / "beffroi.sqlite3")) as db, db:
        moment = int(time.time() * 1_000_000) - YESTERDAY_US
        for rec_id in rec_ids:
            db.execute("UPDATE recordings SET expires_at = ? WHERE id = ?", (moment, rec_id))


def test_it_goes_and_what_is_held_stays(product_seed: Any, tmp_path: Path) -> None:
    product = Product(tmp_path / "product", *product_seed)
    scene.speak_in_tones(product)
    with product:
        goes, held = record_one(product), record_one(product)
        raw = base64.b64decode(scene.key_bundle(product, goes)["dek_wrap"])
        product.json("person", "add", "dora", "Dora", "--roles", "dpo")
        laid = product.json(
            "hold", "add", "recording", held, "--case", "A-17", "--reason", "claim", "--requested-by", "the court",
            "--approved-by", "dora", "--review", "2031-01-01",
        )  # fmt: skip
        product.stop_daemon()
        overdue(product, goes, held)
        product.start_daemon()
        due = {one["id"]: one for one in product.json("retention", "due")}
        assert due[goes]["goes"] and not due[held]["goes"] and laid["id"] in due[held]["rule"]
        swept = product.json("retention", "sweep")
        assert (swept["destroyed"], swept["held"], swept["problem"]) == ({"recording": 1}, {"recording": 1}, "")
        states = {one["id"]: one["state"] for one in scene.recordings(product)}
        assert states == {goes: "destroyed", held: "whole"}
        assert not scene.sealed_file(product, goes).exists() and scene.sealed_file(product, held).exists()
        for path in product.data.glob("beffroi.sqlite3*"):
            assert raw[:64] not in path.read_bytes(), "its key's wrap is still there"
        [entry] = [one for one in scene.entries(product, "erasure") if one.get("rec_id") == goes]
        assert product.json("ledger", "receipt", entry["receipt_id"])["genuine"] is True
        assert "destroyed" in scene.refused(
            product, "recordings", "open", goes, "--as", "reader", "--reason", "too late",
            secrets={"--secrets-fd": scene.first_reader(product).secrets()},
        )  # fmt: skip
        assert len(scene.by_escrow(product, held, tmp_path)) > 8000, "what is held can be heard"
        product.cli("hold", "lift", laid["id"], "--reason", "judgment")
        assert product.json("retention", "sweep")["destroyed"] == {"recording": 1}
        assert not scene.sealed_file(product, held).exists()
        assert product.metric("beffroi_retention_destroyed_total") == 2 and not product.metric(
            "beffroi_retention_alarm"
        )
        scene.assert_in_order(product)
