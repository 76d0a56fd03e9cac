"""Wavelet convolution: Finder et al. 2024, arXiv:2407.05848 (WTConv), section 3."""

from typing import Any

from keras import initializers, layers

from keras_mobilenets.blocks.convolution import channel_scale
from keras_mobilenets.blocks.custom_layers import PhasesToMap
from keras_mobilenets.errors import UserError

MOST_LEVELS = 5
SCALE = 0.1  # first value of the scale of every band, as in the reference implementation

# The signs of the Haar filters at the positions of a 2×2 square: low or high over its columns, then over its rows.
BANDS = {
    "ll": ((1, 1), (1, 1)),
    "lh": ((1, 1), (-1, -1)),
    "hl": ((1, -1), (1, -1)),
    "hh": ((1, -1), (-1, 1)),
}


def wavelet_conv(x: Any, kernel_size: int = 5, *, levels: int = 1, strides: int = 1, name: str) -> Any:
    """Depthwise convolution whose receptive field doubles with each level, for few more weights.

    Each level halves the low band of the one before by the Haar transform, convolves its four bands by small depthwise
    kernels, scales them and transforms them back; the sum of all levels is added to that of an ordinary depthwise
    convolution (section 3.2 and figure 3). The last level's kernel sees a square of `kernel_size` · 2^`levels`.

    Made of depthwise convolutions, additions and subtractions. A transform of means (factors of a quarter) and an
    inverse of sums (factors of one) stand for the paper's orthogonal pair (a half and a half): all between them is
    linear, so the result is the same, and the low bands do not grow from level to level.

    Args:
        x: Tensor (batch, height, width, channels). A level of odd height or width is padded by zeros below or right.
        kernel_size: Side of all kernels, an odd number.
        levels: Number of transforms, 1 to 5.
        strides: 1, or 2 to halve height and width (rounded up).
        name: Prefix of the layer names: `{name}_base`, `{name}_base_scale`, `{name}_add`, and of each level and band
            `{name}_1_ll_haar`, `{name}_1_ll`, `{name}_1_ll_scale`.

    Returns:
        Tensor (batch, ⌈height / strides⌉, ⌈width / strides⌉, channels).

    Raises:
        UserError: The kernel is even, or levels or strides are out of their range.
    """
    if kernel_size < 1 or kernel_size % 2 == 0:
        raise UserError(f"kernel_size={kernel_size}: a wavelet convolution takes an odd kernel, such as 3 or 5")
    if not 1 <= levels <= MOST_LEVELS:
        raise UserError(f"levels={levels}: give a number of wavelet levels from 1 to {MOST_LEVELS}")
    if strides not in (1, 2):
        raise UserError(f"strides={strides}: choose 1, or 2 to halve height and width")
    if strides == 1:
        base = layers.DepthwiseConv2D(kernel_size, padding="same", name=f"{name}_base")(x)
    else:  # every second result of the above, which begins with the first
        base = layers.ZeroPadding2D(kernel_size // 2, name=f"{name}_base_pad")(x)
        base = layers.DepthwiseConv2D(kernel_size, strides=strides, name=f"{name}_base")(base)
    base = channel_scale(base, 1.0, name=f"{name}_base_scale")
    low, convolved, sources = x, [], []
    for level in range(1, levels + 1):
        bands = {band: _haar(low, band, name=f"{name}_{level}_{band}_haar") for band in BANDS}
        sources.append(low)
        low = bands["ll"]
        convolved.append([_convolved(values, kernel_size, f"{name}_{level}_{band}") for band, values in bands.items()])
    result = None
    for level in range(levels, 0, -1):
        parts, source = convolved[level - 1], sources[level - 1]
        prefix = f"{name}_{level}"
        if result is not None:
            parts[0] = layers.Add(name=f"{prefix}_ll_add")([parts[0], result])
        halved = level == 1 and strides == 2
        result = _first_phase(parts, prefix) if halved else _inverse(parts, source, prefix)
    return layers.Add(name=f"{name}_add")([base, result])


def _haar(x: Any, band: str, *, name: str) -> Any:
    """One band of the transform of means: half the height and width, rounded up."""
    filters = [[[[sign / 4]] for sign in row] for row in BANDS[band]]
    return layers.DepthwiseConv2D(
        2,
        strides=2,
        padding="same",
        use_bias=False,
        depthwise_initializer=initializers.Constant(filters),
        trainable=False,
        name=name,
    )(x)


def _convolved(x: Any, kernel_size: int, name: str) -> Any:
    x = layers.DepthwiseConv2D(kernel_size, padding="same", use_bias=False, name=name)(x)
    return channel_scale(x, SCALE, name=f"{name}_scale")


def _first_phase(bands: list[Any], name: str) -> Any:
    """Every second row and column of the inverse, from the first on: the sum of the bands."""
    ll, lh, hl, hh = bands
    low, high = layers.Add(name=f"{name}_upper_low")([ll, lh]), layers.Add(name=f"{name}_upper_high")([hl, hh])
    return layers.Add(name=f"{name}_upper_left")([low, high])


def _inverse(bands: list[Any], source: Any, name: str) -> Any:
    """The inverse of sums: what the four bands give at the four positions of each square, put side by side.

    Channels of two neighbours side by side are two columns in memory; so are the columns of two rows side by side.
    """
    ll, lh, hl, hh = bands
    rows = []
    for row, combine in (("upper", layers.Add), ("lower", layers.Subtract)):
        low = combine(name=f"{name}_{row}_low")([ll, lh])
        high = combine(name=f"{name}_{row}_high")([hl, hh])
        left = layers.Add(name=f"{name}_{row}_left")([low, high])
        right = layers.Subtract(name=f"{name}_{row}_right")([low, high])
        rows.append(layers.Concatenate(name=f"{name}_{row}")([left, right]))
    both = layers.Concatenate(axis=2, name=f"{name}_rows")(rows)
    height, width, channels = source.shape[1:]
    if None in (height, width):
        return PhasesToMap(name=f"{name}_map")(both, source)
    even = (height + height % 2, width + width % 2)
    result = layers.Reshape((*even, channels), name=f"{name}_map")(both)
    if even != (height, width):
        result = layers.Cropping2D(((0, height % 2), (0, width % 2)), name=f"{name}_crop")(result)
    return result
