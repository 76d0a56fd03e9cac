"""Logs of users and items: leave-one-out by hand, CSV files, the embedded log, the task's checks."""

import numpy as np
import pytest
import tensorflow as tf

import keras_mobilenets as km
from keras_mobilenets import training
from keras_mobilenets.training.datasets import dataset
from keras_mobilenets.training.datasets.catalog import default_size
from keras_mobilenets.training.datasets.sequences.visits import OFFERS, PAGES, WAIT, visits

LOG = """timestamp,rating,userId,item
30,5,ann,c
10,3,ann,a
20,4,ann,b
40,1,ann,a
7,2,bob,b
7.5,2,bob,c
1,1,eve,a
2,1,eve,b
3,1,eve,c
"""


@pytest.fixture
def log(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text(LOG)
    return path


@pytest.mark.parametrize("in_memory", [True, False])
def test_the_last_item_tests_and_the_one_before_validates(log, monkeypatch, in_memory):
    monkeypatch.setattr(dataset, "MEMORY_LIMIT", 2**30 if in_memory else 0)
    data = training.load_data(log, image_size=4, batch_size=2)
    assert data.class_names == ["a", "b", "c"] and data.input_shape == (4,) and data.task.name == "next_item"
    assert data.task.described == {"task": "next_item"} and data.task.head == {"classes": 3}

    def examples(split):
        histories, labels = data.images(split)
        assert histories.dtype == np.int32
        return sorted((history.tolist(), int(label)) for history, label in zip(histories, labels, strict=True))

    # ann has a b c a; bob, with two items, trains only; eve has a b c.
    assert examples("train") == [([0, 0, 0, 1], 1), ([0, 0, 0, 2], 2)]
    assert examples("validation") == [([0, 0, 0, 1], 1), ([0, 0, 1, 2], 2)]
    assert examples("test") == [([0, 0, 1, 2], 2), ([0, 1, 2, 3], 0)]
    histories, labels = next(iter(data.test))
    assert histories.dtype == tf.int32 and labels.dtype == tf.int64
    assert default_size(log) == 32


def test_a_long_history_keeps_its_newest_items(log):
    histories, _ = training.load_data(log, image_size=2).images("test")
    assert sorted(histories.tolist()) == [[1, 2], [2, 3]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("user,item\nann,a\n", "needs one column timestamp"),
        ("user,item,timestamp\nann,a,noon\n", "line 2 is no user, item and time"),
        ("user,item,timestamp\nann,a\n", "line 2 is no user, item and time"),
        ("user,item,timestamp\nann,a,nan\n", "line 2 is no user, item and time: its time is nan"),
        ("user,item,timestamp\n,a,1\n", "line 2 is no user, item and time: a name is empty"),
        ("1,31,2.5,1260759144\n1,32,2.5,1260759145\n", "in its first line, .* that line is '1,31,2.5,1260759144'"),
        ("", "needs one column user"),
        ("user,item,timestamp\n", "too few interactions"),
        ("user,item,timestamp\nann,a,1\nann,b,2\n", "too few interactions"),
    ],
)
def test_a_log_that_cannot_be_used_is_one_line(tmp_path, text, message):
    path = tmp_path / "log.csv"
    path.write_text(text)
    with pytest.raises(km.UserError, match=message):
        training.load_data(path)
    with pytest.raises(km.UserError, match="does not exist; give a CSV file with the columns user, item and timestamp"):
        training.load_data(tmp_path / "other.csv")


def test_visits_depend_on_the_page_at_hand_and_on_offers_long_before():
    log = visits(visitors=300)
    again = visits(visitors=200)
    np.testing.assert_array_equal(log.items[: len(again.items)], again.items)
    same = log.users[:-1] == log.users[1:]
    now, after = log.items[:-1][same], log.items[1:][same]
    pairs = np.bincount(now * PAGES + after, minlength=PAGES**2).reshape(PAGES, PAGES)
    assert np.sort(pairs, axis=1)[:, -3:].sum() > 0.5 * pairs.sum()  # three pages of 300 are half of what follows
    # How often the page that follows an offer most at 4 to 12 visits does so, over what chance gives.
    counts = np.zeros((OFFERS, PAGES))
    for wait in range(WAIT[0], WAIT[1] + 1):
        same = log.users[:-wait] == log.users[wait:]
        offers = log.items[:-wait][same]
        np.add.at(counts, (offers[offers < OFFERS], log.items[wait:][same][offers < OFFERS]), 1)
    assert np.median(counts.max(axis=1) / counts.mean(axis=1)) > 10


