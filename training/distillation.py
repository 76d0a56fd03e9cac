"""Knowledge distillation: a small network learns what a large one says of each image, beside the labels.

Hinton et al. 2015, arXiv:1503.02531, section 2.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from keras_mobilenets.errors import UserError
from keras_mobilenets.training.data import Data
from keras_mobilenets.training.fitting import CHECKPOINT_SECONDS, Objective, gives_logits, train
from keras_mobilenets.training.recipe import Recipe


def distill(
    student: Any,
    teacher: Any,
    data: Data,
    recipe: Recipe | None = None,
    run_dir: str | Path | None = None,
    *,
    temperature: float = 4.0,
    alpha: float = 0.7,
    callbacks: Sequence[Any] = (),
    best_from: int = 1,
    checkpoint_seconds: float = CHECKPOINT_SECONDS,
    verbose: int | str = "auto",
) -> Any:
    """Trains a student on what a teacher says; else as `fit`.

    The loss is α · T² · KL(teacher ‖ student), both softened by the temperature T, plus (1 − α) · cross-entropy with
    the labels. The labels are not smoothed, whatever the recipe says: a teacher says more, and a smoothed label less.

    Args:
        student: The model to train, as for `fit`; a quantization-aware one, too.
        teacher: Trained Keras 3 or tf_keras model for the same images and classes, or the path of a `.keras` file. A
            model that is quantized takes the float model it was made from.
        data: What `load_data` returns.
        recipe: As in `fit`.
        run_dir: As in `fit`.
        temperature: T, above 0. The higher, the more the student hears about the classes that are not the label.
        alpha: α, 0 to 1: the teacher's share in the loss.
        callbacks: As in `fit`.
        best_from: As in `fit`.
        checkpoint_seconds: As in `fit`.
        verbose: As in `fit`.

    Returns:
        The History, as from `fit`.

    Raises:
        UserError: Student, teacher and data do not fit together, or as `fit`.
    """
    recipe = recipe or Recipe()
    if not temperature > 0:
        raise UserError(f"temperature={temperature}: give a number above 0, such as 4")
    if not 0 <= alpha <= 1:
        raise UserError(f"alpha={alpha}: give the teacher's share in the loss, 0 to 1")
    if isinstance(teacher, str | Path):
        from keras_mobilenets.training.loading import load_model

        teacher = load_model(teacher)
    size, classes = data.image_size, len(data.class_names)
    if tuple(teacher.output_shape[1:]) != (classes,):
        raise UserError(f"the teacher has output {teacher.output_shape[1:]} but {data.name} has {classes} classes")
    if any(have not in (None, want) for have, want in zip(teacher.input_shape[1:], (size, size, 3), strict=True)):
        raise UserError(f"the teacher takes images of {teacher.input_shape[1:]}, not of {(size, size, 3)}")
    objective = _objective(student, teacher, classes, temperature, alpha)
    return train(
        student,
        data,
        recipe,
        run_dir,
        objective,
        callbacks=callbacks,
        best_from=best_from,
        checkpoint_seconds=checkpoint_seconds,
        verbose=verbose,
    )


def _objective(student: Any, teacher: Any, classes: int, temperature: float, alpha: float) -> Objective:
    """Targets are rows: the share of each class that the label gives, and the teacher's softened probabilities."""
    from_logits, teacher_gives_logits = gives_logits(student), gives_logits(teacher)

    @tf.function
    def row(images: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        logits = _logits(teacher(images, training=False), teacher_gives_logits)
        shares = labels if labels.shape.rank == 2 else tf.one_hot(labels, classes)  # rows where images are mixed
        return tf.concat([shares, tf.nn.softmax(logits / temperature)], axis=1)

    def targets(batches: tf.data.Dataset) -> Any:
        # The teacher runs where the student does, outside of tf.data, which knows the CPU only.
        def rows() -> Iterator[tuple[tf.Tensor, tf.Tensor]]:
            while True:
                for images, labels in batches:
                    yield images, row(images, labels)

        return rows()

    def loss(target: Any, outputs: Any) -> Any:
        logits = _logits(outputs, from_logits)
        labels, soft = target[:, :classes], target[:, classes:]
        student_soft = tf.nn.log_softmax(logits / temperature)
        divergence = tf.reduce_sum(soft * (tf.math.log(soft + keras.config.epsilon()) - student_soft), axis=1)
        hard = tf.nn.softmax_cross_entropy_with_logits(labels, logits)
        return alpha * temperature**2 * divergence + (1 - alpha) * hard

    def accuracy(target: Any, outputs: Any) -> Any:
        labels = tf.argmax(target[:, :classes], axis=1)
        return tf.cast(tf.equal(labels, tf.argmax(outputs, axis=1)), tf.float32)

    asked = {"distillation": {"teacher": teacher.name, "temperature": temperature, "alpha": alpha}}
    return Objective(loss, accuracy, targets, asked)


def _logits(outputs: Any, are_logits: bool) -> Any:
    """Logits from what a model gives; from probabilities, up to a constant, which a softmax does not see."""
    return outputs if are_logits else tf.math.log(tf.maximum(outputs, keras.config.epsilon()))
