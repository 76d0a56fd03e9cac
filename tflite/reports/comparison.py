"""Measurements of several devices side by side: joined by their .tflite, compared, and laid out as a matrix."""

import dataclasses
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from keras_mobilenets.plurals import count
from keras_mobilenets.tflite.reports.sources import Source
from keras_mobilenets.tflite.results import tables
from keras_mobilenets.tflite.results.results import FIGURES, Row

_SCORES = (*FIGURES, "per_class")
_OF_THE_FILE = ("quantization", "compression", "parameters", "macs", "model_size_mb", "gzip_size_mb", "sparsity")


@dataclass(frozen=True)
class Measurement:
    """A row of results.json and where it comes from.

    Attributes:
        source: Name of the run folder or file.
        device: What it was measured on.
        row: The row; what its file was known for elsewhere is filled in.
        scored_on: The device that its score was measured on, when that is another one.
    """

    source: str
    device: str
    row: Row
    scored_on: str | None = None

    @property
    def backend(self) -> str:
        """What was asked to run it; where the CPU did instead, the app says "cpu" and names this in `error`."""
        asked = re.match("asked for ([^,]+),", self.row.error or "") if self.row.status == "ok" else None
        return asked[1] if asked else self.row.backend or "unknown backend"

    @property
    def place(self) -> str:
        """Backend and threads in words."""
        backend, threads = self.backend, self.row.threads
        return backend if self.row.is_accelerated or not threads else f"{backend}, {count(threads, 'thread')}"

    @property
    def fell_back(self) -> bool:
        """Whether the CPU ran what was meant for an accelerator."""
        row = self.row
        return row.is_undelegated or (row.status == "ok" and self.backend != (row.backend or "unknown backend"))

    @property
    def counts(self) -> bool:
        """Whether its latency is one of the place it names."""
        return self.row.median_ms is not None and not self.fell_back

    @property
    def on_cpu(self) -> str:
        """How many operators ran on the CPU beside an accelerator, in words; empty when all or none are delegated."""
        row = self.row
        if self.fell_back or not row.is_accelerated or row.nodes_delegated is None or row.nodes_total is None:
            return ""
        number = row.nodes_total - row.nodes_delegated
        return f"{number} of {count(row.nodes_total, 'operator')} on the CPU" if number > 0 else ""

    @property
    def notes(self) -> list[str]:
        """What a reader of the latency has to know."""
        row = self.row
        if row.status != "ok":
            return [f"{row.status}: {row.error or 'no reason given'}"]
        said = [self._delegation()]
        thermal = {row.thermal_start, row.thermal_end} - {None, "none"}
        if thermal:
            said.append(f"thermal status {row.thermal_start or 'unknown'} → {row.thermal_end or 'unknown'}")
        if tables.is_unsettled(row):
            said.append(f"latency drifted by {row.drift:+.0%} over the run".replace("-", "−"))
        return [text for text in said if text]

    def _delegation(self) -> str:
        row = self.row
        if self.fell_back:
            return f"fell back to the CPU: {row.error or f'no operator delegated to {row.backend}'}"
        if self.on_cpu:
            partitions = f", the others in {count(row.partitions, 'partition')}" if row.partitions is not None else ""
            return f"{self.on_cpu}{partitions}"
        unknown = row.nodes_delegated is None and row.is_accelerated
        return f"not recorded how many operators are delegated to {row.backend}" if unknown else ""


@dataclass(frozen=True)
class Matrix:
    """Models by (device, backend, threads).

    Attributes:
        devices: (device, number of columns) from left to right.
        columns: Of each column, backend and threads.
        rows: Of each model, its family, its variant, and for each column the measurements in that cell.
        starts: Numbers of the columns that a device begins with.
        fastest: Of each model on each device with a choice, its fastest measurement.
    """

    devices: list[tuple[str, int]]
    columns: list[tuple[str, int | None]]
    rows: list[tuple[str, str, list[list[Measurement]]]]
    starts: list[int]
    fastest: list[Measurement]

    def is_fastest(self, measured: Measurement) -> bool:
        """Whether it is one of `fastest`."""
        return any(measured is each for each in self.fastest)


def measurements(sources: Sequence[Source]) -> list[Measurement]:
    """All rows; the SHA-256 of their files tells which of them are about the same model.

    What one device's rows lack (their score, compression, multiply-adds) is taken from another's of the same file.
    """
    known: dict[str, list[Measurement]] = {}
    named = _device_names(sources)
    found = [(Measurement(s.name, named[id(s)], row), _sha256(row, s.environment)) for s in sources for row in s.rows]
    for measured, digest in found:
        if digest:
            known.setdefault(digest, []).append(measured)
    same_file = [known.get(digest or "", [measured]) for measured, digest in found]
    filled = [_filled(measured, same) for (measured, _), same in zip(found, same_file, strict=True)]
    return _told_apart(filled, [same[0].source for same in same_file])


def fastest_of_each(measured: Iterable[Measurement]) -> list[Measurement]:
    """Of each model its fastest measurement; those that fell back to the CPU do not count."""
    best: dict[tuple[str, str], Measurement] = {}
    for each in measured:
        key = (tables.family_name(each.row), tables.variant_name(each.row))
        if each.counts and (key not in best or median(each) < median(best[key])):
            best[key] = each
    return list(best.values())


