"""Recordings as people have them: WAV files of any rate, depth, length and some damage; their augmentation; `words`."""

import warnings

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from scipy.io import wavfile

from keras_mobilenets import UserError, training
from keras_mobilenets.training.datasets import augmentation
from keras_mobilenets.training.datasets.embedded_builder import Sizes
from keras_mobilenets.training.datasets.speech import synthesizer
from keras_mobilenets.training.datasets.speech.recordings import Recordings
from keras_mobilenets.training.datasets.speech.wave_file import read_wave
from keras_mobilenets.training.datasets.speech.words import Words
from keras_mobilenets.training.datasets.tfds_source import open_records, prepare
from keras_mobilenets.training.tasks.classification import Classification

TONE = 440.0
A_LAW = 1 + np.log(87.6)
TOLERANCE = {"8": 0.01, "mu-law": 0.03, "a-law": 0.03}
SEED = tf.constant([3, 4], tf.int64)
THREE = Classification(["high", "low", "none"])


def tone(rate, seconds=1.0, frequency=TONE):
    return 0.5 * np.sin(2 * np.pi * frequency * np.arange(round(rate * seconds)) / rate)


def write_24_bits(path, rate, samples):
    """SciPy reads such files and writes none."""
    data = np.rint(samples * 2**23).astype("<i4").view(np.uint8).reshape(-1, 4)[:, :3].tobytes()
    header = np.array([16, 0x00010001, rate, rate * 3, 24 << 16 | 3], "<u4").tobytes()
    content = b"WAVEfmt " + header + b"data" + np.uint32(len(data)).tobytes() + data
    path.write_bytes(b"RIFF" + np.uint32(len(content)).tobytes() + content)


def write(path, rate, samples, kind):
    if kind == "24":
        return write_24_bits(path, rate, samples)
    stored = {
        "8": lambda x: np.rint(x * 127 + 128).astype(np.uint8),
        "16": lambda x: np.rint(x * 2**15).astype(np.int16),
        "32": lambda x: np.rint(x * 2**31).astype(np.int32),
        "float": lambda x: x.astype(np.float32),
        "stereo": lambda x: np.rint(np.stack([2 * x, 0 * x], axis=1) * 2**14).astype(np.int16),
        "mu-law": lambda x: np.sign(x) * np.log1p(255 * np.abs(x)) / np.log(256),
        "a-law": lambda x: (
            np.sign(x) * np.where(np.abs(x) < 1 / 87.6, 87.6 * np.abs(x), 1 + np.log(87.6 * np.abs(x) + 1e-9)) / A_LAW
        ),
    }[kind](samples)
    if kind.endswith("law"):  # the closed forms that G.711 approximates by segments
        size = np.minimum(127, np.floor(np.abs(stored) * 128)).astype(np.uint8)
        mu, sign = kind == "mu-law", stored < 0
        code = ~(size | sign.astype(np.uint8) << 7) if mu else (size | (~sign).astype(np.uint8) << 7) ^ 0x55
        wavfile.write(path, rate, code)
        content = bytearray(path.read_bytes())
        content[20:22] = (7 if mu else 6).to_bytes(2, "little")
        return path.write_bytes(content)
    return wavfile.write(path, rate, stored)


@pytest.mark.parametrize("rate", [8_000, 16_000, 22_050, 44_100, 48_000])
@pytest.mark.parametrize("kind", ["8", "16", "24", "32", "float", "stereo", "mu-law", "a-law"])
def test_a_tone_is_the_same_in_every_kind_of_file(tmp_path, rate, kind):
    write(tmp_path / "tone.wav", rate, tone(rate), kind)
    read, expected = read_wave(tmp_path / "tone.wav", 16_000), tone(16_000)
    expected = expected / 2 if kind == "stereo" else expected
    middle = slice(800, -800)  # a filter needs some samples at the ends
    assert len(read) == 16_000
    np.testing.assert_allclose(read[middle], expected[middle], atol=TOLERANCE.get(kind, 2e-3))


