"""Compiles a .tflite for an Ethos-U with Arm's compiler, Vela, which says on standard error what it refuses and why.

Arguments: `path`; `accelerator`, `system` and `memory`, by Vela's names; `output`, the folder for the compiled file.
Values: `version`, Vela's, and `figures`, the row of figures that it writes, as text.
"""

import csv
import json
import os
import sys
from importlib.metadata import version
from pathlib import Path

from ethosu.vela.vela import main

folder = Path(sys.argv[1])
arguments = json.loads((folder / "arguments.json").read_text("utf-8"))
os.dup2(2, 1)
options = {
    "--accelerator-config": arguments["accelerator"],
    "--config": "Arm/vela.ini",
    "--system-config": arguments["system"],
    "--memory-mode": arguments["memory"],
    "--output-dir": arguments["output"],
}
main([arguments["path"], *(word for option in options.items() for word in option)])
(table,) = Path(arguments["output"]).glob("*_summary_*.csv")
with open(table, newline="", encoding="utf-8") as rows:
    values = {"version": version("ethos-u-vela"), "figures": next(csv.DictReader(rows))}
(folder / "values.json").write_text(json.dumps(values), encoding="utf-8")
