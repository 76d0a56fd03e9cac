"""What `am instrument -r` prints, as frameworks/base/cmds/am does (Instrument.java, TextStatusReporter)."""

import queue
import re
import subprocess
import threading
from collections.abc import Iterable
from dataclasses import dataclass, field


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


def lines_of(process: "subprocess.Popen[str]", seconds: float) -> Iterable[str]:
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
