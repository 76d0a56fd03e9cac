"""A run on the Hugging Face hub: its model, its .tflite files, and a model card made from what was recorded."""

import json
import re
from pathlib import Path
from typing import Any

from keras_mobilenets.errors import UserError
from keras_mobilenets.pipeline.folder import RunFolder, alone
from keras_mobilenets.plurals import listed
from keras_mobilenets.weights.checkpoints.hub import refusal

PUBLISHED = ("*.tflite", "*.onnx", "model.keras", "results.json", "run.json")
_OF_DATA = ("name", "image_size", "batch_size")


@alone
def push(
    run: RunFolder,
    repository: str,
    *,
    license: str | None = None,
    private: bool = False,
    token: str | None = None,
) -> str:
    """Puts a run into a repository on the hub in one commit; the repository is made when missing.

    Args:
        run: The run; `train` and `convert` have filled it.
        repository: OWNER/NAME.
        license: Of the weights, by the hub's name for it, such as "apache-2.0"; the card says so where none is given.
        private: Whether the repository must be private; one that is made becomes so.
        token: Of the hub; by default the one that is logged in.

    Returns:
        The commit's address.

    Raises:
        UserError: The package huggingface_hub is missing, the run has no model, the repository is public and shall be
            private, or the hub refuses it; then the repository stays as it was.
    """
    if token is not None and not re.fullmatch(r"[!-~]+", token := token.strip()):
        raise UserError("the token holds a space or a letter that no token has: copy it from the hub again")
    try:
        from huggingface_hub import CommitOperationAdd, HfApi
    except ImportError as error:
        raise UserError("to push to the hub: pip install keras_mobilenets[hub]") from error
    run.trained_model_file()
    card = model_card(run, repository, license)
    paths = [path for pattern in PUBLISHED for path in sorted(run.folder.glob(pattern)) if path.name != "run.json"]
    operations = [CommitOperationAdd(path.name, str(path)) for path in paths]
    operations.append(CommitOperationAdd("README.md", card.encode()))
    operations.append(CommitOperationAdd("run.json", json.dumps(_public(run.asked), indent=2).encode()))
    api = HfApi(token=token)
    try:
        api.create_repo(repository, private=private, exist_ok=True)
        if private and not api.model_info(repository).private:
            raise UserError(f"{repository} is public: make it private on the hub, or push without private")
        done = api.create_commit(repository, operations, commit_message=f"{run.folder.name}, by keras_mobilenets")
    except UserError:
        raise
    except Exception as error:  # offline, without access, a name that cannot be: each has its kind
        raise UserError(f"the hub does not take {repository}: {refusal(error)}") from error
    return str(done.commit_url)


def model_card(run: RunFolder, repository: str, license: str | None = None) -> str:
    """The README.md of a repository, in Markdown below the hub's header.

    Args:
        run: The run.
        repository: OWNER/NAME.
        license: As in `push`.
    """
    from keras_mobilenets import tflite

    record, rows = _public(run.asked), run.rows() if any(run.folder.glob("*.tflite")) else []
    train = record.get("train", {})
    name = train.get("builder") or record.get("model", {}).get("name") or run.folder.name
    best = max((row.top1 for row in rows if row.top1 is not None), default=None)
    header: dict[str, Any] = {"library_name": "keras", "tags": ["keras-mobilenets", "tflite"]}
    header |= {"pipeline_tag": tag} if (tag := _pipeline(record)) else {}
    header |= {"license": license} if license else {}
    parts = [
        "---\n" + "".join(f"{key}: {json.dumps(value)}\n" for key, value in header.items()) + "---",
        f"# {repository.rpartition('/')[2]}",
        f"{name}{_arguments(train)}, trained and converted by keras_mobilenets"
        + ("." if best is None else f": top-1 {best:.2%} on the test split."),
        "```python\nimport keras_mobilenets as km\n\n" + f'model = km.from_pretrained("{repository}")\n```',
        "## Intended input\n\n" + _input(record, run.pixels),
        *(["## Figures\n\n" + tflite.markdown(rows) + _machine(run)] if rows else []),
        "## Training\n\n" + _table(_training(record)),
        *(["## Calibration\n\n" + found] if (found := _calibration(record)) else []),
        "## Licence\n\n" + (license or "Not stated: ask the owner before use."),
    ]
    return "\n\n".join(parts) + "\n"


