"""Knowledge distillation: a student learns from a teacher's softened logits beside the labels.

Hinton et al. 2015, arXiv:1503.02531, section 2.
"""

import os
from pathlib import Path
from typing import Any

from keras import ops

import keras_mobilenets as km
from keras_mobilenets.errors import UserError
from keras_mobilenets.training.datasets import augmentation
from keras_mobilenets.training.datasets.dataset import Data
from keras_mobilenets.training.datasets.kind import Kind
from keras_mobilenets.training.distribution import process_group
from keras_mobilenets.training.engine.trainer import fit
from keras_mobilenets.training.introspection import gives_logits, library_of
from keras_mobilenets.training.objectives.teacher import FILE, TeacherTargets
from keras_mobilenets.training.recipe import Recipe
from keras_mobilenets.training.tasks.objective import Objective


def distill(
    student: Any,
    teacher: Any,
    data: Data,
    recipe: Recipe | None = None,
    run_dir: str | Path | None = None,
    *,
    temperature: float = 4.0,
    alpha: float = 0.7,
    cached_views: int = 0,
    cache_file: str | Path | None = None,
    **options: Any,
) -> Any:
    """Trains a student with a teacher's logits as soft targets; otherwise as `fit`.

    The loss is α · T² · KL(teacher ‖ student), both softened by the temperature T, plus (1 − α) · cross-entropy with
    the labels. There is no label smoothing, whatever the recipe has: the teacher's logits carry more.

    Args:
        student: The model to train, as for `fit`; a quantization-aware one, too.
        teacher: Trained Keras 3 or tf_keras model for the same images and classes, or the path of a `.keras` file or of
            a run folder. For a quantization-aware student, take the float model. A teacher that was trained without
            label smoothing distils better (arXiv:1906.02629).
        data: What `load_data` returns.
        recipe: As in `fit`.
        run_dir: As in `fit`.
        temperature: T, above 0. The higher, the more weight on the classes other than the label.
        alpha: α, 0 to 1: the weight of the teacher in the loss.
        cached_views: Number of fixed augmented views of each training image, which take turns from epoch to epoch. The
            teacher logits of all of them are computed before the first epoch, and take 4 · views · images · classes
            bytes of memory. 0: every epoch is augmented anew, and the teacher runs on every batch.
        cache_file: File of the cached teacher logits (.npz), which several students can share. Default:
            teacher_logits.npz in the run folder.
        **options: `callbacks`, `best_from`, `checkpoint_seconds` and `verbose`, as in `fit`.

    Returns:
        The History, as from `fit`.

    Raises:
        UserError: Student, teacher and data do not fit together, the cached logits are of another training, or as in
            `fit`.
    """
    if data.task.name == "detection":
        raise UserError("distillation is for class labels, and this is detection: train on the labels alone")
    recipe, teacher = recipe or Recipe(), _load_teacher(teacher)
    _check(recipe, data.kind, temperature, alpha, cached_views, cache_file)
    library_of(student), library_of(teacher)
    process_group.require_single("distillation")
    if {id(weight) for weight in teacher.weights} & {id(weight) for weight in student.weights}:
        raise UserError("student and teacher share weights; give the student weights of its own")
    data = data.scaled_for(student)
    asked, given = (data.kind.described(each) for each in (data.scaled_for(teacher).scaling, data.scaling))
    if asked != given:
        of_teacher, of_student = (
            ", ".join(f"{name} {value}" for name, value in each.items()) for each in (asked, given)
        )
        raise UserError(
            f"the teacher takes {of_teacher} and the student {of_student}: put a layer, such as Rescaling, in front of "
            "one of them"
        )
    file = Path(cache_file) if cache_file else Path(run_dir) / FILE if run_dir else None
    targets = TeacherTargets(data, teacher, recipe.augmentation, cached_views, file)
    objective = _objective(student, data, recipe, targets, temperature, alpha)
    return fit(student, data, recipe, run_dir, objective=objective, **options)


def _check(recipe: Recipe, kind: Kind, temperature: float, alpha: float, cached_views: int, cache_file: Any) -> None:
    if not temperature > 0:
        raise UserError(f"temperature={temperature}: give a number above 0, such as 4")
    if not 0 <= alpha <= 1:
        raise UserError(f"alpha={alpha}: give the weight of the teacher in the loss, 0 to 1")
    if cached_views < 0 or cached_views != int(cached_views):
        raise UserError(f"cached_views={cached_views}: give a whole number, 0 or more")
    if cache_file is not None and not cached_views:
        raise UserError("cache_file goes with cached_views: give the number of views of each image, such as 8")
    if recipe.stages > 1 and (cached_views or recipe.initial_size < 1):
        raise UserError("the teacher takes images of one size: distil with stages=1 or initial_size=1, no cached_views")
    if cached_views:
        augmentation.fixed_views(kind, recipe.augmentation)  # refuses mixup and cutmix


def _load_teacher(teacher: Any) -> Any:
    """The teacher, loaded where it is a path."""
    if not isinstance(teacher, str | Path):
        return teacher
    path = Path(os.path.expanduser(teacher))
    if path.is_dir():
        path /= "model.keras"
    if path.suffix == ".tflite":
        raise UserError(f"{path} is a converted model, which cannot be a teacher; give its .keras file")
    if str(teacher) in km.list_models() and not path.exists():
        raise UserError(f"{teacher} is a builder; a teacher is a trained model: give a run folder or a .keras file")
    from keras_mobilenets.training.compression.model_loader import load_model

    return load_model(path)


def _objective(
    student: Any, data: Data, recipe: Recipe, targets: TeacherTargets, temperature: float, alpha: float
) -> Objective:
    """The objective for the targets of `TeacherTargets`."""
    from_logits, task, classes = gives_logits(student), data.task, len(data.class_names)
    monitor, weights = task.objective(student, recipe).monitor, data.class_weights(recipe)

    def loss(rows: Any, outputs: Any) -> Any:
        logits = outputs if from_logits else task.logits(outputs, ops)
        divergence = task.divergence(rows[:, classes:] / temperature, logits / temperature)
        return alpha * temperature**2 * divergence + (1 - alpha) * task.hard_loss(rows[:, :classes], logits, weights)

    def accuracy(rows: Any, outputs: Any) -> Any:
        return task.hits(rows[:, :classes], outputs if from_logits else task.logits(outputs, ops))

    accuracy.__name__ = task.metric
    settings = targets.teacher_record | {"temperature": temperature, "alpha": alpha, "cached_views": targets.views}
    how = {"distillation": settings}
    given = (targets.views, targets.targets, targets.validation)
    return Objective(loss, accuracy, *given, how, monitor=monitor)
