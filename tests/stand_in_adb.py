"""Plays adb for the tests: answers as scenario.json beside it says, and writes what it was asked into log.json.

Its lines are those of AOSP's adb and am (packages/modules/adb; frameworks/base/cmds/am, Instrument.java).
"""

import hashlib
import json
import pathlib
import re
import shlex
import shutil
import sys
import time

HERE = pathlib.Path(__file__).parent
SCENARIO = json.loads((HERE / "scenario.json").read_text())


def main(arguments):
    serial = None
    with open(HERE / "log.json", "a") as log:
        log.write(json.dumps(arguments) + "\n")
    if arguments[0] == "-s":
        serial, arguments = arguments[1], arguments[2:]
    unplugged = [path for path in HERE.glob("unplugged.*") if path.suffix[1:] == serial or not serial]
    if arguments[0] == "devices":
        return devices({path.suffix[1:] for path in unplugged})
    if unplugged:
        return fail(f"error: device '{serial}' not found")
    phone = SCENARIO["phones"][serial]
    if arguments[0] == "shell":
        assert len(arguments) == 2  # the phone's shell gets one text
        return shell(phone, serial, shlex.split(arguments[1]))
    if arguments[0] == "install":
        content = pathlib.Path(arguments[2]).read_bytes()
        if "install" in phone:
            return fail(phone["install"])
        if "forgets" not in phone:
            (HERE / f"installed.{serial}").write_text(hashlib.sha256(content).hexdigest())
        print("Performing Streamed Install\nSuccess")
        return 0
    if arguments[0] == "push":
        assert all(pathlib.Path(path).is_file() for path in arguments[1:-1])
        if "push" in phone:
            return fail(phone["push"])
        print(f"{len(arguments) - 2} files pushed, 0 skipped. 30.1 MB/s (10504466 bytes in 0.333s)")
        return 0
    if arguments[0] == "pull":
        if not phone.get("results"):
            return fail(f"adb: error: failed to stat remote object '{arguments[1]}': No such file or directory")
        shutil.copy(phone["results"], arguments[2])
        return 0
    raise AssertionError(arguments)


def devices(unplugged):
    if "daemon" in SCENARIO:
        return fail(SCENARIO["daemon"])
    print("* daemon not running; starting now at tcp:5037\n* daemon started successfully\nList of devices attached")
    for path in HERE.glob("unplugged.*"):  # each look brings the phone nearer
        left = int(path.read_text()) - 1
        path.write_text(str(left))
        if left == 0:
            path.unlink()
    for serial, phone in SCENARIO["phones"].items():
        if serial not in unplugged:
            state, model = phone.get("state", "device"), phone.get("model", "Pixel_8")
            more = f" product:shiba model:{model} device:shiba" if state == "device" else ""
            print(f"{serial:22} {state} usb:1-1{more} transport_id:1")
    print()
    return 0


def shell(phone, serial, words):
    kept = HERE / f"installed.{serial}"
    installed = kept.read_text() if kept.exists() else phone.get("installed", "0" * 64)
    if words[0] == "pm":
        if not installed:
            return 1
        print("package:/data/app/~~Zm9v==/base.apk")
        return 0
    if words[0] == "sha256sum":
        print(f"{installed}  {words[1]}")
        return 0
    if words[:2] == ["am", "instrument"]:
        return instrument(phone, serial)
    assert words[0] in ("rm", "mkdir", "chmod") or words[:2] == ["am", "force-stop"], words
    return 0


def instrument(phone, serial):
    for line in phone["says"]:
        if match := re.fullmatch(r"sleep (\S+)", line):
            time.sleep(float(match[1]))
        elif match := re.fullmatch(r"unplug (\d+)", line):
            (HERE / f"unplugged.{serial}").write_text(match[1])
            return 255
        else:
            print(line, flush=True)
    return 0


def fail(text):
    print(text, file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
