"""What each verb does: options to library calls, results to the terminal."""

import ast
import dataclasses
import itertools
import math
import os
import tempfile
import time
from argparse import Namespace
from pathlib import Path
from typing import Any

from keras_mobilenets.cli.output import grid, say, show
from keras_mobilenets.cli.several import join
from keras_mobilenets.errors import UserError
from keras_mobilenets.pipeline.run import QUANTIZE, Run


def models(options: Namespace) -> None:
    """Lists the builders and what was published of them."""
    import keras_mobilenets as km
    from keras_mobilenets.costs.selection import select

    rows = select(
        max_parameters=options.max_params, max_macs=options.max_macs, family=options.family, sort=options.sort
    )
    table = grid("model", "arguments", "input", "parameters", "multiply-adds", "ImageNet top-1")
    for row in rows:
        arguments = ", ".join(f"{key}={value}" for key, value in row.arguments.items())
        macs, top1 = f"{row.macs_millions:,.1f} M", f"{row.imagenet_top1:.1f}%"
        table.add_row(row.builder, arguments, str(row.input_size), f"{row.parameters:,}", macs, top1)
    show(table)
    if not rows:
        raise UserError("no published variant is within these limits")
    published = {row.builder for row in select()}
    rest = [name for name in km.list_models() if name not in published and options.family.lower() in name.lower()]
    if rest and math.isinf(options.max_params) and math.isinf(options.max_macs):
        print(f"without published figures: {', '.join(rest)}")


def choose(options: Namespace) -> None:
    """Picks a variant for a target and says why."""
    from keras_mobilenets.costs import selection

    rows = selection.select(max_parameters=options.max_params, max_macs=options.max_macs, family=options.family)
    ranked = selection.choose(rows, target=options.target, task=options.task, max_size_mb=options.max_size_mb)
    best = ranked[0]
    print(f"{best.variant.label}: {best.variant.imagenet_top1:.1f}% top-1 published, about {best.size_mb:.1f} MB")
    print(f"{len(ranked)} of {len(rows)} variants fit; {options.task}: {selection.tasks()[options.task]}")
    for reason in best.reasons:
        print(f"  {reason}")
    table = grid("best first", "top-1", "M multiply-adds", "MB", "score")
    for choice in ranked[:5]:
        row = choice.variant
        figures = (
            f"{row.imagenet_top1:.1f}%",
            f"{row.macs_millions:,.0f}",
            f"{choice.size_mb:.1f}",
            f"{choice.score:.1f}",
        )
        table.add_row(row.label, *figures)
    show(table)


def summary(options: Namespace) -> None:
    """Prints the layer table."""
    import keras_mobilenets as km

    shape = (options.size, options.size, 3)
    model = km.create_model(options.model, input_shape=shape, classes=options.classes, **_arguments(options))
    if options.compare:
        from keras_mobilenets.costs.separable_savings import compare

        print(compare(model))
    else:
        print(km.cost(model))


def train(options: Namespace) -> None:
    """Trains into a run folder."""
    from keras_mobilenets.training.distribution import process_group

    join(options)
    with process_group.abort_on_error(), tempfile.TemporaryDirectory() as elsewhere:
        run = Run(options.run if process_group.is_first() else elsewhere)
        train_into(run, options)
    if process_group.is_first():
        say(f"{run.model_file} is the best model of the training; next: keras-mobilenets convert {run.folder}")


def distill(options: Namespace) -> None:
    """Trains into a run folder with a teacher."""
    run, teacher = Run(options.run), Path(options.teacher)
    teacher = Run(teacher).model_file if teacher.is_dir() else teacher
    given = {"cached_views": options.cached_views, "cache_file": options.cache_file}
    how = {"temperature": options.temperature, "alpha": options.teacher_share}
    how |= {name: value for name, value in given.items() if value is not None}
    train_into(run, options, {"teacher": str(teacher)} | how)
    say(f"{run.model_file} is the best model of the training; next: keras-mobilenets convert {run.folder}")


