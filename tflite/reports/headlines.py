"""The report's first sentences: what int8 gains on each device, which model is best at what, what went wrong."""

from collections.abc import Mapping, Sequence

from keras_mobilenets.plurals import count
from keras_mobilenets.tflite.reports.comparison import Measurement, against, baseline, fastest_of_each, median
from keras_mobilenets.tflite.results import tables
from keras_mobilenets.tflite.results.results import Row

_HEADLINES = 3  # models of which the report says in a sentence what int8 brought


def headlines(measured: Sequence[Measurement]) -> list[str]:
    """What int8 brought on each device, which model is best at what, and how many measurements went wrong."""
    by_device: dict[str, list[Measurement]] = {}
    for each in measured:
        by_device.setdefault(each.device, []).append(each)
    where = {device: f" on {device}" if len(by_device) > 1 else "" for device in by_device}
    gains = [text for device, group in by_device.items() for text in _gains(group, where[device])]
    return (gains if len(gains) <= _HEADLINES else []) + _best(by_device) + _failures(measured)


def _gains(measured: Sequence[Measurement], where: str) -> list[str]:
    """A sentence for each model that has a plain int8 row: at its fastest place that also ran float32."""
    rows = [each.row for each in measured if each.counts]
    best: dict[tuple[str, str], tuple[Measurement, Row]] = {}
    for each in measured:
        base, key = baseline(each.row, rows), (each.source, tables.family_name(each.row))
        if each.row.quantization != "int8" or each.row.compression or not each.counts or base is None:
            continue
        if key not in best or median(each) < median(best[key][0]):
            best[key] = each, base
    return [text for each, base in best.values() if (text := _sentence(each, base, where))]


def _sentence(each: Measurement, base: Row, where: str) -> str | None:
    size, speed, points = against(each.row, base)
    if size is None or speed is None:
        return None
    pace = f"{speed:.2f} times as fast" if speed >= 1 else f"{1 / speed:.2f} times as slow"
    text = f"{tables.family_name(each.row)} in int8 takes {size:.0%} of the float32 file's size and is {pace}{where}"
    if points is not None:
        change = f"{abs(points):.1f} points {'lower' if points < 0 else 'higher'}" if points else "unchanged"
        text += f"; {each.row.score_name} is {tables.percent(each.row.score)}, {change}"
    return f"{text} ({each.place})."


def _best(by_device: Mapping[str, Sequence[Measurement]]) -> list[str]:
    """Which of the int8 models is best at what, where there is a choice."""
    fastest = {device: [m for m in fastest_of_each(group) if _is_int8(m.row)] for device, group in by_device.items()}
    rows = [each.row for group in fastest.values() for each in group]
    choice = {(tables.family_name(row), tables.variant_name(row)) for row in rows}
    if len(choice) < 2:
        return []
    compressed, several = tables.are_compressed(rows), len({family for family, _ in choice}) > 1

    def name(row: Row) -> str:
        variant = tables.variant_name(row, among_compressed=compressed).removeprefix("int8").strip()
        return " ".join(filter(None, [tables.family_name(row) if several or not variant else "", variant]))

    accurate = max(rows, key=lambda row: row.score or 0)
    text = f"Of the int8 models {name(accurate)} is the most accurate ({tables.percent(accurate.score)})"
    quickest = [(device, min(group, key=median)) for device, group in fastest.items() if len(group) > 1]
    for device, each in quickest:
        where = f" on {device}" if len(by_device) > 1 else ""
        at = f", {each.place}" if len({m.place for m in by_device[device]}) > 1 else ""
        text += f", {name(each.row)} the fastest{where} ({tables.milliseconds(each.row.median_ms)} ms{at})"
    zipped = [row for row in rows if row.gzip_size_mb is not None]
    if zipped:
        small = min(zipped, key=lambda row: row.gzip_size_mb or 0)
        text += f", {name(small)} the smallest after gzip ({tables.megabytes(small.gzip_size_mb)} MB)"
    return [f"{text}."]


def _is_int8(row: Row) -> bool:
    return row.quantization == "int8" and row.score is not None


def _failures(measured: Sequence[Measurement]) -> list[str]:
    said = {
        "failed": sum(each.row.status != "ok" for each in measured),
        "fell back to the CPU": sum(each.fell_back for each in measured),
    }
    parts = [f"{times} {what}" for what, times in said.items() if times]
    return [f"Of {count(len(measured), 'measurement')} {' and '.join(parts)}; the table says why."] if parts else []
