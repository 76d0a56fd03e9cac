"""Clips as people have them: animated files of any number of frames; their augmentation; the data set `motion`."""

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from keras_mobilenets import UserError, pipeline, training
from keras_mobilenets.training.datasets import augmentation
from keras_mobilenets.training.datasets.embedded_builder import Sizes
from keras_mobilenets.training.datasets.tfds_source import open_records, prepare, type_of_records
from keras_mobilenets.training.datasets.video import motion_renderer
from keras_mobilenets.training.datasets.video.clips import Clips
from keras_mobilenets.training.datasets.video.motion import Motion
from keras_mobilenets.training.tasks.classification import Classification

SEED = tf.constant([3, 4], tf.int64)
TWO = Classification(["up", "down"])


def drawn(label, number):
    return motion_renderer.clip(label, np.random.default_rng([5, label, number]))


def changed(frame, dx=0.0, dy=0.0, turn=0.0, growth=1.0):
    """A frame moved by pixels, turned clockwise by degrees and enlarged around its middle, by Pillow's own words."""
    image = Image.fromarray(frame).rotate(-turn, Image.Resampling.BILINEAR, translate=(dx, dy))
    edge = 16 - 16 / growth
    box = (edge, edge, 32 - edge, 32 - edge)
    return np.asarray(image.transform((32, 32), Image.Transform.EXTENT, box, Image.Resampling.BILINEAR))


MOTIONS = {
    "left": {"dx": -2},
    "right": {"dx": 2},
    "up": {"dy": -2},
    "down": {"dy": 2},
    "clockwise": {"turn": 9},
    "counterclockwise": {"turn": -9},
    "growing": {"growth": 1.1},
    "shrinking": {"growth": 1 / 1.1},
}


@pytest.mark.parametrize("label", range(8), ids=motion_renderer.LABELS)
def test_all_shapes_move_as_the_class_says(label):
    """Of all motions it is the class's that makes most of frames like the next ones."""
    inner, errors = slice(6, 26), dict.fromkeys(MOTIONS, 0.0)
    for number in range(12):
        clip = drawn(label, number)
        for name, motion in MOTIONS.items():
            made = np.stack([changed(frame, **motion) for frame in clip[:-1]]).astype(float)
            errors[name] += np.abs(made - clip[1:])[:, inner, inner].mean()
    first, second, *_ = sorted(errors, key=errors.get)
    assert first == motion_renderer.LABELS[label] and errors[first] < 0.9 * errors[second]


def test_a_single_frame_does_not_tell_the_class():
    """Of the frame in the middle, brightness and contrast of every class are those of one distribution."""
    clips = np.stack([[drawn(label, number)[3:5] for number in range(60)] for label in range(8)]).astype(float)
    for figure in (clips.mean(axis=(2, 3, 4, 5)), clips.std(axis=(2, 3, 4, 5))):
        assert np.abs(figure.mean(axis=1) - figure.mean()).max() < 4 * figure.std() / 60**0.5
    np.testing.assert_array_equal(drawn(3, 1), drawn(3, 1))
    assert drawn(0, 0).dtype == np.uint8 and drawn(0, 0).shape == (8, 32, 32, 3)


def test_motion_is_stored_by_tensorflow_datasets(tmp_path):
    builder = prepare(Motion(config=Sizes(name="few", train=16, validation=8, test=8), data_dir=tmp_path))
    kind = Clips(32)
    assert type_of_records(builder) is kind.files
    task, splits = open_records(builder, kind)
    data = training.Data("few", task, splits, kind, 4)
    clips, labels = data.images("train")
    assert task.class_names == list(motion_renderer.LABELS) and np.bincount(labels).tolist() == [2] * 8
    expected = motion_renderer.clip(6, np.random.default_rng([2017, 0, 6]))
    assert any(label == 6 and (clip == expected).all() for clip, label in zip(clips, labels, strict=True))
    batch, _ = next(iter(data.train))
    assert batch.shape == (4, 8, 32, 32, 3) and data.image_size == 32 and data.input_shape == (8, 32, 32, 3)
    assert data.pictures(batch).shape == (4, 32, 8 * 32, 3)
    assert data.pictures(batch[:0]).shape == (0, 32, 8 * 32, 3)  # where no answer is wrong


def save(path, frames, **settings):
    first, *rest = [Image.fromarray(frame) for frame in frames]
    first.save(path, save_all=True, append_images=rest, **settings)


@pytest.fixture
def folder(tmp_path):
    """Grey levels count the frames, so that it can be seen which ones were taken."""
    for label, name in enumerate(("up", "down")):
        (tmp_path / name).mkdir()
        for number in range(20):
            levels = np.arange(5 + number % 12, dtype=np.uint8) * 12
            levels = levels if label else levels[::-1]
            frames = np.broadcast_to(levels[:, None, None, None], (len(levels), 40, 56, 3))
            suffix = ("gif", "webp")[number % 2]
            save(tmp_path / name / f"{number}.{suffix}", frames, **({"lossless": True} if number % 2 else {}))
    return tmp_path