@pytest.mark.parametrize("suffix", ["flac", "ogg", "mp3"])
def test_a_tone_is_the_same_in_what_soundfile_reads(tmp_path, suffix):
    soundfile = pytest.importorskip("soundfile", reason="needs the extra audio")
    soundfile.write(tmp_path / f"tone.{suffix}", tone(16_000), 16_000)
    middle = slice(800, 15_000)
    read = read_wave(tmp_path / f"tone.{suffix}", 16_000)
    np.testing.assert_allclose(read[middle], tone(16_000)[middle], atol=1e-4 if suffix == "flac" else 0.05)


@pytest.mark.parametrize("kind", ["16", "24", "stereo"])
def test_a_file_that_ends_within_a_sample_gives_what_is_there(tmp_path, kind):
    write(tmp_path / "tone.wav", 16_000, tone(16_000), kind)
    content, frame = (tmp_path / "tone.wav").read_bytes(), {"16": 2, "24": 3, "stereo": 4}[kind]
    whole = read_wave(tmp_path / "tone.wav", 16_000)
    for more in range(frame):
        (tmp_path / "cut.wav").write_bytes(content[: 44 + 500 * frame + more])
        np.testing.assert_array_equal(read_wave(tmp_path / "cut.wav", 16_000), whole[:500])


@pytest.fixture
def folder(tmp_path):
    for number in range(40):
        for name, frequency in (("high", 1_200), ("low", 300)):
            (tmp_path / name).mkdir(exist_ok=True)
            rate = (8_000, 16_000, 44_100)[number % 3]
            samples = tone(rate, (0.4, 1.0, 2.5)[number % 3], frequency)
            write(
                tmp_path / name / f"{number:08x}_nohash_0.wav", rate, samples, ("8", "16", "24", "stereo")[number % 4]
            )
    return tmp_path


def test_a_folder_of_wav_files_is_a_data_set(folder):
    (folder / "_background_noise_").mkdir()
    write(folder / "_background_noise_" / "hum.wav", 16_000, tone(16_000, 3), "16")
    (folder / "low" / "cut.wav").write_bytes((folder / "low" / "00000001_nohash_0.wav").read_bytes()[:30])
    (folder / "low" / "empty.wav").write_bytes(b"")
    (folder / "low" / "text.wav").write_text("no sound")
    wavfile.write(folder / "low" / "nan.wav", 16_000, np.full(100, np.nan, np.float32))
    wavfile.write(folder / "low" / "nothing.wav", 16_000, np.zeros(0, np.int16))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        data = training.load_data(folder, batch_size=16)
        examples = {split: data.images(split) for split in ("train", "validation", "test")}
    said = [str(each.message) for each in caught]
    assert data.class_names == ["high", "low"] and sum(len(labels) for _, labels in examples.values()) == 80
    assert sum("skipped" in line for line in said) == 5
    assert any("3 s of _background_noise_ are no class, but noise of the augmentation" in line for line in said)
    assert not any("\n" in line for line in said)
    for recordings, labels in examples.values():
        assert recordings.shape[1:] == (16_000,) and recordings.dtype == np.int16
        tones = np.abs(np.fft.rfft(recordings)).argmax(axis=1)  # in Hz, of a second
        np.testing.assert_allclose(tones, np.where(labels == 0, 1_200, 300), atol=3)
    assert next(iter(data.train))[0].shape == (16, 16_000)
    assert data.pictures(next(iter(data.test))[0]).shape[1:] == (40, 49, 3)


def test_a_speaker_is_in_one_split(folder):
    for name in ("high", "low"):
        for path in list((folder / name).glob("*.wav")):
            path.with_name(path.name.replace("_0.wav", "_1.wav")).write_bytes(path.read_bytes())
    data = training.load_data(folder)
    counts = [data.count(split) for split in ("train", "validation", "test")]
    assert sum(counts) == 160 and all(count % 4 == 0 for count in counts)


