"""A static site that runs a bundle in a browser: the page, LiteRT.js, the bundle, and int8 files with float ends."""

import hashlib
import shutil
from importlib import resources
from pathlib import Path
from typing import Any

from keras_mobilenets.errors import UserError
from keras_mobilenets.files import atomic_folder, listed, refuse_strangers, write_json
from keras_mobilenets.tflite.bundles.manifest import DETECTION, NAME, Bundle, read_bundle
from keras_mobilenets.tflite.conversion.io_dtype import with_float_ends
from keras_mobilenets.tflite.web.runtime import VERSION, unpack_runtime

INDEX = "site.json"


def write_site(bundle: str | Path, out: str | Path) -> Path:
    """Writes a site for a bundle; nothing of it is fetched from elsewhere when it runs.

    Args:
        bundle: The folder of one, as `bundle` makes it.
        out: The folder to make; a site that is there already is replaced once the new one is complete.

    Returns:
        The folder.

    Raises:
        UserError: The bundle is damaged or holds a detector, the folder holds something else or cannot be written, or
            npm cannot bring LiteRT.js.
    """
    found, out = read_bundle(bundle), Path(out)
    detectors = [model.name for model in found.models if model.task == DETECTION]
    if detectors:
        raise UserError(f"the page draws no boxes: leave out {', '.join(detectors)}; the app draws them")
    refuse_strangers(out, listed(out, INDEX), "site")
    with atomic_folder(out) as folder:
        unpack_runtime(folder / "litert")
        for source in resources.files(__package__).joinpath("site").iterdir():
            (folder / source.name).write_bytes(source.read_bytes())
        for path in (NAME, *found.files):
            (folder / "bundle" / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(found.folder / path, folder / "bundle" / path)
        models = {model.name: _file(found, model.path, folder) for model in found.models}
        files = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
        write_json(folder / INDEX, {"runtime_version": VERSION, "models": models, "files": files})
    return out


def _file(bundle: Bundle, path: str, folder: Path) -> dict[str, Any]:
    """What the page opens of a model: the bundle's file, or one with float ends made of it."""
    content = (bundle.folder / path).read_bytes()
    opened = with_float_ends(content)
    if opened is content:
        return {"path": f"bundle/{path}", "sha256": bundle.files[path]}
    target = folder / "float_ends" / Path(path).name
    target.parent.mkdir(exist_ok=True)
    target.write_bytes(opened)
    return {"path": target.relative_to(folder).as_posix(), "sha256": hashlib.sha256(opened).hexdigest()}
