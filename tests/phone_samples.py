"""What a phone says and holds, for tests: lines of `am instrument`, the digest of a bundle's model, an APK."""

import hashlib
import zipfile
from pathlib import Path

DIGEST = hashlib.sha256(b"TFL3").hexdigest()  # of the model in `bundle`
REPOSITORY = Path(__file__).resolve().parents[1]
STATUS = ["INSTRUMENTATION_STATUS_CODE: 0"]
ROWS = [
    f"INSTRUMENTATION_STATUS: progress={done}/2 {what}{end}"
    for done, what, end in ((0, "", ""), (1, "net_int8 cpu-1", ""), (2, "net_int8 nnapi", ""))
]
WELL = [ROWS[0], *STATUS, ROWS[1], *STATUS, ROWS[2], *STATUS, "INSTRUMENTATION_RESULT: results=/sdcard/x", ""]
WELL += ["INSTRUMENTATION_CODE: -1"]
CRASH = ["INSTRUMENTATION_RESULT: shortMsg=Process crashed.", "INSTRUMENTATION_CODE: 0"]
NO_APP = [
    "INSTRUMENTATION_STATUS: Error=Unable to find instrumentation info for: ComponentInfo{x/x.Benchmark}",
    "INSTRUMENTATION_STATUS: id=ActivityManagerService",
    "INSTRUMENTATION_STATUS_CODE: -1",
    "android.util.AndroidException: INSTRUMENTATION_FAILED: x/x.BenchmarkInstrumentation",
]


def make_apk(path, content=b"code"):
    """Writes what passes for an APK; its SHA-256."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("AndroidManifest.xml", b"\3\0\10\0")
        archive.writestr("classes.dex", content)
    return hashlib.sha256(path.read_bytes()).hexdigest()
