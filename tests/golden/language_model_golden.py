"""Writes language_model.json: what Hugging Face's run_mlm makes of texts, and what its fill-mask pipeline says.

    python tests/golden/language_model_golden.py

Blocks are those of run_mlm's tokenize_function and group_texts over 2,300 random texts (blank ones among them), mapped in batches of 1,000
as datasets does; of these, a digest, the number of tokens dropped, and some ids. Decoding and fill-mask come from a tiny random BERT, whose
weights are a fixed function of their names (weight() below), so that no file of weights is needed.
"""

import hashlib
import json
import math
import pathlib
import random
import tempfile
from itertools import chain

import datasets
import torch
import transformers

WORDS = ["good", "bad", "film", "the", "was", "un", "##able", "##s", "not", ".", ",", "'", "!", "?", "-", "a", "##b", "it"]
VOCAB = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"] + WORDS
CONFIG = dict(vocab_size=len(VOCAB), hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32, max_position_embeddings=32)
FILLS = ["the film was [MASK].", "[MASK] , it ' s [MASK] !", "unable [MASK] - a films ?", "zz [MASK] zz"]
DECODE = ["the films , was 'unable' !", "a - b ? . ' s not", "un ##able zz"]


def texts():
    draw = random.Random(5)
    for _ in range(2300):
        words = [draw.choice(["good", "bad", "film", "films", "unable", "the", "was", "not", "zz", "it's", "."]) for _ in range(draw.choice([0, 1, 3, 9, 40]))]
        yield " ".join(words)


def blocks(tokenizer, lines, size):
    def group_texts(examples):
        joined = {k: list(chain(*examples[k])) for k in examples.keys()}
        total = len(joined["input_ids"]) // size * size
        return {k: [t[i : i + size] for i in range(0, total, size)] for k, t in joined.items()}

    raw = datasets.Dataset.from_dict({"text": lines})
    tokens = raw.map(lambda e: tokenizer(e["text"], return_special_tokens_mask=True), batched=True, remove_columns=["text"])
    grouped = tokens.map(group_texts, batched=True)
    return grouped["input_ids"][:], sum(map(len, tokens["input_ids"]))


def weight(name, shape):
    """sin of a running number: the same in any language."""
    count = math.prod(shape)
    start = sum(name.encode()) % 97
    values = torch.tensor([math.sin(start + 0.7 * i) * 0.5 for i in range(count)], dtype=torch.float64)
    return (values + (1.0 if name.endswith("LayerNorm.weight") else 0.0)).float().view(shape)


def main():
    transformers.logging.set_verbosity_error()
    datasets.disable_progress_bars()
    lines = list(texts())
    result = dict(made_with=dict(transformers=transformers.__version__, datasets=datasets.__version__), vocab=VOCAB, config=CONFIG)
    with tempfile.TemporaryDirectory() as folder:
        (pathlib.Path(folder) / "vocab.txt").write_text("\n".join(VOCAB) + "\n")
        tokenizer = transformers.BertTokenizerFast.from_pretrained(folder)
    result["texts"] = lines
    result["blocks"] = []
    for size in (8, 32):
        ids, total = blocks(tokenizer, lines, size)
        digest = hashlib.sha256(" ".join(str(i) for block in ids for i in block).encode()).hexdigest()
        result["blocks"].append(dict(size=size, count=len(ids), dropped=total - size * len(ids), sha256=digest, first=ids[0], last=ids[-1]))
    model = transformers.BertForMaskedLM(transformers.BertConfig(**CONFIG)).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(weight(name, parameter.shape))
    fill = transformers.FillMaskPipeline(model=model, tokenizer=tokenizer, top_k=5)
    result["fills"] = [dict(text=text, masks=found if isinstance(found[0], list) else [found]) for text in FILLS for found in [fill(text)]]
    ids = [tokenizer(text)["input_ids"] for text in DECODE] + [[i] for i in range(len(VOCAB))]
    result["decoded"] = [dict(ids=i, all=tokenizer.decode(i), skipped=tokenizer.decode(i, skip_special_tokens=True)) for i in ids]
    path = pathlib.Path(__file__).with_name("language_model.json")
    path.write_text(json.dumps(result, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
