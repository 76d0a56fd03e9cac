"""Training for the models of keras_mobilenets: data, recipes, fit.

The names in `__init__.pyi` are imported when they are first used, so that this package loads no TensorFlow.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
