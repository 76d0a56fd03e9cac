"""Whether class numbers of two lists of names mean the same."""

import pytest

from keras_mobilenets.graphs.class_names import same_classes


@pytest.mark.parametrize(
    ("known", "given", "same"),
    [
        (["cat", "red panda"], ["Cat", "red_panda"], True),
        (["n02123045", "n02510455"], ["tabby", "giant panda"], True),  # another vocabulary
        (["cat", "dog"], ["dog", "cat"], False),
        (["cat", "dog"], ["cat", "horse"], False),
        (["cat", "dog"], ["cat"], False),
        (["n02123045", "n02510455"], ["tabby"], False),
    ],
)
def test_numbers_mean_the_same_where_names_are_the_same_or_of_another_vocabulary(known, given, same):
    assert same_classes(known, given) == same