def matrix(measured: Sequence[Measurement]) -> Matrix:
    """The latency table: a row for each model, a column for each device, backend and number of threads."""
    devices = list(dict.fromkeys(each.device for each in measured))
    places = list(dict.fromkeys((each.device, each.backend, each.row.threads) for each in measured))
    places.sort(key=lambda place: devices.index(place[0]))
    compressed = tables.are_compressed(each.row for each in measured)
    rows: dict[tuple[str, str], dict[Any, list[Measurement]]] = {}
    for each in measured:
        name = tables.family_name(each.row), tables.variant_name(each.row, among_compressed=compressed)
        cells = rows.setdefault(name, {})
        cells.setdefault((each.device, each.backend, each.row.threads), []).append(each)
    best = [
        each
        for cells in rows.values()
        for device in devices
        for each in _clear_winner([m for place, cell in cells.items() if place[0] == device for m in cell])
    ]
    return Matrix(
        devices=[(device, sum(place[0] == device for place in places)) for device in devices],
        columns=[(backend, threads) for _, backend, threads in places],
        rows=[(*name, [cells.get(place, []) for place in places]) for name, cells in rows.items()],
        starts=[i for i, place in enumerate(places) if place[0] not in [device for device, *_ in places[:i]]],
        fastest=best,
    )


def baseline(row: Row, rows: Sequence[Row]) -> Row | None:
    """The float32 row on the same backend and threads: of the same model, or the only one there is."""
    plain = [r for r in rows if r.quantization == "none" and r.compression is None]
    floats = [r for r in plain if (r.backend, r.threads) == (row.backend, row.threads)]
    same = [r for r in floats if tables.family_name(r) == tables.family_name(row)] or (
        floats if len(floats) == 1 else []
    )
    return same[0] if same and same[0] is not row else None


def against(row: Row, base: Row | None) -> tuple[float | None, float | None, float | None]:
    """Size and speed of `row` as multiples of `base`, and the points of their scores between them, where known."""
    if base is None:
        return None, None, None
    size = row.model_size_mb / base.model_size_mb if row.model_size_mb and base.model_size_mb else None
    speed = base.median_ms / row.median_ms if row.median_ms and base.median_ms else None
    are_scored = row.score is not None and base.score is not None and row.score_name == base.score_name
    points = round(100 * (row.score - base.score), 1) if are_scored else None  # as shown
    return size, speed, points


def _device_names(sources: Sequence[Source]) -> dict[int, str]:
    """Devices of one name but another chip are told apart by it."""
    chips = {(source.device, source.environment.get("soc")) for source in sources if source.rows}
    same = Counter(device for device, _ in chips)
    return {
        id(s): f"{s.device}, {s.environment.get('soc') or 'unknown chip'}" if same[s.device] > 1 else s.device
        for s in sources
    }


def _sha256(row: Row, environment: Mapping[str, Any]) -> str | None:
    """Of the row's file, which a phone's row may name without its quantization."""
    digests = environment.get("model_sha256", {})
    endings = dict.fromkeys(("", f"_{row.quantization}", f"_{tables.quantization_name(row.quantization)}"))
    return next((digests[name] for end in endings if (name := f"{row.model}{end}.tflite") in digests), None)


def _filled(measured: Measurement, same_file: Sequence[Measurement]) -> Measurement:
    row, scored_on = measured.row, measured.scored_on
    for other in same_file:
        lacks = [name for name in _OF_THE_FILE if getattr(row, name) is None]
        row = row.with_(**{name: getattr(other.row, name) for name in lacks})
        if row.score is None and other.row.score is not None and row.status == "ok":
            row = row.with_(**{name: getattr(other.row, name) for name in _SCORES})
            scored_on = other.device if other.device != measured.device else None
    row = row.with_(model=same_file[0].row.model)  # one name on every device
    return dataclasses.replace(measured, row=row, scored_on=scored_on)


def _told_apart(measured: Sequence[Measurement], homes: Sequence[str]) -> list[Measurement]:
    """Models of one name that several runs measured at the same place get the name of their run (`homes`)."""
    crowded = Counter(cell for _, cell in {(home, _cell(each)) for home, each in zip(homes, measured, strict=True)})
    clashing = {cell[0] for cell, times in crowded.items() if times > 1}
    return [
        dataclasses.replace(each, row=each.row.with_(model=f"{family} ({home})")) if family in clashing else each
        for home, each in zip(homes, measured, strict=True)
        for family in [tables.family_name(each.row)]
    ]


def median(measured: Measurement) -> float:
    """Its median latency in ms, to compare by."""
    return measured.row.median_ms or 0.0


def _cell(each: Measurement) -> tuple[Any, ...]:
    row = each.row
    return tables.family_name(row), tables.variant_name(row), each.device, each.backend, row.threads


def _clear_winner(measured: Sequence[Measurement]) -> list[Measurement]:
    timed = [each for each in measured if each.counts]
    return [min(timed, key=median)] if len(timed) > 1 else []
