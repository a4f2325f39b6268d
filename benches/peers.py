"""Times what a user would run instead of this project, on one CUDA GPU; `sla bench --peers` runs this and puts the figures beside its own.

PyTorch's FlashAttention-2 and cuDNN attention, FlexAttention and cuBLAS come with torch. SLA's own Triton kernel and VSA's come with the
package fastvideo-kernel (its triton_kernels/sla_triton.py is the kernel of thu-ml/SLA), FA-CuTe with flash-attn-4. What is not installed is
said to be absent, and so is what cannot run a case.

peers.py --cases JSON [--device N] [--seed S] prints one JSON object a line: {"versions": {...}}, then for every case and peer
{"case", "peer", "note", "ms", "tflops", "extra_bytes"} or {"case", "peer", "absent"}. A case is {"name", "pass": "fwd" | "bwd", "what": "dense" | "sparse" | "module" |
"matmul", ...} with "shape" [B, H, L, D], "blocks" [BQ, BK] and "kept" [fewest, most] blocks of a row, "call": "router" | "all" | "marginal", or
"sizes" [M, N, K].

bf16, normal inputs. A figure is the median over launches between two events, each after 256 MB were overwritten, 0.25 s of them after a rest and 0.06 s of
warming up; of gradients that of autograd's backward alone, or of the peer's own call where it has one. TFLOP/s counts work done: 4 D for each pair of a
query and a key it attends to, 10 D for its gradients, 2 M N K for a product; of the module critical pairs alone.
"""

import argparse
import importlib.metadata
import json
import os
import statistics
import time
import sys


def say(**fields):
    print(json.dumps(fields), flush=True)


def reason(error):
    """An exception in one short line."""
    if isinstance(error, ModuleNotFoundError):
        return f"not installed: {error.name}"
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:160]}"


class Cannot(Exception):
    """A peer that does not have what a case needs."""

    def __str__(self):
        return self.args[0]


