"""How much of a step's communication nothing hides, computed, not measured: buckets as berth fills them (25 MiB, last layers first), one
all-reduce after the other, beside a backward pass whose length was measured on one GPU.

  exposed_communication.py [--latency 50] [--bandwidth 370] [--gpus 8]

An all-reduce of n bytes takes latency + 2 (gpus - 1) / gpus * n / bandwidth: microseconds, GB/s. Default: what NCCL's developers name for
rings over the NVLink of 8 H100 (NVIDIA/nccl-tests, issue 212), and a latency on the high side. A bucket is ready when the backward pass has
come through its share of the weights. That collectives take multiprocessors away from the backward pass is not in it.
"""
import argparse

CAP = 25 * 2**20  # --ddp-bucket-cap-mb

# Name, layers, hidden size, milliseconds of a step and of its backward pass on one H200 ("On a GPU" in README.md: two thirds of what
# products take, and the backward kernels), distinct words of a step.
CASES = [("BERT-base, 32 x 128", 12, 768, 6.19, 3.5, 2500), ("BERT-base, 32 short texts", 12, 768, 2.79, 1.2, 300),
         ("BERT-large, 32 x 348", 24, 1024, 47.0, 31.0, 5000)]


def buckets(layers, hidden):
    """Bytes of the buckets of dense parameters, in the order in which backward finishes them."""
    linear = lambda out, size: [4 * out, 4 * out * size]  # bias first: the order is that of declaration, reversed
    norm = [4 * hidden, 4 * hidden]
    layer = [*norm, *linear(hidden, 4 * hidden), *linear(4 * hidden, hidden), *norm, *linear(hidden, hidden) * 4]
    slots = [*linear(hidden, hidden), *layer * layers, *norm, 4 * 2 * hidden, 4 * 512 * hidden]
    filled = [0]
    for slot in slots:
        if filled[-1] and filled[-1] + slot > CAP:
            filled.append(0)
        filled[-1] += slot
    return filled


def main():
    parser = argparse.ArgumentParser()
    for name, default in (("latency", 50), ("bandwidth", 370), ("gpus", 8)):
        parser.add_argument(f"--{name}", type=float, default=default)
    a = parser.parse_args()
    seconds = lambda size: 1e-6 * a.latency + 2 * (a.gpus - 1) / a.gpus * size / (1e9 * a.bandwidth)
    print("| model, texts a GPU | gradients, MB | all-reduces, ms | backward, ms | exposed, ms | share of the step |\n|---|---|---|---|---|---|")
    for name, layers, hidden, step, backward, words in CASES:
        dense, rows = buckets(layers, hidden), 4 * hidden * words
        done = ready = 0.0
        for size in dense:
            ready += size / sum(dense) * backward / 1000
            done = max(done, ready) + seconds(size)
        exposed = 1000 * (done + seconds(rows)) - backward
        total = sum(dense) + rows
        print(f"| {name} | {total / 1e6:.0f} | {1000 * (sum(map(seconds, dense)) + seconds(rows)):.2f} | {backward} | {exposed:.2f} | "
              f"{100 * exposed / (step + exposed):.1f} % |")


main()
