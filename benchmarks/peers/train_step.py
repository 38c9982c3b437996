"""Times a training step (forward, backward, AdamW) of an ONNX model in PyTorch, eager, on the CPU.

usage: train_step.py MODEL.onnx BATCH [--classes N] [--threads 2] [--steps 30]
The graph is interpreted node by node with the same operators that a hand-written module would call.
Every float initializer of two and more elements that a Conv, Gemm, MatMul, LayerNormalization, Add or Gather reads is trained.
"""
import argparse
import time

import numpy as np
import onnx
import torch
import torch.nn.functional as F
from onnx import helper, numpy_helper


def run(graph, values):
    def attr(node, name, otherwise=None):
        for a in node.attribute:
            if a.name == name:
                return helper.get_attribute_value(a)
        return otherwise

    for n in graph.node:
        x = [values[i] if i else None for i in n.input]
        op = n.op_type
        if op == "Constant":
            a = n.attribute[0]
            v = numpy_helper.to_array(a.t) if a.name == "value" else np.array(helper.get_attribute_value(a))
            y = torch.from_numpy(np.array(v))
        elif op == "Identity":
            y = x[0]
        elif op == "Conv":
            p = attr(n, "pads", [0, 0, 0, 0])
            half = len(p) // 2
            assert p[:half] == p[half:]
            y = F.conv2d(x[0], x[1], x[2] if len(x) > 2 else None, attr(n, "strides", [1, 1]), p[:half], attr(n, "dilations", [1, 1]), attr(n, "group", 1))
        elif op == "BatchNormalization":
            y = F.batch_norm(x[0], x[3], x[4], x[1], x[2], False, 0.1, attr(n, "epsilon", 1e-5))
        elif op == "Relu":
            y = F.relu(x[0])
        elif op == "Clip":
            lo = None if len(x) < 2 or x[1] is None else float(x[1])
            hi = None if len(x) < 3 or x[2] is None else float(x[2])
            y = torch.clamp(x[0], lo, hi)
        elif op == "Add":
            y = x[0] + x[1]
        elif op == "Sub":
            y = x[0] - x[1]
        elif op == "Mul":
            y = x[0] * x[1]
        elif op == "Div":
            y = x[0] / x[1]
        elif op == "Erf":
            y = torch.erf(x[0])
        elif op == "MatMul":
            y = torch.matmul(x[0], x[1])
        elif op == "Gemm":
            b = x[1].t() if attr(n, "transB", 0) else x[1]
            y = torch.addmm(x[2], x[0], b)
        elif op == "GlobalAveragePool":
            y = x[0].mean((2, 3), keepdim=True)
        elif op == "Flatten":
            y = x[0].flatten(attr(n, "axis", 1))
        elif op == "ReduceMean":
            axes = attr(n, "axes") or [int(v) for v in x[1]]
            y = x[0].mean([int(v) for v in axes], keepdim=bool(attr(n, "keepdims", 1)))
        elif op == "ReduceSum":
            y = x[0].sum([int(v) for v in x[1]], keepdim=bool(attr(n, "keepdims", 1)))
        elif op == "Softmax":
            y = torch.softmax(x[0], attr(n, "axis", -1))
        elif op == "LayerNormalization":
            y = F.layer_norm(x[0], [x[0].shape[-1]], x[1], x[2], attr(n, "epsilon", 1e-5))
        elif op == "Transpose":
            y = x[0].permute(*attr(n, "perm"))
        elif op == "Shape":
            y = torch.tensor(x[0].shape)
        elif op == "Gather":
            axis = attr(n, "axis", 0)
            y = F.embedding(x[1], x[0]) if axis == 0 and x[0].dim() == 2 else torch.index_select(x[0], axis, x[1].flatten().long()).reshape(x[0].shape[:axis] + x[1].shape + x[0].shape[axis + 1:])
        elif op == "Unsqueeze":
            y = x[0]
            for a in sorted(int(v) for v in x[1]):
                y = y.unsqueeze(a)
        elif op == "Concat":
            y = torch.cat(x, attr(n, "axis"))
        elif op == "Reshape":
            s = [int(v) for v in x[1]]
            y = x[0].reshape([x[0].shape[i] if v == 0 else v for i, v in enumerate(s)])
        elif op == "Slice":
            y = x[0]
            axes = [int(v) for v in x[3]] if len(x) > 3 else range(len(x[1]))
            for a, s, e in zip(axes, x[1], x[2]):
                y = y[(slice(None),) * (a % y.dim()) + (slice(int(s), int(min(e, y.shape[a]))),)]
        elif op == "Cast":
            y = x[0].to({1: torch.float32, 6: torch.int32, 7: torch.int64, 9: torch.bool}[attr(n, "to")])
        elif op == "Equal":
            y = x[0] == x[1]
        elif op == "Not":
            y = ~x[0]
        elif op == "Sqrt":
            y = torch.sqrt(x[0])
        else:
            raise NotImplementedError(op)
        values[n.output[0]] = y
    return values[graph.output[0].name]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    parser.add_argument("batch", type=int)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--steps", type=int, default=30)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    graph = onnx.load(args.model).graph
    readers = {i for n in graph.node if n.op_type in ("Conv", "Gemm", "MatMul", "LayerNormalization", "Add", "Gather", "BatchNormalization") for i in n.input}
    constants = {i.name: torch.from_numpy(numpy_helper.to_array(i).copy()) for i in graph.initializer}
    statistics = {i for n in graph.node if n.op_type == "BatchNormalization" for i in n.input[3:5]}
    trained = [t.requires_grad_() for k, t in constants.items() if t.dtype == torch.float32 and t.numel() > 1 and k in readers and k not in statistics]
    given = graph.input[0]
    shape = [args.batch if d.dim_value == 0 else d.dim_value for d in given.type.tensor_type.shape.dim]
    shape[0] = args.batch
    if given.type.tensor_type.elem_type == 7:
        data = torch.randint(1, 500, shape)
    else:
        data = torch.rand(shape)
    with torch.no_grad():
        logits = run(graph, {**constants, given.name: data})
    teacher = torch.randn_like(logits)
    optimizer = torch.optim.AdamW(trained, lr=1e-4)
    times, forward_times, backward_times = [], [], []
    for step in range(args.steps):
        t0 = time.perf_counter()
        logits = run(graph, {**constants, given.name: data})
        loss = F.kl_div(F.log_softmax(logits, -1), F.log_softmax(teacher, -1), reduction="batchmean", log_target=True)
        t1 = time.perf_counter()
        optimizer.zero_grad()
        loss.backward()
        t2 = time.perf_counter()
        optimizer.step()
        t3 = time.perf_counter()
        times.append(t3 - t0)
        forward_times.append(t1 - t0)
        backward_times.append(t2 - t1)
    middle = lambda v: 1000 * sorted(v)[len(v) // 2]
    print(f"{args.model.split('/')[-1]} batch {args.batch} threads {args.threads}: step {middle(times):.1f} ms (min {1000 * min(times):.1f}), forward {middle(forward_times):.1f}, backward {middle(backward_times):.1f}, optimizer {middle(times) - middle(forward_times) - middle(backward_times):.1f}; {sum(t.numel() for t in trained)} parameters, loss {float(loss):.4f}")


if __name__ == "__main__":
    main()
