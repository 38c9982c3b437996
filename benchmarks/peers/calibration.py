"""Static quantization of SqueezeNet with ONNX Runtime's Python tool on the crops that the benchmark `calibration` wrote.

usage: calibration.py MODEL CROPS.npy [METHOD] [COUNT]

Prints seconds of quantize_static and the peak memory of the process: what is to be compared with the benchmark's rows.
"""
import os
import resource
import shutil
import sys
import tempfile
import time

import numpy as np
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static


class Crops(CalibrationDataReader):
    """One crop a run: BGR, mean subtracted, NCHW."""

    def __init__(self, path, count):
        self.array = np.load(path, mmap_mode="r")[:count]
        self.next = 0

    def get_next(self):
        if self.next == len(self.array):
            return None
        crop = self.array[self.next][:, :, ::-1].astype(np.float32) - np.array([104, 117, 124], np.float32)
        self.next += 1
        return {"data_0": np.ascontiguousarray(crop.transpose(2, 0, 1)[None])}


def main(model, crops, method="Entropy", count="200"):
    with tempfile.TemporaryDirectory() as folder:
        # The tool writes files beside the model.
        model = shutil.copy(model, folder)
        start = time.perf_counter()
        quantize_static(
            model,
            os.path.join(folder, "out.onnx"),
            Crops(crops, int(count)),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod[method],
        )
        seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    print(f"| {method} | {count} crops | {seconds:.1f} | {peak:.0f} MB |")


if __name__ == "__main__":
    main(*sys.argv[1:])
