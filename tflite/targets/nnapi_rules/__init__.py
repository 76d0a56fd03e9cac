"""What TensorFlow Lite's NNAPI delegate asks of each operator before it is delegated, as a table.

Written from `NNAPIDelegateKernel::Validate` in tensorflow/lite/delegates/nnapi/nnapi_delegate.cc. The line numbers are
those of TensorFlow 2.14.0 (commit 4dacf3f368eb7965e9b5c3bbdd5193986081c3b2, blob 593295d6); the function is the same
in LiteRT of March 2025 but for one line (TRANSPOSE_CONV, 2968: version 4 instead of 3), so that 2.16.1, which lies
between, has these rules too. Where the two differ, the stricter one stands here.
"""

from keras_mobilenets.tflite.targets.nnapi_rules import convolutions, elementwise, reductions, shapes
from keras_mobilenets.tflite.targets.nnapi_rules.conditions import Rule

# What must hold for each operator that the delegate knows; everything else it leaves to the CPU (line 3602).
RULES: dict[str, tuple[Rule, ...]] = {
    **convolutions.RULES,
    **elementwise.RULES,
    **reductions.RULES,
    **shapes.RULES,
}

# The delegate knows these sequence and text operators; no vision model has them, and no rule here judges them.
UNJUDGED = frozenset(
    {
        *("LSTM", "UNIDIRECTIONAL_SEQUENCE_LSTM", "BIDIRECTIONAL_SEQUENCE_LSTM", "UNIDIRECTIONAL_SEQUENCE_RNN", "RNN"),
        *("SVDF", "LSH_PROJECTION", "EMBEDDING_LOOKUP", "HASHTABLE_LOOKUP", "LOCAL_RESPONSE_NORMALIZATION"),
    }
)

UNKNOWN_LINE = 3602

# The tensor types that NNAPI's operators have (NNAPIOpBuilder::AddTensor, 1759–1842); int16 belongs to its LSTM only.
BUILDABLE = frozenset(("float32", "float16", "uint8", "int8", "int32", "bool"))