def qat(options: Namespace) -> None:
    """Quantization-aware training of a run's model."""
    from keras_mobilenets.pipeline.compression import compress

    kind = {None: "qat", "sparsity": "pqat", "clusters": "cqat"}[options.keep]
    given = {
        "left_in_float": options.left_in_float,
        "freeze_batch_norm_after": options.freeze_bn_after,
        "distil": not options.no_teacher,
    }
    made = compress(Run(options.run), kind, given, _given(options))
    say(f"{made} computes as int8 will; next: keras-mobilenets convert {options.run}")


def prune(options: Namespace) -> None:
    """Zeros in the weights, or fewer channels."""
    from keras_mobilenets.pipeline.compression import compress

    if options.macs is not None:
        given = {"macs": options.macs, "importance": options.importance, "steps": options.steps}
        made = compress(Run(options.run), "channels", given, _given(options))
    else:
        given = {"sparsity": options.sparsity, "schedule": options.sparsity_schedule, "pattern": options.pattern}
        given["by_layer"] = options.by_layer
        made = compress(Run(options.run), "prune", given, _given(options))
    say(f"{made} is the pruned model; next: keras-mobilenets convert {options.run}")


def convert(options: Namespace) -> None:
    """Converts a run's model, or a .keras file."""
    source = Path(options.source)
    if source.is_dir():
        if options.out:
            raise UserError("--out goes with a .keras file; a run keeps its .tflite files in its own folder")
        run = Run(source)
        data = run.data(options.data, options.data_dir) if options.data else None
        paths = run.convert(options.quantize, options.calibration, options.target, data, _int8(options))
    else:
        paths = _convert_file(source, options)
    for path in paths:
        print(f"{path}  {path.stat().st_size / 1e6:.2f} MB")


def _convert_file(source: Path, options: Namespace) -> list[Path]:
    """The .tflite files of one .keras file; int8 only where it is quantization-aware."""
    from keras_mobilenets import tflite, training
    from keras_mobilenets.tflite.conversion.float_graph import opened

    model, is_trained = opened(source)
    images, paths = None, []
    if "int8" in options.quantize and not is_trained:
        if not options.data:
            raise UserError("int8 needs calibration images: give --data shapes, a folder of images or a TFDS name")
        data = training.load_data(options.data, model.input_shape[1], data_dir=options.data_dir)
        images, _ = data.images("train", options.calibration, seed=0)
    for quantization in ["int8"] if is_trained else options.quantize:
        path = Path(options.out or source.parent) / f"{source.stem}_{quantization}.tflite"
        is_calibrated = quantization == "int8" and not is_trained
        settings = {"calibration": images, "calibration_images": options.calibration} | _int8(options)
        settings = settings if is_calibrated else {}
        quantize = QUANTIZE[quantization]
        paths.append(tflite.convert(model, path, quantize=quantize, target=options.target, **settings))
    return paths


def _int8(options: Namespace) -> dict[str, Any]:
    """What the options say of int8 after training, as arguments of `tflite.convert`."""
    if options.leave_in_float and options.leave_worst:
        raise UserError("--leave-in-float names the layers, --leave-worst counts them; give one of the two")
    return {
        "calibration_method": options.calibration_method,
        "leave_in_float": options.leave_in_float or options.leave_worst,
        "equalize": options.equalize,
        "bias_correction": options.bias_correction,
    }


def errors(options: Namespace) -> None:
    """Compares the activations of a run's int8 files with float."""
    for found in Run(options.run).layer_errors(options.limit):
        print("\n".join(str(found).splitlines()[: 2 + options.worst]))


def sensitivity(options: Namespace) -> None:
    """Shows which layers int8 hurts most."""
    print(Run(options.run).sensitivity(options.by, options.limit))


def explain(options: Namespace) -> None:
    """Shows what drew a run's model to its answers."""
    from keras_mobilenets.cli import explaining

    explaining.explain(options)


def inspect(options: Namespace) -> None:
    """Shows what is in .tflite files."""
    from keras_mobilenets import tflite

    for number, path in enumerate(_tflite_files(options.sources)):
        found = tflite.inspect(path)
        print("\n" * bool(number), end="")
        print(found)
        if options.nnapi is not None:
            print(f"\n{tflite.check_nnapi(path, options.nnapi)}")
        if options.gpu:
            print(f"\n{tflite.check_gpu(path)}")
        for operator in found.operators if options.operators else ():
            shapes = " → ".join(
                ", ".join(f"{t.dtype} {'×'.join(map(str, t.shape))}" for t in side)
                for side in (operator.inputs, operator.outputs)
            )
            print(f"{operator.index:4} {operator.name} v{operator.version}: {shapes}")


