"""Soaks of the report: does a model hold its latency for minutes, and what becomes of the phone's heat and battery."""

import itertools
from collections.abc import Sequence
from typing import Any

from keras_mobilenets.tflite.reports.comparison import Measurement
from keras_mobilenets.tflite.results import tables

STATUSES = ("none", "light", "moderate", "severe", "critical", "emergency", "shutdown")  # Android's, the coolest first
_HEAT = "#c2412d"


def soaks(measured: Sequence[Measurement]) -> list[dict[str, Any]]:
    """Of each measurement with a soak: itself, the soak as results.json has it, a sentence and the curve."""
    found = [(each, each.row.sustained) for each in measured if each.row.sustained]
    return [{"measured": each, "soak": soak, "said": sentence(soak), "svg": curve(each, soak)} for each, soak in found]


def sentence(soak: dict[str, Any]) -> str:
    """What a soak has shown: "10 min: last minute 1.45× the first, throttled after 3.3 min, 0.129 mAh per 1000"."""
    asked = f"{soak['minutes']} min"
    if not soak["is_complete"]:
        done = soak["windows"][-1]["end_s"] / 60 if soak["windows"] else 0
        asked = f"{done:.1f} of {asked}"
    parts = []
    if soak["last_over_first"] is not None:
        parts.append(f"last minute {soak['last_over_first']:.2f}× the first")
        throttled = soak["throttled_s"]
        parts.append("no throttling" if throttled is None else f"throttled after {throttled / 60:.1f} min")
    if soak["mah_per_1000"] is not None:
        parts.append(f"{soak['mah_per_1000']:.3f} mAh per 1000 inferences")
    return f"{asked}: {', '.join(parts) or 'too short to tell'}"


def curve(measured: Measurement, soak: dict[str, Any]) -> str:
    """The median of each window over minutes, above a strip of the thermal status."""
    from keras_mobilenets.tflite.reports.figure import INK, figure, svg
    from keras_mobilenets.tflite.reports.plots import STYLES

    windows, row = soak["windows"], measured.row
    name = f"{tables.family_name(row)} {tables.variant_name(row)}, {measured.place}"
    if not windows:
        return ""
    with figure(9.6, 3.2) as drawn:
        axes, strip = drawn.subplots(2, 1, sharex=True, height_ratios=(7, 1))
        minutes = [window["end_s"] / 60 for window in windows]
        colour = STYLES.get(row.compression or row.quantization, STYLES[None])[0]
        axes.plot(minutes, [window["median_ms"] for window in windows], color=colour, linewidth=1.8)
        axes.set_ylim(0, 1.15 * max(window["median_ms"] for window in windows))
        axes.set_ylabel("median, ms")
        if soak["throttled_s"] is not None:
            axes.axvline(soak["throttled_s"] / 60, color=_HEAT, linestyle="--", linewidth=1.2)
        begin = 0.0
        for status, group in itertools.groupby(windows, key=lambda window: window["thermal"]):
            end = list(group)[-1]["end_s"] / 60
            heat = STATUSES.index(status) / (len(STATUSES) - 1) if status in STATUSES else 0
            strip.axvspan(begin, end, color=_HEAT, alpha=0.06 + 0.6 * heat, linewidth=0)
            if end - begin > 0.06 * soak["minutes"]:
                strip.text((begin + end) / 2, 0.5, status or "unknown", ha="center", va="center", color=INK, fontsize=9)
            begin = end
        strip.set(yticks=[], xlabel="minutes", ylabel="thermal", xlim=(0, soak["minutes"]))
        strip.yaxis.label.set(rotation=0, ha="right", va="center")
        strip.grid(visible=False)
        return svg(drawn, f"Latency of {name} over {soak['minutes']} minutes", f"{sentence(soak)}.")
