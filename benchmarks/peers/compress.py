"""One compression by ONNX Runtime's Python tools, as a whole process: compress.py JOB MODEL OUTPUT."""
import sys

# ONNX first: some distributions build both on one schema registry.
import onnx
import onnx.reference

job, model, output = sys.argv[1:]
if job == "int8-dynamic":
    from onnxruntime.quantization import QuantType, quantize_dynamic
    quantize_dynamic(model, output, weight_type=QuantType.QInt8)
elif job == "float16":
    from onnxruntime.transformers.float16 import convert_float_to_float16
    onnx.save(convert_float_to_float16(onnx.load(model), keep_io_types=True), output)
else:
    from onnxruntime.quantization.matmul_nbits_quantizer import HQQWeightOnlyQuantConfig, MatMulNBitsQuantizer
    options = {"algo_config": HQQWeightOnlyQuantConfig(block_size=32, bits=4)} if job == "int4-hqq" else {}
    quantizer = MatMulNBitsQuantizer(onnx.load(model), block_size=32, is_symmetric=True, accuracy_level=4, **options)
    quantizer.process()
    quantizer.model.save_model_to_file(output, False)
