"""`models` and `summary`."""

from keras_mobilenets.cli import main


def test_models_lists_every_builder(capsys):
    import keras_mobilenets as km

    assert main(["models"]) == 0
    printed = capsys.readouterr().out
    assert all(name in printed for name in km.list_models())
    assert "3,504,872" in printed


def test_summary_prints_layers_and_what_standard_convolutions_would_cost(capsys):
    assert main(["summary", "MobileNetV1", "--size", "224"]) == 0
    printed = capsys.readouterr().out
    assert "block_13_pointwise" in printed
    assert "4,231,976 trainable parameters, 568.7 M multiply-adds" in printed
    assert "29,294,088 parameters" in printed
