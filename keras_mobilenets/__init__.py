"""Mobile vision models from a Keras builder to a number on a phone.

    import keras_mobilenets as km

    model = km.MobileNetV2(alpha=0.5, classes=10)
    print(km.cost(model))

Importing the package is cheap: the names in `__init__.pyi` are imported when they are first used.
"""

import lazy_loader

__version__ = "0.1.0"
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
