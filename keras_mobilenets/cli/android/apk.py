"""The app's APK, and the checkout of the repository that it is built in."""

from pathlib import Path

import keras_mobilenets
from keras_mobilenets.errors import UserError

APK = Path("android_demo", "build", "keras_mobilenets_demo.apk")  # in the repository


def project(given: str | None) -> Path:
    """The checkout of the repository, where the app's sources are."""
    places = [Path(given)] if given else [Path.cwd(), Path(keras_mobilenets.__file__).resolve().parents[1]]
    found = next((place for place in places if (place / "android_demo").is_dir()), None)
    if found is None:
        raise UserError(f"{places[0]} has no android_demo: give the repository with --project, or an APK with --apk")
    return found


def check_apk(path: Path) -> None:
    """Refuses a file that is missing or no whole APK."""
    import zipfile

    if not path.is_file():
        raise UserError(f"{path} is missing: make it first with keras-mobilenets android build")
    try:
        with zipfile.ZipFile(path) as archive:
            whole = {"AndroidManifest.xml", "classes.dex"} <= set(archive.namelist()) and archive.testzip() is None
    except (zipfile.BadZipFile, OSError):
        whole = False
    if not whole:
        raise UserError(f"{path} is no APK or is damaged: make it again with keras-mobilenets android build")
