"""Start-up: `keras-mobilenets --help` (under 0.5 s) and `import keras_mobilenets` (under 0.1 s), medians of whole
processes less that of an empty Python process.

    python tests/benchmarks/startup.py
"""

import statistics
import subprocess
import sys
import time

COMMANDS = {
    "python -c pass": [sys.executable, "-c", "pass"],
    "import keras_mobilenets": [sys.executable, "-c", "import keras_mobilenets"],
    "keras-mobilenets --help": [sys.executable, "-m", "keras_mobilenets", "--help"],
}


def main():
    """Prints the median of 15 runs of each, in turns."""
    times = {name: [] for name in COMMANDS}
    for _ in range(15):
        for name, command in COMMANDS.items():
            start = time.perf_counter()
            subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
            times[name].append(time.perf_counter() - start)
    for name, values in times.items():
        print(f"{name:26} {statistics.median(values):.3f} s")


if __name__ == "__main__":
    main()
