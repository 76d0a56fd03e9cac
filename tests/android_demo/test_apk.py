"""The built APK, judged by Android's own tools: what it asks for, what it exports, what is in it, who signed it."""

import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

DEMO = Path(__file__).resolve().parents[2] / "android_demo"
TOOLS = ("mvn", "aapt2", "zipalign", "apksigner", "dexdump", "readelf")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not all(map(shutil.which, TOOLS)), reason="apt install maven aapt zipalign apksigner dexdump binutils"
    ),
]


def said(*command):
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def apk(tmp_path_factory):
    from keras_mobilenets.tflite.bundles.writer import noise

    bundle = tmp_path_factory.mktemp("bundle")
    (bundle / "models").mkdir()
    (bundle / "manifest.json").write_text("{}")
    (bundle / "models/m.tflite").write_bytes(noise(1, 64, 64).tobytes())
    path = bundle.parent / "demo.apk"
    said(sys.executable, DEMO / "build_apk.py", "--bundle", bundle, "--out", path)
    return path


@pytest.fixture(scope="module")
def dex(apk, tmp_path_factory):
    path = tmp_path_factory.mktemp("dex") / "classes.dex"
    with zipfile.ZipFile(apk) as archive:
        path.write_bytes(archive.read("classes.dex"))
    return path


def test_it_is_small_enough(apk):
    assert apk.stat().st_size < 60e6


def test_it_is_signed_with_v2_and_v3(apk):
    answer = said("apksigner", "verify", "--verbose", "--min-sdk-version", "27", apk)
    assert "v2 scheme (APK Signature Scheme v2): true" in answer
    assert "v3 scheme (APK Signature Scheme v3): true" in answer


def test_its_manifest_asks_for_the_camera_only(apk):
    badging = said("aapt2", "dump", "badging", apk)
    assert re.findall(r"uses-permission: name='(.*?)'", badging) == ["android.permission.CAMERA"]
    assert "sdkVersion:'27'" in badging
    assert "targetSdkVersion:'35'" in badging
    assert "package: name='kerasmobilenets.demo'" in badging
    assert "native-code: 'arm64-v8a' 'x86_64'" in badging
    assert "application-label-zh" in badging


def test_only_its_launcher_is_exported(apk):
    tree = said("aapt2", "dump", "xmltree", "--file", "AndroidManifest.xml", apk)
    assert re.findall(r"exported\(0x01010010\)=(\w+)", tree) == ["true", "false", "false", "false"]
    assert "LAUNCHER" in tree


def test_its_libraries_can_be_mapped(apk):
    assert "Verification successful" in said("zipalign", "-c", "-p", "-v", "4", apk)
    with zipfile.ZipFile(apk) as archive:
        libraries = [info for info in archive.infolist() if info.filename.endswith(".so")]
        assert all(info.compress_type == zipfile.ZIP_STORED for info in libraries)
    assert sorted(info.filename for info in libraries) == [
        f"lib/{abi}/libtensorflowlite_{kind}jni.so" for abi in ("arm64-v8a", "x86_64") for kind in ("gpu_", "")
    ]


def test_its_libraries_have_pages_of_4_kb(apk, tmp_path):
    with zipfile.ZipFile(apk) as archive:
        names = [name for name in archive.namelist() if name.endswith(".so")]
        archive.extractall(tmp_path, names)
    for name in names:  # README says so; TensorFlow Lite 2.16.1 has no others
        loads = [line.split()[-1] for line in said("readelf", "-lW", tmp_path / name).splitlines() if "  LOAD " in line]
        assert set(loads) == {"0x1000"}


def test_its_dex_holds_the_delegates_and_every_component(dex):
    classes = set(re.findall(r"Class descriptor  : 'L(.*?);'", said("dexdump", dex)))
    assert {
        "org/tensorflow/lite/Interpreter",
        "org/tensorflow/lite/nnapi/NnApiDelegate",
        "org/tensorflow/lite/gpu/GpuDelegate",
        "org/tensorflow/lite/gpu/GpuDelegateFactory$Options",
        "kerasmobilenets/demo/TableActivity",
        "kerasmobilenets/demo/CameraActivity",
        "kerasmobilenets/demo/WorkerService",
        "kerasmobilenets/demo/BenchmarkInstrumentation",
        "kerasmobilenets/core/Session",
    } <= classes


def test_its_own_code_calls_nothing_that_old_androids_lack(dex):
    own, found = False, []
    for line in said("dexdump", "-d", dex).splitlines():
        if "Class descriptor" in line:
            own = "'Lkerasmobilenets/" in line
        elif own and (
            "invoke-custom" in line or re.search(r"\.(rewind|flip|position|limit):.*\)Ljava/nio/ByteBuffer;", line)
        ):
            found.append(line)
    assert found == []
