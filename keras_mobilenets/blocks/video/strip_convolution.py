"""Three-dimensional convolutions of clips, computed by those of images.

A clip goes through a network as a strip: (batch, frames · height, width, channels), its frames one below the other.
Convolutions of 1×1, normalizations, sums and poolings take it as an image; only what looks at neighbours has to know
the frames. TensorFlow trains no grouped Conv3D on a CPU and TensorFlow Lite has no CONV_3D in int8, so that these two
layers shift the strip by whole frames, one shift for each place of the kernel in time, and convolve images.
"""

from typing import Any

import keras
from keras import layers, ops

Triple = tuple[int, int, int]  # of frames, rows and columns


class StripConvolution(layers.Layer):
    """What both layers have in common; zeros lie around the clip as with padding "same" of Keras.

    Args:
        frames: Of the clips.
        kernel_size: Frames, rows and columns of the kernel; one number for all three.
        strides: Likewise; those of rows and columns are equal.
        use_bias: Whether a bias is added.
    """

    def __init__(
        self,
        frames: int,
        kernel_size: int | Triple = 3,
        strides: int | Triple = 1,
        use_bias: bool = False,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.frames, self.use_bias = frames, use_bias
        self.kernel_size, self.strides = triple(kernel_size), triple(strides)

    @property
    def output_frames(self) -> int:
        """Frames of the result."""
        return -(-self.frames // self.strides[0])

    def build(self, shape: Any) -> None:
        """Makes the kernel, and the bias."""
        kernel = (*self.kernel_size, shape[-1], self._outputs(shape[-1]))
        self.kernel = self.add_weight(shape=kernel, initializer=self._initializer(kernel), name="kernel")
        filters = self.compute_output_shape(shape)[-1]
        self.bias = self.add_weight(shape=(filters,), initializer="zeros", name="bias") if self.use_bias else None

    def compute_output_shape(self, shape: Any) -> Any:
        """A strip of the frames, rows and columns that the strides leave."""
        height, width = shape[1] // self.frames, shape[2]
        rows, columns = (-(-side // stride) for side, stride in zip((height, width), self.strides[1:], strict=True))
        return shape[0], self.output_frames * rows, columns, self._filters(shape[-1])

    def rescaled(self, factors: Any, offsets: Any) -> tuple["StripConvolution", list[Any]]:
        """This layer with its output channels multiplied and moved, as a batch normalization does; its weights."""
        kernel, bias = (ops.convert_to_numpy(w) if w is not None else 0.0 for w in (self.kernel, self.bias))
        made = type(self).from_config(self.get_config() | {"use_bias": True})
        return made, [kernel * self._of_kernel(factors), bias * factors + offsets]

    def get_config(self) -> dict[str, Any]:
        """The arguments that make this layer again."""
        own = ("frames", "kernel_size", "strides", "use_bias")
        return super().get_config() | {name: getattr(self, name) for name in own}

    def _outputs(self, channels: int) -> int:
        """The last axis of the kernel."""
        raise NotImplementedError

    def _filters(self, channels: int) -> int:
        """Output channels."""
        raise NotImplementedError

    def _initializer(self, kernel: Any) -> Any:
        return "glorot_uniform"

    def _of_kernel(self, factors: Any) -> Any:
        """Factors of the output channels, beside the last axes of the kernel."""
        return factors

    def _shifts(self, x: Any) -> list[tuple[int, Any]]:
        """For each place of the kernel in time that meets a frame: its number, and a strip of the frames it meets."""
        height, stride, kept = x.shape[1] // self.frames, self.strides[0], self.output_frames
        places, before, behind = self._zeros()
        if places == stride == 1:
            return [(0, x)]
        padded = ops.pad(x, [[0, 0], [before * height, behind * height], [0, 0], [0, 0]]) if before + behind else x
        found = []
        for place in range(places):
            if not any(0 <= stride * frame + place - before < self.frames for frame in range(kept)):
                continue
            if stride == 1 and place == before:
                found.append((place, x))
            else:
                found.append((place, self._every(padded[:, place * height : (place + kept * stride) * height])))
        return found

    def _zeros(self) -> Triple:
        """Places of the kernel in time; frames of zeros before the clip, and behind it up to a whole stride."""
        places, stride, kept = self.kernel_size[0], self.strides[0], self.output_frames
        before = max((kept - 1) * stride + places - self.frames, 0) // 2
        return places, before, places - 1 + kept * stride - self.frames - before

    def _every(self, x: Any) -> Any:
        """The first of as many frames as the stride has."""
        stride, kept, (_, rows, width, channels) = self.strides[0], self.output_frames, x.shape
        if stride == 1:
            return x
        height = rows // (kept * stride)
        x = ops.reshape(x, (-1, kept, stride * height * width, channels))[:, :, : height * width]
        return ops.reshape(x, (-1, kept * height, width, channels))

    def _images(self, strip: Any, frames: int) -> Any:
        """A strip as images of their own."""
        _, rows, width, channels = strip.shape
        return ops.reshape(strip, (-1, rows // frames, width, channels))

    def _strip(self, images: Any) -> Any:
        """Images as strips of the result's frames."""
        _, height, width, channels = images.shape
        return ops.reshape(images, (-1, self.output_frames * height, width, channels))


@keras.saving.register_keras_serializable("keras_mobilenets")
class StripConv3D(StripConvolution):
    """A standard 3-D convolution of a strip: the shifts side by side are channels of one convolution of images.

    Args:
        filters: Output channels.
    """

    def __init__(self, frames: int, filters: int, **kwargs: Any):
        super().__init__(frames, **kwargs)
        self.filters = filters

    def call(self, x: Any) -> Any:
        """Convolves a strip (batch, frames · height, width, channels)."""
        places, strips = zip(*self._shifts(x), strict=True)
        stacked = strips[0] if len(strips) == 1 else ops.concatenate(strips, axis=-1)
        kernel = ops.concatenate([self.kernel[place] for place in places], axis=2)
        images = self._images(stacked, self.output_frames)
        images = ops.conv(images, kernel, self.strides[1:], padding="same")
        return self._strip(images if self.bias is None else images + self.bias)

    def get_config(self) -> dict[str, Any]:
        """The arguments that make this layer again."""
        return super().get_config() | {"filters": self.filters}

    def _outputs(self, channels: int) -> int:
        return self.filters

    def _filters(self, channels: int) -> int:
        return self.filters


@keras.saving.register_keras_serializable("keras_mobilenets")
class StripDepthwiseConv3D(StripConvolution):
    """A depthwise 3-D convolution of a strip, each channel by itself.

    It is the sum of a depthwise convolution of images for each shift; a kernel of 1×1 in space is one depthwise
    convolution whose rows are the frames.
    """

    def call(self, x: Any) -> Any:
        """Convolves a strip (batch, frames · height, width, channels)."""
        if self.kernel_size[1:] == self.strides[1:] == (1, 1):
            return self._over_time(x)
        total = None
        for place, strip in self._shifts(x):
            images = self._images(strip, self.output_frames)
            images = ops.depthwise_conv(images, self.kernel[place], self.strides[1:], padding="same")
            images = images if self.bias is None or total is not None else images + self.bias
            total = self._strip(images) if total is None else total + self._strip(images)
        return total

    def _over_time(self, x: Any) -> Any:
        _, rows, width, channels = x.shape
        _, before, behind = self._zeros()
        pixels = rows // self.frames * width
        x = ops.reshape(x, (-1, self.frames, pixels, channels))
        is_same = self.strides[0] == 1
        if not is_same:
            x = ops.pad(x, [[0, 0], [before, behind], [0, 0], [0, 0]])
        x = ops.depthwise_conv(x, self.kernel[:, 0], padding="same" if is_same else "valid")
        x = x if self.bias is None else x + self.bias
        x = ops.reshape(x, (-1, x.shape[1] * rows // self.frames, width, channels))
        return self._every(x)

    def _outputs(self, channels: int) -> int:
        return 1

    def _filters(self, channels: int) -> int:
        return channels

    def _of_kernel(self, factors: Any) -> Any:
        return factors[:, None]

    def _initializer(self, kernel: Any) -> Any:
        """Glorot's limits of one channel by itself, which the two last axes do not tell."""
        places = kernel[0] * kernel[1] * kernel[2]
        return keras.initializers.RandomUniform(-((3 / places) ** 0.5), (3 / places) ** 0.5)


def triple(value: Any) -> Triple:
    """Frames, rows and columns; one number for all three."""
    frames, rows, columns = (value,) * 3 if isinstance(value, int) else tuple(map(int, value))
    return frames, rows, columns
