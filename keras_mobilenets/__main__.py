"""`python -m keras_mobilenets` is the command `keras-mobilenets`."""

import sys

from keras_mobilenets.cli import main

sys.exit(main())
