"""Helper environments: whole or not there, and the line that makes one."""

import subprocess
import zipfile

import pytest

from keras_mobilenets import cli
from keras_mobilenets.errors import UserError
from keras_mobilenets.tflite.targets.accelerators.environments import ENVIRONMENTS, Environment


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    folder = tmp_path / "targets"
    monkeypatch.setenv("KERAS_MOBILENETS_TARGETS", str(folder))
    return folder


@pytest.fixture
def wheel(tmp_path):
    """A package of one module."""
    path = tmp_path / "chip-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("chip.py", "NAME = 'a chip'\n")
        archive.writestr("chip-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: chip\nVersion: 1.0\n")
        archive.writestr("chip-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr("chip-1.0.dist-info/RECORD", "")
    return path


def _environment(package, probe="chip.py"):
    return Environment("chip", "free", 1, (probe,), packages=(str(package),))


def test_what_is_missing_is_said_in_the_line_that_installs_it(wheel):
    line = r"^chip cannot be asked here, chip.py is missing: keras-mobilenets targets --install chip$"
    with pytest.raises(UserError, match=line):
        _environment(wheel).require()
    system = Environment("gpu", "free", 1, ("/nowhere/driver.json",), debian=("chromium-common", "libvulkan1"))
    assert system.missing().endswith("/nowhere/driver.json is missing: apt-get install chromium-common libvulkan1")
    with pytest.raises(UserError, match="as root: apt-get install chromium-common libvulkan1"):
        system.install()


def test_the_command_installs_packages_apart_from_this_environment(wheel, place, monkeypatch, capsys):
    environment = _environment(wheel)
    monkeypatch.setitem(ENVIRONMENTS, "chip", environment)
    assert cli.main(["targets", "--install", "chip"]) == 0
    said = capsys.readouterr().err.splitlines()
    assert str(wheel) in said[0] and "1 MB" in said[0] and str(place) in said[0]
    assert said[1:] == ["licence: free", "chip is ready"]
    assert environment.is_ready() and environment.file("chip.py").is_relative_to(place)
    asked = [environment.python, "-I", "-c", "import chip; print(chip.NAME)"]
    assert subprocess.run(asked, capture_output=True, text=True).stdout == "a chip\n"
    assert [path.name for path in place.iterdir()] == [environment.folder.name]
    assert cli.main(["targets", "--install", "chip"]) == 0
    assert capsys.readouterr().err == "chip is there already\n"


def test_an_installer_that_brings_nothing_is_not_trusted(wheel, place):
    lines = []
    with pytest.raises(UserError, match=r"^pip says that chip is installed, but libchip.so did not come with it; "):
        _environment(wheel, "libchip.so").install(lines.append)
    assert any("Successfully installed chip-1.0" in line for line in lines)
    assert not list(place.iterdir())


def test_what_pip_cannot_install_is_one_line(tmp_path, place):
    with pytest.raises(UserError, match=r"^pip cannot install .*none.whl: ERROR: .*$"):
        _environment(tmp_path / "none.whl").install()
    assert not list(place.iterdir())


def test_another_version_is_another_environment(wheel):
    older = Environment("chip", "free", 1, ("chip.py",), packages=("chip==0.9",))
    assert older.folder != _environment(wheel).folder


def test_an_unknown_environment_is_one_line(capsys):
    assert cli.main(["targets", "--install", "chipp"]) == 2
    assert capsys.readouterr().err.startswith("keras-mobilenets: unknown environment 'chipp': give one of gpu")
