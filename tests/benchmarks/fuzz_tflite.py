"""Mutated .tflite files through `inspect`, `evaluate` and `check_nnapi`.

    python tests/benchmarks/fuzz_tflite.py SEED.tflite... [--files 5000] [--seed 0] [--keep FOLDER]

For every file each verb either refuses in one line, as UserError, or answers, and then the answer is true of the file:

- `evaluate` gives, bit for bit, what the runtime gives in a process that shares no code with the package and in which
  fresh memory holds other bytes, so that what no operator has written shows;
- `inspect` names the operators that the file's tables list, and the runtime plans as many, or refuses the file for an
  operator that it lacks or a size that is open;
- `check_nnapi` judges the same operators, and is content only with files that the runtime opens and runs.

Everything else is a failure: another exception, a process that dies, 90 s without an answer. Exit status 1 then.
"""

import argparse
import contextlib
import json
import math
import os
import random
import select
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path

import numpy as np

SECONDS = 90  # for all verbs on one file; a file's trial alone may take 60
WORDS = (0, 1, 2, 3, 4, 7, 127, 128, 255, 256, 4096, 65535, 65536, 2**20, 2**31 - 1, 2**31, 2**32 - 1, 2**32 - 4)


# ---- mutation


class Seed:
    """A sound file, with the bytes that are tables rather than weights."""

    def __init__(self, path):
        from keras_mobilenets.tflite.graph import flatbuffer
        from keras_mobilenets.tflite.graph.flatbuffer import schema

        self.content = path.read_bytes()
        graph = flatbuffer.read(self.content).subgraphs[0]
        self.size = int(graph.tensors[graph.inputs[0]].shape[1])  # of its images
        is_table = np.ones(len(self.content), bool)
        model, base = schema.Model.GetRootAs(self.content, 0), np.frombuffer(self.content, np.uint8)
        for i in range(model.BuffersLength()):
            data = model.Buffers(i).DataAsNumpy()
            if isinstance(data, np.ndarray) and data.size > 64:
                start = data.__array_interface__["data"][0] - base.__array_interface__["data"][0]
                is_table[start : start + data.size] = False
        self.tables = np.flatnonzero(is_table).tolist()


def mutate(rng, seeds):
    """The kind of a mutation, the mutated file and the size of the images that it took before."""
    kind = rng.choice(["bits", "bits", "run", "word", "word", "cut", "splice", "schema", "schema", "schema", "schema"])
    seed = rng.choice(seeds)
    if kind == "schema":
        return kind, change_schema(rng, seed.content), seed.size
    content = bytearray(seed.content)

    def place():
        return rng.choice(seed.tables) if rng.random() < 0.8 else rng.randrange(len(content))

    if kind == "bits":
        for _ in range(rng.choice((1, 1, 2, 4, 8))):
            content[place()] ^= 1 << rng.randrange(8)
    elif kind == "run":
        at, length = place(), rng.randint(1, 64)
        fill = rng.choice((b"\0" * length, b"\xff" * length, rng.randbytes(length)))
        content[at : at + length] = fill[: len(content) - at]
    elif kind == "word":
        for _ in range(rng.choice((1, 1, 2))):
            at = min(place() & ~3, len(content) - 4)
            old = int.from_bytes(content[at : at + 4], "little")
            new = rng.choice((*WORDS, old + 1, old - 1, old + 4, old - 4, old * 2, -old))
            content[at : at + 4] = (new % 2**32).to_bytes(4, "little")
    elif kind == "cut":
        if rng.random() < 0.5:
            del content[rng.randrange(len(content)) :]
        else:
            at = place()
            del content[at : at + 4 * rng.randint(1, 64)]
    else:
        source, length = rng.choice(seeds).content, 4 * rng.randint(1, 256)
        at, origin = place() & ~3, rng.randrange(len(source)) & ~3
        content[at : at + length] = source[origin : origin + length]
    return kind, bytes(content), seed.size


def change_schema(rng, content):
    """One to three wrong entries in well-formed tables."""
    from keras_mobilenets.tflite.graph import flatbuffer

    model = flatbuffer.read(content)
    for _ in range(rng.choice((1, 1, 2, 3))):
        with contextlib.suppress(IndexError, TypeError, ValueError, AttributeError):  # nothing there to change
            rng.choice(CHANGES)(rng, model, model.subgraphs[0])
    try:
        return flatbuffer.write(model)
    except Exception:  # a value that the tables cannot hold
        return content


