"""The units as systemd reads them: valid, and as closed as they say."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

UNITS = Path(__file__).resolve().parents[2] / "systemd"
NAMES = ("beffroi.service", "beffroi-edge.service")
EXPOSURE_TENTHS = 15
"""Of 100; what systemd itself calls OK begins under 40."""


@pytest.fixture
def installed(tmp_path: Path) -> dict[str, Path]:
    """Copies whose programs exist here: `verify` looks for them."""
    found = {}
    for name in NAMES:
        text = (UNITS / name).read_text()
        path = tmp_path / name
        path.write_text(text.replace("/opt/beffroi/.venv/bin/beffroi", str(Path(sys.executable).with_name("beffroi"))))
        found[name] = path
    return found


@pytest.mark.promise("P19")
@pytest.mark.parametrize("name", NAMES)
def test_systemd_has_nothing_to_say_against_the_unit(installed: dict[str, Path], name: str):
    command = ["systemd-analyze", "verify", "--man=no", installed[name]]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.promise("P19")
@pytest.mark.parametrize("name", NAMES)
def test_the_unit_is_closed(installed: dict[str, Path], name: str):
    command = ["systemd-analyze", "security", "--offline=true", f"--threshold={EXPOSURE_TENTHS}", "--no-pager"]
    done = subprocess.run([*command, installed[name]], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("name", NAMES)
def test_a_unit_that_opens_up_is_noticed(installed: dict[str, Path], name: str):
    path = installed[name]
    path.write_text(path.read_text().replace("NoNewPrivileges=yes\n", "").replace("CapabilityBoundingSet=\n", ""))
    command = ["systemd-analyze", "security", "--offline=true", f"--threshold={EXPOSURE_TENTHS}", "--no-pager", path]
    assert subprocess.run(command, capture_output=True).returncode != 0


@pytest.mark.promise("0.1", "L9")
@pytest.mark.parametrize("name", NAMES)
def test_nothing_in_memory_reaches_the_disk(name: str):
    lines = (UNITS / name).read_text().splitlines()
    assert "LimitCORE=0" in lines
    assert "MemorySwapMax=0" in lines


@pytest.mark.promise("P19")
def test_neither_unit_stops_with_the_other():
    for name in NAMES:
        text = (UNITS / name).read_text()
        assert not re.search(r"(?m)^(Requires|BindsTo|PartOf|Requisite|Conflicts)=", text)


@pytest.mark.parametrize("name", NAMES)
def test_each_relaxation_is_explained(name: str):
    text = (UNITS / name).read_text()
    relaxed = {"PrivateUsers", "MemoryDenyWriteExecute", "ProcSubset"} - set(re.findall(r"(?m)^(\w+)=", text))
    for key in relaxed:
        assert re.search(rf"(?m)^# Relaxed: {key}= ", text), f"{name} leaves {key} out without saying why"
