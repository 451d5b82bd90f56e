"""Compares berth's tokenizer with Hugging Face's, live: ids, offsets and word numbers of everything must be equal.

    compare_tokenizer.py --dump build/tokenizer_dump --datasets $BERTH_DATASETS [--fuzz 200000] [--seed 1]
                         [--only codepoints,fuzz,data,pairs,saved]

codepoints and fuzz also use a vocabulary of all characters, under which no [UNK] can hide a difference.

Needs the Python packages tokenizers and transformers. Exit code 1 on any difference, with the first ones printed.
"""
import argparse
import itertools
import os
import random
import struct
import subprocess
import sys
import tempfile
import unicodedata

sys.path.insert(0, os.path.dirname(__file__))
from tokenizer_reference import MODES, SPECIALS, VOCABS, CodePointOffsets, data_files, load_vocab, reference, texts_of

os.environ.setdefault("HF_HUB_OFFLINE", "1")


class Dump:
    """berth's side: records in, tokens out."""

    def __init__(self, binary, path, mode=None):
        self.command = [binary, path] + ([] if mode is None else ["-" if m is None else str(int(m)) for m in mode])

    def __call__(self, records):
        """records: (max_length, a, b or None) -> lists of (id, begin, end, word), offsets in bytes"""
        data = bytearray()
        for max_length, a, b in records:
            a, b = a.encode(), None if b is None else b.encode()
            data += struct.pack("<III", max_length, len(a), 0 if b is None else len(b) + 1) + a + (b or b"")
        out = subprocess.run(self.command, input=bytes(data), stdout=subprocess.PIPE, check=True).stdout
        position, result = 0, []
        for _ in records:
            (count,) = struct.unpack_from("<I", out, position)
            result.append(list(struct.iter_unpack("<iIIi", out[position + 4 : position + 4 + 16 * count])))
            position += 4 + 16 * count
        assert position == len(out)
        return result


def expected(encoding, a, b=None):
    offsets = [CodePointOffsets(a), CodePointOffsets(b or "")]
    rows = []
    for id, (begin, end), word, sequence in zip(encoding.ids, encoding.offsets, encoding.word_ids, encoding.sequence_ids):
        if word is None:
            rows.append((id, 0, 0, -1))
        else:
            rows.append((id, offsets[sequence].byte(begin), offsets[sequence].byte(end), word))
    return rows


class Comparison:
    def __init__(self):
        self.compared, self.different = 0, 0

    def __call__(self, what, inputs, ours, theirs):
        for text, x, y in zip(inputs, ours, theirs, strict=True):
            self.compared += 1
            if x != y:
                self.different += 1
                if self.different <= 10:
                    print(f"DIFFERENT {what}: {ascii(text)[:300]}\n  berth {x[:40]}\n  HF    {y[:40]}")


def fuzz_strings(count, seed, vocab):
    """Mixes of scripts, control and combining characters, special tokens, words of the vocabulary."""
    rng = random.Random(seed)
    assigned = [c for c in range(0x110000) if not 0xD800 <= c <= 0xDFFF and unicodedata.category(chr(c)) != "Cn"]
    marks = [c for c in assigned if unicodedata.category(chr(c))[0] == "M"]
    nonstarters = [c for c in assigned if unicodedata.combining(chr(c))]
    decomposable = [c for c in assigned if unicodedata.decomposition(chr(c)) and not unicodedata.decomposition(chr(c)).startswith("<")]
    cased = [c for c in assigned if chr(c).lower() != chr(c)]
    scripts = [range(0x20, 0x7F), range(0xA0, 0x250), range(0x370, 0x400), range(0x400, 0x530), range(0x590, 0x700),
               range(0x900, 0xE00), range(0xE00, 0x1000), range(0x1100, 0x1200), range(0x1E00, 0x2100), range(0x2000, 0x2C00),
               range(0x3000, 0x3400), range(0x4E00, 0x4F00), range(0xAC00, 0xAD00), range(0xF900, 0x10000 - 2),
               range(0x1D100, 0x1D200), range(0x1F300, 0x1FA00), range(0x20000, 0x20010), range(0, 0x20), range(0x7F, 0xA0)]
    words = [t[2:] if t.startswith("##") else t for t in vocab]
    specials = ["[MASK]", "[SEP]", "[CLS]", "[PAD]", "[UNK]", "[mask]", "[MASK", "[[SEP]]", "[", "]"]

    def piece():
        kind = rng.randrange(12)
        if kind == 0:
            return rng.choice(specials)
        if kind <= 3:
            word = rng.choice(words)
            return rng.choice([word, word.upper(), word.capitalize(), word + chr(rng.choice(marks)), word[:2] + chr(rng.choice(nonstarters)) + word[2:]])
        if kind == 4:
            return "".join(chr(rng.choice(nonstarters)) for _ in range(rng.randint(1, 5)))
        if kind == 5:
            return chr(rng.choice(decomposable)) + "".join(chr(rng.choice(nonstarters)) for _ in range(rng.randint(0, 3)))
        if kind == 6:
            return chr(rng.choice(cased))
        if kind == 7:
            return rng.choice([" ", "  ", "\t", "\n", "\r\n", "\u00a0", "\u3000", "\u200b", "\u200d", "\ufe0f", "\0", "\ufffd", "\x1f", "\u2028", "\ufeff", "\u00ad"])
        if kind == 8:
            return chr(rng.choice(assigned))
        if kind == 9 and rng.random() < 0.1:
            return rng.choice("aé中ا") * rng.randint(95, 105)
        script = rng.choice(scripts)
        return "".join(chr(rng.choice(script)) for _ in range(rng.randint(1, 8)))

    def separator():
        return " " if rng.random() < 0.4 else ""

    for _ in range(count):
        yield "".join(piece() + separator() for _ in range(rng.randint(0, 12)))


