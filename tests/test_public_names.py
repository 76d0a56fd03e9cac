from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

import pytest

PACKAGES = ("keras_mobilenets", "keras_mobilenets.pipeline", "keras_mobilenets.training", "keras_mobilenets.tflite")


@pytest.mark.parametrize("name", PACKAGES)
def test_every_public_name_is_found_and_completed(name):
    package = import_module(name)

    assert set(package.__all__) == set(dir(package))
    for public in package.__all__:
        assert getattr(package, public) is not None
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = package.no_such_name


@pytest.mark.parametrize("name", PACKAGES)
def test_no_module_takes_the_place_of_a_public_name(name):
    """Importing a module puts it into its package under its own name, over a function of that name."""
    package = import_module(name)

    public = {public for public in package.__all__ if not isinstance(getattr(package, public), ModuleType)}

    assert not {public for public in public if find_spec(f"{name}.{public}")}


def test_the_builders_are_listed_family_by_family():
    names = import_module("keras_mobilenets").list_models()

    assert names[:4] == ["MobileNetV1", "MobileNetV2", "MobileNetV3Large", "MobileNetV3Small"]
    families = [getattr(import_module("keras_mobilenets"), builder).__module__ for builder in names]
    assert len(dict.fromkeys(families)) == sum(a != b for a, b in zip(families, ["", *families], strict=False))
    folder = Path(import_module("keras_mobilenets.models").__file__).parent
    assert {family.split(".models.")[1] for family in families} == {
        ".".join(module.relative_to(folder).with_suffix("").parts)
        for module in folder.rglob("*.py")
        if "models.builder import" in module.read_text("utf-8")
    }
