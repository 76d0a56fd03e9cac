"""Phones through Android's debug bridge, adb: install the app, push a bundle, run its benchmark, fetch results.json.

adb is started with a list of arguments, never through a shell here; words for the phone's own shell are quoted. The
lines that `am instrument -r` prints are those of frameworks/base/cmds/am (Instrument.java, TextStatusReporter).
"""

import os
import queue
import re
import shlex
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from keras_mobilenets.errors import UserError

PACKAGE = "kerasmobilenets.demo"
RESULTS = f"/sdcard/Android/data/{PACKAGE}/files/results.json"
BUNDLE = f"/data/local/tmp/{PACKAGE}/bundle"  # where apps may read what adb has pushed, on every Android
SHORT = 60  # seconds for a command that moves no large file
LONG = 900

_GET = "install Android's platform tools (developer.android.com/tools/releases/platform-tools, or apt install adb)"
_STATES = {
    "unauthorized": "does not trust this computer yet: unlock it, tap Allow on it and try again",
    "authorizing": "is being asked whether it trusts this computer: unlock it, tap Allow on it and try again",
    "offline": "is offline: unlock it, plug the cable in again and try again",
    "no permissions": "may not be used by you: install the udev rules for Android (apt install adb), plug it in again",
    "recovery": "is in recovery mode: start Android on it and try again",
    "bootloader": "is in its bootloader: start Android on it and try again",
    "sideload": "waits for an update: start Android on it and try again",
}
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


class Adb:
    """The program."""

    def __init__(self, program: str | None = None) -> None:
        """Finds adb: as given, on PATH, or in the SDK that ANDROID_HOME names.

        Raises:
            UserError: There is none.
        """
        sdk = os.environ.get("ANDROID_HOME") or os.environ.get("ANDROID_SDK_ROOT")
        places = [program] if program else ["adb", *([os.path.join(sdk, "platform-tools", "adb")] if sdk else [])]
        found = next(filter(None, map(shutil.which, places)), None)
        if found is None:
            raise UserError(f"{program} is no program; {_GET}" if program else f"adb is not on PATH: {_GET}")
        self._program = found

    def command(self, *arguments: str) -> list[str]:
        """What to start."""
        return [self._program, *arguments]

    def run(self, *arguments: str, seconds: int = SHORT) -> "subprocess.CompletedProcess[str]":
        """Runs adb to its end; standard error stands behind standard output."""
        try:
            return subprocess.run(
                self.command(*arguments),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                timeout=seconds,
            )
        except subprocess.TimeoutExpired:
            raise UserError(f"adb {arguments[0]} did not answer for {seconds} s: try adb kill-server") from None
        except OSError as error:
            raise UserError(f"{self._program} cannot be started: {error.strerror}; {_GET}") from error

    def devices(self) -> dict[str, tuple[str, str]]:
        """Serial of each attached device: its state ("device" when usable) and its model ("" when not told)."""
        done = self.run("devices", "-l")
        _, heading, lines = done.stdout.partition("List of devices attached")
        if not heading:
            raise UserError(f"adb devices failed: {_last_line(done.stdout)}")
        found = {}
        for line in lines.splitlines():
            match = re.match(r"(\S+)\s+(no permissions|\S+)", line)
            if match and not line.startswith("*"):
                model = re.search(r" model:(\S+)", line)
                found[match[1]] = match[2], model[1] if model else ""
        return found

    def phones(self, serials: Sequence[str] = ()) -> list["Phone"]:
        """The phones to work with, which are ready.

        Args:
            serials: Those wanted; none stands for the only one attached.

        Raises:
            UserError: None is attached, several are and none is named, or one is not ready; it says what to do.
        """
        there = self.devices()
        if not there:
            raise UserError("no phone is attached: switch USB debugging on in its developer options and plug it in")
        listed = ", ".join(f"{serial} ({model or state})" for serial, (state, model) in there.items())
        if not serials and len(there) > 1:
            raise UserError(f"several phones are attached: choose with --serial, once for each; there are {listed}")
        for serial in serials:
            if serial not in there:
                raise UserError(f"no phone {serial} is attached; there are {listed}")
        wanted = [(serial, *there[serial]) for serial in dict.fromkeys(serials or there)]
        for serial, state, _ in wanted:
            if state != "device":
                raise UserError(f"phone {serial} {_STATES.get(state, f'is not ready (adb calls it {state})')}")
        return [Phone(self, serial, model) for serial, _, model in wanted]


@dataclass
class Answer:
    """What `am instrument` has said.

    Attributes:
        done: Rows measured.
        total: Rows there are; 0 when not said.
        code: How it ended, -1 being well; None when it has not.
        said: Its results and errors by name.
        last: The last line.
    """

    done: int = 0
    total: int = 0
    code: int | None = None
    said: dict[str, str] = field(default_factory=dict)
    last: str = ""

    def read(self, line: str) -> bool:
        """Takes one line; whether it told of progress."""
        line = line.rstrip()
        self.last = line or self.last
        kind, _, rest = line.partition(": ")
        name, _, value = rest.partition("=")
        if kind == "INSTRUMENTATION_STATUS" and name == "progress":
            counted = re.match(r"(\d+)/(\d+)", value)
            if counted:
                self.done, self.total = int(counted[1]), int(counted[2])
            return bool(counted)
        if kind in ("INSTRUMENTATION_RESULT", "INSTRUMENTATION_STATUS"):
            self.said[name] = value
        elif kind == "INSTRUMENTATION_CODE":
            self.code = int(rest) if re.fullmatch(r"-?\d+", rest) else 0
        elif "INSTRUMENTATION_FAILED" in line or "INSTRUMENTATION_ABORTED" in line:
            self.said.setdefault("Error", line)
        return False

    @property
    def rows(self) -> str:
        """How far it came, in words."""
        return f"after {self.done} of {self.total} rows" if self.total else "before the first row"


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
        raise UserError(f"phone {self.name} {known or f'did not take the app: {_last_line(done.stdout)}'}")

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
                raise UserError(f"phone {self.name} did not take the bundle: {_last_line(done.stdout)}")
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
                for line in _lines(process, seconds):
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
            raise UserError(f"cannot fetch results.json from phone {self.name}: {_last_line(done.stdout)}")
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


def _lines(process: "subprocess.Popen[str]", seconds: float) -> Iterable[str]:
    """Lines of a process as they come; raises queue.Empty when none comes for so long."""
    assert process.stdout is not None
    source, lines = process.stdout, queue.SimpleQueue[str | None]()

    def read() -> None:
        for line in source:
            lines.put(line)
        lines.put(None)

    threading.Thread(target=read, daemon=True).start()
    while (line := lines.get(timeout=seconds)) is not None:
        yield line


def _refuse_full(phone: Phone, output: str) -> None:
    if re.search(r"No space left|INSUFFICIENT_STORAGE|not enough space", output, re.IGNORECASE):
        raise UserError(f"phone {phone.name} has no space left: free some on it and try again")


def _last_line(output: str) -> str:
    return next((line.strip() for line in reversed(output.splitlines()) if line.strip()), "it gave no reason")
