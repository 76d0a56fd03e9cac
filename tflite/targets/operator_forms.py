"""Which form of an operator each target runs best: the table from which `convert` chooses.

The limits are those of XNNPACK's delegate in LiteRT 2.3 (xnnpack_delegate.cc: VisitBinaryNode, VisitUnaryNode,
VisitAveragePool2DNode), which has known ADD and MUL in int8 since TensorFlow 2.5.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Forms:
    """How a target wants int8 graphs; float graphs suit all targets as the converter writes them.

    Attributes:
        per_channel_dense: Whether dense layers have one scale for each output channel.
        h_swish: "native" is one HARD_SWISH; "add_mul" is x · clamp(x + 3) with the clamp by int8's own limits.
        h_sigmoid: "native" is ReLU6 and a MUL by 1/6; "scale" puts the sixth into the scale of the ReLU6.
        softmax: "native" is one SOFTMAX; "float" computes one inside the graph in float, after DEQUANTIZE and before
            QUANTIZE.
        gelu: "native" is one GELU; "float" computes one inside the graph in float, as with softmax; "logistic" is
            x · logistic(x · (1.6 + 0.07 x · x)) in int8, within one and a half steps.
        average_pool: "native" is one AVERAGE_POOL_2D; "depthwise" is a DEPTHWISE_CONV_2D of equal weights, and a MUL
            with the share of places inside the map where some lie outside.
        relu: "native" leaves a ReLU that follows no convolution as it is; "quantize" rounds to a tensor whose int8
            limits are the ReLU's.
        shuffle: Between grouped convolutions: "native" moves channels one by one, "runs" several at once.
        fill_groups: Whether grouped convolutions have a multiple of four channels in each group, some of them zero.
        group_multiple: Where they cannot be filled, and in float, groups are joined until they have such a multiple.
        group_channels: int8 groups of fewer channels are joined up to this.
        repeats_channels: Whether a depthwise convolution of several filters for a channel reads each as many times.
        conv_version: CONV_2D asks for this version at most; 0 for that which the converter writes.
        stem_filters: The first convolution computes neighbouring results as channels of one, so many at most; 0 leaves
            it as it is.
    """

    per_channel_dense: bool
    h_swish: str = "native"
    h_sigmoid: str = "native"
    softmax: str = "native"
    gelu: str = "native"
    average_pool: str = "native"
    relu: str = "native"
    shuffle: str = "native"
    fill_groups: bool = False
    group_multiple: int = 1
    group_channels: int = 1
    repeats_channels: bool = False
    conv_version: int = 0
    stem_filters: int = 0


# XNNPACK refuses int8 HARD_SWISH, GELU, RELU_N1_TO_1, AVERAGE_POOL_2D and SOFTMAX; MEAN it takes. A SOFTMAX at the
# end may stay: it cuts nothing. A chain of int8 operators that compute one value from one value is one look-up for
# it: h-swish in ADD and MUL, or swish in LOGISTIC and MUL, takes the time of one LOGISTIC. Three input channels and
# few filters leave its kernels idle: with 64 filters a 3×3 stem at stride 2 takes 0.22 (of 16) to 0.42 (of 32) of the
# time on x86 with AMX, although most of the added weights are zero. LiteRT's GPU delegate, Qualcomm's NPU and Ethos-U
# take all of this too, but for Ethos-U and the SOFTMAX in float (tests/benchmarks/latency/targets_table.py asks).
# With HARD_SWISH Vela estimates 12 to 34% less time for MobileNetV3 on Ethos-U. A shuffle between grouped
# convolutions was 8% of ShuffleNetV1's time on XNNPACK, in runs it is 2%, in which convolutions with more channels
# take 4% more; for Ethos-U Vela estimates 23% more time with it. The GPU delegate computes groups of no multiple of
# four channels wrongly. XNNPACK's int8 kernels compute 16 filters at once on Arm and 64 on x86 with AMX: groups of 8
# joined to 16 take 0.51 of the time there, those of 4 0.26, of 2 0.03; as many steps as before on Arm, by the
# kernels' sizes; as long on Qualcomm's NPU (simulated SA8255). Larger ones are faster on x86 alone. For Ethos-U55
# Vela estimates 1.5 of the time for groups of 8, less than 1 for smaller ones. Of a RELU that no convolution, ADD or
# MUL before it can have fused, XNNPACK takes no int8 form; QUANTIZE it takes, and so do all others that an app with
# LiteRT meets. A GELU in float between DEQUANTIZE and QUANTIZE is such a look-up too.
_LITERT = Forms(
    per_channel_dense=True,
    h_swish="add_mul",
    h_sigmoid="scale",
    softmax="float",
    gelu="float",
    average_pool="depthwise",
    relu="quantize",
    shuffle="runs",
    fill_groups=True,
    group_multiple=4,
    group_channels=16,
    stem_filters=64,
)

FORMS = {
    # NNAPI refuses dense layers per channel, and has HARD_SWISH from API level 30 on. Its delegate takes grouped
    # convolutions from API level 29 on, but no version of CONV_2D above 5, although 6 only stands for such groups.
    # It has no GELU, and neither has TensorFlow Lite Micro.
    "nnapi": Forms(per_channel_dense=False, gelu="logistic", conv_version=5),
    "litert": _LITERT,
    "xnnpack": _LITERT,  # the name it had when only a CPU had been asked
    # TensorFlow Lite's GPU delegate of before LiteRT computes int8 graphs in float, from scales per tensor. It takes
    # no depthwise convolution of several filters for a channel, which LiteRT's does.
    "gpu": Forms(per_channel_dense=False, shuffle="runs", fill_groups=True, group_multiple=4, repeats_channels=True),
    # The NPU's compiler takes every operator of these networks as it is, dense layers per channel too.
    "qualcomm": Forms(per_channel_dense=True),
}

# XNNPACK takes an int8 ADD when the scale of each operand over that of the result lies between these.
ADD_SCALES = 2.0**-10, 2.0**8