class Bench:
    """Inputs, lists and timing on one GPU."""

    def __init__(self, torch, device, seed):
        self.torch, self.seed = torch, seed
        torch.cuda.set_device(device)
        self.device = torch.device("cuda", device)
        self.cache = torch.empty(64 << 20, dtype=torch.int32, device=self.device)

    def normal(self, *shape, count=1):
        generator = self.torch.Generator(device=self.device).manual_seed(self.seed)
        make = lambda: self.torch.randn(shape, device=self.device, dtype=self.torch.bfloat16, generator=generator)
        return [make() for _ in range(count)]

    def leaves(self, case, turned=False):
        """Queries, keys and values of a case, with gradients where these are asked for; `turned` has tokens before heads."""
        made = self.normal(*case["shape"], count=3)
        made = [t.transpose(1, 2).contiguous() for t in made] if turned else made
        return [t.requires_grad_(case["pass"] == "bwd") for t in made]

    def event(self):
        event = self.torch.cuda.Event(enable_timing=True)
        event.record()
        return event

    def turn(self, launch, count):
        marks = []
        for _ in range(count):
            self.cache.zero_()
            start = self.event()
            launch()
            marks.append((start, self.event()))
        self.torch.cuda.synchronize()
        return [start.elapsed_time(end) for start, end in marks]

    def median_ms(self, launch):
        launch()
        self.torch.cuda.synchronize()
        each = max(1e-3, min(self.turn(launch, 3)))
        time.sleep(0.25)
        for _ in range(max(1, int(62 / each))):
            launch()
        return statistics.median(self.turn(launch, max(3, min(500, int(250 / each)))))

    def rows(self, heads, rows, blocks, kept):
        """A random 0/1 block mask [*heads, rows, blocks]; half of the rows keep kept[0] blocks, the others kept[1]."""
        torch = self.torch
        generator = torch.Generator(device=self.device).manual_seed(self.seed)
        rank = torch.rand(*heads, rows, blocks, device=self.device, generator=generator).argsort(-1).argsort(-1)
        mixed = torch.rand(*heads, rows, device=self.device, generator=generator).argsort(-1)
        count = torch.where(mixed < rows // 2, kept[0], kept[1])
        return (rank < count[..., None]).to(torch.int32)

    def lists(self, mask):
        """Counts and indices of a block mask, the kept ones first."""
        index = mask.argsort(dim=-1, descending=True, stable=True)
        return mask.sum(-1).to(self.torch.int32).contiguous(), index.to(self.torch.int32).contiguous()


def pairs(mask, length, bq, bk):
    """Pairs of a query and a key that a block mask keeps; the last blocks may be ragged."""
    rows, blocks = mask.shape[-2:]
    edge = lambda n, size: [min(size, length - i * size) for i in range(n)]
    total = mask.double().sum(dim=tuple(range(mask.dim() - 2))).cpu()
    q, k = edge(rows, bq), edge(blocks, bk)
    weights = total.new_tensor(q)[:, None] * total.new_tensor(k)[None, :]
    return float((total * weights).sum())


class Run:
    """What is timed: a call that gives an output, and for gradients its leaves, or a call of its own."""

    def __init__(self, forward, leaves=(), work=0.0, note=None, backward=None):
        self.forward, self.leaves, self.work, self.note, self.backward = forward, leaves, work, note, backward

    def ms(self, bench, gradients):
        if not gradients:
            with bench.torch.no_grad():
                return bench.median_ms(self.forward), self.work
        if self.backward is not None:
            return bench.median_ms(self.backward), 2.5 * self.work
        out = self.forward()
        out = out[0] if isinstance(out, (tuple, list)) else out
        (grad,) = bench.normal(*out.shape)

        def step():
            for leaf in self.leaves:
                leaf.grad = None
            out.backward(grad, retain_graph=True)

        return bench.median_ms(step), 2.5 * self.work


    def extra_bytes(self, bench):
        """What a forward and a backward take at most beyond inputs, output and gradients of the leaves."""
        torch = bench.torch
        (grad,) = bench.normal(*self.leaves[0].shape)
        for leaf in self.leaves:
            leaf.grad = None
        torch.cuda.synchronize()
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        out = self.forward()
        out.backward(grad)
        torch.cuda.synchronize()
        given = sum(t.numel() * t.element_size() for t in (out, *(leaf.grad for leaf in self.leaves)))
        return max(0, torch.cuda.max_memory_allocated() - before - given)


def dense_peers(bench, case):
    torch, shape = bench.torch, case["shape"]
    batch, heads, length, dim = shape
    work = 4.0 * batch * heads * length * length * dim

    def sdpa(backend):
        from torch.nn.attention import SDPBackend, sdpa_kernel

        q, k, v = bench.leaves(case)

        def forward():
            with sdpa_kernel(getattr(SDPBackend, backend)):
                return torch.nn.functional.scaled_dot_product_attention(q, k, v)

        return Run(forward, (q, k, v), work)

    def cute():
        from flash_attn.cute.interface import flash_attn_func

        q, k, v = bench.leaves(case, turned=True)
        return Run(lambda: flash_attn_func(q, k, v), (q, k, v), work)

    return [
        ("FlashAttention-2", lambda: sdpa("FLASH_ATTENTION")),
        ("cuDNN", lambda: sdpa("CUDNN_ATTENTION")),
        ("FA-CuTe", cute),
    ]


def sparse_peers(bench, case):
    torch, shape = bench.torch, case["shape"]
    batch, heads, length, dim = shape
    (bq, bk), kept = case["blocks"], case["kept"]

    def random_mask(q, k, counts):
        mask = bench.rows((batch, heads), -(-length // q), -(-length // k), counts)
        return mask, 4.0 * dim * pairs(mask, length, q, k)

    def wide():
        """The same share of the keys in blocks of 128 by 128."""
        if length % 128:
            raise Cannot(f"not measured at a length of {length}, which 128 does not divide")
        blocks = length // 128
        counts = [max(1, min(blocks, int(n * bk / 128 + 0.5))) for n in kept]
        mask, work = random_mask(128, 128, counts)
        shown = str(counts[0]) if counts[0] == counts[1] else f"{counts[0]} or {counts[1]}"
        return mask, work, f"128x128 blocks, {shown} of {blocks}"

    def sla():
        from fastvideo_kernel.triton_kernels.sla_triton import _attention

        if kept[0] != kept[1]:
            raise Cannot("its rows have one length")
        q, k, v = bench.leaves(case)
        mask, work = random_mask(bq, bk, kept)
        index = bench.lists(mask)[1][..., : kept[0]].long().contiguous()
        mask = mask.to(torch.int8)
        return Run(lambda: _attention.apply(q, k, v, mask, index, kept[0], bq, bk), (q, k, v), work)

    def vsa():
        os.environ["FASTVIDEO_KERNEL_VSA_FORCE_TRITON"] = os.environ["FASTVIDEO_VSA_TRITON"] = "1"
        import fastvideo_kernel.block_sparse_attn  # noqa: F401  (the package rebinds the name to a function)

        if (bq, bk) != (64, 64) or length % 64:
            raise Cannot("it has whole blocks of 64x64 only")
        module = sys.modules["fastvideo_kernel.block_sparse_attn"]
        q, k, v = bench.leaves(case)
        mask, work = random_mask(64, 64, kept)
        count, index = bench.lists(mask)
        size = torch.full((length // 64,), 64, device=bench.device, dtype=torch.int32)
        index = index[..., : kept[1]].contiguous()
        run = lambda: module.block_sparse_attn_from_indices(q, k, v, index, count, size)
        return Run(run, (q, k, v), work)

    def flex():
        from torch._functorch import config
        from torch.nn.attention.flex_attention import BlockMask, flex_attention

        mask, work, note = wide()
        q, k, v = bench.leaves(case)
        count, index = bench.lists(mask)
        none = torch.zeros_like(count), torch.zeros_like(index)
        blocks = BlockMask.from_kv_blocks(*none, count, index, BLOCK_SIZE=(128, 128))
        # A backward that is timed runs again and again from one forward, which its buffers must outlive.
        config.donated_buffer = False
        compiled = torch.compile(flex_attention)
        return Run(lambda: compiled(q, k, v, block_mask=blocks), (q, k, v), work, note)

    def cute():
        from flash_attn.cute.block_sparsity import BlockSparseTensorsTorch
        from flash_attn.cute.interface import _flash_attn_bwd, _flash_attn_fwd

        mask, work, note = wide()
        q, k, v, grad = [t.transpose(1, 2).contiguous() for t in bench.normal(*shape, count=4)]

        def tensors(mask):
            count, index = bench.lists(mask)
            return BlockSparseTensorsTorch(
                full_block_cnt=count,
                full_block_idx=index,
                mask_block_cnt=torch.zeros_like(count),
                mask_block_idx=torch.zeros_like(index),
                block_size=(128, 128),
            )

        lists = tensors(mask)
        options = dict(tile_mn=(128, 128), block_sparse_tensors=lists, causal=False, return_lse=True)
        forward = lambda: _flash_attn_fwd(q, k, v, **options)
        if case["pass"] == "fwd":
            return Run(forward, (), work, note)
        out, lse = forward()[:2]
        options = dict(softmax_scale=dim**-0.5, block_sparse_tensors=tensors(mask.transpose(2, 3).contiguous()))
        return Run(forward, (), work, note, lambda: _flash_attn_bwd(q, k, v, out, grad, lse, **options))

    return [("SLA (Triton)", sla), ("VSA (Triton)", vsa), ("FlexAttention", flex), ("FA-CuTe", cute)]


def module_peers(bench, case):
    torch, shape = bench.torch, case["shape"]
    batch, heads, length, dim = shape
    (bq, bk), (topk, _) = case["blocks"], case["kept"]

    def routed(q, k):
        """SLA's router: means of blocks, those of k without the mean of all, and the highest scores of each row."""
        centred = k - k.mean(dim=-2, keepdim=True)
        pool = lambda x, block: x.view(batch, heads, length // block, block, dim).mean(3, dtype=torch.float32).to(x.dtype)
        score = pool(q, bq) @ pool(centred, bk).transpose(-1, -2)
        index = torch.topk(score, topk, dim=-1, sorted=False).indices
        return torch.zeros_like(score, dtype=torch.int8).scatter_(-1, index, 1), index

    def sla():
        if case["call"] == "marginal":
            raise Cannot("the packaged kernel has scope all only")
        if length % bq or length % bk:
            raise Cannot("its router is measured where blocks divide the length")
        q, k, v = bench.leaves(case)
        if case["call"] == "router":
            return Run(lambda: routed(q, k), (), 0.0, "lists of one direction")
        from fastvideo_kernel.triton_kernels.sla_triton import _attention

        learned = case["pass"] == "bwd"
        weight = (torch.randn(dim, dim, device=bench.device) * dim**-0.5).requires_grad_(learned)
        bias = torch.randn(dim, device=bench.device).requires_grad_(learned)

        def linear():
            a, b = torch.softmax(q, -1), torch.softmax(k, -1)
            state, sums = b.transpose(-1, -2) @ v, b.sum(-2, keepdim=True)
            return (a @ state) / (1e-5 + (a * sums).sum(-1, keepdim=True))

        def module():
            with torch.no_grad():
                mask, index = routed(q, k)
            sparse = _attention.apply(q, k, v, mask, index, topk, bq, bk)
            return sparse + torch.nn.functional.linear(linear(), weight.to(q.dtype), bias.to(q.dtype))

        work = 4.0 * dim * batch * heads * length * topk * bk
        return Run(module, (q, k, v, weight, bias), work)

    return [("SLA (Triton, PyTorch)", sla)]


def matmul_peers(bench, case):
    m, n, k = case["sizes"]

    def cublas():
        (a,), (b,) = bench.normal(m, k), bench.normal(k, n)
        out = bench.torch.empty(m, n, device=bench.device, dtype=bench.torch.bfloat16)
        return Run(lambda: bench.torch.matmul(a, b, out=out), (), 2.0 * m * n * k)

    return [("cuBLAS", cublas)]


GROUPS = {"dense": dense_peers, "sparse": sparse_peers, "module": module_peers, "matmul": matmul_peers}


def versions():
    names = ("torch", "triton", "fastvideo-kernel", "flash-attn-4", "nvidia-cutlass-dsl")
    found = {}
    for name in names:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = None
    return found


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--cases", required=True)
    parser.add_argument("--device", type=int, default=0)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    found = versions()
    try:
        import torch

        if not torch.cuda.is_available():
            raise Cannot("PyTorch finds no CUDA GPU")
        bench = Bench(torch, arguments.device, arguments.seed)
        found["gpu"] = torch.cuda.get_device_name(arguments.device)
    except Exception as error:
        say(versions=found)
        sys.exit(str(error) if isinstance(error, Cannot) else reason(error))
    say(versions=found)
    for case in json.loads(arguments.cases):
        for peer, run in GROUPS[case["what"]](bench, case):
            row = dict(case=case["name"], peer=peer)
            try:
                made = run()
                ms, work = made.ms(bench, case["pass"] == "bwd")
                both = case["what"] == "module" and case["pass"] == "bwd"
                figure = dict(note=made.note, ms=ms, tflops=work / ms / 1e9)
                try:
                    extra = made.extra_bytes(bench) if both else None
                except Exception as error:  # the time stands without it
                    extra, figure["note"] = None, f"memory not measured: {reason(error)}"
                say(**row, **figure, extra_bytes=extra)
                del made
                bench.torch.cuda.empty_cache()
            except Exception as error:  # a peer that cannot run here is a row too
                say(**row, absent=str(error) if isinstance(error, Cannot) else reason(error))


if __name__ == "__main__":
    main()
