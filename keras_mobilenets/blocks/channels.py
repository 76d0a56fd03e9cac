"""Channel counts after a width multiplier."""


def make_divisible(value: float, divisor: int = 8, minimum: int | None = None) -> int:
    """Rounds a channel count to a multiple of `divisor`, never more than 10% below `value`.

    Args:
        value: Channels after the width multiplier, any positive number.
        divisor: What hardware likes channel counts to be a multiple of.
        minimum: The least result; `divisor` when not given.

    Source: the reference implementation of MobileNetV2 (`_make_divisible`).
    """
    rounded = max(minimum or divisor, int(value + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * value else rounded


def scaled(filters: int, alpha: float) -> int:
    """Channels times the width multiplier, rounded down as in the reference implementation of MobileNetV1."""
    return max(1, int(filters * alpha))