def number(rng, near):
    return rng.choice((near + 1, near - 1, near * 2, near // 2, 0, 1, -1, 2, 5, 1 << 16, 1 << 30, -(1 << 31)))


def changed(rng, numbers):
    """A vector of int32 with an entry changed, added or left out."""
    numbers = [int(n) for n in numbers]
    at, how = rng.randrange(len(numbers)), rng.random()
    if how < 0.6:
        numbers[at] = max(-(2**31), min(2**31 - 1, number(rng, numbers[at])))
    elif how < 0.8:
        del numbers[at]
    else:
        numbers.insert(at, rng.randint(0, 8))
    return np.array(numbers, np.int32)


def change_type(rng, model, graph):
    rng.choice(graph.tensors).type = rng.randint(0, 23)


def change_shape(rng, model, graph):
    tensor = rng.choice(graph.tensors)
    tensor.shape = changed(rng, tensor.shape)
    if rng.random() < 0.5:
        tensor.shapeSignature = tensor.shape


def change_buffer(rng, model, graph):
    rng.choice(graph.tensors).buffer = rng.choice((0, rng.randrange(len(model.buffers)), len(model.buffers), 1 << 30))


def change_data(rng, model, graph):
    buffer = rng.choice([b for b in model.buffers if b.data is not None and len(b.data)])
    data = np.array(buffer.data)
    if rng.random() < 0.3:
        data = data[: rng.randrange(len(data))]
    else:
        at = rng.randrange(len(data))
        data[at : at + rng.randint(1, 16)] = rng.choice((0, 255, 127, 128, rng.randrange(256)))
    buffer.data = data


def change_scale(rng, model, graph):
    quantization = rng.choice([t for t in graph.tensors if t.quantization and t.quantization.scale is not None])
    quantization = quantization.quantization
    if rng.random() < 0.5:
        scale = np.array(quantization.scale)
        wrong = (0, -1, math.nan, math.inf, 1e-38, 1e38, scale[0] * 2)
        scale[rng.randrange(len(scale))] = rng.choice(wrong)
        quantization.scale = scale if rng.random() < 0.8 else scale[:-1]
    elif rng.random() < 0.5:
        quantization.zeroPoint = changed(rng, quantization.zeroPoint).astype(np.int64)
    else:
        quantization.quantizedDimension = rng.choice((-1, 0, 1, 2, 3, 4, 1 << 30))


def change_operands(rng, model, graph):
    operator = rng.choice(graph.operators)
    side = rng.choice(("inputs", "outputs"))
    operands = changed(rng, getattr(operator, side))
    if rng.random() < 0.5:
        operands[rng.randrange(len(operands))] = rng.randrange(len(graph.tensors))
    setattr(operator, side, operands)


def change_ends(rng, model, graph):
    side = rng.choice(("inputs", "outputs"))
    setattr(graph, side, np.array([rng.randrange(len(graph.tensors))] * rng.choice((1, 1, 2)), np.int32))


def change_operator(rng, model, graph):
    operator, how = rng.choice(graph.operators), rng.random()
    if how < 0.4:
        operator.opcodeIndex = rng.choice((rng.randrange(len(model.operatorCodes)), len(model.operatorCodes), 1 << 30))
    elif how < 0.6:
        graph.operators.remove(operator)
    elif how < 0.8:
        graph.operators.insert(rng.randrange(len(graph.operators)), operator)
    else:
        rng.shuffle(graph.operators)


def change_code(rng, model, graph):
    code = rng.choice(model.operatorCodes)
    if rng.random() < 0.7:
        code.builtinCode = rng.randint(0, 210)
        code.deprecatedBuiltinCode = min(code.builtinCode, 127)
    else:
        code.version = rng.choice((0, 1, 2, 9, 99, -1))


def change_options(rng, model, graph):
    options = rng.choice([o for o in graph.operators if o.builtinOptions is not None]).builtinOptions
    name = rng.choice(sorted(vars(options)))
    if isinstance(getattr(options, name), int | bool):
        setattr(options, name, rng.choice((0, 1, 2, 3, 100, 127)))


def change_sparsity(rng, model, graph):
    sparse = rng.choice([t for t in graph.tensors if t.sparsity is not None]).sparsity
    how = rng.random()
    if how < 0.2:
        sparse.traversalOrder = changed(rng, sparse.traversalOrder)
    else:
        part = rng.choice(sparse.dimMetadata)
        if how < 0.4:
            part.denseSize = max(-(2**31), min(2**31 - 1, number(rng, part.denseSize)))
        elif how < 0.5:
            part.format = 1 - part.format
        else:
            vector = rng.choice((part.arraySegments, part.arrayIndices))
            values = np.array(vector.values)
            values[rng.randrange(len(values))] = rng.choice((0, 255, 65535, 7)) % (1 << 8 * values.itemsize)
            vector.values = values


CHANGES = (
    change_type, change_shape, change_buffer, change_data, change_scale, change_operands, change_ends,
    change_operator, change_code, change_options, change_sparsity,
)  # fmt: skip


# ---- the two processes that look at a file


def images(path):
    size = int(Path(path).stem.split("_")[1])
    return np.random.default_rng(1).integers(0, 256, (2, size, size, 3)).astype(np.uint8)


def by_the_package(path):
    """What each verb says of a file: {"refused": line} or its answer, in plain numbers."""
    from keras_mobilenets import tflite

    def inspect():
        found = tflite.inspect(path)
        assert str(found)
        names = [operator.name for operator in found.operators]
        return {"operators": names, "nodes": found.nodes, "unsupported": found.unsupported}

    def evaluate():
        found = tflite.evaluate(path, (images(path), np.array([0, 1])), threads=1)
        return {"predictions": found.predictions.astype(np.float32).tobytes().hex()}

    def check_nnapi():
        found = [tflite.check_nnapi(path, level) for level in (27, 31)]
        assert all(map(str, found))
        return {"operators": [op.name for op in found[0].operators], "ok": any(check.ok for check in found)}

    return {verb.__name__: _said(verb, path) for verb in (inspect, evaluate, check_nnapi)}


def _said(verb, path):
    from keras_mobilenets.errors import UserError

    try:
        return verb()
    except UserError as error:
        line = str(error)
        return {"refused": line} if "\n" not in line and path in line else {"failed": f"not one line: {line!r}"}
    except BaseException as error:
        at = traceback.extract_tb(error.__traceback__)[-1]
        return {"failed": f"{type(error).__name__}: {error} ({Path(at.filename).name}:{at.lineno})"}


def by_the_runtime(path):
    """The same by the runtime and the schema alone, in a fork of this process, which the file may take down."""
    from ai_edge_litert import schema_py_generated as schema
    from ai_edge_litert.interpreter import Interpreter

    model = schema.Model.GetRootAs(Path(path).read_bytes(), 0)
    codes = {number: name for name, number in vars(schema.BuiltinOperator).items() if isinstance(number, int)}
    graph, names = model.Subgraphs(0), []
    for i in range(graph.OperatorsLength()):
        code = model.OperatorCodes(graph.Operators(i).OpcodeIndex())
        names.append(codes.get(max(code.BuiltinCode(), code.DeprecatedBuiltinCode()), ""))
    interpreter = Interpreter(path, num_threads=1)
    interpreter.allocate_tensors()
    said = {"operators": names}
    if len(interpreter.get_input_details()) == len(interpreter.get_output_details()) == 1:
        (source,), (target,) = interpreter.get_input_details(), interpreter.get_output_details()
        if tuple(source["shape"][1:]) == images(path).shape[1:]:
            answers = []
            for image in images(path):
                interpreter.set_tensor(source["index"], _scaled(image, source)[None])
                interpreter.invoke()
                answers.append(interpreter.get_tensor(target["index"]).reshape(-1))
            scale, point = target["quantization"]
            answers = np.stack(answers).astype(np.float32)
            answers = (answers - np.float32(point)) * np.float32(scale) if scale else answers
            said["predictions"] = answers.tobytes().hex()
    return said


def _scaled(image, source):
    """Pixels as this input wants them, by the package's own rule, which has its own tests."""
    from keras_mobilenets.pixels.batches import to_input
    from keras_mobilenets.pixels.scaling import MINUS_ONE_TO_ONE

    return to_input(image[None], MINUS_ONE_TO_ONE, source["dtype"], source["quantization"])[0]


def serve(look, *, fork):
    """Answers paths on standard input in lines of JSON, until there are no more."""
    import ai_edge_litert.interpreter  # noqa: F401

    from keras_mobilenets.tflite.graph import flatbuffer  # noqa: F401

    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        path = line.rstrip("\n")
        if fork:
            child = os.fork()
            if child:
                status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
                if status:
                    print(json.dumps({"failed": f"status {status}"}), file=answers, flush=True)
                continue
            signal.alarm(SECONDS)
        try:
            answer = look(path)
        except Exception as error:
            answer = {"failed": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), file=answers, flush=True)
        if fork:
            os._exit(0)


class Process:
    """One of the two, started again when it dies or keeps silent."""

    def __init__(self, role, **environment):
        self.command = [sys.executable, __file__, "--role", role]
        self.environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", **environment}
        self.process = None

    def ask(self, path):
        if self.process is None:
            self.said = tempfile.TemporaryFile()  # noqa: SIM115
            self.process = subprocess.Popen(
                self.command, env=self.environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.said
            )
        self.process.stdin.write(f"{path}\n".encode())
        self.process.stdin.flush()
        ready, _, _ = select.select([self.process.stdout], [], [], SECONDS)
        line = self.process.stdout.readline() if ready else b""
        if line:
            return json.loads(line)
        if not ready:
            self.process.kill()
        status = self.process.wait()
        self.said.seek(0)
        self.process, said = None, self.said.read().decode("utf-8", "replace")[-2000:]
        return {"failed": f"no answer in {SECONDS} s" if not ready else f"the process died, status {status}: {said}"}

    def end(self):
        if self.process is not None:
            self.process.stdin.close()
            self.process.wait()


# ---- judgement


def judge(package, runtime):
    """What is wrong with the package's answers, in a list."""
    if "failed" in package:
        return [package["failed"]]
    wrong = [f"{verb}: {answer['failed']}" for verb, answer in package.items() if "failed" in answer]
    if wrong:
        return wrong
    inspect, evaluate, check = (package[verb] for verb in ("inspect", "evaluate", "check_nnapi"))
    opened = "refused" not in inspect and not inspect["unsupported"]
    if inspect.get("unsupported") and "failed" not in runtime:
        wrong.append(f"inspect says what the runtime does not: {inspect['unsupported']}")
    if opened and "failed" in runtime:
        wrong.append(f"inspect answers, the runtime alone does not: {runtime['failed']}")
    elif opened:
        pairs = zip(inspect["operators"], runtime["operators"], strict=False)
        if any(ours != theirs for ours, theirs in pairs if theirs != "CUSTOM"):
            wrong.append("inspect names other operators than the file")
        if not len(inspect["operators"]) == len(runtime["operators"]) == inspect["nodes"]:
            wrong.append("inspect counts other operators than the file or the runtime")
    if "refused" not in evaluate:
        if not opened:
            wrong.append("evaluate answers where inspect refuses")
        if evaluate["predictions"] != runtime.get("predictions"):
            wrong.append("evaluate gives other numbers than the runtime")
    if check.get("ok") and not opened:
        wrong.append("check_nnapi is content with a file that the runtime refuses")
    if "refused" not in check and opened and check["operators"] != inspect["operators"]:
        wrong.append("check_nnapi judges other operators than inspect names")
    return wrong


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("seeds", nargs="*", type=Path)
    parser.add_argument("--files", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="a folder for the files that fail")
    parser.add_argument("--role", choices=("package", "runtime"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.role:
        return serve(by_the_package if options.role == "package" else by_the_runtime, fork=options.role == "runtime")

    rng, seeds, began = random.Random(options.seed), [Seed(path) for path in options.seeds], time.perf_counter()
    package, runtime = Process("package"), Process("runtime", MALLOC_PERTURB_="165")
    kinds, counts, slowest, failures = Counter(), Counter(), 0.0, []
    with tempfile.TemporaryDirectory() as folder:
        for number in range(options.files):
            kind, content, size = mutate(rng, seeds)
            path = Path(folder) / f"{number}_{size}.tflite"
            path.write_bytes(content)
            start = time.perf_counter()
            ours = package.ask(path)
            slowest = max(slowest, time.perf_counter() - start)
            wrong = judge(ours, runtime.ask(path))
            kinds[kind] += 1
            if "failed" not in ours:
                counts.update(f"{verb} {'refuses' if 'refused' in said else 'answers'}" for verb, said in ours.items())
                counts["crashes contained"] += "crashes the runtime" in ours["inspect"].get("refused", "")
                counts["limits met"] += any(w in ours["inspect"].get("refused", "") for w in ("within", "memory"))
            for reason in wrong:
                print(f"{number} ({kind}): {reason}", flush=True)
            if wrong:
                failures.append(number)
                if options.keep:
                    options.keep.mkdir(parents=True, exist_ok=True)
                    (options.keep / path.name).write_bytes(content)
            path.unlink()
    package.end()
    runtime.end()
    summary = {
        "files": options.files,
        "failures": len(failures),
        **dict(sorted(counts.items())),
        "kinds": dict(kinds),
        "slowest_s": round(slowest, 2),
        "seconds": round(time.perf_counter() - began),
    }
    print(json.dumps(summary))
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
