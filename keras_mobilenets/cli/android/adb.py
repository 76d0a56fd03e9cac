"""Android's debug bridge, adb: the program and the devices it sees.

adb is started with a list of arguments, never through a shell here.
"""

import os
import re
import shutil
import subprocess

from keras_mobilenets.errors import UserError

SHORT = 60  # seconds for a command that moves no large file
_GET = "install Android's platform tools (developer.android.com/tools/releases/platform-tools, or apt install adb)"


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
            raise UserError(f"adb devices failed: {last_line(done.stdout)}")
        found = {}
        for line in lines.splitlines():
            match = re.match(r"(\S+)\s+(no permissions|\S+)", line)
            if match and not line.startswith("*"):
                model = re.search(r" model:(\S+)", line)
                found[match[1]] = match[2], model[1] if model else ""
        return found


def last_line(output: str) -> str:
    """The last line that says something."""
    return next((line.strip() for line in reversed(output.splitlines()) if line.strip()), "it gave no reason")
