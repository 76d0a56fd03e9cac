"""TFDS' own `movielens`, made from files of the form in which the data set is published, as a log."""

import numpy as np
import pytest
import tensorflow_datasets as tfds

from keras_mobilenets import UserError, training

USERS, FILMS = 6, 9


class Downloads:
    """Stands for TFDS' download manager: the folder of the archive, ml-100k or ml-1m."""

    downloaded_size = 0

    def __init__(self, folder, ratings):
        self.folder = folder
        titles = [f"Film {number} (1995)" for number in range(1, FILMS)] + ["Film 1 (1995)"]  # two have one title
        small, large = folder / "ml-100k", folder / "ml-1m"
        for place in (small, large):
            place.mkdir()
        _write(small / "u.item", [f"{n}|{t}|01-Jan-1995||http://x|{'0|' * 18}1" for n, t in enumerate(titles, 1)])
        _write(small / "u.user", [f"{user}|24|M|technician|85711" for user in range(1, USERS + 1)])
        _write(small / "u.data", ["\t".join(map(str, rating)) for rating in ratings])
        _write(large / "movies.dat", [f"{n}::{t}::Children's|Comedy" for n, t in enumerate(titles, 1)])
        _write(large / "users.dat", [f"{user}::F::1::10::48067" for user in range(1, USERS + 1)])
        _write(large / "ratings.dat", ["::".join(map(str, rating)) for rating in ratings])

    def download_and_extract(self, url):
        return self.folder


def _write(path, lines):
    path.write_text("\n".join(lines) + "\n", encoding="iso-8859-1")


@pytest.fixture(scope="module")
def movielens(tmp_path_factory):
    folder, rng = tmp_path_factory.mktemp("movielens"), np.random.default_rng(0)
    watched = {user: rng.permutation(FILMS)[: 4 + user % 3] + 1 for user in range(1, USERS + 1)}
    ratings = [
        (user, int(film), 1 + place % 5, 874_965_758 + 100 * place)
        for user, films in watched.items()
        for place, film in enumerate(films)
    ]
    published = Downloads(folder, [ratings[place] for place in rng.permutation(len(ratings))])
    for name in ("100k", "1m"):
        builder = tfds.builder(f"movielens/{name}-ratings", data_dir=folder / "tfds")
        builder._make_download_manager = lambda **_: published
        builder.download_and_prepare()
    return folder / "tfds", watched


@pytest.mark.parametrize("name", ["100k", "1m"])
def test_ratings_become_histories_by_their_time(movielens, name):
    folder, watched = movielens
    data = training.load_data(f"movielens/{name}-ratings", image_size=8, data_dir=folder)
    # Films in the order of their numbers; of two with one title, the numbers tell which.
    assert data.class_names == [f"Film {n} (1995)" + (" [1]" if n == 1 else "") for n in range(1, 9)] + [
        "Film 1 (1995) [9]"
    ]
    histories, labels = data.images("test")
    told = {tuple(history[history > 0]) + (label + 1,) for history, label in zip(histories, labels, strict=True)}
    assert told == {tuple(films) for films in watched.values()}
    assert data.count("train") == sum(len(films) - 3 for films in watched.values())
    assert data.count("validation") == USERS


def test_films_without_ratings_are_no_log(movielens, tmp_path):
    builder = tfds.builder("movielens/100k-movies", data_dir=tmp_path)
    builder._make_download_manager = lambda **_: Downloads(tmp_path, [])
    builder.download_and_prepare()
    with pytest.raises(UserError, match="is not for classification or detection"):
        training.load_data("movielens/100k-movies", data_dir=tmp_path)
