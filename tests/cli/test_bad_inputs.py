"""What a person may get wrong in a training, as she types it: one line, exit code 2, and no traceback."""

import json
import pickle
import re
import signal
import subprocess
import sys
import time
import warnings

import numpy as np
import pytest
import tensorflow as tf
from command_line import one_line
from PIL import Image

from keras_mobilenets.cli import main

SIZE = ["--size", "32", "--batch-size", "8"]
MODEL = ["MobileNetV1", "--alpha", "0.25"]


def draw_classes(folder, names, count=30):
    rng = np.random.default_rng(0)
    for number, name in enumerate(names):
        (folder / name).mkdir(parents=True)
        for index in range(count):
            pixels = rng.integers(0, 160, (32, 32, 3))
            pixels[..., number % 3] += 80
            Image.fromarray(pixels.astype(np.uint8)).save(folder / name / f"{index}.png")
    return folder


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    return draw_classes(tmp_path_factory.mktemp("photos"), ["red", "green"])


@pytest.fixture(scope="module")
def trained(photos, tmp_path_factory):
    """A run folder, whose training is over."""
    run = tmp_path_factory.mktemp("runs") / "trained"
    assert main(["train", *MODEL, *SIZE, "--data", str(photos), "--epochs", "1", "--run", str(run)]) == 0
    return run


@pytest.fixture(scope="module")
def things(photos, trained, tmp_path_factory):
    """What the commands below name in braces."""
    folder = tmp_path_factory.mktemp("things")
    (folder / "empty").mkdir()
    draw_classes(folder / "one", ["red"])
    draw_classes(folder / "few", ["red", "green"], 1)
    draw_classes(folder / "hollow", ["red", "green"], 3)
    (folder / "hollow" / "blue").mkdir()
    for path in draw_classes(folder / "damaged", ["red", "green"]).rglob("*.png"):
        path.write_bytes(path.read_bytes()[:60])
    draw_classes(folder / "three", ["blue", "green", "red"], 20)
    (folder / "text.txt").write_text("this is no folder")
    (folder / "torn.keras").write_bytes((trained / "model.keras").read_bytes()[:5000])
    (folder / "text.keras").write_text("this is no model")
    (folder / "old.pt").write_bytes(pickle.dumps({"stem": [1.0]}))
    other = folder / "other"
    other.mkdir()
    for name in ("run.json", "model.keras"):
        (other / name).write_bytes((trained / name).read_bytes())
    names = {path.name.replace(".", "_"): path for path in folder.iterdir()}
    return names | {"photos": photos, "trained": trained, "folder": folder}


def refused(command, capsys):
    try:
        code = main(command)
    except SystemExit as stopped:  # argparse
        code = stopped.code
    assert code == 2
    return one_line(capsys)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ("{folder}/none", "is not a folder; give a folder that holds one folder of images per class"),
        ("~no.such.user/photos", "~no.such.user/photos is not a folder"),
        ("", "the data set has no name; give shapes, words, a TFDS name or a folder of images, such as . for this one"),
        ("my_photos", "unknown data set 'my_photos'"),
        ("my/photos/of cats", "unknown data set 'my/photos/of cats'"),
        ("{text_txt}", "is not a folder"),
        ("cifar1O", "did you mean cifar10"),
        ("mnist/nothing", "cannot open data set 'mnist/nothing'"),
        ("imagenet2012", "get ILSVRC2012_img_train.tar and ILSVRC2012_img_val.tar from https://image-net.org"),
        ("{empty}", "holds 0 class folder(s)"),
        ("{one}", "holds 1 class folder(s)"),
        ("{hollow}", "blue holds no images; fill it or remove it"),
        ("{few}", "has too few images"),
        ("{damaged}", "no readable image in the train split; replace the damaged files"),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_data_that_are_not_there_or_cannot_be_trained_on(data, says, things, tmp_path, capsys):
    command = ["train", *MODEL, *SIZE, "--data", data.format(**things), "--data-dir", str(tmp_path / "tfds")]
    assert says in refused([*command, "--run", str(tmp_path / "run")], capsys)
    assert not (tmp_path / "run" / "run.json").exists()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ("--recipe moderne", "invalid choice: 'moderne'"),
        ("--epochs 0", "epochs must be a whole number, at least 1, not 0"),
        ("--epochs many", "invalid int value: 'many'"),
        ("--optimizer adam", "optimizer must be 'adamw' or 'sgd' or 'rmsprop', not 'adam'"),
        ("--learning-rate 0", "learning_rate must be above 0"),
        ("--learning-rate nan", "learning_rate must be above 0"),
        ("--learning-rate=-1", "learning_rate must be above 0"),
        ("--warmup-epochs 99", "warmup_epochs must be between 0 and epochs"),
        ("--schedule step", "schedule must be 'cosine' or 'constant'"),
        ("--weight-decay=-0.1", "weight_decay must be 0 or more"),
        ("--label-smoothing 1", "label_smoothing must be in [0, 1)"),
        ("--augmentation heavy", "augmentation must be of none, mosaic, light, "),
        ("--augmentation mixup:-1", "mixup takes a strength above 0"),
        ("--augmentation none+flip", "none stands alone"),
        ("--dropout 1", "dropout must be None or in [0, 1)"),
        ("--stochastic-depth 2", "stochastic_depth must be in [0, 1)"),
        ("--ema-epochs 999", "ema_epochs must be between 0 and epochs"),
        ("--bn-momentum 1", "bn_momentum must be None or in [0, 1)"),
        ("--precision int8", "precision must be 'float32' or 'bfloat16' or 'float16'"),
        ("--accumulate 0", "accumulate must be a whole number, at least 1"),
        ("--seed=-1", "seed must be a whole number, at least 0"),
        ("--batch-size 0", "batch_size must be at least 1, not 0"),
        ("--size 0", "image_size must be at least 1, not 0"),
        ("--size 16", "32 or more"),
        ("--alpha 0", "alpha=0"),
        ("--set depth=3", "takes no 'depth'"),
        ("--checkpoint-seconds=-1", "checkpoint_seconds=-1"),
        ("--freeze 3", "--freeze and --head-epochs go with --weights"),
        ("--weights {folder}/none.keras", "none.keras does not exist"),
        ("--weights {text_keras}", "is not a .keras file"),
        ("--weights {torn_keras}", "torn.keras is not a .keras file, or was cut off"),
        ("--weights {old_pt}", "never from pickled ones"),
        ("--weights {trained}/model.keras --alpha 0.5", "is of another architecture"),
        ("--weights {trained}/model.keras --freeze 99", "freeze=99: the model has 13 blocks"),
        ("--weights {trained}/model.keras --head-epochs=-1", "head_epochs must be 0 or more"),
        ("--weights imagenet --alpha 0.3", 'weights="imagenet" for MobileNetV1 are published for'),
    ],
)
def test_values_that_cannot_work(options, says, things, tmp_path, capsys):
    given = [part.format(**things) for part in options.split()]
    command = ["train", *MODEL, *SIZE, "--data", str(things["photos"]), *given, "--run", str(tmp_path / "run")]
    assert says in refused(command, capsys)
    assert not list(tmp_path.rglob("model.keras"))