def evaluate(options: Namespace) -> None:
    """Scores .tflite files; a run's figures go into its results.json."""
    from keras_mobilenets import tflite, training

    for source in map(Path, options.sources):
        if source.is_dir() and not (options.data or options.limit):
            for row in Run(source).evaluate():
                print(f"{row.model}: top-1 {row.top1:.2%}")
            continue
        if source.is_dir():
            data = Run(source).data(options.data, options.data_dir)
        elif options.data:
            from keras_mobilenets.tflite.runtime.interpreter import open_model

            data = training.load_data(
                options.data, int(open_model(source).input["shape"][1]), data_dir=options.data_dir
            )
        else:
            raise UserError(f"what shall {source} be tested on? give --data shapes, a folder of images or a TFDS name")
        for path in _tflite_files([source]):
            result = tflite.evaluate(path, data.test, limit=options.limit)
            top5 = f", top-5 {result.top5:.2%}" if result.top5 is not None else ""
            print(f"{path}: top-1 {result.top1:.2%}{top5} on {result.images:,} images")


def benchmark(options: Namespace) -> int:
    """Times .tflite files; a folder's figures go into its results.json. Returns 1 when slower than the baseline."""
    from keras_mobilenets import tflite
    from keras_mobilenets.tflite.results.results import Results, environment

    if options.profile:
        for path, threads in itertools.product(_tflite_files(options.sources), options.threads):
            found = tflite.profile(path, threads=threads)
            say(found.summary)
            show(*found.tables())
        return 0
    before = tflite.read_results(options.baseline) if options.baseline else None
    folders = [source for source in map(Path, options.sources) if source.is_dir()]
    loose = [source for source in map(Path, options.sources) if source not in folders]
    if options.out and len(folders) + bool(loose) > 1:
        raise UserError("--out holds what is measured in one go: give one folder, or files only")
    if options.peers and loose:
        raise UserError(f"{loose[0]} does not say what its model is: --peers needs the folder of a run")
    rows = []
    for run in (Run(folder, options.out) for folder in folders):
        again = options.again or before is not None
        timed = run.benchmark(options.threads, again, peers=options.peers)
        rows += timed
        _show_timed(timed, run.results_file if options.out else run.folder, options)
    if loose:
        timed = tflite.benchmark(loose, threads=options.threads, limit=True)
        rows += timed
        if options.out:
            tflite.write_results(options.out, timed, environment(loose))
        _show_timed(timed, options.out, options)
    if before is None:
        return 0
    return _compared(before, Results(rows, environment(_tflite_files(options.sources))), options.fail_over)


def _show_timed(rows: list[Any], results: Any, options: Namespace) -> None:
    """The table, its notes, and the page about what was written."""
    from keras_mobilenets import tflite
    from keras_mobilenets.tflite.results.tables import notes

    show(tflite.table(rows))
    for note in notes(rows):
        print(note)
    if results and not options.no_page:
        say(f"{tflite.report(results)} shows this with plots")


def _compared(before: Any, now: Any, fail_over: float) -> int:
    """Prints the comparison with a baseline; 1 when a row is slower than allowed, or there is none to compare."""
    from keras_mobilenets.tflite.measurement.regression import compare

    found = compare(before, now, fail_over)
    show(found.table())
    for name, rows in (("not measured now", found.missing), ("not in the baseline", found.added)):
        if rows:
            print(f"{name}: {'; '.join(rows)}")
    for warning in found.warnings:
        print(f"warning: {warning}")
    verdict = f"{len(found.slower)} slower by more than {fail_over:.1%}" if found.pairs else "nothing to compare"
    say(f"{len(found.pairs)} medians compared with the baseline: {verdict}")
    return 0 if found.ok else 1


def report(options: Namespace) -> None:
    """Writes the page."""
    from keras_mobilenets import tflite

    print(tflite.report(options.runs, options.out))