def test_the_lists_of_speech_commands_are_its_splits(folder):
    (folder / "README.md").write_text("This is a set of recordings")
    kept = {"validation_list.txt": "high/00000003", "testing_list.txt": "low/00000004"}
    for name, first in kept.items():
        (folder / name).write_text(f"{first}_nohash_0.wav\nhigh/00000005_nohash_0.wav\n\nlow/gone_nohash_0.wav\n")
    (folder / "testing_list.txt").write_text("low/00000004_nohash_0.wav\r\nhigh\\00000006_nohash_0.wav\r\n")
    says = r"validation_list.txt \(2 of its 3 files are there\) and testing_list.txt \(2 of its 2"
    with pytest.warns(UserWarning, match=says):
        data = training.load_data(folder)
    assert [data.count(split) for split in ("train", "validation", "test")] == [76, 2, 2]
    assert sorted(data.labels("test")) == [0, 1] and list(data.labels("validation")) == [0, 0]


def test_background_noise_is_added_to_recordings(folder):
    """One half gets a piece of it, of a tone that no synthesized noise has."""
    (folder / "_background_noise_").mkdir()
    write(folder / "_background_noise_" / "hum.wav", 44_100, tone(44_100, 3, 2_000), "stereo")
    (folder / "_background_noise_" / "README.md").write_text("noise")
    (folder / "_background_noise_" / "broken.wav").write_bytes(b"RIFF")
    with pytest.warns(UserWarning, match=r"skipped .*broken.wav"):
        kind = training.load_data(folder).kind
    assert kind.noun == "recording"
    batch = tf.constant(np.tile(np.rint(tone(16_000, 1, 300) * 2**15).astype(np.int16), (64, 1)))
    for name in ("noise:0.5", "light"):
        heard = augmentation.make(kind, name, THREE)(batch, tf.zeros(64, tf.int64), SEED)[0].numpy()
        tones = np.abs(np.fft.rfft(heard))
        hums = tones[:, 2_000] > 5 * tones[:, 2_100:2_200].max(axis=1)
        assert 20 < hums.sum() < 44
    silent = augmentation.make(Recordings(), "noise:0.5", THREE)(batch, tf.zeros(64, tf.int64), SEED)[0].numpy()
    tones = np.abs(np.fft.rfft(silent))
    assert not (tones[:, 2_000] > 5 * tones[:, 2_100:2_200].max(axis=1)).any()


def test_other_files_of_sound_say_how_they_are_read(tmp_path):
    for name in ("no", "yes"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "1.m4a").write_bytes(b"")
    with pytest.raises(UserError, match=r"no holds no recordings; of its .m4a files: make them WAV files"):
        training.load_data(tmp_path)


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (lambda folder: None, "to train, give a folder with one folder per class"),
        (lambda folder: (folder / "yes").mkdir() or (folder / "no").mkdir(), "class folder .* holds no"),
    ],
)
def test_an_empty_folder_is_one_line(tmp_path, break_it, message):
    break_it(tmp_path)
    with pytest.raises(UserError, match=message) as caught:
        training.load_data(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["light", "time_shift:100+noise:0.1", "mixup"])
def test_recordings_of_a_step_depend_on_its_seed_alone(name):
    kind = Recordings(2_000)
    batch = tf.constant(np.random.default_rng(0).integers(-3_000, 3_000, (12, 2_000)), tf.int16)
    labels = tf.range(12, dtype=tf.int64) % 3
    first, again = (tf.function(augmentation.make(kind, name, THREE)) for _ in range(2))
    np.testing.assert_array_equal(first(batch, labels, SEED)[0], again(batch, labels, SEED)[0])
    assert (first(batch, labels, SEED)[0].numpy() != first(batch, labels, SEED + 1)[0].numpy()).any()
    if name == "light":  # the shards of a batch together are the batch
        parts = [
            augmentation.make(kind, name, THREE, (i, 2))(batch[6 * i : 6 * i + 6], labels, SEED)[0] for i in range(2)
        ]
        np.testing.assert_allclose(tf.concat(parts, 0), first(batch, labels, SEED)[0], atol=1e-6)


