"""A phone: install the app, push a bundle, run its benchmark, fetch results.json.

Words for the phone's own shell are quoted.
"""

import queue
import re
import shlex
import subprocess
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from keras_mobilenets.cli.android.adb import SHORT, Adb, last_line
from keras_mobilenets.cli.android.instrumentation import Answer, lines_of
from keras_mobilenets.errors import UserError

PACKAGE = "kerasmobilenets.demo"
RESULTS = f"/sdcard/Android/data/{PACKAGE}/files/results.json"
BUNDLE = f"/data/local/tmp/{PACKAGE}/bundle"  # where apps may read what adb has pushed, on every Android
LONG = 900  # seconds for a command that moves large files

_NOT_INSTALLED = {
    "INSTALL_FAILED_UPDATE_INCOMPATIBLE": f"holds the app signed with another key; adb uninstall {PACKAGE} removes it",
    "INSTALL_FAILED_VERSION_DOWNGRADE": f"holds a newer version of the app; adb uninstall {PACKAGE} removes it",
    "INSTALL_FAILED_INSUFFICIENT_STORAGE": "has no space left for the app: free some on it",
    "INSTALL_FAILED_OLDER_SDK": "runs an Android older than the app needs (8.1)",
    "INSTALL_FAILED_NO_MATCHING_ABIS": "has a processor that the app has no libraries for (it has arm64 and x86_64)",
    "INSTALL_FAILED_USER_RESTRICTED": "refused: allow installing by USB in its developer options, confirm on screen",
}


class GoneError(UserError):
    """The phone is no longer there."""


@dataclass(frozen=True)
class Phone:
    """One phone that adb can talk to."""

    adb: Adb
    serial: str
    model: str

    @property
    def name(self) -> str:
        """For the user: "Pixel_8 0A1B2C"."""
        return f"{self.model} {self.serial}".strip()

    def run(self, *arguments: str, seconds: int = SHORT) -> "subprocess.CompletedProcess[str]":
        """Runs adb on this phone.

        Raises:
            GoneError: The phone is not there, or not ready, any more.
        """
        done = self.adb.run("-s", self.serial, *arguments, seconds=seconds)
        if done.returncode and re.search(
            r"device '.*' not found|device not found|no devices|device offline|device unauth"
            r"|closed$",
            done.stdout.strip(),
        ):
            raise GoneError(f"phone {self.name} went away: plug it in, unlock it and try again")
        return done

    def shell(self, *words: str, seconds: int = SHORT) -> "subprocess.CompletedProcess[str]":
        """Runs one command in the phone's shell."""
        return self.run("shell", shlex.join(words), seconds=seconds)

    def installed_sha256(self) -> str | None:
        """SHA-256 of the installed app, None without one; empty when the phone cannot tell."""
        place = re.search(r"^package:(\S+)", self.shell("pm", "path", PACKAGE).stdout, re.MULTILINE)
        if place is None:
            return None
        digest = re.match(r"[0-9a-f]{64}\b", self.shell("sha256sum", place[1]).stdout)
        return digest[0] if digest else ""

    def install(self, apk: Path) -> None:
        """Installs the app, over an older one if there is one.

        Raises:
            UserError: The phone refuses it; the message says why.
        """
        done = self.run("install", "-r", str(apk), seconds=LONG)
        if done.returncode == 0 and "Failure" not in done.stdout:
            return
        _refuse_full(self, done.stdout)
        code = re.search(r"INSTALL_[A-Z_]+", done.stdout)
        known = _NOT_INSTALLED.get(code[0]) if code else None
        raise UserError(f"phone {self.name} {known or f'did not take the app: {last_line(done.stdout)}'}")

    def push(self, folder: Path, files: Iterable[str]) -> None:
        """Copies a bundle to where the app can read it, in place of one of before.

        Args:
            folder: The bundle.
            files: Its files, relative to it.

        Raises:
            UserError: The phone is full, or refuses.
        """
        self.shell("rm", "-rf", BUNDLE)
        places: dict[str, list[str]] = {}
        for name in files:
            places.setdefault(str(PurePosixPath(BUNDLE, name).parent), []).append(str(folder / name))
        for place, paths in places.items():
            done = self.shell("mkdir", "-p", place)
            if done.returncode == 0:
                done = self.run("push", *paths, place, seconds=LONG)
            if done.returncode:
                self.shell("rm", "-rf", BUNDLE)
                _refuse_full(self, done.stdout)
                raise UserError(f"phone {self.name} did not take the bundle: {last_line(done.stdout)}")
        self.shell("chmod", "-R", "a+rX", str(PurePosixPath(BUNDLE).parent))

    def benchmark(self, arguments: dict[str, str], seconds: float, progress: Callable[[int, int], None]) -> Answer:
        """Runs the app's benchmark to its end.

        Args:
            arguments: For the app, such as {"models": "all"}.
            seconds: How long it may say nothing.
            progress: Called with the numbers of rows done and in all.

        Returns:
            What it said; `code` is None when the connection broke.

        Raises:
            UserError: It said nothing for too long, and has been stopped.
        """
        self.shell("rm", "-f", RESULTS)
        words = ["am", "instrument", "-w", "-r"]
        for name, value in arguments.items():
            words += ["-e", name, value]
        command = self.adb.command(
            "-s", self.serial, "shell", shlex.join([*words, f"{PACKAGE}/.BenchmarkInstrumentation"])
        )
        answer = Answer()
        with subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        ) as process:
            try:
                for line in lines_of(process, seconds):
                    if answer.read(line):
                        progress(answer.done, answer.total)
            except queue.Empty:
                process.kill()
                self.stop()
                raise UserError(
                    f"the app on phone {self.name} said nothing for {seconds:.0f} s {answer.rows} and was stopped"
                ) from None
            finally:
                process.kill()
        return answer

    def stop(self) -> None:
        """Ends the app."""
        self.shell("am", "force-stop", PACKAGE)

    def fetch_results(self, path: Path) -> bool:
        """Copies results.json to `path`; False when the phone has none."""
        done = self.run("pull", RESULTS, str(path), seconds=LONG)
        if done.returncode and not re.search(r"does not exist|No such file", done.stdout):
            raise UserError(f"cannot fetch results.json from phone {self.name}: {last_line(done.stdout)}")
        return done.returncode == 0

    def is_there(self) -> bool:
        """Whether it is attached and ready."""
        return self.adb.devices().get(self.serial, ("", ""))[0] == "device"

    def wait(self, seconds: float) -> bool:
        """Waits until it is there again; whether it came."""
        end = time.monotonic() + seconds
        while not self.is_there():
            if time.monotonic() >= end:
                return False
            time.sleep(min(1, seconds / 4))
        return True


def _refuse_full(phone: Phone, output: str) -> None:
    if re.search(r"No space left|INSUFFICIENT_STORAGE|not enough space", output, re.IGNORECASE):
        raise UserError(f"phone {phone.name} has no space left: free some on it and try again")
