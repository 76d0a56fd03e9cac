"""What others published of the network of a run: beside its own figures, never among them."""

from dataclasses import dataclass
from pathlib import Path

from keras_mobilenets.costs.latencies import PublishedLatency, of_network
from keras_mobilenets.tflite.reports.sources import GraphFile, Source
from keras_mobilenets.tflite.results.tables import compression_of

IMAGENET = (1000, 1001)  # classes of what was published; some count the background as one


@dataclass(frozen=True)
class Publication:
    """The published latencies of a run's network.

    Attributes:
        run: Name of the run.
        network: In a word, such as "MobileNetV2(alpha=0.5) 224".
        latencies: What was published, one or more.
        classes: Of the run, where they are not ImageNet's.
        pruned: Names of the run's files that are another network, since channels are cut out of it.
    """

    run: str
    network: str
    latencies: tuple[PublishedLatency, ...]
    classes: int | None
    pruned: tuple[str, ...]


def publications(source: Source) -> list[Publication]:
    """One for each input size of the run's .tflite files that something was published of."""
    if source.network is None:
        return []
    opened = [file for file in source.files if not file.refused]
    pruned = [file for file in opened if compression_of(Path(file.name)) == "channels"]
    same = {_side(file): file for file in reversed(opened) if file not in pruned}
    known = of_network(*source.network)
    found = []
    for side, file in sorted(same.items()):
        rows = tuple(row for row in known if row.input_size == side)
        if rows:
            classes, others = _classes(file), tuple(each.name for each in pruned if _side(each) == side)
            found.append(Publication(source.name, rows[0].label, rows, classes, others))
    return found


def _side(file: GraphFile) -> int:
    """Of square images, in pixels; 0 for other inputs."""
    shape = file.input_shape
    return shape[1] if len(shape) == 4 and shape[1] == shape[2] else 0


def _classes(file: GraphFile) -> int | None:
    classes = file.output_shape[-1] if file.output_shape else None
    return None if classes in IMAGENET else classes
