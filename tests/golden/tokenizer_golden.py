"""Writes the tokenizer's goldens from Hugging Face's tokenizers (0.23) and transformers (5.23):

    tokenizer_golden.py [--datasets $BERTH_DATASETS]

tokenizer_vocab.txt        a small vocabulary over many scripts, for the tests that need no data sets
tokenizer_cases.json       texts with their tokens and offsets in bytes, in each mode of tokenizer_reference.MODES
tokenizer_codepoints.tsv   per mode the SHA-256 over the words of "a" + c + "b" for every code point c
tokenizer_digests.tsv      per data file and vocabulary the number of texts and tokens, SHA-256 over ids and offsets (with --datasets)
"""
import argparse
import hashlib
import json
import os
import struct

from tokenizer_reference import MODES, VOCABS, CodePointOffsets, data_files, reference, texts_of
from tokenizers import PreTokenizedString

HERE = os.path.dirname(os.path.abspath(__file__))

WORDS = """the hello world un ##aff ##able affable token ##ize ##izer run ##ning jump ##s it don t s ##s ##ing na ##ive naive cafe
resume uber uberraschung angstrom istanbul ##stanbul fi ##fi off ##ice straße strasse große Hello World HELLO The McDonald ##Donald
naïve café Café Über Ångström İstanbul ÉCOLE ecole ##cole École École москва ##ква Москва привет έλλη ##νικά ελλη ##νικα Ελληνικά
σοφοσ σοφος ##ς ##σ שלום שלומ ש ##לום سلام ##لام العربية ال ##عربية हिन्दी हिनदी हि ##न्दी ไทย ##ไทย 한국어 한국 ##어 ㅎ 東 東京 京
日本 中 中国 国 文 文字 かな ##な カナ ##ナ が か 😀 ##😀 👍 👨 ##👨 ﬁ ﬁn ##ﬁ ½ ² ##² € $ + < = ≠ ° 100 ##00 3 ##3 20 ##24 . , ! ? ; : - – — … “ ” ‘ ’
' " ( ) [ ] { } # @ & * / \\ | ~ ` ^ _ % 。 、 「 」 ¿ ¡ · ، ؟ a1 ##1 b2 co ##vid ##19 e i ##i o x ##x y ##y""".split()
LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789äöüßéèñçαβγδεабвгдеשלםاسلم\u0301\u0307\u0323\u0308"

TEXTS = [
    # plain English
    "", " ", "hello", "Hello, World!", "HELLO world", "unaffable", "Unaffable tokenizers running", "don't it's", "a1b2 covid19 COVID-19 2024",
    "  leading and trailing  ", "the\tthe\nthe\r\nthe\x0bthe\x0cthe", "e.g. 3.14% $100 (100+20)=120; a_b c-d e/f ~x^2 `q` \\n |p| {k} <t>", "xyzzyq ÿÿÿ",
    # special tokens in the text
    "[MASK]", "the [MASK] the", "the[MASK]the", "[CLS] hello [SEP] world [PAD][UNK]", "[mask] [Mask] [ MASK ] [MASK [[MASK]] MASK]", "[M\u00adASK]", "\u0301[MASK]\u0301a",
    # accents, composed and decomposed
    "café cafe\u0301 CAFÉ", "naïve Ångström Angstro\u0308m A\u030angstro\u0308m", "Über Überraschung", "école E\u0301COLE", "a\u0301\u0323b a\u0323\u0301b",
    "\u0301 \u0301a a \u0301", "\u0344a \u0340 \u1e69", "e\u0301", "n\u0303o ñ", "ﬁn ﬁ off", "½ ² x² 3²", "\u212b \u2126 \u212a", "≠ = \u0338 =\u0338 \u226e", "ɐ̯̃",
    # case
    "STRASSE Straße GROẞE", "İstanbul Istanbul ISTANBUL ıi", "ΣΟΦΟΣ Σοφός σοφος", "ΕΛΛΗΝΙΚΆ Ελληνικά ᾼ ᾳ", "МОСКВА Москва привет Й и\u0306", "ǅ ǆ Ǆ Ꭰ ꭰ Ა ა", "\U00010400 \U00010428 \U0001e900 \ua7cb \u1c89 \U00010d50",
    # right-to-left, Indic, Thai
    "שָׁלוֹם שלום", "اَلسَّلَامُ عَلَيْكُمْ سلام؟ العربية،", "हिन्दी हि न\u093c ऩ", "ไทย น้ำ กำ", "தமிழ் বাংলা ক\u09cb ക്ഷ", "ལྷ་ས \u0f43 \u0f73", "မြန်မာ", "ភាសាខ្មែរ",
    # ideographs, kana, Hangul
    "中国 中文字 東京日本", "我在London学习English。", "「かな」カナ が か\u3099 ｶﾞ", "한국어 \u1112\u1161\u11ab 각\u11a8", "\uf900 \ufa0e \U0002f800 \U00020000", "\U0002b81f\U0002b820\U0002b91f\U0002b920\U0002ceaf\U0002ceb0", "〇 々 ㍿ ① Ａｂｃ",
    # emoji, joiners, variation selectors
    "😀😀 hello😀", "👨‍👩‍👧‍👦 👍🏽 ❤️ 🇩🇪 #️⃣", "a\u200db a\u200cb a\ufe0fb \u200b", "👨\u200d👨",
    # control characters, odd spaces, unassigned, private use
    "a\0b a\x01b a\x7fb a\x85b a\x9fb", "a\ufffdb \ufffd \ufeffa", "a\u00adb\u2060c\u202ed", "a\u00a0b a\u2003b a\u3000b a\u2028b a\u2029b a\u1680b a\u180eb a\u202fb",
    "a\ue000b a\U000f0000b a\U0010fffdb", "a\u0378b \U000e0001 \U000e0041a \uffff \U0001ffff", "\u08e2 \U000110cd \u0890",
    # punctuation
    "“the” ‘the’ the—the … the– ¿the? ¡the!", "a\u2018b\u00abc\u3002d\u0387e\u037ef\u1369g\u055ah", "€$¢£¥ ©® § ¶ † ° · ‰ × ÷ ±", "\U00010100 \u2e43 \U00011660 \u166d \U000111c9 \u2e52",
    # marks that stay and are reordered
    "x\u302e\u0334y x\u0334\u302ey", "\U0001d15e\u0334\U0001d16d \U0001d160\U0001d165", "a\u1734b\u0301 \u1885\u1886 \ua9bd", "a\u1b44\u0323\u302e\u0301b", "a\u302e\u00ad\u0334b \u302e\u0334", "が\u302e\u3099\u0301",
    # lengths
    "a" * 100, "a" * 101, "é" * 100, "é" * 101, "e\u0301" * 100, "e\u0301" * 101, "中" * 101, "hello" * 20 + " " + "hello" * 21, "İ" * 60,
]


