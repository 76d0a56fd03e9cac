"""`android build` and `android install`."""

from xml.etree import ElementTree

import pytest
from command_line import last_line
from phone_samples import REPOSITORY, make_apk

from keras_mobilenets.cli import main
from keras_mobilenets.cli.android.apk import APK
from keras_mobilenets.cli.android.phone import PACKAGE


def test_install_puts_the_app_on_the_phone_once(phones, tmp_path, capsys):
    digest = make_apk(tmp_path / APK)
    log = phones({"A": {"installed": ""}})
    for says in ("Pixel_8 A has it now", "Pixel_8 A has it already"):
        assert main(["android", "install"]) == 0
        lines = capsys.readouterr().err.splitlines()
        assert lines == [f"{tmp_path / APK}, SHA-256 {digest}", says]
    assert sum("install" in call for call in log()) == 1
    assert main(["android", "install", "--sha256", "0" * 64]) == 2
    assert f"its SHA-256 is {digest}" in last_line(capsys)
    phones({"B": {"installed": "0" * 64, "forgets": True}})
    assert main(["android", "install"]) == 2
    assert "did not keep the app" in last_line(capsys)


@pytest.mark.parametrize(
    ("output", "says"),
    [
        ("Failure [INSTALL_FAILED_INSUFFICIENT_STORAGE]", "no space left"),
        ("Failure [INSTALL_FAILED_UPDATE_INCOMPATIBLE: signatures do not match]", "adb uninstall"),
        ("Failure [INSTALL_FAILED_OLDER_SDK: Requires newer sdk version #27]", "Android older"),
        (
            "Failure [INSTALL_PARSE_FAILED_NOT_APK]",
            "did not take the app: adb: failed to install app.apk: Failure [INSTALL_P",
        ),
        ("error: device '0A1B' not found", "went away"),
    ],
)
def test_a_phone_that_refuses_the_app(phones, tmp_path, capsys, output, says):
    make_apk(tmp_path / "app.apk")
    phones(
        {"0A1B": {"installed": "", "install": f"Performing Streamed Install\nadb: failed to install app.apk: {output}"}}
    )
    assert main(["android", "install", "--apk", "app.apk"]) == 2
    assert says in last_line(capsys)


def test_an_apk_that_is_missing_or_damaged(phones, tmp_path, capsys):
    phones({"0A1B": {}})
    assert main(["android", "install", "--apk", "app.apk"]) == 2
    assert "app.apk is missing: make it first with keras-mobilenets android build" in last_line(capsys)
    path = tmp_path / "app.apk"
    make_apk(path, bytes(1000))
    content = path.read_bytes()
    for damaged in (b"", content[:-40], content.replace(bytes(500), b"1" * 500)):
        path.write_bytes(damaged)
        assert main(["android", "install", "--apk", "app.apk"]) == 2
        assert "is no APK or is damaged" in last_line(capsys)


def test_build_runs_the_repositorys_build(bundle, tmp_path, capsys, monkeypatch):
    project = tmp_path / "project"
    (project / "android_demo").mkdir(parents=True)
    script = project / "android_demo" / "build_apk.py"
    script.write_text("import sys, shutil\nassert sys.argv[1] == '--bundle'\nshutil.copy('made.apk', sys.argv[4])")
    monkeypatch.chdir(tmp_path)
    make_apk(tmp_path / "made.apk")
    command = ["android", "build", "--bundle", str(bundle), "--project", str(project)]
    assert main([*command, "--out", "out.apk"]) == 0
    assert "out.apk: 0.0 MB, SHA-256" in capsys.readouterr().err
    script.write_text("import sys\nprint('build_apk.py: mvn is missing', file=sys.stderr)\nsys.exit(2)")
    assert main(command) == 2
    assert capsys.readouterr().err == "keras-mobilenets: mvn is missing\n"
    assert main([*command[:-1], str(bundle)]) == 2
    assert "has no android_demo" in last_line(capsys)


def test_the_names_are_those_of_the_app():
    demo = REPOSITORY / "android_demo"
    found = ElementTree.parse(demo / "app/src/main/AndroidManifest.xml").find("instrumentation").attrib
    space = "{http://schemas.android.com/apk/res/android}"
    assert found[f"{space}targetPackage"] == PACKAGE
    assert found[f"{space}name"] in (f"{PACKAGE}.BenchmarkInstrumentation", ".BenchmarkInstrumentation")
    assert APK.name in (demo / "build_apk.py").read_text()