@pytest.mark.skipif(bool(tf.config.list_physical_devices("GPU")), reason="a GPU is there")
def test_float16_without_a_gpu(photos, tmp_path, capsys):
    command = ["train", *MODEL, *SIZE, "--data", str(photos), "--precision", "float16", "--run", str(tmp_path)]
    assert "float16 is for GPUs, and TensorFlow sees none; give bfloat16 or float32" in refused(command, capsys)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ("--teacher {folder}/none", "none does not exist"),
        ("--teacher ~no.such.user/none", "~no.such.user/none does not exist"),
        ("--teacher {empty}", "model.keras does not exist"),
        ("--teacher {torn_keras}", "torn.keras is not a .keras file, or was cut off"),
        ("--teacher {trained} --data {three}", "the teacher has output"),
        ("--teacher {trained} --size 64", "the teacher takes images of"),
        ("--teacher {trained} --temperature 0", "temperature=0"),
        ("--teacher {trained} --teacher-share 2", "alpha=2"),
    ],
)
def test_teachers_that_do_not_fit(options, says, things, tmp_path, capsys):
    given = [part.format(**things) for part in options.split()]
    command = ["distill", *MODEL, *SIZE, "--data", str(things["photos"]), *given, "--run", str(tmp_path / "run")]
    assert says in refused(command, capsys)


@pytest.mark.slow
def test_a_batch_larger_than_the_data_is_all_of_the_data(photos, tmp_path):
    command = ["train", *MODEL, *SIZE, "--batch-size", "1000", "--epochs", "1", "--data", str(photos)]
    assert main([*command, "--run", str(tmp_path)]) == 0
    assert (tmp_path / "model.keras").exists()


@pytest.fixture
def copy(trained, tmp_path):
    """The run folder to damage, and the command that made it."""
    folder = tmp_path / "copy"
    folder.mkdir()
    for path in trained.iterdir():
        if path.is_file():
            (folder / path.name).write_bytes(path.read_bytes())
    data = json.loads((trained / "run.json").read_text())["data"]["name"]
    return folder, ["train", *MODEL, *SIZE, "--data", data, "--epochs", "1", "--run", str(folder)]


def unfinished(folder):
    """As it is before the last line of run.json is written."""
    record = json.loads((folder / "run.json").read_text())
    del record["train"]
    (folder / "run.json").write_text(json.dumps(record))


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--epochs", "2"], "holds a training with recipe epochs 1, not 2; give another run folder or delete this one"),
        (["--alpha", "0.5"], "holds a training with model name mobilenetv1_0.25, not mobilenetv1_0.5"),
        (["--size", "64"], "holds a training with model input_shape"),
        (["--batch-size", "4"], "holds a training with data batch_size 8, not 4"),
        (["--weights", "{trained}/model.keras"], "holds a training that started from weights None, not"),
    ],
)
def test_a_folder_of_another_training(options, says, copy, trained, capsys):
    folder, command = copy
    assert says in refused([*command, *(part.format(trained=trained) for part in options)], capsys)
    assert (folder / "model.keras").read_bytes() == (trained / "model.keras").read_bytes()


