"""What an accelerator's tools need on this machine: pinned packages in a virtual environment of their own, or files of
Debian's packages. Nothing of it is a dependency of this package.
"""

import glob
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import venv
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from keras_mobilenets.errors import LONGEST, UserError, first_line

FOLDER = "KERAS_MOBILENETS_TARGETS"  # the variable that names another place for the environments


@dataclass(frozen=True)
class Environment:
    """What a target needs here.

    Attributes:
        name: As `keras-mobilenets targets --install` takes it.
        licence: What the licence of these tools allows, in one line.
        download_mb: How much is fetched, in 10⁶ bytes.
        probe: Patterns of files that must be there: relative to the environment's site-packages, or absolute. An
            installer's return code is not trusted.
        packages: Pinned requirements as pip takes them; without any, the programs run in this process's own Python.
        debian: Packages of Debian, which the system's administrator installs.
    """

    name: str
    licence: str
    download_mb: int
    probe: tuple[str, ...]
    packages: tuple[str, ...] = ()
    debian: tuple[str, ...] = ()

    @property
    def folder(self) -> Path:
        """Where the virtual environment is, or will be; another version of a package or of Python is another folder."""
        place = os.environ.get(FOLDER) or Path.home() / ".cache" / "keras_mobilenets" / "targets"
        version = hashlib.sha256(" ".join((sys.version, *self.packages)).encode()).hexdigest()[:8]
        return Path(place).absolute() / f"{self.name}-{version}"

    @property
    def python(self) -> Path:
        """The Python that runs this target's programs. Console scripts beside it do not work: use `-m`."""
        return self.folder / "bin" / "python" if self.packages else Path(sys.executable)

    @property
    def command(self) -> str:
        """The line that installs what is missing."""
        return (
            f"apt-get install {' '.join(self.debian)}"
            if self.debian
            else f"keras-mobilenets targets --install {self.name}"
        )

    def is_ready(self) -> bool:
        """Whether everything is there."""
        return not self._absent(self.folder)

    def missing(self) -> str:
        """The line that says how to get what is missing; empty when nothing is."""
        absent = self._absent(self.folder)
        return f"{self.name} cannot be asked here, {absent} is missing: {self.command}" if absent else ""

    def require(self) -> None:
        """Refuses to go on without it.

        Raises:
            UserError: Something is missing; the message is `missing()`.
        """
        if line := self.missing():
            raise UserError(line)

    def file(self, pattern: str) -> Path:
        """The first file of a pattern as in `probe`.

        Raises:
            UserError: There is none.
        """
        self.require()
        return next(map(Path, _find(self.folder, pattern)))

    def install(self, progress: Callable[[str], None] = lambda line: None) -> None:
        """Makes the virtual environment; it is there as a whole or not at all.

        Args:
            progress: Is given each line that pip says.

        Raises:
            UserError: pip fails, a file is missing after it succeeded, or what is missing is for the system's
                administrator to install.
        """
        if self.is_ready():
            return
        if self.debian:
            raise UserError(f"{self.name} needs packages of Debian, as root: {self.command}")
        unfinished = self.folder.with_name(f".{self.folder.name}.{os.getpid()}")
        try:
            _make(unfinished, self.packages, progress)
            if absent := self._absent(unfinished):
                raise UserError(
                    f"pip says that {self.name} is installed, but {absent} did not come with it; "
                    f"its maker does not serve {platform.system()} on {platform.machine()}"
                )
            shutil.rmtree(self.folder, ignore_errors=True)  # one that has lost files
            unfinished.rename(self.folder)
        except (OSError, subprocess.CalledProcessError) as error:
            raise UserError(f"cannot make {self.folder}: {first_line(error)}; ${FOLDER} names another place") from error
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)

    def _absent(self, folder: Path) -> str:
        """The first pattern of `probe` that has no file."""
        return next((pattern for pattern in self.probe if not _find(folder, pattern)), "")


def _find(folder: Path, pattern: str) -> list[str]:
    return sorted(glob.glob(os.path.join(folder, "lib", "python3*", "site-packages", pattern)))


def _make(folder: Path, packages: tuple[str, ...], progress: Callable[[str], None]) -> None:
    """Makes a virtual environment. This Python's pip fills it; it gets one of its own where there is none."""
    python, is_pip_here = folder / "bin" / "python", find_spec("pip") is not None
    venv.create(folder, with_pip=not is_pip_here, clear=True)
    pip_of = [sys.executable, "-m", "pip", "--python", str(python)] if is_pip_here else [str(python), "-I", "-m", "pip"]
    with subprocess.Popen(
        [*pip_of, "install", "--disable-pip-version-check", "--progress-bar", "off", *packages],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as pip:
        assert pip.stdout
        said = []
        for line in filter(None, map(str.strip, pip.stdout)):
            progress(line)
            said.append(line)
    if pip.returncode:
        reasons = [line for line in said if line.startswith("ERROR")] or said or ["no reason given"]
        raise UserError(f"pip cannot install {' '.join(packages)}: {reasons[-1][:LONGEST]}")


SWIFTSHADER = "/usr/lib/chromium/vk_swiftshader_icd.json"

ENVIRONMENTS = {
    environment.name: environment
    for environment in (
        Environment(
            "gpu",
            licence="SwiftShader and the Vulkan loader: Apache 2.0, free to use",
            download_mb=32,
            probe=(SWIFTSHADER, "/usr/lib/*/libvulkan.so.1"),
            debian=("chromium-common", "libvulkan1"),
        ),
        Environment(
            "qualcomm",
            licence="Qualcomm's libraries: for developing one's own applications and for benchmarking, not to be "
            "redistributed alone; LiteRT: Apache 2.0; ONNX Runtime: MIT",
            download_mb=185,
            probe=(
                "ai_edge_litert/tools/apply_plugin_main",
                "ai_edge_litert/vendors/qualcomm/compiler/libLiteRtCompilerPlugin_Qualcomm.so",
                "onnxruntime_qnn/libQnnHtp.so",
                "onnxruntime_qnn/libQnnSystem.so",
                "onnxruntime_qnn/libonnxruntime_providers_qnn.so",
            ),
            packages=(
                "ai-edge-litert==2.2.0",
                "onnxruntime-qnn==2.7.0",
                "onnxruntime==1.32.0",
                "onnx==1.23.2",
                "numpy==2.4.6",
                "flatbuffers==25.12.19",
                "protobuf==7.36.2",
            ),
        ),
        Environment(
            "ethos-u",
            licence="Vela, Arm's compiler: Apache 2.0, free to use",
            download_mb=20,
            probe=("ethosu/regor*.so", "ethosu/config_files/Arm/vela.ini"),
            packages=("ethos-u-vela==5.2.0", "flatbuffers==25.12.19", "numpy==2.4.6"),
        ),
        Environment(
            "micro",
            licence="TensorFlow Lite Micro: Apache 2.0, free to use",
            download_mb=20,
            probe=("tflite_micro/python/tflite_micro/_runtime.so",),
            packages=("tflite-micro==0.dev20261023182759", "flatbuffers==25.12.19", "numpy==2.4.6", "pyyaml==6.0.4"),
        ),
    )
}