def case(tokenizer, mode, text):
    encoding = tokenizer.encode(text, add_special_tokens=False)
    to_byte = CodePointOffsets(text).byte
    spans = [[to_byte(b), to_byte(e)] for b, e in encoding.offsets]
    return {"mode": mode, "text": text, "tokens": " ".join(encoding.tokens), "spans": spans, "words": encoding.word_ids}


def write_small():
    vocab = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    vocab += WORDS + list(LETTERS) + ["##" + c for c in LETTERS]
    vocab = list(dict.fromkeys(vocab))
    path = os.path.join(HERE, "tokenizer_vocab.txt")
    with open(path, "w", encoding="utf-8", newline="\n") as out:
        out.writelines(token + "\n" for token in vocab)
    tokenizers = [reference(path, *mode) for mode in MODES]
    with open(os.path.join(HERE, "tokenizer_cases.json"), "w") as out:
        cases = [json.dumps(case(t, i, text)) for text in TEXTS for i, t in enumerate(tokenizers)]
        out.write("[\n" + ",\n".join(cases) + "\n]\n")
    return tokenizers


def write_code_points(tokenizers):
    with open(os.path.join(HERE, "tokenizer_codepoints.tsv"), "w") as out:
        out.write("mode\tsha256\n")
        for mode, tokenizer in enumerate(tokenizers):
            digest = hashlib.sha256()
            for c in range(0x110000):
                if 0xD800 <= c <= 0xDFFF:
                    continue
                text = "a" + chr(c) + "b"
                to_byte = CodePointOffsets(text).byte
                words = PreTokenizedString(text)
                words.normalize(tokenizer.normalizer.normalize)
                tokenizer.pre_tokenizer.pre_tokenize(words)
                for word, (begin, end), _ in words.get_splits():
                    digest.update(b"%s\t%d\t%d\t" % (word.encode(), to_byte(begin), to_byte(end)))
                digest.update(b"\n")
            out.write(f"{mode}\t{digest.hexdigest()}\n")


def write_digests(datasets):
    with open(os.path.join(HERE, "tokenizer_digests.tsv"), "w") as out:
        out.write("file\tvocab\ttexts\ttokens\tsha256\n")
        for file in data_files(datasets):
            texts = texts_of(os.path.join(datasets, file))
            to_bytes = [CodePointOffsets(text).byte for text in texts]
            for name, vocab in VOCABS.items():
                tokenizer = reference(os.path.join(datasets, "vocab", vocab), name in ("uncased", "chinese"), None, True)
                digest, tokens = hashlib.sha256(), 0
                for begin in range(0, len(texts), 1000):
                    encodings = tokenizer.encode_batch(texts[begin : begin + 1000], add_special_tokens=False)
                    for encoding, to_byte in zip(encodings, to_bytes[begin:]):
                        numbers = [n for id, (b, e) in zip(encoding.ids, encoding.offsets) for n in (id, to_byte(b), to_byte(e))]
                        digest.update(struct.pack(f"<{len(numbers) + 1}I", len(encoding.ids), *numbers))
                        tokens += len(encoding.ids)
                out.write(f"{file}\t{name}\t{len(texts)}\t{tokens}\t{digest.hexdigest()}\n")
            print(file, flush=True)


def check_reference(datasets):
    """transformers' own BertTokenizerFast must be what `reference` builds."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    from transformers import BertTokenizerFast
    for name, file in VOCABS.items():
        path, lower = os.path.join(datasets, "vocab", file), name in ("uncased", "chinese")
        theirs, mine = BertTokenizerFast(vocab=path, do_lower_case=lower), reference(path, lower, None, True)
        for text in TEXTS:
            assert theirs(text).input_ids == mine.encode(text).ids, (name, text)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--datasets", help="without it only the small goldens are written")
    args = parser.parse_args()
    tokenizers = write_small()
    write_code_points(tokenizers)
    if args.datasets:
        check_reference(args.datasets)
        write_digests(args.datasets)


if __name__ == "__main__":
    main()