def test_a_shift_moves_samples_and_changes_none():
    impulse = np.zeros((8, 4_000), np.int16)
    impulse[:, 2_000] = 2**14
    shifted = augmentation.make(Recordings(4_000), "time_shift:50", THREE)(tf.constant(impulse), tf.zeros(8), SEED)[
        0
    ].numpy()
    places = shifted.argmax(axis=1)
    assert (shifted.max(axis=1) == 0.5).all() and (np.count_nonzero(shifted, axis=1) == 1).all()
    assert len(set(places)) > 4 and (np.abs(places - 2_000) <= 800).all()


def test_parts_of_images_are_not_for_recordings():
    with pytest.raises(UserError, match="augmentation flip is not for recordings: of them there are none, light"):
        augmentation.make(Recordings(), "flip", THREE)


def test_words_are_the_same_on_every_machine_and_all_of_a_loudness():
    labels = range(len(synthesizer.LABELS))
    words = np.stack([synthesizer.spoken(label, np.random.default_rng([2017, 0, label])) for label in labels])
    again = synthesizer.spoken(5, np.random.default_rng([2017, 0, 5]))
    np.testing.assert_array_equal(words[5], again)
    assert words.shape == (12, 16_000) and words.dtype == np.float32 and np.abs(words).max() <= 1
    assert (np.abs(words[1:]).max(axis=1) > 0.05).all() and words[0].std() < 0.03


def test_words_are_stored_by_tensorflow_datasets(tmp_path):
    builder = prepare(Words(config=Sizes(name="few", train=24, validation=12, test=12), data_dir=tmp_path))
    task, splits = open_records(builder, Recordings())
    data = training.Data("few", task, splits, Recordings(), 8)
    examples, labels = data.images("train")
    expected = synthesizer.spoken(7, np.random.default_rng([2017, 0, 7])) * 2**15
    place = next(place for place in range(24) if labels[place] == 7 and np.abs(examples[place] - expected).max() <= 1)
    assert task.class_names == list(synthesizer.LABELS) and np.bincount(labels).tolist() == [2] * 12
    assert examples[place].dtype == np.int16 and examples.shape == (24, 16_000)
    stream = training.stream_of(data, 12)
    assert len(stream.words) == 10 and len(stream.samples) == pytest.approx(12 * 32_000, rel=0.2)


def test_speech_commands_of_tensorflow_datasets(tmp_path):
    """Its own builder, whose features are kept; pydub, by which it reads its archive, is not asked."""
    builder = tfds.builder("speech_commands", data_dir=tmp_path)
    lengths = {"yes": 16_000, "_silence_": 16_000, "_unknown_": 9_557, "go": 14_118}

    def examples():
        for number, (name, length) in enumerate(lengths.items()):
            samples = np.rint(2**14 * np.sin(2 * np.pi * 100 * (number + 1) * np.arange(length) / 16_000))
            yield f"{name}_{number}.wav", {"audio": samples.astype(np.int16), "label": name}

    builder._split_generators = lambda manager: {split: examples() for split in ("train", "validation", "test")}
    builder.download_and_prepare()
    data = training.load_data("speech_commands", data_dir=tmp_path)
    assert len(data.class_names) == 12 and data.class_names[-2:] == ["_silence_", "_unknown_"]
    recordings, labels = data.images("test")
    for recording, label in zip(recordings, labels, strict=True):
        number = list(lengths).index(data.class_names[label])
        assert np.abs(np.fft.rfft(recording)).argmax() == pytest.approx(100 * (number + 1), abs=1)
        assert np.abs(recording).max() == 2**14 and recording.shape == (16_000,)
