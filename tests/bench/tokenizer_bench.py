"""berth's tokenizer beside others of Python's, in alternating rounds on the same texts and cores:

    tokenizer_bench.py --bench build/tokenizer_bench --datasets $BERTH_DATASETS [--rounds 7] [--threads 1,2] [--others tokenizers,tokie]

Medians in million tokens a second, by wall clock and by CPU time (what other load on the machine disturbs less), and their ratios.
berth and Rust's `tokenizers` encode with [CLS] and [SEP], ids and offsets, without truncation; tokie (python -m pip install tokie==0.1.4)
makes no offsets of a batch. All keep all encodings. Loading is not counted. Texts whose ids are others than those of `tokenizers` are counted.
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


def load(name, vocab):
    from tokenizer_reference import reference
    tokenizer = reference(vocab, True, None, True)
    if name == "tokenizers":
        return tokenizer
    import tokie
    with tempfile.NamedTemporaryFile(suffix=".json") as file:
        tokenizer.save(file.name)
        return tokie.Tokenizer.from_json(file.name)


def serve(name, vocab, path):
    """Child process: RAYON_NUM_THREADS holds only from the start. One round per line on stdin, before the first, of others than `tokenizers`, how many texts differ."""
    tokenizer = load(name, vocab)
    with open(path, encoding="utf-8", newline="\n") as lines:
        texts = [line.rstrip("\n").replace("\x1f", "\n") for line in lines]
    if name != "tokenizers":
        same = load("tokenizers", vocab).encode_batch(texts)
        print(sum(a.ids != b.ids for a, b in zip(tokenizer.encode_batch(texts), same)), flush=True)
        del same
    for _ in sys.stdin:
        start, cpu = time.perf_counter(), time.process_time()
        encodings = tokenizer.encode_batch(texts)
        wall, cpu = time.perf_counter() - start, time.process_time() - cpu
        print(sum(len(e) for e in encodings), wall, cpu, flush=True)
        del encodings


def measure(args, name, threads):
    vocab = os.path.join(args.datasets, "vocab/bert-base-uncased-vocab.txt")
    others = args.others.split(",")
    result = {"texts": name, "threads": threads, "rounds": args.rounds}
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "texts")
        with open(path, "w", encoding="utf-8", newline="\n") as out:
            out.writelines(text.replace("\n", "\x1f") + "\n" for text in texts_of(args.datasets, name))
        environment = dict(os.environ, RAYON_NUM_THREADS=str(threads), TOKENIZERS_PARALLELISM="true" if threads > 1 else "false")
        children = {other: subprocess.Popen([sys.executable, __file__, "--serve", other, vocab, path], env=environment, text=True,
                                            stdin=subprocess.PIPE, stdout=subprocess.PIPE) for other in others}
        for other, child in children.items():
            if other != "tokenizers":
                result[f"{other}_texts_with_other_ids"] = int(child.stdout.readline())

        def other_round(child):
            child.stdin.write("\n")
            child.stdin.flush()
            return [float(x) for x in child.stdout.readline().split()]

        def berth_round():
            out = subprocess.run([args.bench, vocab, path, str(threads), "2"], check=True, stdout=subprocess.PIPE, text=True).stdout
            return [float(x) for x in out.splitlines()[-1].split()]  # the second: caches and memory are warm, as in the children

        for child in children.values():
            other_round(child)
        rounds = [{"berth": berth_round()} | {other: other_round(child) for other, child in children.items()} for _ in range(args.rounds)]
        for child in children.values():
            child.stdin.close()
            child.wait()
    result["tokens"] = int(rounds[0]["berth"][0])
    assert all(r[name][0] == result["tokens"] for r in rounds for name in ("berth", "tokenizers") if name in r), "different numbers of tokens"
    for kind, column in (("wall", 1), ("cpu", 2)):
        result[kind] = {f"{who}_Mtok_s": round(statistics.median(r[who][0] / r[who][column] for r in rounds) / 1e6, 3) for who in rounds[0]}
        for other in others:
            ratios = [r["berth"][0] / r["berth"][column] / (r[other][0] / r[other][column]) for r in rounds]
            result[kind][f"to_{other}"] = f"{statistics.median(ratios):.1f} ({min(ratios):.1f} to {max(ratios):.1f})"
    return result


def main():
    if sys.argv[1:2] == ["--serve"]:
        return serve(*sys.argv[2:])
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bench", required=True)
    parser.add_argument("--datasets", required=True)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--others", default="tokenizers,tokie")
    args = parser.parse_args()
    for name in ("sst2", "imdb"):
        for threads in args.threads.split(","):
            print(json.dumps(measure(args, name, int(threads))), flush=True)


if __name__ == "__main__":
    main()