def _public(value: Any) -> Any:
    """What run.json says, without folders of this machine: of those the last part."""
    if isinstance(value, dict):
        return {key: _public(each) for key, each in value.items() if key not in ("data_dir", "adopted")}
    if isinstance(value, list):
        return [_public(each) for each in value]
    return _name(value) if isinstance(value, str) else value


def _name(text: str) -> str:
    """A data set's name; of a folder the last part."""
    return Path(text).name if Path(text).expanduser().is_absolute() else text


def _arguments(train: dict[str, Any]) -> str:
    said = ", ".join(f"{key} {value}" for key, value in train.get("arguments", {}).items())
    return f" ({said})" if said else ""


def _pipeline(record: dict[str, Any]) -> str:
    """The hub's name of what the model does; empty where it has none."""
    model, task = record.get("model", {}), record.get("data", {}).get("task")
    if task == "detection":
        return "object-detection"
    kind = _kind(model)
    return {"image": "image-classification", "clip": "video-classification", "waveform": "audio-classification"}.get(
        kind, ""
    )


def _kind(model: dict[str, Any]) -> str:
    """What a model takes, by what run.json says of it."""
    if "sample_rate" in model:
        return "waveform"
    return model.get("input") or ("clip" if len(model.get("input_shape", ())) == 4 else "image")


def _input(record: dict[str, Any], pixels: str | None) -> str:
    data, model = record.get("data", {}), record.get("model", {})
    shape, kind = model.get("input_shape", []), _kind(model)
    sizes = "×".join(map(str, shape))
    scaled = f"- pixels 0..255 scaled to {pixels or 'what the model says'}; an int8 file takes pixel − 128 for −1..1"
    size = data.get("image_size")
    if kind == "waveform":
        what = f"{sizes} {model['features']['kind']} features" if model.get("features") else f"{sizes} samples in −1..1"
        lines = [f"- {what} of a recording at {model['sample_rate']} Hz, float32"]
    elif kind == "items":
        lines = [f"- the last {sizes} items, int32: 0 where nothing was, else 1 + the item's place among the classes"]
    elif kind == "clip":
        lines = [f"- one RGB clip, {shape[0]} frames of {shape[1]}×{shape[2]} pixels", scaled]
    else:
        lines = [f"- one RGB image, {size}×{size} pixels" if size else "- one RGB image", scaled]
    if classes := data.get("class_names", []):
        lines.append(f"- {len(classes)} classes: {listed(classes, 20)}")
    return "\n".join(lines)


def _machine(run: RunFolder) -> str:
    from keras_mobilenets.tflite.results.results import read_results

    where = read_results(run.results_file).environment if run.results_file.exists() else {}
    return (
        f"\nMeasured on {where['soc']}, {where['os']}, {where['runtime']} {where['runtime_version']}." if where else ""
    )


def _training(record: dict[str, Any]) -> dict[str, Any]:
    data = record.get("data", {})
    told = {f"data: {key}": data[key] for key in _OF_DATA if key in data}
    return told | {key: value for key, value in record.get("recipe", {}).items() if value not in (None, "", [], {})}


def _calibration(record: dict[str, Any]) -> str:
    lines = []
    for file, made in record.get("convert", {}).items():
        found, drawn = made.get("found", {}), made.get("calibration", {})
        if "images_sha256" in found:
            source = f"{drawn.get('images')} images of {drawn.get('data')}, seed {drawn.get('seed')}"
            lines.append(f"- `{file}`: {source}, SHA-256 `{found['images_sha256']}`; {found.get('int8', '')}")
    return "\n".join(lines)


def _table(values: dict[str, Any]) -> str:
    return "\n".join(["| | |", "| --- | --- |", *(f"| {key} | {value} |" for key, value in values.items())])
