from __future__ import annotations

import stat
from pathlib import Path

import pytest

from config.paths import Paths


@pytest.mark.promise("3.6")
def test_everything_lies_under_the_data_directory(tmp_path: Path) -> None:
    paths = Paths(tmp_path / "data")
    places = [getattr(paths, name) for name in dir(Paths) if isinstance(getattr(Paths, name), property)]
    assert len(places) > 15
    assert all(place.is_relative_to(paths.data) for place in places)
    assert len(set(places)) == len(places)


def test_directories_are_the_owners_alone(tmp_path: Path) -> None:
    paths = Paths(tmp_path / "data")
    paths.make()
    paths.make()
    for place in (paths.data, paths.keys, paths.vault, paths.run, paths.custom_prompts):
        assert stat.S_IMODE(place.stat().st_mode) == 0o700


def test_a_recording_is_found_by_an_opaque_id_only(tmp_path: Path) -> None:
    rec_id = "ab" * 16
    assert Paths(tmp_path).recording(rec_id) == tmp_path / "vault" / "ab" / "ab" / f"{rec_id}.rec"
    for wrong in ("", "AB" * 16, "../" + "a" * 29, "g" * 32):
        with pytest.raises(ValueError, match="32 hexadecimal"):
            Paths(tmp_path).recording(wrong)