def test_visits_are_a_data_set_and_a_limit_keeps_the_same_examples():
    one, other = (training.load_data("visits", limit={"train": 100, "test": 50}) for _ in range(2))
    assert [one.count(split) for split in ("train", "validation", "test")] == [100, 2_000, 50]
    assert one.fingerprint() == other.fingerprint() and len(one.class_names) == PAGES
    batch, _ = next(iter(one.epochs(0, 1, augmentation="light")))
    assert batch.dtype == tf.int32 and batch.shape == (64, 32)
    with pytest.raises(km.UserError, match="augmentation flip is not for next_item of sequences"):
        one.epochs(0, 1, augmentation="flip")


def test_a_model_and_data_that_are_not_for_each_other_are_refused(log, tmp_path):
    data = training.load_data(log)
    with pytest.raises(km.UserError, match="3 items; build it with classes=3"):
        training.fit(km.SeparableSequenceNet(classes=4), data, run_dir=tmp_path / "other")
    run = km.pipeline.Run(tmp_path / "run")
    with pytest.raises(km.UserError, match="holds a log of items: give a recommender, such as SeparableSequenceNet"):
        run.train("MobileNetV2", data=str(log))
    with pytest.raises(km.UserError, match="is for a log of items, and shapes has none: give data such as visits"):
        run.train("SeparableSequenceNet", data="shapes")


EVENTS = "1,31,4.0,3\n1,7,3.0,1\n1,8,2.0,2\n1,9,5.0,4\n2,7,1.0,9\n2,8,1.0,8\n2,31,2.0,7\n3,7,3.5,5\n"


@pytest.mark.parametrize(
    ("name", "text", "films"),
    [
        ("ratings.csv", f"userId,movieId,rating,timestamp\n{EVENTS}", "movies.csv:movieId,title,genres\n{}"),
        ("ratings.dat", EVENTS.replace(",", "::"), "movies.dat:{}"),
        ("u.data", EVENTS.replace(",", "\t"), "u.item:{}"),
    ],
)
def test_movielens_own_files_are_read_from_their_folder(tmp_path, name, text, films):
    """Times stand in no order; user 3 has one event; Amélie is written in the encoding of each file."""
    (tmp_path / name).write_text(text)
    file, form = films.split(":", 1)
    delimiter = {"movies.csv": ",", "movies.dat": "::", "u.item": "|"}[file]
    encoding = "utf-8" if delimiter == "," else "latin-1"
    titles = {"7": "Seven", "8": "Amélie", "9": '"Nine, a"' if delimiter == "," else "Nine, a", "31": "Alien"}
    lines = "".join(delimiter.join([number, title, "Drama\n"]) for number, title in titles.items())
    (tmp_path / file).write_text(form.format(lines), encoding=encoding)
    (tmp_path / "tags.csv").write_text("userId,movieId,tag,timestamp\n1,7,good,1\n")
    with pytest.warns(UserWarning, match="cold items, .* are 1 of the 2 items that test"):
        data = training.load_data(tmp_path, 4)
    assert data.class_names == ["Seven", "Amélie", "Nine, a", "Alien"] and default_size(tmp_path) == 32
    histories, labels = data.images("test")
    found = {int(label): history.tolist() for history, label in zip(histories, labels, strict=True)}
    assert found == {2: [0, 1, 2, 4], 0: [0, 0, 4, 2]}


def test_logs_of_shops_are_read(tmp_path):
    """Semicolons, dates, names of other systems, lines that are there twice."""
    path = tmp_path / "shop.csv"
    rows = [("b", 3), ("a", 1), ("b", 2), ("c", 4), ("b", 3), ("é", 5)]
    lines = "".join(f"ann;{item};2019-10-0{day} 12:30:00 UTC\n".replace(" UTC", "Z") for item, day in rows)
    path.write_text(f"visitor_id;product_id;date\n{lines}\n", encoding="utf-8-sig")
    with pytest.warns(UserWarning, match="left out 1 event of the same user, item and time"):
        data = training.load_data(path, 5)
    histories, labels = data.images("test")
    assert data.class_names == ["a", "b", "c", "é"]
    assert histories.tolist() == [[0, 1, 2, 2, 3]] and labels.tolist() == [3]


def test_images_that_are_rated_are_no_log(tmp_path):
    (tmp_path / "ratings.csv").write_text("image,score\na.png,5\n")
    with pytest.raises(km.UserError, match="class folder"):
        training.load_data(tmp_path)