def pipeline(options: Namespace) -> None:
    """Train, compress, convert, evaluate, benchmark, report."""
    from keras_mobilenets import tflite
    from keras_mobilenets.pipeline.compression import KINDS, compress

    run, started = Run(options.run), time.perf_counter()
    settle(options)
    kinds = {kind: epochs for kind, epochs in options.compress.items() if kind in KINDS}
    quantize = [*options.quantize, *(["int8"] if "ptq" in options.compress and "int8" not in options.quantize else [])]
    steps = 5 + len(kinds)
    numbers = (f"{number}/{steps}" for number in range(1, steps + 1))
    say(f"{next(numbers)} train {options.model} on {options.data} at {options.size} px into {run.folder}")
    train_into(run, options)
    given = {"prune": {"sparsity": options.sparsity}, "channels": {"macs": options.macs}}
    for kind, epochs in kinds.items():
        say(f"{next(numbers)} {KINDS[kind].says}")
        compress(run, kind, given.get(kind), {"epochs": epochs} if epochs else {})
    say(f"{next(numbers)} convert to {', '.join([*quantize, *kinds])}")
    run.convert(quantize, options.calibration, options.target, how=_int8(options))
    say(f"{next(numbers)} evaluate on the test split")
    run.evaluate()
    say(f"{next(numbers)} benchmark on {', '.join(map(str, options.threads))} CPU thread(s)")
    rows = run.benchmark(options.threads)
    say(f"{next(numbers)} report")
    page = tflite.report(run.folder)
    show(tflite.table(rows))
    say(f"{page} shows this with plots and images; done in {time.perf_counter() - started:.0f} s")


def train_into(run: Run, options: Namespace, teacher: dict[str, Any] | None = None) -> None:
    """Trains what the options ask for into a run folder."""
    from keras_mobilenets.training.recipe import Recipe, find

    settle(options)
    data = {"name": options.data, "image_size": options.size, "batch_size": options.batch_size}
    if options.data_dir:
        data["data_dir"] = options.data_dir
    recipe, arguments = Recipe.named(options.recipe, **_given(options)), find(options.recipe).arguments
    arguments = arguments | _arguments(options)
    run.train(options.model, arguments, data, recipe, teacher, _transfer(options), options.checkpoint_seconds)


def settle(options: Namespace) -> None:
    """Fills in what depends on the data set and on the recipe."""
    from keras_mobilenets.training.datasets.catalog import DEFAULT_SIZE, default_size
    from keras_mobilenets.training.recipe import find

    if options.size is None:
        options.size = DEFAULT_SIZE if Path(os.path.expanduser(options.data)).is_dir() else default_size(options.data)
    if options.batch_size is None:
        options.batch_size = find(options.recipe).batch_size


def _transfer(options: Namespace) -> dict[str, Any] | None:
    """What the options say of transfer learning; None where nothing is transferred."""
    given = {name: getattr(options, name, None) for name in ("weights", "freeze", "head_epochs")}
    given = {name: value for name, value in given.items() if value is not None}
    if given and "weights" not in given:
        raise UserError("--freeze and --head-epochs go with --weights, the weights that are kept at first")
    return given or None


def _given(options: Namespace) -> dict[str, Any]:
    """What the options say of the recipe."""
    from keras_mobilenets.training.recipe import Recipe

    asked = {field.name: getattr(options, f"recipe_{field.name}") for field in dataclasses.fields(Recipe)}
    return {name: value for name, value in asked.items() if value is not None}


def _arguments(options: Namespace) -> dict[str, Any]:
    """The builder's arguments: --alpha, and what --set gives, read as Python values where they are ones."""
    arguments: dict[str, Any] = {} if options.alpha is None else {"alpha": options.alpha}
    for pair in options.set:
        name, equals, text = pair.partition("=")
        if not equals or not name.isidentifier():
            raise UserError(f"--set {pair}: write it as ARGUMENT=VALUE, for example --set stem_strides=1")
        try:
            arguments[name] = ast.literal_eval(text)
        except (ValueError, SyntaxError):
            arguments[name] = text
    return arguments


def _tflite_files(sources: list[Any]) -> list[Path]:
    return [path for s in map(Path, sources) for path in (Run(s).tflite_files() if s.is_dir() else [s])]
