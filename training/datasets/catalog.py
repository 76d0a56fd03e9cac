"""TFDS data sets: their default image sizes, and files that must be downloaded by hand."""

DEFAULT_SIZE = 64  # of data sets that are not listed

SIZES = {
    "shapes": 64,
    "mnist": 32,
    "fashion_mnist": 32,
    "cifar10": 32,
    "cifar100": 32,
    "svhn_cropped": 32,
    "stl10": 96,
    "tf_flowers": 224,
    "oxford_flowers102": 224,
    "oxford_iiit_pet": 224,
    "stanford_dogs": 224,
    "caltech101": 224,
    "food101": 224,
    "cats_vs_dogs": 224,
    "imagenette": 224,
    "imagenet2012": 224,
}

# File names below the data folder's downloads/manual, and their source.
MANUAL_DOWNLOADS = {
    "imagenet2012": (("ILSVRC2012_img_train.tar", "ILSVRC2012_img_val.tar"), "https://image-net.org/download-images"),
}


def default_size(name: str) -> int:
    """The default height and width of a data set's images, in pixels: 32 for "cifar10", 224 for "stanford_dogs"."""
    return SIZES.get(str(name).split("/")[0].split(":")[0], DEFAULT_SIZE)
