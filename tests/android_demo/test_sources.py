"""The Android demo's sources as far as they can be judged without building them."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from xml.etree import ElementTree

import pytest

DEMO = Path(__file__).resolve().parents[2] / "android_demo"
RESOURCES = DEMO / "app/src/main/res"
ANDROID = "{http://schemas.android.com/apk/res/android}"


@pytest.fixture(scope="module")
def manifest():
    return ElementTree.parse(DEMO / "app/src/main/AndroidManifest.xml").getroot()


def strings(folder):
    return {
        node.get("name"): node.text for node in ElementTree.parse(RESOURCES / folder / "strings.xml").iter("string")
    }


def test_the_camera_is_the_only_permission(manifest):
    assert [node.get(f"{ANDROID}name") for node in manifest.iter("uses-permission")] == ["android.permission.CAMERA"]


def test_only_the_launcher_is_exported(manifest):
    components = [node for kind in ("activity", "service", "receiver", "provider") for node in manifest.iter(kind)]
    exported = [node for node in components if node.get(f"{ANDROID}exported") != "false"]
    assert len(components) == 4
    assert [node.find("intent-filter/category").get(f"{ANDROID}name") for node in exported] == [
        "android.intent.category.LAUNCHER"
    ]


def test_rows_are_measured_in_another_process(manifest):
    assert manifest.find("application/service").get(f"{ANDROID}process") == ":worker"


def test_every_text_is_there_in_chinese_with_the_same_places_for_values():
    english, chinese = strings("values"), strings("values-zh")
    assert english.keys() == chinese.keys()
    for name, text in english.items():
        assert sorted(re.findall(r"%\d\$\w", text)) == sorted(re.findall(r"%\d\$\w", chinese[name])), name
        assert (
            name in ("app_name", "top1_of", "megabytes", "answer")
            or name.startswith("backend_")
            or (re.search("[\u4e00-\u9fff]", chinese[name]))
        ), name


def test_every_text_is_used_and_none_stands_in_a_layout():
    sources = "".join(path.read_text() for path in (DEMO / "app/src/main").rglob("*") if path.suffix in (".kt", ".xml"))
    for name in strings("values"):
        assert re.search(rf"(R\.string\.|@string/){name}\b", sources), name
    for path in RESOURCES.glob("layout*/*.xml"):
        for node in ElementTree.parse(path).iter():
            for attribute in ("text", "contentDescription"):
                assert node.get(ANDROID + attribute, "@string/").startswith("@string/"), path


def test_what_is_touched_is_48_dp_high_and_pictures_are_described():
    for path in RESOURCES.glob("layout*/*.xml"):
        for node in ElementTree.parse(path).iter():
            if node.tag in ("Button", "Spinner", "Toolbar"):
                assert int(node.get(f"{ANDROID}minHeight").removesuffix("dp")) >= 48, path
            if node.tag in ("ImageView", "TextureView", "Spinner"):
                assert node.get(f"{ANDROID}contentDescription"), path


def test_text_grows_with_the_user_s_font():
    for path in RESOURCES.rglob("*.xml"):
        assert not re.search(r'textSize="?[^"<]*\d(dp|px)', path.read_text()), path


def test_gradle_and_maven_build_with_the_same_versions():
    catalog = tomllib.loads((DEMO / "gradle/libs.versions.toml").read_text())["versions"]
    poms = "".join((DEMO / folder / "pom.xml").read_text() for folder in ("", "core", "app"))
    for key, prop in {
        "kotlin": "kotlin.version",
        "tflite": "tflite.version",
        "tflite-gpu-api": "tflite.gpu.api.version",
        "host-tflite": "host.tflite.version",
    }.items():
        assert re.search(rf"<{re.escape(prop)}>(.*)</", poms)[1] == catalog[key], key
    assert f"<version>{catalog['json']}</version>" in poms
    assert f"<version>{catalog['junit']}</version>" in poms
    checked = (DEMO / "checksums.txt").read_text()
    assert f"tensorflow-lite-{catalog['tflite']}.aar" in checked
    assert f"kotlin-stdlib-{catalog['kotlin']}.jar" in checked


def build(*arguments, **settings):
    return subprocess.run(
        [sys.executable, DEMO / "build_apk.py", *arguments], capture_output=True, text=True, **settings
    )


def test_the_build_refuses_a_folder_without_a_bundle_in_one_line(tmp_path):
    done = build("--bundle", tmp_path)
    assert done.returncode == 2
    assert done.stderr == (
        f"build_apk.py: {tmp_path} holds no manifest.json; write a bundle there with keras-mobilenets android bundle\n"
    )


def test_the_build_names_the_package_of_a_missing_tool(tmp_path):
    (tmp_path / "manifest.json").write_text("{}")
    done = build("--bundle", tmp_path, env={"PATH": str(tmp_path)})
    assert done.returncode == 2
    assert done.stderr == "build_apk.py: java is missing; on Debian: apt-get install openjdk-17-jdk-headless\n"
