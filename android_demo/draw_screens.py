#!/usr/bin/env python3
"""Draws every screen of the app to PNG files with Robolectric, and checks that what is pressed is large enough.

Builds the APK first (build_apk.py). The first time Maven brings some 400 MB: Android 15 and its drawing code.
"""

import argparse
import sys
from pathlib import Path

import build_apk
from build_apk import BUILD, HERE, lib, run

SCREENS, JARS = HERE / "screens", HERE / "screens/target/lib"


def main() -> int:
    """Draws, or says in one line why not."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", type=Path, required=True, help="its models are shown in the table")
    parser.add_argument("--out", type=Path, default=BUILD / "screens", help="default: %(default)s")
    options = parser.parse_args()
    try:
        build_apk.build(options.bundle, BUILD / "keras_mobilenets_demo.apk")
        draw(options.bundle.resolve(), options.out.resolve())
    except (build_apk.BuildError, OSError) as error:
        print(f"draw_screens.py: {error}", file=sys.stderr)
        return 2
    print("\n".join(map(str, sorted(options.out.glob("*.png")))))
    return 0


def draw(bundle: Path, out: Path) -> None:
    """Compiles and runs ScreensTest on what build_apk.py has left in build/apk."""
    work = BUILD / "screens_work"
    run("mvn", "-q", "-B", "-C", "-f", SCREENS / "pom.xml", "dependency:copy-dependencies",
        "-DoutputDirectory=target/lib")  # fmt: skip
    robolectric = [path for path in JARS.glob("*.jar") if not path.name.startswith("android-all")]
    app = [BUILD / "apk/classes", lib("kotlin-stdlib")]
    build_apk.kotlin(work / "classes", [*app, lib("android-all"), *robolectric], SCREENS / "src")
    config = work / "com/android/tools/test_config.properties"
    config.parent.mkdir(parents=True, exist_ok=True)
    config.write_text(
        f"android_merged_manifest={BUILD / 'apk/AndroidManifest.xml'}\n"
        f"android_resource_apk={BUILD / 'apk/resources.apk'}\n"
        f"android_custom_package={build_apk.PACKAGE}\n"
    )
    # Android's classes come last: Robolectric loads its own, and only names are taken from these.
    classpath = ":".join(map(str, [work / "classes", work, *app, *robolectric, lib("android-all")]))
    settings = {"robolectric.offline": "true", "robolectric.dependency.dir": JARS, "bundle": bundle, "shots": out}
    properties = [f"-D{name}={value}" for name, value in settings.items()]
    run("java", "-Xmx2g", *properties, "-cp", classpath, "org.junit.runner.JUnitCore",
        "kerasmobilenets.demo.ScreensTest")  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
