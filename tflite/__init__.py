"""From a trained model to a number on a phone: convert, inspect, evaluate, benchmark, report.

The names in `__init__.pyi` are imported when they are first used, so that this package loads neither TensorFlow nor
the TFLite runtime.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
