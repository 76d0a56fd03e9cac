"""Other runtimes to compare with: TensorFlow Lite 2.16.1 as on the phone, and LiteRT on an emulated 64-bit Arm.

Each is put together under build/compat on first use, from wheels whose hashes are pinned beside this file and from
packages of Debian 12 that apt authenticates; neither needs root. What cannot be had here raises `Unavailable`.
"""

import os
import platform
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

HERE = Path(__file__).parent
BUILD = HERE.parent.parent / "build" / "compat"
ANSWER = HERE / "answer.py"

# What the wheel's interpreter.py imports when it lies in a package of this name, as it does on small devices.
METRICS = """
class TFLiteMetrics:
    def increase_counter_interpreter_creation(self):
        pass
"""
INTERPRETER = (
    "lite/python/interpreter.py",
    "lite/python/interpreter_wrapper/_pywrap_tensorflow_interpreter_wrapper.so",
    "libtensorflow_framework.so.2",
)
DEBIAN = (
    *("python3.11-minimal", "libpython3.11-minimal", "libpython3.11-stdlib", "libstdc++6", "libgcc-s1", "libc6"),
    *("zlib1g", "libexpat1", "libffi8", "libssl3", "liblzma5", "libbz2-1.0"),
)
# The runtime asks the kernel about the processor and must not be told of the host's.
CPUINFO = """processor\t: 0
Features\t: fp asimd evtstrm aes pmull sha1 sha2 crc32 cpuid
CPU implementer\t: 0x41
CPU architecture: 8
CPU variant\t: 0x0
CPU part\t: 0xd08
CPU revision\t: 3

"""


class Unavailable(Exception):  # noqa: N818
    """Why a runtime cannot be had on this machine."""


def tensorflow_2_16() -> list[str]:
    """The command that runs a Python program with the interpreter of TensorFlow 2.16.1."""
    if sys.version_info[:2] != (3, 11) or (sys.platform, platform.machine()) != ("linux", "x86_64"):
        raise Unavailable("TensorFlow 2.16.1 is pinned for Python 3.11 on Linux, x86_64")
    site = _once("tensorflow_2_16", _make_tensorflow_2_16)
    return ["env", f"PYTHONPATH={site}", "TF_ENABLE_ONEDNN_OPTS=0", "TF_CPP_MIN_LOG_LEVEL=3", sys.executable, "-s"]


def aarch64(cpu: str) -> list[str]:
    """The command that runs a Python program with LiteRT on an emulated processor, such as "cortex-a72"."""
    root = _once("aarch64", _make_aarch64)
    qemu = shutil.which("qemu-aarch64-static") or shutil.which("qemu-aarch64") or str(root / "qemu-aarch64-static")
    python = str(root / "usr/bin/python3.11")
    return ["env", "-u", "PYTHONHOME", f"PYTHONPATH={root / 'site'}", qemu, "-cpu", cpu, "-L", str(root), python, "-s"]


def _make_tensorflow_2_16(folder: Path) -> None:
    _wheels(folder, "tensorflow_2_16.txt", "manylinux2014_x86_64", folder)
    package = folder / "tflite_runtime"
    package.mkdir()
    for name in INTERPRETER:
        shutil.move(folder / "tensorflow" / name, package)
    (package / "__init__.py").touch()
    (package / "metrics_portable.py").write_text(METRICS)
    shutil.rmtree(folder / "tensorflow")


def _make_aarch64(folder: Path) -> None:
    _packages(folder, "arm64", DEBIAN)
    if not (shutil.which("qemu-aarch64-static") or shutil.which("qemu-aarch64")):
        _packages(folder / "qemu", "amd64", ("qemu-user-static",))
        shutil.move(folder / "qemu/usr/bin/qemu-aarch64-static", folder)
        shutil.rmtree(folder / "qemu")
    _wheels(folder, "aarch64.txt", "manylinux_2_28_aarch64 manylinux_2_27_aarch64", folder / "site")
    (folder / "proc").mkdir()
    (folder / "proc/cpuinfo").write_text(CPUINFO)


def _once(name: str, make: Callable[[Path], None]) -> Path:
    """The folder of an environment, made anew unless it is complete."""
    folder, unfinished = BUILD / name, BUILD / f"{name}.{os.getpid()}"
    if not folder.exists():
        unfinished.mkdir(parents=True)
        try:
            make(unfinished)
            unfinished.rename(folder)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
    return folder


def _wheels(folder: Path, requirements: str, platforms: str, target: Path) -> None:
    """Unpacks the wheels that a file of pinned hashes names; of TensorFlow only the interpreter."""
    store = folder / "wheels"
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", "--require-hashes"]
    pip += ["--python-version", "311", "--implementation", "cp", "--dest", str(store), "-r", str(HERE / requirements)]
    _run([*pip, *(part for name in platforms.split() for part in ("--platform", name))], "the package index")
    for wheel in store.glob("*.whl"):
        with zipfile.ZipFile(wheel) as archive:
            names = [f"tensorflow/{name}" for name in INTERPRETER] if wheel.name.startswith("tensorflow") else None
            archive.extractall(target, names)
    shutil.rmtree(store)


def _packages(folder: Path, architecture: str, names: tuple[str, ...]) -> None:
    """Unpacks Debian packages of any architecture, with this machine's sources but lists and cache of its own."""
    if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
        raise Unavailable("an emulated Arm needs packages of Debian 12, and there is no apt-get here")
    state = folder / "apt"
    for part in ("lists/partial", "cache/archives/partial", "debs"):
        (state / part).mkdir(parents=True)
    config = state / "apt.conf"
    config.write_text(
        f'APT::Architecture "{architecture}";\nAPT::Architectures {{"{architecture}";}};\nAPT::Sandbox::User "";\n'
        f'Dir::State "{state}";\nDir::State::status "/dev/null";\nDir::Cache "{state}/cache";\n'
        'Acquire::Languages "none";\n'
    )
    apt = ["env", f"APT_CONFIG={config}", "apt-get", "--quiet"]
    _run([*apt, "update"], "Debian's packages")
    _run([*apt, "download", *names], "Debian's packages", state / "debs")
    for package in sorted((state / "debs").glob("*.deb")):
        subprocess.run(["dpkg-deb", "-x", str(package), str(folder)], check=True)
    shutil.rmtree(state)


def _run(command: list[str], source: str, folder: Path | None = None) -> None:
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder)
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip() or "no reason given").splitlines()[-1]
        raise Unavailable(f"{source} cannot be had here: {said}")
