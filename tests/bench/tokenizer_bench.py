"""berth's tokenizer beside the Rust `tokenizers`, in alternating rounds on the same texts and cores:

    tokenizer_bench.py --bench build/tokenizer_bench --datasets $BERTH_DATASETS [--rounds 7] [--threads 1,2]

Medians in million tokens a second, by wall clock and by CPU time (what other load on the machine disturbs less), and their ratio.
Both encode with [CLS] and [SEP], ids and offsets, without truncation, and keep all encodings. Loading is not counted.
"""
import argparse
import csv
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "golden"))


def texts_of(datasets, name):
    csv.field_size_limit(1 << 30)
    if name == "sst2":
        with open(os.path.join(datasets, "sst2/train.tsv"), encoding="utf-8") as lines:
            return [line.split("\t")[0] for line in lines][1:]
    with open(os.path.join(datasets, "imdb/train.csv"), encoding="utf-8", newline="") as file:
        return [row["review"].replace("\x1f", " ").replace("\r", " ") for row in csv.DictReader(file)]


def serve_reference(vocab, path):
    """Child process: RAYON_NUM_THREADS holds only from the start. One round per line on stdin."""
    from tokenizer_reference import reference
    tokenizer = reference(vocab, True, None, True)
    with open(path, encoding="utf-8", newline="\n") as lines:
        texts = [line.rstrip("\n").replace("\x1f", "\n") for line in lines]
    for _ in sys.stdin:
        start, cpu = time.perf_counter(), time.process_time()
        encodings = tokenizer.encode_batch(texts)
        wall, cpu = time.perf_counter() - start, time.process_time() - cpu
        print(sum(len(e) for e in encodings), wall, cpu, flush=True)
        del encodings


def measure(args, name, threads):
    vocab = os.path.join(args.datasets, "vocab/bert-base-uncased-vocab.txt")
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "texts")
        with open(path, "w", encoding="utf-8", newline="\n") as out:
            out.writelines(text.replace("\n", "\x1f") + "\n" for text in texts_of(args.datasets, name))
        environment = dict(os.environ, RAYON_NUM_THREADS=str(threads), TOKENIZERS_PARALLELISM="true" if threads > 1 else "false")
        child = subprocess.Popen([sys.executable, __file__, "--serve", vocab, path], env=environment, text=True,
                                 stdin=subprocess.PIPE, stdout=subprocess.PIPE)

        def reference_round():
            child.stdin.write("\n")
            child.stdin.flush()
            return [float(x) for x in child.stdout.readline().split()]

        def berth_round():
            out = subprocess.run([args.bench, vocab, path, str(threads), "2"], check=True, stdout=subprocess.PIPE, text=True).stdout
            return [float(x) for x in out.splitlines()[-1].split()]  # the second: caches and memory are warm, as in the child

        reference_round()
        pairs = [(berth_round(), reference_round()) for _ in range(args.rounds)]
        child.stdin.close()
        child.wait()
    assert len({row[0] for pair in pairs for row in pair}) == 1, "different numbers of tokens"
    tokens = pairs[0][0][0]
    result = {"texts": name, "threads": threads, "tokens": int(tokens), "rounds": args.rounds}
    for kind, column in (("wall", 1), ("cpu", 2)):
        ours, theirs = (statistics.median(pair[i][column] for pair in pairs) for i in (0, 1))
        ratios = [theirs_[column] / ours_[column] for ours_, theirs_ in pairs]
        result[kind] = {"berth_Mtok_s": round(tokens / ours / 1e6, 2), "tokenizers_Mtok_s": round(tokens / theirs / 1e6, 3),
                        "ratio_median": round(statistics.median(ratios), 1), "ratio_min": round(min(ratios), 1)}
    return result


def main():
    if sys.argv[1:2] == ["--serve"]:
        return serve_reference(*sys.argv[2:])
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bench", required=True)
    parser.add_argument("--datasets", required=True)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", default="1,2")
    args = parser.parse_args()
    for name in ("sst2", "imdb"):
        for threads in args.threads.split(","):
            print(json.dumps(measure(args, name, int(threads))), flush=True)


if __name__ == "__main__":
    main()
