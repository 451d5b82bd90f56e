"""Compares `berth predict --embeddings` and `--similarity` with sentence-transformers, live.

    compare_embeddings.py BERTH MODEL DATASETS

Sentences of STS-B's dev split, and a text longer than the model takes: as all-MiniLM-L6-v2's own folder says (mean, of the length 1),
pooled in the other ways, of the same model as sentence-transformers saves it today, and of a bare transformers folder. Vectors agree to 1e-5,
whatever file they are in; the cosines' Spearman correlation with the scores is that of sentence-transformers.
"""
import csv
import json
import pathlib
import shutil
import sys
import tempfile

import h5py
import numpy
import transformers
from live import berth
from scipy.stats import spearmanr
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer

TOLERANCE, SENTENCES, PAIRS = 1e-5, 100, 300


def embed(program, model, work, *options, ranks=1, suffix=".npy"):
    output = work / ("out" + suffix)
    berth(program, "predict", "--embeddings", "--model", model, "--input", work / "sentences.jsonl", "--output", output, *options, ranks=ranks)
    if suffix == ".npy":
        return numpy.load(output)
    if suffix == ".h5":
        with h5py.File(output) as file:
            return file["embeddings"][:]
    return numpy.array([json.loads(line)["embedding"] for line in output.open()], dtype=numpy.float32)


def expect_same(ours, theirs, what):
    assert ours.dtype == numpy.float32 and ours.shape == theirs.shape, (what, ours.dtype, ours.shape, theirs.shape)
    worst = numpy.abs(ours - theirs).max()
    assert worst < TOLERANCE, (what, worst)
    print(f"{what}: {len(ours)} vectors, largest difference {worst:.1e}")


def by_hand(folder, pooling, normalize):
    transformer = Transformer(str(folder), max_seq_length=256)
    return SentenceTransformer(modules=[transformer, Pooling(transformer.get_embedding_dimension(), pooling), *([Normalize()] if normalize else [])])


def main():
    program, folder, datasets = sys.argv[1], pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[3])
    transformers.logging.set_verbosity_error()
    with (datasets / "stsb" / "dev.tsv").open(encoding="utf-8") as file:
        pairs = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))[::5][:PAIRS]
    sentences = [pair["sentence1"] for pair in pairs[:SENTENCES]]
    sentences += ["", " ".join(pair["sentence2"] for pair in pairs[:100])]
    model = SentenceTransformer(str(folder))
    encode = lambda other: other.encode(sentences, batch_size=16, show_progress_bar=False)
    with tempfile.TemporaryDirectory() as name:
        work = pathlib.Path(name)
        (work / "sentences.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in sentences))
        theirs = encode(model)
        ours = embed(program, folder, work)
        expect_same(ours, theirs, "as the folder says")
        for suffix, ranks in ((".h5", 2), (".jsonl", 3)):
            assert (embed(program, folder, work, suffix=suffix, ranks=ranks) == ours).all(), suffix
        for pooling, normalize in (("cls", True), ("max", False), ("mean", False)):
            options = ["--pooling", pooling, "--normalize-embeddings", str(normalize).lower()]
            expect_same(embed(program, folder, work, *options), encode(by_hand(folder, pooling, normalize)), f"{pooling}, normalized: {normalize}")
        new = by_hand(folder, "max", True)
        new.save(str(work / "new"))
        expect_same(embed(program, work / "new", work), encode(SentenceTransformer(str(work / "new"))), "as it is saved today")
        bare = work / "bare"
        shutil.copytree(folder, bare, ignore=shutil.ignore_patterns("modules.json", "1_Pooling", "sentence_bert_config.json"))
        expect_same(embed(program, bare, work), encode(SentenceTransformer(str(bare))), "without modules.json")

        (work / "pairs.jsonl").write_text("".join(json.dumps({key: pair[key] for key in ("sentence1", "sentence2")}) + "\n" for pair in pairs))
        berth(program, "predict", "--similarity", "--model", folder, "--input", work / "pairs.jsonl", "--output", work / "out", ranks=2)
        ours = numpy.array([json.loads(line)["similarity"] for line in (work / "out").open()])
        first, second = (model.encode([pair[key] for pair in pairs], show_progress_bar=False) for key in ("sentence1", "sentence2"))
        theirs = model.similarity_pairwise(first, second).numpy()
        assert len(ours) == len(theirs) and numpy.abs(ours - theirs).max() < TOLERANCE, numpy.abs(ours - theirs).max()
        scores = [float(pair["score"]) for pair in pairs]
        correlations = [spearmanr(values, scores).statistic for values in (ours, theirs)]
        assert abs(correlations[0] - correlations[1]) < 1e-5, correlations
        print(f"similarity of {len(ours)} pairs: Spearman correlation with STS-B's scores {correlations[0]:.6f}, sentence-transformers' {correlations[1]:.6f}")


if __name__ == "__main__":
    main()
