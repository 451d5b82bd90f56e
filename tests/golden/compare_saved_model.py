"""Compares what berth saves with what transformers loads, live.

    python tests/golden/compare_saved_model.py MODEL build/real_model_test

MODEL is a real encoder's folder. It is stored anew by torch and transformers in all the ways people have it (zip and legacy torch.save,
shards, gamma and beta, with and without heads); berth loads and saves each; transformers must load the result
completely, with the original's tensors, labels and tokens.
"""

import pathlib
import shutil
import subprocess
import sys
import tempfile

import torch
import transformers


def variants(model_folder, work):
    bare = transformers.BertModel.from_pretrained(model_folder)
    state = bare.state_dict()

    def folder(name, source=bare):
        path = work / name
        source.save_pretrained(path)
        for file in ("vocab.txt", "tokenizer_config.json"):
            shutil.copy(model_folder / file, path)
        return path

    yield "original", model_folder
    yield "bare", folder("bare")
    for name, options in (("zip", {}), ("legacy", {"_use_new_zipfile_serialization": False})):
        path = folder(name)
        (path / "model.safetensors").unlink()
        torch.save(state, path / "pytorch_model.bin", **options)
        yield name, path
    path = folder("gamma")
    (path / "model.safetensors").unlink()
    old = {"module." + k.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): v for k, v in state.items()}
    torch.save(old, path / "pytorch_model.bin")
    yield "gamma", path
    path = folder("shards")
    (path / "model.safetensors").unlink()
    bare.save_pretrained(path, max_shard_size="20MB")
    yield "shards", path
    for kind in ("BertForPreTraining", "BertForMaskedLM", "BertLMHeadModel", "BertForNextSentencePrediction", "BertForSequenceClassification",
                 "BertForMultipleChoice", "BertForTokenClassification", "BertForQuestionAnswering"):
        yield kind, folder(kind, getattr(transformers, kind).from_pretrained(model_folder))


def compare(name, source, model_folder, tool, work):
    saved = work / (name + "-saved")
    said = subprocess.run([tool, source, saved], check=True, capture_output=True, text=True).stdout
    model, info = transformers.AutoModelForSequenceClassification.from_pretrained(saved, output_loading_info=True)
    assert type(model).__name__ == "BertForSequenceClassification", type(model)
    for key in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        assert not info[key], (name, key, info[key])
    original = transformers.BertModel.from_pretrained(model_folder).state_dict()
    for key, value in model.bert.state_dict().items():
        if "pooler" not in key or "pooler" not in said.splitlines()[0]:
            assert torch.equal(value, original[key]), (name, key)
    assert len(model.config.id2label) == 2, model.config.id2label
    text = "Héllo, [MASK] wörld! unaffable 你好"
    ids = [transformers.AutoTokenizer.from_pretrained(folder)(text)["input_ids"] for folder in (saved, model_folder)]
    assert ids[0] == ids[1], ids
    print(f"{name}: equal;", "; ".join(said.splitlines()))


def main():
    model_folder, tool = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]).resolve()
    torch.manual_seed(0)
    transformers.logging.set_verbosity_error()
    with tempfile.TemporaryDirectory() as work:
        for name, source in variants(model_folder, pathlib.Path(work)):
            compare(name, source, model_folder, tool, pathlib.Path(work))


if __name__ == "__main__":
    main()
