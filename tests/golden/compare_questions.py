"""Compares what `berth prepare --task qa` makes of real questions with what Hugging Face's tokenizer makes of them, live.

    compare_questions.py BERTH DATASETS MODEL

All of squad and squad2, and xquad in three languages under the multilingual vocabulary: the tokens, segments, labels and context offsets of each
window, in order, and the ids, contexts and answers of the questions must be equal.
"""
import json
import pathlib
import subprocess
import sys
import tempfile

import h5py
import numpy as np
from question_reference import read_questions, windows
from tokenizers import Tokenizer
from tokenizer_reference import VOCABS, reference

MAX_LENGTH, STRIDE = 384, 128


def texts(split, name):
    data, begin, found = split[name][:].tobytes(), 0, []
    for end in split[name + "_ends"][:]:
        found.append(data[begin:end].decode())
        begin = end
    return found


def compare_split(split, tokenizer, path):
    offsets, ids, token_offsets = split["offsets"][:], split["input_ids"][:], split["token_offsets"][:]
    segments, labels, question_of = split["segment_b"][:], split["labels"][:], split["question"][:]
    names, contexts, answers, ends = texts(split, "ids"), texts(split, "contexts"), texts(split, "answers"), [0, *split["answer_ends"][:]]
    sample = labelled = 0
    for number, (name, question, context, expected) in enumerate(read_questions(path)):
        assert names[number] == name and contexts[split["context"][number]] == context, name
        assert answers[ends[number] : ends[number + 1]] == [text for text, _ in expected], name
        for tokens, first, places, label in windows(tokenizer, question, context, expected):
            begin, end = offsets[sample], offsets[sample + 1]
            assert question_of[sample] == number, (name, sample)
            assert ids[begin:end].tolist() == tokens, (name, sample)
            assert segments[sample] == first and tuple(labels[sample]) == label, (name, sample, labels[sample], label)
            assert np.array_equal(token_offsets[begin + first : end], np.array(places[first:])), (name, sample)
            labelled += label != (0, 0)
            sample += 1
    assert sample == len(labels) and number + 1 == len(names), (sample, len(labels))
    print(f"{path.parent.name}/{path.name}: {number + 1} questions, {sample} windows, {labelled} with an answer: equal")


def main():
    program, datasets, model = sys.argv[1], pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[3])
    multilingual = datasets / "vocab" / VOCABS["multilingual"]
    cased = reference(str(multilingual), False, None, True)
    files = [(datasets / folder / name, model, None) for folder in ("squad", "squad2") for name in ("train.json", "valid.json")]
    files += [(datasets / "xquad" / f"xquad.{language}.json", None, cased) for language in ("en", "zh", "ar")]
    with tempfile.TemporaryDirectory() as work:
        folder = pathlib.Path(work) / "multilingual"
        folder.mkdir()
        (folder / "vocab.txt").write_bytes(multilingual.read_bytes())
        (folder / "tokenizer_config.json").write_text(json.dumps({"do_lower_case": False}))
        for path, tokenizer_folder, tokenizer in files:
            tokenizer = tokenizer or Tokenizer.from_file(str(tokenizer_folder / "tokenizer.json"))
            tokenizer.no_padding()
            tokenizer.enable_truncation(MAX_LENGTH, stride=STRIDE, strategy="only_second")
            done = subprocess.run([program, "prepare", "--task", "qa", "--train-file", path, "--tokenizer", tokenizer_folder or folder,
                                   "--doc-stride", str(STRIDE), "--output", f"{work}/data.h5"], capture_output=True, text=True)
            assert done.returncode == 0, done.stderr
            with h5py.File(f"{work}/data.h5") as data:
                assert data.attrs["max_length"] == MAX_LENGTH
                compare_split(data["train"], tokenizer, path)


if __name__ == "__main__":
    main()
