"""What the tokenizer scripts share: Hugging Face's tokenizer as the reference, and the texts of the real data sets."""
import glob
import json
import os

from tokenizers import Tokenizer, normalizers, pre_tokenizers, processors
from tokenizers.models import WordPiece

VOCABS = {
    "uncased": "bert-base-uncased-vocab.txt",
    "cased": "bert-base-cased-vocab.txt",
    "multilingual": "bert-base-multilingual-cased-vocab.txt",
    "chinese": "bert-base-chinese-vocab.txt",
}
SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
# do_lower_case, strip_accents, tokenize_chinese_chars
MODES = [(True, None, True), (False, None, True), (True, False, True), (False, True, True), (True, None, False)]


def load_vocab(path):
    with open(path, encoding="utf-8", newline="\n") as lines:
        return {line.rstrip("\n"): i for i, line in enumerate(lines)}


def reference(vocab_path, lower, strip_accents, chinese):
    """The `tokenizers` object inside transformers' BertTokenizerFast; tokenizer_golden.py asserts that they are the same."""
    vocab = load_vocab(vocab_path)
    tokenizer = Tokenizer(WordPiece(vocab, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(
        clean_text=True, handle_chinese_chars=chinese, strip_accents=strip_accents, lowercase=lower)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.add_special_tokens(SPECIALS)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS]:0 $A:0 [SEP]:0", pair="[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1",
        special_tokens=[(t, vocab[t]) for t in ("[CLS]", "[SEP]")])
    return tokenizer


class CodePointOffsets:
    """Byte offsets of a text's code points."""

    def __init__(self, text):
        self.starts = None
        if not text.isascii():
            self.starts = [0]
            for c in text:
                self.starts.append(self.starts[-1] + len(c.encode()))

    def byte(self, position):
        return position if self.starts is None else self.starts[position]


def data_files(datasets):
    """All text files of the data sets, relative, in a fixed order."""
    folders = ["sst2", "imdb", "mrpc", "agnews", "banking77", "conll2003", "squad", "sms_spam", "nlbse24", "clinc150", "stsb", "atis", "unicode", "xquad"]
    files = []
    for folder in folders:
        found = glob.glob(os.path.join(datasets, folder, "**"), recursive=True)
        files += sorted(os.path.relpath(f, datasets) for f in found if os.path.isfile(f) and "LICENSE" not in f)
    return files


def strings_in(value):
    """All strings of a JSON value, objects in the order of their keys."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from strings_in(item)
    elif isinstance(value, dict):
        for key in sorted(value):
            yield from strings_in(value[key])


def texts_of(path):
    """The strings of a JSON file; of other files the lines as they stand, cut at every newline. All of it is UTF-8."""
    with open(path, "rb") as file:
        text = file.read().decode("utf-8")
    if path.endswith(".json"):
        return list(strings_in(json.loads(text)))
    lines = text.split("\n")
    return lines if lines[-1] else lines[:-1]
