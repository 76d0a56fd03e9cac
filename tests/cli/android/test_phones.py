"""Which phones are worked on, and an adb that does not work."""

from pathlib import Path

import pytest
from command_line import last_line
from phone_samples import make_apk

from keras_mobilenets.cli import main
from keras_mobilenets.cli.android.adb import Adb
from keras_mobilenets.cli.android.apk import APK
from keras_mobilenets.cli.android.phones import attached


@pytest.mark.parametrize(
    ("state", "says"),
    [
        ("unauthorized", "phone 0A1B does not trust this computer yet: unlock it, tap Allow on it"),
        ("offline", "phone 0A1B is offline"),
        ("no permissions", "install the udev rules"),
        ("recovery", "recovery mode"),
        ("host", "adb calls it host"),
    ],
)
def test_a_phone_that_is_not_ready(phones, capsys, state, says):
    phones({"0A1B": {"state": state}})
    for verb in ("run", "install"):
        (Path("android_demo/build")).mkdir(parents=True, exist_ok=True)
        make_apk(Path(APK))
        assert main(["android", verb]) == 2
        assert says in last_line(capsys)


def test_which_phone_must_be_clear(phones, capsys):
    phones({})
    assert main(["android", "run"]) == 2
    assert "no phone is attached: switch USB debugging on" in last_line(capsys)
    phones({"A": {}, "B": {"state": "offline"}})
    assert main(["android", "run"]) == 2
    assert "several phones are attached: choose with --serial" in (line := last_line(capsys))
    assert "A (Pixel_8), B (offline)" in line
    assert main(["android", "run", "--serial", "C"]) == 2
    assert "no phone C is attached" in last_line(capsys)


def test_adb_that_is_not_there_or_does_not_work(phones, capsys, monkeypatch, tmp_path):
    phones({}, daemon="* cannot start server on remote host\nerror: cannot connect to daemon at tcp:5037")
    assert main(["android", "run"]) == 2
    assert "cannot connect to daemon" in last_line(capsys)
    assert main(["android", "run", "--adb", str(tmp_path / "none")]) == 2
    assert "none is no program; install Android's platform tools" in last_line(capsys)
    phones({})
    program = tmp_path / "platform-tools" / "adb"
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("ANDROID_HOME", raising=False)
    monkeypatch.delenv("ANDROID_SDK_ROOT", raising=False)
    assert main(["android", "run"]) == 2
    assert "adb is not on PATH: install Android's platform tools" in last_line(capsys)
    assert main(["android", "run", "--adb", str(program)]) == 2
    assert "no phone is attached" in last_line(capsys)
    monkeypatch.setenv("ANDROID_HOME", str(tmp_path))
    assert main(["android", "run"]) == 2
    assert "no phone is attached" in last_line(capsys)


def test_the_phones_shell_gets_words_not_commands(phones):
    log = phones({"0A1B": {}})
    phone = attached(Adb())[0]
    phone.shell("rm", "-f", "a b; reboot")
    assert log()[-1] == ["-s", "0A1B", "shell", "rm -f 'a b; reboot'"]
