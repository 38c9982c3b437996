"""Quantizes models with ONNX Runtime's Python tool: static MinMax, Entropy and Percentile, and dynamic.

usage: quantize.py JOBS.json OUTCOMES.json

JOBS is a list of {"model", "calibration": [npz files, one a run], "output": folder}; paths are relative to the file.
OUTCOMES is a list of {"notes", "settings": [{"name", "file" or "error", "samples", "seconds"}]} in the order of the jobs.

What a practised user does comes first: a recent opset, then the official pre-processing, each kept only where the result loads.
Nothing is judged here: the models are measured by whoever asked for them.
"""
import json
import logging
import os
import sys
import time
import warnings

import onnx.reference  # before onnxruntime: Debian builds both on one registry of schemas
import onnx.version_converter
import numpy as np
import onnx
import onnxruntime
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quant_pre_process,
    quantize_dynamic,
    quantize_static,
)

OPSET = 17

# Entropy and Percentile keep every activation of every run, and copy them once more: more bytes than this are not asked of them.
KEPT_BYTES = 2 << 30

# Conv is left out: its dynamic kernel is slow, and does not take weights per channel.
DYNAMIC_OPERATORS = ["MatMul", "Gemm", "Gather", "LSTM", "Attention"]


class Runs(CalibrationDataReader):
    def __init__(self, paths):
        self.paths = iter(paths)

    def get_next(self):
        path = next(self.paths, None)
        return None if path is None else feed(path)


def feed(path):
    with np.load(path) as arrays:
        return {name: arrays[name] for name in arrays.files}


def session(model):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def first_line(error):
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0] if lines else ''}"[:200]


def upgrade(source, target):
    model = onnx.load(source)
    if next(o.version for o in model.opset_import if o.domain in ("", "ai.onnx")) >= OPSET:
        return False
    onnx.save(onnx.version_converter.convert_version(model, OPSET), target)
    return True


def prepare(model, folder):
    """The model to quantize, and what did not work on the way to it."""
    notes = []
    steps = [
        ("opset", upgrade),
        ("pre-processing", lambda source, target: quant_pre_process(source, target)),
        ("pre-processing without symbolic shapes", lambda source, target: quant_pre_process(source, target, skip_symbolic_shape=True)),
    ]
    for number, (name, step) in enumerate(steps):
        target = os.path.join(folder, f"prepared{number}.onnx")
        try:
            if step(model, target) is False:
                continue
            session(target)
            model = target
            if name == "pre-processing":
                break
        except Exception as error:  # whatever it is, a user would go on without the step
            notes.append(f"{name} fails: {first_line(error)}")
    return model, notes


def activation_bytes(model, path, folder):
    """Bytes of all values that nodes write in one run."""
    observed = onnx.load(model)
    outputs = {o.name for o in observed.graph.output}
    names = [name for node in observed.graph.node for name in node.output if name and name not in outputs]
    observed.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    file = os.path.join(folder, "observed.onnx")
    onnx.save(observed, file)
    values = session(file).run(None, feed(path))
    return sum(v.nbytes for v in values if isinstance(v, np.ndarray))


def nodes(graph):
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            for inner in [attribute.g, *attribute.graphs]:
                yield from nodes(inner)


def is_quantized(path):
    return any("Quantize" in n.op_type or n.op_type.endswith("Integer") for n in nodes(onnx.load(path).graph))


def run(job):
    folder = job["output"]
    os.makedirs(folder, exist_ok=True)
    model, notes = prepare(job["model"], folder)
    paths = job["calibration"]
    try:
        kept = max(1, min(len(paths), KEPT_BYTES // max(1, activation_bytes(model, paths[0], folder))))
    except Exception as error:
        kept = min(len(paths), 64)
        notes.append(f"activations cannot be observed: {first_line(error)}")
    settings = []
    # The preparation unties weights that two nodes share: without it a language model is smaller.
    for name in ["MinMax", "Entropy", "Percentile", "dynamic", "dynamic, unprepared"]:
        file = os.path.join(folder, f"{name}.onnx")
        setting = {"name": name, "samples": 0 if name.startswith("dynamic") else len(paths) if name == "MinMax" else kept}
        start = time.perf_counter()
        try:
            if name.startswith("dynamic"):
                source = model if name == "dynamic" else job["model"]
                quantize_dynamic(source, file, per_channel=True, weight_type=QuantType.QInt8, op_types_to_quantize=DYNAMIC_OPERATORS)
            else:
                quantize_static(
                    model,
                    file,
                    Runs(paths[: setting["samples"]]),
                    quant_format=QuantFormat.QDQ,
                    per_channel=True,
                    activation_type=QuantType.QUInt8,
                    weight_type=QuantType.QInt8,
                    calibrate_method=CalibrationMethod[name],
                )
            setting |= {"file": file} if is_quantized(file) else {"error": "nothing is quantized"}
        except Exception as error:
            setting["error"] = first_line(error)
        setting["seconds"] = time.perf_counter() - start
        settings.append(setting)
    return {"notes": notes, "settings": settings}


def main(jobs, outcomes):
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)
    os.chdir(os.path.dirname(os.path.abspath(jobs)))
    with open(os.path.basename(jobs)) as file:
        work = json.load(file)
    with open(outcomes, "w") as file:
        json.dump([run(job) for job in work], file, indent=1)


if __name__ == "__main__":
    main(*sys.argv[1:])
