"""Shapes of tensors in which sizes may be open: −1, known only when the model runs."""

from collections.abc import Iterable


def describe(name: str, dtype: str, sizes: Iterable[int]) -> str:
    """A tensor in words: "image float32 1×?×?×3", where −1 is a size that only running the model tells."""
    return f"{name} {dtype} {'×'.join('?' if size == -1 else str(size) for size in sizes)}".strip()


def open_places(signature: Iterable[int]) -> list[int]:
    """The dimensions of an input that a file leaves open, beyond the batch, which is 1."""
    sizes = list(map(int, signature))
    return [place for place, size in enumerate(sizes) if size == -1 and (place or len(sizes) == 1)]