def write_all_characters(path):
    """A vocabulary that knows every code point but line ends."""
    characters = [chr(c) for c in range(0x110000) if not 0xD800 <= c <= 0xDFFF and c not in (10, 13)]
    with open(path, "w", encoding="utf-8", newline="\n") as out:
        out.writelines(token + "\n" for token in SPECIALS + characters + ["##" + c for c in characters])


def compare_strings(compare, dump, what, path, mode, strings):
    ours = Dump(dump, path, mode)([(0, s, None) for s in strings])
    hf = reference(path, *mode)
    for begin in range(0, len(strings), 10000):
        part = strings[begin : begin + 10000]
        theirs = [expected(e, s) for e, s in zip(hf.encode_batch(part, add_special_tokens=False), part)]
        compare(f"{what} {mode}", part, ours[begin : begin + 10000], theirs)


def compare_saved(compare, dump, vocabs, datasets):
    """What berth saves must load in transformers and give the same ids."""
    from transformers import AutoTokenizer
    strings = texts_of(os.path.join(datasets, "unicode/blns.txt")) + list(fuzz_strings(2000, 5, ["hello", "##ing", "Été", "caf"]))
    for name, path in vocabs.items():
        for mode in MODES:
            with tempfile.TemporaryDirectory() as folder:
                subprocess.run(Dump(dump, path, mode).command + [folder], check=True, stdin=subprocess.DEVNULL)
                hf = AutoTokenizer.from_pretrained(folder)
                assert hf.model_max_length == 512 and hf.mask_token == "[MASK]" and len(hf) == len(hf.get_vocab())
                ours = [[row[0] for row in rows] for rows in Dump(dump, folder)([(1000000, s, None) for s in strings])]
                compare(f"saved {name} {mode}", strings, ours, hf(strings).input_ids)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--dump", required=True)
    parser.add_argument("--datasets", required=True)
    parser.add_argument("--fuzz", type=int, default=200000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default="codepoints,fuzz,data,pairs,saved")
    args = parser.parse_args()
    only = args.only.split(",")
    compare = Comparison()
    vocabs = {name: os.path.join(args.datasets, "vocab", file) for name, file in VOCABS.items()}

    with tempfile.TemporaryDirectory() as folder:
        everything = os.path.join(folder, "vocab")
        write_all_characters(everything)
        if "codepoints" in only:
            strings = ["a" + chr(c) + "b" for c in range(0x110000) if not 0xD800 <= c <= 0xDFFF]
            for mode in MODES:
                compare_strings(compare, args.dump, "code point", everything, mode, strings)
            print("code points:", compare.compared, "strings,", compare.different, "different", flush=True)
        if "fuzz" in only:
            share = args.fuzz // (len(MODES) * (len(vocabs) + 1)) + 1
            for (name, path), mode in itertools.product((vocabs | {"characters": everything}).items(), MODES):
                words = list(load_vocab(vocabs.get(name, vocabs["multilingual"])))
                compare_strings(compare, args.dump, f"fuzz {name}", path, mode, list(fuzz_strings(share, args.seed, words)))
                args.seed += 1
            print("with fuzz:", compare.compared, "strings,", compare.different, "different", flush=True)
    if "data" in only:
        for (name, path), file in itertools.product(vocabs.items(), data_files(args.datasets)):
            lower = name in ("uncased", "chinese")
            strings = texts_of(os.path.join(args.datasets, file))
            compare_strings(compare, args.dump, f"{file} {name}", path, (lower, None, True), strings)
        print("with data:", compare.compared, "strings,", compare.different, "different", flush=True)
    if "pairs" in only:
        path = vocabs["uncased"]
        hf = reference(path, True, None, True)
        rng = random.Random(args.seed)
        words = ["word", "unbelievable", "é", "[MASK]", "x,y", "\u4e2d\u6587", "a\u0301b"]
        text = lambda: " ".join(rng.choice(words) for _ in range(rng.choice([0, 1, 2, 3, 5, 8, 13, 40])))
        for max_length in [3, 4, 5, 6, 7, 8, 9, 10, 12, 15, 16, 17, 31, 32, 33, 64, 128]:
            hf.enable_truncation(max_length)
            pairs = [(text(), text()) for _ in range(600)]
            ours = Dump(args.dump, path, (True, None, True))([(max_length, a, b) for a, b in pairs])
            compare(f"pairs {max_length}", pairs, ours, [expected(e, *p) for e, p in zip(hf.encode_batch(pairs), pairs)])
            ours = Dump(args.dump, path, (True, None, True))([(max_length, a, None) for a, _ in pairs])
            compare(f"single {max_length}", pairs, ours, [expected(e, a) for e, (a, _) in zip(hf.encode_batch([a for a, _ in pairs]), pairs)])
        print("with pairs:", compare.compared, "strings,", compare.different, "different", flush=True)
    if "saved" in only:
        compare_saved(compare, args.dump, vocabs, args.datasets)
        print("with saved:", compare.compared, "strings,", compare.different, "different", flush=True)
    sys.exit(compare.different > 0)


if __name__ == "__main__":
    main()
