#!/usr/bin/env python3
"""Builds the demo's debug APK without Android Studio: from the package index (Maven) and Debian's packages alone.

Steps: Maven fetches, aapt2 links resources, kotlinc compiles core and app against android-all, dx makes the dex file,
zipalign aligns, apksigner signs (v2, v3). Debian: openjdk-17-jdk-headless maven aapt zipalign apksigner.
"""

import argparse
import hashlib
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from xml.etree import ElementTree

HERE = Path(__file__).resolve().parent
BUILD, LIB, APP = HERE / "build", HERE / "app/target/lib", HERE / "app/src/main"
PACKAGE = "kerasmobilenets.demo"
ABIS = ("arm64-v8a", "x86_64")
ANDROID = "{http://schemas.android.com/apk/res/android}"
# No invokedynamic, which dx does not know; no method that Java got after 8, such as ByteBuffer.rewind(): ByteBuffer.
KOTLIN_FLAGS = ["-jvm-target", "1.8", "-Xjdk-release=1.8", "-Xlambdas=class", "-Xsam-conversions=class",
                "-Xstring-concat=inline", "-no-reflect", "-no-stdlib", "-nowarn"]  # fmt: skip


def main() -> int:
    """Builds, or says in one line why not."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--bundle", type=Path, required=True, help="folder that `keras-mobilenets android bundle` wrote"
    )
    parser.add_argument("--out", type=Path, default=BUILD / "keras_mobilenets_demo.apk", help="default: %(default)s")
    options = parser.parse_args()
    try:
        build(options.bundle, options.out)
    except (BuildError, OSError) as error:
        print(f"build_apk.py: {error}", file=sys.stderr)
        return 2
    return 0


class BuildError(Exception):
    """What the user must mend, in one line."""


def build(bundle: Path, out: Path) -> None:
    """Builds `out` with the bundle as its assets."""
    if not (bundle / "manifest.json").is_file():
        raise BuildError(f"{bundle} holds no manifest.json; write a bundle there with keras-mobilenets android bundle")
    for tool in ("java", "javac", "keytool", "mvn", "aapt2", "zipalign", "apksigner"):
        if shutil.which(tool) is None:
            raise BuildError(f"{tool} is missing; on Debian: apt-get install {_package_of(tool)}")
    fetch()
    shutil.rmtree(BUILD / "apk", ignore_errors=True)
    work = BUILD / "apk"
    work.mkdir(parents=True)
    resources = link_resources(work)
    classes = compile_kotlin(work)
    dex = make_dex(work, classes)
    package(work, resources, dex, bundle)
    sign(work, out)
    print(f"{out}  {out.stat().st_size / 1e6:.1f} MB")


def fetch() -> None:
    """Lets Maven bring what app/pom.xml names, and checks it against checksums.txt."""
    run("mvn", "-q", "-B", "-C", "-f", HERE / "pom.xml", "-pl", "app", "dependency:copy-dependencies",
        "-DoutputDirectory=target/lib")  # fmt: skip
    checksums = {name: digest for digest, name in map(str.split, (HERE / "checksums.txt").read_text().splitlines())}
    for path in LIB.iterdir():
        if path.name not in checksums:  # of another version
            path.unlink()
    for name, expected in checksums.items():
        path = LIB / name
        if not path.is_file():
            raise BuildError(f"{name} was not fetched; app/pom.xml and checksums.txt must name the same versions")
        with open(path, "rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != expected:
                raise BuildError(f"{name} is not the file of checksums.txt; delete it from Maven's repository")


def link_resources(work: Path) -> Path:
    """Compiles res/ and the manifest; writes R.java beside."""
    version = tomllib.loads((HERE / "gradle/libs.versions.toml").read_text())["versions"]
    manifest = ElementTree.parse(APP / "AndroidManifest.xml")
    ElementTree.register_namespace("android", ANDROID[1:-1])
    manifest.getroot().set("package", PACKAGE)  # Gradle has it from `namespace`
    manifest.write(work / "AndroidManifest.xml")
    run("aapt2", "compile", "--dir", APP / "res", "-o", work / "resources.zip")
    run("aapt2", "link", "-o", work / "resources.apk", "--manifest", work / "AndroidManifest.xml", "--debug-mode",
        "-I", lib("android-all"), "--java", work / "r",
        "--warn-manifest-validation",  # Debian's aapt2 does not know uses-native-library
        "--min-sdk-version", version["minSdk"], "--target-sdk-version", version["targetSdk"],
        "--version-code", "1", "--version-name", version["app"], work / "resources.zip")  # fmt: skip
    return work / "resources.apk"


def compile_kotlin(work: Path) -> Path:
    """Compiles core and app as one, against Android's own classes."""
    archives = [unpack(archive, work) for archive in sorted(LIB.glob("*.aar"))]
    r_java = next((work / "r").rglob("R.java"))
    classpath = [lib("android-all"), lib("kotlin-stdlib"), *archives]
    kotlin(work / "classes", classpath, r_java, HERE / "core/src/main/kotlin", APP / "kotlin")
    run("javac", "-nowarn", "-source", "8", "-target", "8", "-Xlint:-options", "-d", work / "classes", r_java)
    return work / "classes"