@pytest.mark.slow
def test_a_plain_training_is_not_taken_for_a_distilled_one_nor_the_other_way_round(copy, trained, tmp_path, capsys):
    _, command = copy
    distill = ["distill", *command[1:], "--teacher", str(trained)]
    assert "holds a training without distillation" in refused(distill, capsys)
    assert main([*distill, "--run", str(tmp_path / "small")]) == 0
    capsys.readouterr()
    assert "holds a training with distillation" in refused([*command, "--run", str(tmp_path / "small")], capsys)


@pytest.mark.parametrize("content", ["", '{"model": {"na', "[1]", '{"recipe": 3}', "\0\0\0"])
def test_a_damaged_run_json_says_how_to_go_on(content, copy, capsys):
    folder, command = copy
    (folder / "run.json").write_text(content)
    says = refused(command, capsys)
    assert "run.json is damaged" in says and "delete it and give the command that trained again" in says
    (folder / "run.json").unlink()
    assert main(command) == 0
    assert json.loads((folder / "run.json").read_text())["train"]["builder"] == "MobileNetV1"


def test_damaged_checkpoints_and_model(copy, capsys):
    folder, command = copy
    unfinished(folder)
    model = (folder / "model.keras").read_bytes()
    (folder / "model.keras").write_bytes(model[: len(model) // 2])
    assert "model.keras cannot be read; delete" in refused(command, capsys)
    (folder / "model.keras").write_bytes(model)
    for path in folder.glob("checkpoint-*.npz"):
        path.write_bytes(path.read_bytes()[:1000])
    assert "is damaged" in (says := refused(command, capsys)) and "delete" in says


@pytest.mark.parametrize("kind", ["file", "/proc"])
def test_a_run_folder_that_cannot_be(kind, photos, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    place = tmp_path / "file" if kind == "file" else "/proc/self/run"
    command = ["train", *MODEL, *SIZE, "--data", str(photos), "--run", str(place)]
    assert "cannot write" in refused(command, capsys)


@pytest.fixture
def read_only(tmp_path):
    """A folder on a file system that is mounted read-only; it binds root, too."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", folder], capture_output=True).returncode:
        pytest.skip("only root can mount")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def test_a_read_only_run_folder(read_only, photos, capsys):
    for run in (read_only, read_only / "run"):
        command = ["train", *MODEL, *SIZE, "--data", str(photos), "--run", str(run)]
        assert "Read-only file system" in refused(command, capsys)


@pytest.mark.slow
def test_a_learning_rate_that_ends_in_nan_keeps_the_last_good_checkpoint(photos, tmp_path, capsys):
    """The weights stay finite for some steps while BatchNorm's statistics overflow."""
    command = ["train", *MODEL, *SIZE, "--data", str(photos), "--run", str(tmp_path), "--checkpoint-seconds", "0"]
    with warnings.catch_warnings(action="ignore"):
        says = refused([*command, "--epochs", "3", "--learning-rate", "1e19"], capsys)
    step = int(re.search(r" is (?:NaN|infinite) in epoch 1, step (\d+); ", says)[1])
    kept = tmp_path / f"checkpoint-{step - 1}.npz"
    assert f"the last good checkpoint is kept in {kept}; lower the learning_rate and train in another" in says
    for path in tmp_path.glob("checkpoint-*.npz"):
        with np.load(path) as arrays:
            assert all(np.isfinite(arrays[name]).all() for name in arrays.files if name != "about")


INTERRUPTIBLE = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it, and so did this one
from keras_mobilenets.cli import main
sys.exit(main())
"""


@pytest.mark.slow
def test_ctrl_c_ends_with_one_line_and_the_same_command_goes_on(photos, tmp_path, capsys):
    run = tmp_path / "run"
    command = ["train", *MODEL, *SIZE, "--data", str(photos), "--epochs", "20", "--run", str(run)]
    command += ["--checkpoint-seconds", "0"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    process = subprocess.Popen([sys.executable, "-c", INTERRUPTIBLE, *command], **pipes)
    try:
        while not (run / "model.keras").exists():
            assert process.poll() is None, process.communicate()[1]
            time.sleep(0.02)
        process.send_signal(signal.SIGSTOP)  # so that it is at work still when others ask for its folder
        for other in (command, ["convert", str(run)]):
            assert f"{run} is in use by process {process.pid} on " in refused(other, capsys)
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGCONT)
        _, errors = process.communicate(timeout=120)
    finally:
        process.kill()
    assert process.returncode == 130 and "Traceback" not in errors
    last = r"stopped in epoch \d+, step \d+; started again, it (resumes in epoch \d+.*)"
    resuming = re.fullmatch(last, errors.splitlines()[-1])[1].replace("resumes", "resuming")
    assert main(command) == 0
    assert capsys.readouterr().err.splitlines()[0] == resuming
    assert len((run / "history.csv").read_text().splitlines()) == 1 + 20
