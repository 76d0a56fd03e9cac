"""LiteRT.js, which npm brings when a site is made: pinned, checked by hash, cached, never part of this package."""

import hashlib
import shutil
import subprocess
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

from keras_mobilenets.errors import UserError, first_of
from keras_mobilenets.files import atomic, sha256

VERSION = "2.5.3"


@dataclass(frozen=True)
class Package:
    """An npm package: its name, its tarball's SHA-256, and what of it goes where in the site's litert/."""

    name: str
    digest: str
    members: dict[str, str]

    @property
    def tarball(self) -> str:
        """As npm calls it."""
        return f"{self.name.removeprefix('@').replace('/', '-')}-{VERSION}.tgz"


_VARIANTS = ("litert_wasm_internal", "litert_wasm_compat_internal", "litert_wasm_threaded_internal")
PACKAGES = (
    Package(
        "@litertjs/core",
        "a97660833e9e7e1063c95e12016718881240b14f7438728a2f62785e912d30fd",
        {"package/dist/index.js": "core.js"}
        | {f"package/wasm/{name}.{kind}": f"wasm/{name}.{kind}" for name in _VARIANTS for kind in ("js", "wasm")},
    ),
    Package(
        "@litertjs/wasm-utils",
        "ce2a1f8379c067be49e59752e5a7f40db6be09f6e497f0f11e59f17b515366a7",
        {"package/dist/index.js": "wasm-utils.js"},
    ),
)


def cache() -> Path:
    """Where tarballs are kept."""
    return Path.home() / ".cache" / "keras_mobilenets" / "web"


def unpack_runtime(folder: Path) -> None:
    """Puts LiteRT.js into a folder: core.js, wasm-utils.js, and in wasm/ what they load.

    Raises:
        UserError: npm is missing or cannot bring a package, or what it brings has another hash than the pinned one.
    """
    for package in PACKAGES:
        with tarfile.open(_tarball(package)) as tar:
            for member, name in package.members.items():
                source = tar.extractfile(member)
                assert source, member  # the hash says that it is there
                target = folder / name
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(source.read())
    core = folder / "core.js"  # workers have no import map
    core.write_text(core.read_text("utf-8").replace('from "@litertjs/wasm-utils"', 'from "./wasm-utils.js"'), "utf-8")


def _tarball(package: Package) -> Path:
    """The cached tarball, fetched when missing."""
    kept = cache() / package.tarball
    if not kept.is_file() or sha256(kept) != package.digest:
        with atomic(kept) as temporary:
            temporary.write_bytes(_fetched(package))
    return kept


def _fetched(package: Package) -> bytes:
    npm, asked = shutil.which("npm"), f"{package.name}@{VERSION}"
    if npm is None:
        raise UserError(f"npm brings {asked}, and is not installed: install Node.js with npm (apt-get install npm)")
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [npm, "pack", asked, "--silent", "--ignore-scripts"],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
        )
        path = Path(folder) / package.tarball
        if done.returncode or not path.is_file():
            raise UserError(f"npm cannot bring {asked}: {first_of(done.stderr)}; try `npm pack {asked}`")
        content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != package.digest:
        raise UserError(f"npm brought another {asked} than the pinned one: its SHA-256 differs; nothing was kept")
    return content