def test_a_folder_of_animated_files_is_a_data_set(folder):
    (folder / "up" / "cut.gif").write_bytes((folder / "up" / "0.gif").read_bytes()[:40])
    with Image.open(folder / "up" / "0.gif") as animation:
        animation.convert("RGB").save(folder / "up" / "still.gif")
    with pytest.warns(UserWarning, match=r"skipped .*cut\.gif") as said:
        data = training.load_data(folder, 32, batch_size=4)
        examples = [data.images(split) for split in ("train", "validation", "test")]
    assert [each for each in said if str(each.message).endswith("still.gif: it is a still image and no clip")]
    assert sum(len(labels) for _, labels in examples) == 40 and data.class_names == ["down", "up"]
    for clips, labels in examples:
        assert clips.shape[1:] == (8, 32, 32, 3)
        levels = clips[..., 16, 16, 1].astype(int)
        assert (np.sign(levels[:, -1] - levels[:, 0]) == np.where(labels == 0, 1, -1)).all()
        assert (np.abs(levels.max(axis=1) - levels.min(axis=1)) >= 4 * 12 - 2).all()  # to the ends of the file


def test_still_images_are_no_clips(folder):
    for name in ("up", "down"):
        Image.new("RGB", (40, 40)).save(folder / name / "still.png")
    assert training.load_data(folder, 32).kind.noun == "image"


def test_an_augmentation_is_one_for_all_frames_and_flips_nothing():
    clips = np.zeros((16, 8, 32, 32, 3), np.uint8)
    clips[:, :, 12:20, 4:8] = 200  # at the left of every frame
    batch, labels = tf.constant(clips), tf.zeros(16, tf.int64)
    for name in ("light", "crop", "resized_crop:0.5"):
        changed = augmentation.make(Clips(32), name, TWO)(batch, labels, SEED)[0].numpy()
        assert changed.shape == clips.shape and np.abs(changed - changed[:, :1]).max() < 1e-6
        assert (changed != changed[:1]).any()
    light = augmentation.make(Clips(32), "light", TWO)(batch, labels, SEED)[0].numpy()
    assert (light.mean(axis=(1, 2, 4)).argmax(axis=1) < 16).all()
    parts = [
        augmentation.make(Clips(32), "light", TWO, (i, 2))(batch[8 * i : 8 * i + 8], labels, SEED)[0] for i in (0, 1)
    ]
    np.testing.assert_allclose(tf.concat(parts, 0), light, atol=1e-6)


@pytest.mark.parametrize("name", ["flip", "mixup", "randaugment"])
def test_what_changes_a_motion_is_refused(name):
    with pytest.raises(UserError, match=f"augmentation {name} is not for clips: of them there are none, light"):
        augmentation.make(Clips(32), name, TWO)


@pytest.fixture
def frame_folders(folder):
    """The same clips as folders of frames, whose numbers have no leading zeros."""
    for path in [*folder.rglob("*.gif"), *folder.rglob("*.webp")]:
        with Image.open(path) as animation:
            place = path.with_suffix("")
            place.mkdir()
            for number in range(animation.n_frames):
                animation.seek(number)
                animation.convert("RGB").save(place / f"frame_{number + 1}.png")
        path.unlink()
    return folder


@pytest.mark.parametrize("frames", [5, 16])
def test_folders_of_frames_are_clips_where_frames_are_asked_for(frame_folders, frames):
    data = training.load_data(frame_folders, 32, 4, frames=frames)
    assert data.kind.noun == "clip" and data.input_shape == (frames, 32, 32, 3)
    assert data.kind.options == {"frames": frames} and Clips(32).options == {}
    counts = 0
    for split in ("train", "validation", "test"):
        clips, labels = data.images(split)
        counts += len(labels)
        steps = np.diff(clips[..., 16, 16, 1].astype(int), axis=1) * np.where(labels == 0, 1, -1)[:, None]
        assert (steps >= -2).all() and (steps.max(axis=1) > 6).all()
    assert counts == 40


def test_what_has_no_frames_says_so(frame_folders, tmp_path):
    run = pipeline.Run(tmp_path / "run")
    says = "holds images, and MobileNetV2Video takes clips: give such data, or --frames 8 where each innermost folder"
    with pytest.raises(UserError, match=says):
        run.train("MobileNetV2Video", data=str(frame_folders), image_size=32)
    with pytest.raises(UserError, match="visits holds sequences, which have no frames; leave out frames=4"):
        training.load_data("visits", frames=4)
    with pytest.raises(UserError, match="frames must be at least 1, not 0"):
        training.load_data("motion", frames=0)


def test_files_of_video_say_what_to_make_of_them(tmp_path):
    for name in ("left", "right"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "1.mp4").write_bytes(b"")
    with pytest.raises(UserError, match=r"left holds no clips; of its .mp4 files: make them animated GIF or WebP"):
        training.load_data(tmp_path)
    (tmp_path / "left" / "2.jpg").write_bytes(b"")
    with pytest.raises(UserError, match="right holds no images"):  # a film beside photographs
        training.load_data(tmp_path)
