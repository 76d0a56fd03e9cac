"""Vectors of texts: CLIP's tokens, sentences around a label, and what does not go together."""

import numpy as np
import pytest

import keras_mobilenets as km
from keras_mobilenets import training
from keras_mobilenets.training.evaluation.tokenizer import tokenizer_of

# In the form of CLIP's file: a line about the version, then the pairs, the most frequent first.
MERGES = "#version: 0.2\nc a\nca t</w>\nd o\ndo g</w>\na n\n"
LETTERS = 2 * 256  # tokens before the first merge: the bytes, and the bytes at the end of a word


@pytest.fixture(scope="module")
def merges(tmp_path_factory):
    pytest.importorskip("tokenizers")
    path = tmp_path_factory.mktemp("merges") / "merges.txt"
    path.write_text(MERGES)
    return path


@pytest.fixture(scope="module")
def tower():
    return km.text_tower(64, 1, embedding=16, vocabulary=LETTERS + 7, context=12)


def _byte(letter, last=False):
    """The number of a printable letter: bytes are ordered from "!" on."""
    return ord(letter) - ord("!") + (256 if last else 0)


def test_texts_become_the_tokens_of_their_merges(merges):
    start, end = LETTERS + 5, LETTERS + 6
    cat, dog = LETTERS + 1, LETTERS + 3
    found = tokenizer_of(merges)(["Cat  &amp;\tDOG", "cats", "can 42", "cat " * 20], 8)
    expected = [
        [start, cat, _byte("&", True), dog, end, 0, 0, 0],
        [start, LETTERS, _byte("t"), _byte("s", True), end, 0, 0, 0],
        [start, LETTERS, _byte("n", True), _byte("4", True), _byte("2", True), end, 0, 0],
        [start, *[cat] * 6, end],
    ]
    assert found.tolist() == expected


def test_the_mean_over_templates_counts(merges, tower):
    texts, templates = ["cat", "dog"], ["a {}", "{} dog"]
    each = [training.embeddings(tower, [t.format(text) for text in texts], tokenizer=merges) for t in templates]
    mean = np.mean(each, axis=0)
    found = training.embeddings(tower, texts, tokenizer=merges, templates=templates)
    np.testing.assert_allclose(found, mean / np.linalg.norm(mean, axis=1, keepdims=True), atol=1e-5)
    assert abs(found[0] - found[1]).max() > 1e-3


def test_a_function_of_texts_is_a_tokenizer(tower):
    tokens = np.array([[LETTERS + 5, 3, 4, LETTERS + 6] + [0] * 8])
    expected = training.embeddings(tower, tokens)
    np.testing.assert_allclose(training.embeddings(tower, "any", tokenizer=lambda texts: tokens), expected, atol=1e-6)


@pytest.mark.parametrize(
    ("data", "how", "says"),
    [
        (["cat"], {}, "give tokenizer= the file bpe_simple_vocab_16e6.txt.gz"),
        (["cat"], {"tokenizer": "none.txt"}, "no tokenizer none.txt"),
        (["cat"], {"templates": ["a photo"]}, "a place for the text"),
        ([1.5], {}, "takes a list of texts"),
        (np.zeros((1, 9), int), {}, r"shape \(1, 9\), but .* takes \(texts, 12\)"),
        (np.full((1, 12), 49407), {}, "take the tokenizer it was trained with"),
    ],
)
def test_what_does_not_go_together_is_one_line(data, how, says, tower):
    with pytest.raises(km.UserError, match=says) as caught:
        training.embeddings(tower, data, **how)
    assert "\n" not in str(caught.value)


def test_a_file_without_merges_is_one_line(tmp_path):
    pytest.importorskip("tokenizers")
    for name, content in (("a.txt.gz", b"no gzip"), ("a.txt", b"#\none two three\n"), ("a.json", b"{}")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(km.UserError, match=f"{name} is no"):
            tokenizer_of(tmp_path / name)