def kotlin(out: Path, classpath: list[Path], *sources: Path) -> None:
    """Runs the Kotlin compiler."""
    jars = (path for path in LIB.glob("*.jar") if not path.name.startswith(("android-all", "dalvik-dx")))
    compiler = ":".join(map(str, jars))
    run("java", "-Xmx1g", "-cp", compiler, "org.jetbrains.kotlin.cli.jvm.K2JVMCompiler", *KOTLIN_FLAGS,
        "-cp", ":".join(map(str, classpath)), "-d", out, *sources)  # fmt: skip


def make_dex(work: Path, classes: Path) -> Path:
    """Turns the classes of app, Kotlin and TensorFlow Lite into one classes.dex."""
    for jar in (lib("kotlin-stdlib"), *work.glob("*.aar.jar")):
        with zipfile.ZipFile(jar) as archive:  # META-INF holds classes for Java 9, which dx cannot read
            names = [n for n in archive.namelist() if n.endswith(".class") and not n.startswith("META-INF/")]
            archive.extractall(classes, names)
    run("java", "-Xmx1g", "-cp", lib("dalvik-dx"), "com.android.dx.command.Main", "--dex", "--min-sdk-version=27",
        f"--output={work / 'classes.dex'}", classes)  # fmt: skip
    return work / "classes.dex"


def package(work: Path, resources: Path, dex: Path, bundle: Path) -> None:
    """Puts everything into one zip; native libraries are stored as they are, so that the system can map them."""
    shutil.copy(resources, work / "unaligned.apk")
    with zipfile.ZipFile(work / "unaligned.apk", "a", zipfile.ZIP_DEFLATED) as apk:
        apk.write(dex, "classes.dex")
        for path in sorted(bundle.rglob("*")):
            if path.is_file():
                apk.write(path, f"assets/bundle/{path.relative_to(bundle)}")
        for archive in sorted(LIB.glob("*.aar")):
            with zipfile.ZipFile(archive) as aar:
                for name in aar.namelist():
                    if name.endswith(".so") and name.split("/")[1] in ABIS:
                        apk.writestr(name.replace("jni/", "lib/", 1), aar.read(name), zipfile.ZIP_STORED)


def sign(work: Path, out: Path) -> None:
    """Aligns, and signs with the key that Android Studio also signs debug builds with."""
    key = Path.home() / ".android/debug.keystore"
    if not key.exists():
        key.parent.mkdir(parents=True, exist_ok=True)
        run("keytool", "-genkeypair", "-keystore", key, "-storepass", "android", "-keypass", "android", "-alias",
            "androiddebugkey", "-keyalg", "RSA", "-keysize", "2048", "-validity", "10000", "-dname",
            "CN=Android Debug,O=Android,C=US")  # fmt: skip
    run("zipalign", "-f", "-p", "4", work / "unaligned.apk", work / "aligned.apk")
    out.parent.mkdir(parents=True, exist_ok=True)
    run("apksigner", "sign", "--ks", key, "--ks-pass", "pass:android", "--v1-signing-enabled", "false",
        "--v2-signing-enabled", "true", "--v3-signing-enabled", "true", "--out", out, work / "aligned.apk")  # fmt: skip
    out.with_suffix(".apk.idsig").unlink(missing_ok=True)


def unpack(archive: Path, work: Path) -> Path:
    """The classes of an AAR as a jar."""
    jar = work / f"{archive.name}.jar"
    with zipfile.ZipFile(archive) as aar:
        jar.write_bytes(aar.read("classes.jar"))
    return jar


def lib(name: str) -> Path:
    """A jar that Maven brought."""
    return next(LIB.glob(f"{name}-[0-9]*.jar"))


def run(*command: object) -> None:
    """Runs a tool; its messages are shown only when it fails."""
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    if done.returncode != 0:
        print(done.stdout + done.stderr, file=sys.stderr)
        raise BuildError(f"{command[0]} failed; its messages stand above")


def _package_of(tool: str) -> str:
    packages = {
        "java": "openjdk-17-jdk-headless",
        "keytool": "openjdk-17-jdk-headless",
        "mvn": "maven",
        "aapt2": "aapt",
    }
    return packages.get(tool, tool)


if __name__ == "__main__":
    sys.exit(main())
