"""The data sheet of one phone: what it is, how it measured, what was delegated and what was wrong."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keras_mobilenets.files import atomic
from keras_mobilenets.plurals import count
from keras_mobilenets.tflite.reports.comparison import Measurement, fastest_of_each, measurements
from keras_mobilenets.tflite.reports.page import template
from keras_mobilenets.tflite.reports.sources import Source
from keras_mobilenets.tflite.reports.sustained import STATUSES, soaks
from keras_mobilenets.tflite.results import tables

NAME = "datasheet.html"


@dataclass(frozen=True)
class DataSheet:
    """A phone in figures and sentences.

    Attributes:
        device: Its name.
        facts: (what, value) of the phone, its software and the conditions.
        measured: The measurements, each model's together.
        fastest: Of each model the fastest of them.
        delegated: What accelerators took, a sentence for each measurement on one.
        wrong: What went wrong, or is to be read with care, a sentence each; empty when all is well.
        soaks: As `sustained.soaks` gives them.
    """

    device: str
    facts: list[tuple[str, str]]
    measured: list[Measurement]
    fastest: list[Measurement]
    delegated: list[str]
    wrong: list[str]
    soaks: list[dict[str, Any]]

    def __str__(self) -> str:
        width = max(len(name) for name, _ in self.facts)
        lines = [self.device, "", *(f"{name:{width}}  {value}" for name, value in self.facts)]
        for title, said in (
            ("Sustained", [f"{_name(each['measured'])}: {each['said']}" for each in self.soaks]),
            ("Delegated", self.delegated),
            ("Wrong", self.wrong or ["nothing"]),
        ):
            lines += ["", title, *(f"  {text}" for text in said)] if said else []
        return "\n".join(lines)


def is_phone(source: Source) -> bool:
    """Whether a phone measured it, by the app or in its browser."""
    return "Android" in (source.environment.get("os") or "") or "iPhone" in (source.environment.get("os") or "")


def data_sheet(source: Source) -> DataSheet:
    """The data sheet of what one phone measured."""
    measured = measurements([source])
    thermal = {status for each in measured for status in _statuses(each)}
    place = source.environment
    hottest = max(thermal, key=STATUSES.index) if thermal else None
    battery = None if place.get("battery_percent") is None else f"{place['battery_percent']}%"
    facts = {
        "Device": source.device,
        "SoC": place.get("soc"),
        "Android": place.get("os"),
        "Runtime": " ".join(filter(None, (place.get("runtime"), place.get("runtime_version")))),
        "CPU threads": place.get("threads_available"),
        "Measured": (place.get("timestamp") or "")[:16].replace("T", " "),
        "Battery": ", ".join(filter(None, (battery, _yes(place, "charging", "charging", "on battery")))),
        "Clocks": _yes(place, "sustained_performance", "held at a rate that it can keep", "not held"),
        "Hottest": hottest and f"thermal status {hottest}",
    }
    return DataSheet(
        device=source.device,
        facts=[(name, str(value) if value else tables.UNKNOWN) for name, value in facts.items()],
        measured=sorted(measured, key=lambda each: (tables.family_name(each.row), tables.variant_name(each.row))),
        fastest=fastest_of_each(measured),
        delegated=[_delegated(each) for each in measured if each.row.status == "ok" and each.row.is_accelerated],
        wrong=[text for each in measured for text in _wrong(each)],
        soaks=soaks(measured),
    )


def write_data_sheet(sheet: DataSheet, path: Path) -> Path:
    """Writes it as a page that prints on paper."""
    is_fastest = [any(each is best for best in sheet.fastest) for each in sheet.measured]
    page = template("datasheet.html").render(sheet=sheet, lines=list(zip(sheet.measured, is_fastest, strict=True)))
    with atomic(path) as temporary:
        temporary.write_text(page, encoding="utf-8")
    return path


def _yes(place: dict[str, Any], name: str, yes: str, no: str) -> str | None:
    value = place.get(name)
    return None if value is None else yes if value else no


def _statuses(each: Measurement) -> list[str]:
    windows = (each.row.sustained or {}).get("windows", [])
    said = [each.row.thermal_start, each.row.thermal_end, *(window["thermal"] for window in windows)]
    return [status for status in said if status in STATUSES]


def _name(each: Measurement) -> str:
    return f"{tables.family_name(each.row)} {tables.variant_name(each.row)} on {each.place}"


def _delegated(each: Measurement) -> str:
    row = each.row
    if row.nodes_delegated is None or row.nodes_total is None:
        return f"{_name(each)}: not recorded"
    partitions = f" in {count(row.partitions, 'partition')}" if row.partitions else ""
    return f"{_name(each)}: {row.nodes_delegated} of {count(row.nodes_total, 'operator')}{partitions}"


def _wrong(each: Measurement) -> list[str]:
    row = each.row
    if row.status != "ok":
        return [f"{_name(each)} {row.status}: {row.error or 'no reason given'}"]
    said = [f"{_name(each)} fell back to the CPU"] if each.fell_back else []
    if row.error and not each.fell_back:
        said.append(f"{_name(each)}: {row.error}")
    if tables.is_unsettled(row):
        said.append(f"{_name(each)}: latency drifted by {row.drift:+.0%} over the run".replace("-", "−"))
    if row.sustained and row.sustained["throttled_s"] is not None:
        said.append(f"{_name(each)}: throttled after {row.sustained['throttled_s'] / 60:.1f} min")
    return said
