"""The drawn attributes: the stated shares, independent of each other, and stored as they are drawn."""

import io

import numpy as np
from PIL import Image

from keras_mobilenets.training.datasets import shapes_renderer
from keras_mobilenets.training.datasets.attributes import attributes_renderer

TEST = 2  # split number


def test_attributes_have_their_shares_and_are_independent():
    has = np.stack([attributes_renderer.attributes_of(2017, 0, index) for index in range(4000)])
    np.testing.assert_allclose(has.mean(axis=0), list(attributes_renderer.ATTRIBUTES.values()), atol=0.03)
    correlation = np.corrcoef(has.T) - np.eye(5)
    assert np.abs(correlation).max() < 0.06


def test_builder_stores_the_rendered_pixels_with_their_attributes(tmp_path):
    from keras_mobilenets.training.datasets.attributes.shapes_attributes import ShapesAttributes
    from keras_mobilenets.training.datasets.embedded_builder import Sizes

    builder = ShapesAttributes(data_dir=tmp_path, config=Sizes(name="tiny", train=6, validation=4, test=5))
    builder.download_and_prepare()
    names = list(attributes_renderer.ATTRIBUTES)
    stored = {
        example["image"].numpy().tobytes(): [bool(example["attributes"][name]) for name in names]
        for example in builder.as_dataset(split="test")
    }
    example, has = attributes_renderer.example, attributes_renderer.attributes_of
    assert stored == {example(2017, TEST, i).tobytes(): has(2017, TEST, i).tolist() for i in range(5)}


def test_the_program_draws_what_the_function_draws():
    images = shapes_renderer.stream(1, 2, 3, program=attributes_renderer.__file__)
    for index, png in enumerate(images):
        np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(png))), attributes_renderer.example(1, 2, index))
