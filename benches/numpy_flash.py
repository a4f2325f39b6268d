"""Times dense attention in numpy with its BLAS, chunked as FlashAttention is: one head, f32, D = 64, online softmax.

Prints one JSON record. Usage: python benches/numpy_flash.py [--length L] [--blocks BQ,BK] [--samples N] [--threads N]
Blocks may be larger than a compiled kernel's: numpy has a cost per call, and is timed at the sizes that suit it.
"""

import argparse
import json
import os
import time


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--length", type=int, default=8192)
    p.add_argument("--blocks", default="512,512")
    p.add_argument("--samples", type=int, default=5)
    p.add_argument("--threads", type=int, default=2)
    a = p.parse_args()
    os.environ["OPENBLAS_NUM_THREADS"] = str(a.threads)
    import numpy as np

    bq, bk = (int(x) for x in a.blocks.split(","))
    rng = np.random.default_rng(1)
    q, k, v = (rng.uniform(-1, 1, (a.length, 64)).astype(np.float32) for _ in range(3))
    scale = np.float32(0.125)

    def attention():
        out = np.empty_like(q)
        for i in range(0, a.length, bq):
            qi = q[i : i + bq] * scale
            m = np.full((qi.shape[0], 1), -np.inf, np.float32)
            l = np.zeros((qi.shape[0], 1), np.float32)
            acc = np.zeros_like(qi)
            for j in range(0, a.length, bk):
                s = qi @ k[j : j + bk].T
                new = np.maximum(m, s.max(axis=1, keepdims=True))
                s -= new
                np.exp(s, out=s)
                alpha = np.exp(m - new)
                l = l * alpha + s.sum(axis=1, keepdims=True)
                acc *= alpha
                acc += s @ v[j : j + bk]
                m = new
            out[i : i + bq] = acc / l
        return out

    attention()
    times, busy = [], []
    for _ in range(a.samples):
        start, worked = time.perf_counter(), time.process_time()
        attention()
        times.append(time.perf_counter() - start)
        busy.append(time.process_time() - worked)
    blas = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
    print(json.dumps({
        "what": "numpy",
        "numpy": np.__version__,
        "blas": f"{blas['name']} {blas['version']}",
        "unix_time": int(time.time()),
        "threads": a.threads,
        "shape": [1, 1, a.length, 64],
        "blocks": [bq, bk],
        "seconds": times,
        "median": sorted(times)[len(times) // 2],
        "processor_seconds": busy,
        "processor_median": sorted(busy)[len(busy) // 2],
    }, indent=2))


main()
