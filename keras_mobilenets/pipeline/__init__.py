"""The run folder and the steps that fill it: what the command line does, from Python.

    from keras_mobilenets import pipeline

    run = pipeline.Run("runs/photos")
    outcome = run.pipeline("MobileNetV2", {"alpha": 0.5}, data="photos", compress={"qat": None})

The public names stand in __init__.pyi; a module is imported when its name is first used.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
