"""Single operations in PyTorch, for bench/peers/kernels.ts.

Reads one request a line, {"kind", "dtype", "sizes", "milliseconds"}, and answers {"ms", "error"}: the median time of a call, and
of products the error against double precision. What a request needs is made once and kept until another one comes.
"""
import json
import sys
import time

import torch
import torch.nn.functional as F

torch.set_num_threads(int(sys.argv[1]))
torch.manual_seed(1)
COLD = 160 * 2**20
DTYPES = {"f32": torch.float32, "bf16": torch.bfloat16}
randn = torch.randn


def sets(bytes_of_one, make):
    """So many of what is to come from memory that none is in a cache any more when its turn comes."""
    return [make() for _ in range(-(-COLD // bytes_of_one))]


def relative(y, exact):
    return ((y.double() - exact).norm() / exact.norm()).item()


def linear(dtype, cold, one_dnn=False):
    """Weights (out, in), as nn.Linear has them; PyTorch hands f32 to MKL, and bf16 to oneDNN, unless weights were packed for
    oneDNN before, as its compiler does. The error is that of rounding both as well."""

    def make(m, n, k):
        x, w = randn(m, k), randn(n, k)
        rows = x[:4]
        xs, ws = x.to(dtype), w.to(dtype)
        size = ws.element_size() * n * k
        weights = sets(size, lambda: ws.clone()) if cold else [ws]
        f = F.linear
        if one_dnn:
            pack = torch.ops.mkldnn._reorder_linear_weight
            weights = [pack(w, m) for w in weights]
            f = lambda x, w: torch.ops.mkldnn._linear_pointwise(x, w, None, "none", [], "")
        error = relative(F.linear(rows.to(dtype), ws), rows.double() @ w.double().t())
        return [lambda w=w: f(xs, w) for w in weights], error

    return make


def product(transpose_a, transpose_b):
    def make(m, n, k):
        a = randn(k, m).t() if transpose_a else randn(m, k)
        b = randn(n, k).t() if transpose_b else randn(k, n)
        out = torch.empty(m, n)
        return [lambda: torch.mm(a, b, out=out)], relative(torch.mm(a, b)[:4], a[:4].double() @ b.double())

    return make


def attention(causal):
    def make(h, t, d):
        q, k, v = (randn(1, h, t, d) for _ in range(3))
        return [lambda: F.scaled_dot_product_attention(q, k, v, is_causal=causal)], None

    return make


def attention_backward(causal):
    def make(h, t, d):
        with torch.inference_mode(False), torch.enable_grad():
            q, k, v = (randn(1, h, t, d, requires_grad=True) for _ in range(3))
            y = F.scaled_dot_product_attention(q, k, v, is_causal=causal)
        g = randn(1, h, t, d)

        def run():
            with torch.inference_mode(False), torch.enable_grad():
                torch.autograd.grad(y, (q, k, v), g, retain_graph=True)

        return [run], None

    return make


def attention_decode(h, t, d):
    q = randn(1, h, 1, d)
    caches = sets(8 * h * t * d, lambda: (randn(1, h, t, d), randn(1, h, t, d)))
    return [lambda k=k, v=v: F.scaled_dot_product_attention(q, k, v) for k, v in caches], None


def rowwise(f):
    def make(rows, columns):
        x = randn(rows, columns)
        return [lambda: f(x)], None

    return make


def norm(f, bias):
    def make(rows, columns):
        x, w, b = randn(rows, columns), randn(columns), randn(columns)
        return [(lambda: F.layer_norm(x, (columns,), w, b)) if bias else (lambda: F.rms_norm(x, (columns,), w))], None

    return make


def cross_entropy(rows, columns):
    x, targets = randn(rows, columns), torch.randint(0, columns, (rows,))
    return [lambda: F.cross_entropy(x, targets)], None


def adam_w(rows, columns):
    with torch.inference_mode(False):
        p = torch.nn.Parameter(randn(rows, columns))
        p.grad = randn(rows, columns)
        optimizer = torch.optim.AdamW([p], lr=1e-8, fused=True)

    def run():
        with torch.inference_mode(False):
            optimizer.step()

    return [run], None


def add(rows, columns):
    x, y = randn(rows, columns), randn(rows, columns)
    return [lambda: x + y], None


def swiglu(rows, columns):
    gate, up = randn(rows, columns), randn(rows, columns)
    return [lambda: F.silu(gate) * up], None


KINDS = {
    "linear": lambda dtype: linear(dtype, False),
    "linear, cold": lambda dtype: linear(dtype, True),
    "linear, oneDNN": lambda dtype: linear(dtype, False, True),
    "linear, cold, oneDNN": lambda dtype: linear(dtype, True, True),
    "product": lambda _: product(False, False),
    "product, transposed a": lambda _: product(True, False),
    "product, transposed b": lambda _: product(False, True),
    "attention": lambda _: attention(False),
    "attention, causal": lambda _: attention(True),
    "attention, backward": lambda _: attention_backward(False),
    "attention, causal backward": lambda _: attention_backward(True),
    "attention, decode": lambda _: attention_decode,
    "softmax": lambda _: rowwise(lambda x: F.softmax(x, -1)),
    "layerNorm": lambda _: norm(F.layer_norm, True),
    "rmsNorm": lambda _: norm(F.rms_norm, False),
    "gelu": lambda _: rowwise(F.gelu),
    "geluTanh": lambda _: rowwise(lambda x: F.gelu(x, approximate="tanh")),
    "silu": lambda _: rowwise(F.silu),
    "exp": lambda _: rowwise(torch.exp),
    "tanh": lambda _: rowwise(torch.tanh),
    "add": lambda _: add,
    "swiglu": lambda _: swiglu,
    "crossEntropy": lambda _: cross_entropy,
    "adamWStep": lambda _: adam_w,
}

print(torch.__version__, flush=True)
key, calls, error = None, [], None
with torch.inference_mode():
    for line in sys.stdin:
        request = json.loads(line)
        wanted = (request["kind"], request["dtype"], *request["sizes"])
        if wanted != key:
            calls = None
            calls, error = KINDS[request["kind"]](DTYPES[request["dtype"]])(*request["sizes"])
            key = wanted
            for call in calls:
                call()
        times, until = [], time.perf_counter() + request["milliseconds"] / 1000
        while len(times) < 5 or time.perf_counter() < until:
            for call in calls:
                start = time.perf_counter()
                call()
                times.append(time.perf_counter() - start)
        times.sort()
        print(json.dumps({"ms": 1000 * times[len(times) // 2], "error": error}), flush=True)
