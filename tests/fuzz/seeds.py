"""Makes tests/fuzz/corpus/: small files of each kind from which the fuzzers begin.

Run in the environment of tests/support/reference_env.sh (torch and h5py): python tests/fuzz/seeds.py
Files whose names begin with "found-" once broke something.
Data sets are of the format that berth writes, whose metadata have checksums, but most without those of the values, which would refuse what
a fuzzer changes.
"""
import collections
import io
import json
import pathlib
import pickle
import struct
import zipfile

import h5py
import numpy
import torch

CORPUS = pathlib.Path(__file__).parent / "corpus"
SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def save(target, name, content):
    path = CORPUS / target / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())


def texts(target, **files):
    for name, content in files.items():
        save(target, name, content)


def safetensors(tensors, metadata=None):
    header, data = {}, b""
    if metadata:
        header["__metadata__"] = metadata
    for name, (dtype, shape, content) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(data), len(data) + len(content)]}
        data += content
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def tensors():
    save("safetensors", "types", safetensors({
        "bert.pooler.dense.weight": ("F32", [2, 2], struct.pack("<4f", 1, 2, 3, 4)),
        "bert.pooler.dense.bias": ("F16", [2], bytes(4)),
        "cls.predictions.bias": ("BF16", [1], b"\x80\x3f"),
        "position_ids": ("I64", [1, 2], bytes(16)),
        "empty": ("F64", [0, 3], b""),
    }, {"format": "pt"}))
    save("safetensors", "distilbert", safetensors({
        "distilbert.transformer.layer.0.attention.q_lin.weight": ("F32", [1, 1], bytes(4)),
        "vocab_projector.bias": ("F32", [], bytes(4)),
        "module.bert.encoder.layer.0.output.LayerNorm.gamma": ("F64", [1], bytes(8)),
    }))
    save("safetensors", "none", safetensors({}))

    shared = torch.arange(6.0).reshape(2, 3)
    state = collections.OrderedDict(a=shared, b=shared.t(), c=torch.ones(2, dtype=torch.float16), d=torch.arange(2),
                                    e=torch.nn.Parameter(torch.ones(1)), f=torch.zeros(0, 2))
    for form, zipped in {"zip": True, "legacy": False}.items():
        for name, value in {"ordered": state, "plain": {"a": shared}}.items():
            out = io.BytesIO()
            torch.save(value, out, _use_new_zipfile_serialization=zipped)
            save("pytorch_bin", f"{form}-{name}", out.getvalue())
            if zipped:
                with zipfile.ZipFile(out) as archive:
                    save("pickle", name, archive.read(next(n for n in archive.namelist() if n.endswith("/data.pkl"))))
    for protocol in range(2, 6):
        values = {"list": [1, 2.5, None, True, 1 << 70, -3], "tuple": (1, (2, "x"), ()), "text": "é" * 3}
        save("pickle", f"protocol-{protocol}", pickle.dumps(values, protocol))
    save("pickle", "system", pickle.dumps(collections.OrderedDict([("a", [1])]), 2) + b"cos\nsystem\n(U\x02lstR.")

    for name, entries in {"stored": {"a/data.pkl": b"x", "a/data/0": bytes(8)}, "empty": {}, "comment": {"b": b"yy"}}.items():
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w") as archive:
            for entry, content in entries.items():
                archive.writestr(zipfile.ZipInfo(entry), content)
            if name == "comment":
                archive.comment = b"comment"
        save("zip", name, out.getvalue())
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive, archive.open("z", "w", force_zip64=True) as entry:
        entry.write(b"zz")
    # Sizes and places in zip64's own fields: an entry, the end record, and where that is.
    local = out.getvalue()[: out.getvalue().index(b"PK\1\2")]
    extra = struct.pack("<HHQQQ", 1, 24, 2, 2, 0)
    central = struct.pack("<4s6H3L5H2L", b"PK\1\2", 45, 45, 0, 0, 0, 33, 0, 0xFFFFFFFF, 0xFFFFFFFF, 1, len(extra), 0, 0, 0, 0, 0xFFFFFFFF) + b"z" + extra
    end64 = struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, 1, 1, len(central), len(local))
    locator = struct.pack("<4sLQL", b"PK\6\7", 0, len(local) + len(central), 1)
    save("zip", "zip64", local + central + end64 + locator + struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0))


def write_strings(attributes, name, values):
    size = max(len(value) for value in values) if isinstance(values, list) else len(values)
    attributes.create(name, values, dtype=h5py.string_dtype("utf-8", size))


def dataset(name, task, labels, label_names=(), extra=(), filters=None, **attributes):
    """A data set of berth's (data/store/schema.h): two samples of three and two tokens."""
    with h5py.File(CORPUS / "store" / name, "w", libver=("v110", "v110")) as file:
        facts = {"format": "berth dataset", "task": task, "vocab_sha256": "a" * 64, "command": "berth prepare", **attributes}
        for name, value in facts.items():
            if isinstance(value, int):
                file.attrs[name] = numpy.int64(value)
            else:
                write_strings(file.attrs, name, value)
        for name, value in {"schema_version": 4, "max_length": 8, "vocab_size": 100}.items():
            file.attrs[name] = numpy.int64(value)
        if label_names:
            write_strings(file.attrs, "label_names", label_names)
        write_strings(file.attrs, "source_files", ["train.csv"])
        write_strings(file.attrs, "source_sha256", ["b" * 64])
        group = file.create_group("train")
        columns = {"input_ids": numpy.array([2, 7, 3, 2, 3], "uint16"), "offsets": numpy.array([0, 3, 5], "int64"),
                   "segment_b": numpy.array([3, 1], "int32"), "rows": numpy.array([1, 2], "int64"), **dict(extra)}
        if labels is not None:
            columns["labels"] = labels
        for name, values in columns.items():
            shape = (None,) + values.shape[1:]
            group.create_dataset(name, data=values, maxshape=shape, chunks=(4,) + values.shape[1:], fletcher32=filters)


def stores():
    span = {"token_offsets": numpy.zeros((5, 2), "int32"), "question": numpy.array([0, 1], "int64"), "context": numpy.array([0, 0], "int64"),
            "answer_ends": numpy.array([1, 1], "int64"), "ids": numpy.frombuffer(b"q1q2", "uint8"), "ids_ends": numpy.array([2, 4], "int64"),
            "contexts": numpy.frombuffer("é!".encode(), "uint8"), "contexts_ends": numpy.array([3], "int64"),
            "answers": numpy.frombuffer(b"!", "uint8"), "answers_ends": numpy.array([1], "int64")}
    (CORPUS / "store").mkdir(parents=True, exist_ok=True)
    one = numpy.array([0, 1], "int32")
    dataset("checksums", "sequence-classification", one, ["neg", "pos"], filters=True)
    dataset("class", "sequence-classification", one, ["neg", "pos"])
    dataset("folds", "multi-label", numpy.array([[0, 1], [1, 0]], "uint8"), ["a", "b"], folds=2, doc_stride=1, normalize="html", do_lower_case=1,
            extra={"fold": numpy.array([0, 1], "uint8"), "augmented": numpy.array([0, 1], "uint8"), "sequences": numpy.array([0, 1, 2], "int64")})
    dataset("tokens", "token-classification", numpy.array([-100, 0, -100, -100, 1], "int32"), ["O", "B-X"])
    dataset("questions", "question-answering", numpy.array([[0, 1], [0, 0]], "int32"), extra=span)
    dataset("masked-lm", "masked-lm", None)
    for task in range(9):
        save("store_values", str(task), bytes(range(29 * task, 29 * task + 24)) + bytes([task]))
    (CORPUS / "keras_h5").mkdir(exist_ok=True)
    for name, libver in {"old": ("earliest", "v108"), "new": ("v110", "v110")}.items():
        with h5py.File(CORPUS / "keras_h5" / name, "w", libver=libver) as file:
            write_strings(file.attrs, "layer_names", ["bert"])
            for place, shape in {"bert/tf_bert/bert/pooler/dense/kernel:0": (2, 3), "bert/tf_bert/bert/layer_._0/LayerNorm/gamma:0": (2,),
                                 "other/tf_bert/bert/pooler/dense/kernel:0": (2, 3)}.items():
                file.create_dataset(place, data=numpy.ones(shape, "float32"), track_times=False)
    old = (CORPUS / "keras_h5/old").read_bytes()
    save("keras_h5", "found-shape-overflows", old.replace(struct.pack("<2Q", 2, 3), struct.pack("<2Q", 0x7000000000000000, 0x300000000000002)))


def model_files():
    index = {"metadata": {"total_size": 16}, "weight_map": {"bert.a": "a.safetensors", "bert.b": "b.safetensors"}}
    save("model_index", "two", json.dumps(index))
    save("model_index", "outside", json.dumps({"weight_map": {"bert.a": "../outside.safetensors", "bert.c": "/etc/passwd"}}))
    save("model_index", "missing", json.dumps({"weight_map": {"bert.a": "c.safetensors"}}))

    files = {name: {"size": size, "sha256": "0123456789abcdef" * 4} for name, size in {"config.json": 612, "model.safetensors": 0}.items()}
    save("manifest", "two", json.dumps({"format": "berth-checkpoint", "version": 1, "files": files}))
    save("manifest", "outside", json.dumps({"format": "berth-checkpoint", "version": 1, "files": {"../a": files["config.json"]}}))

    config = dict(architectures=["BertForSequenceClassification"], model_type="bert", vocab_size=100, hidden_size=32, num_hidden_layers=2,
                  num_attention_heads=4, intermediate_size=64, hidden_act="gelu", hidden_dropout_prob=0.1, attention_probs_dropout_prob=0.1,
                  max_position_embeddings=64, type_vocab_size=2, initializer_range=0.02, layer_norm_eps=1e-12, pad_token_id=0,
                  id2label={"0": "neg", "1": "pos"}, label2id={"neg": 0, "pos": 1}, problem_type="single_label_classification")
    save("config", "bert", json.dumps(config))
    save("config", "found-labels-twice", json.dumps({**config, "id2label": {"0": "a", "1": "a"}}))
    save("config", "windows", json.dumps({**config, "berth_max_length": 32, "berth_doc_stride": 8, "berth_document_pooling": "mean",
                                          "berth_normalize": "html,urls", "torch_dtype": "float16", "pad_token_id": None}))
    save("config", "own-head", json.dumps({**config, "model_type": "berth", "head_hidden_sizes": [8, 4], "head_dropout": 0.1,
                                           "head_activation": "relu", "pooling": "mean",
                                           "auto_map": {"AutoConfig": "modeling_berth.BerthConfig"}}))
    save("config", "distilbert", json.dumps(dict(model_type="distilbert", vocab_size=100, dim=32, n_layers=2, n_heads=4, hidden_dim=64,
                                                 activation="gelu", dropout=0.1, attention_dropout=0.1, seq_classif_dropout=0.2, qa_dropout=0.1,
                                                 max_position_embeddings=64, sinusoidal_pos_embds=False, num_labels=3)))
    save("config", "electra", json.dumps({**config, "model_type": "electra", "embedding_size": 16, "summary_type": "first", "_num_labels": 2}))

    own = dict(samples_seen=32, optimizer_steps=2, skipped_in_a_row=0, overflowed_steps=0, loss_scale={"scale": 65536.0, "updates": 2},
               plateau={"best": None, "bad": 0, "cooldown": 0, "reductions": 0}, last_eval_step=2, complete=False, warmup_steps=1,
               lr_scheduler_type="linear", schedule_steps=10, global_batch=16,
               global_batch_since={"step": 0, "epoch": 0, "sample": 0, "schedule_step": 0}, num_samples=80, drop_last=False, seed=42, data_seed=42,
               evaluations_without_improvement=0, last_metric=0.5, greater_is_better=True, kept_step=2, kept_metric=0.5, not_kept="",
               started_from="", fixed_options={"optim": "adamw"}, run_log={"loss": 1.5}, environment={"ranks": 2})
    state = dict(global_step=2, epoch=0.4, max_steps=10, best_metric=0.5, best_global_step=2, best_model_checkpoint="run/checkpoint-2",
                 is_world_process_zero=True, train_batch_size=8, log_history=[{"step": 2, "loss": 1.5}])
    save("run_state", "now", json.dumps({**state, "berth": own}))
    first = {key: value for key, value in own.items() if key in {
        "samples_seen", "optimizer_steps", "last_eval_step", "complete", "warmup_steps", "lr_scheduler_type", "global_batch", "num_samples",
        "drop_last", "seed", "data_seed", "evaluations_without_improvement", "run_log", "environment"}}
    save("run_state", "found-step-of-1e300", json.dumps({**state, "global_step": 1e300, "berth": own}))
    save("run_state", "first-format", json.dumps({**state, "best_metric": None, "berth": first}))

    save("run_owner", "here", json.dumps(dict(host="host", boot_id="boot", pid_namespace="pid:[1]", pid=4194305, start_ticks=1, slurm_job_id="17",
                                              slurm_restarts=0, started="2026-01-01T00:00:00Z")))
    save("run_owner", "elsewhere", json.dumps(dict(host="other", boot_id="b", pid_namespace="", pid=2, start_ticks=1, slurm_job_id="17",
                                                   slurm_restarts=0, started="")))
    records = [{"step": 1, "epoch": 0.5, "loss": 1.5, "learning_rate": 1e-5, "grad_norm": 2.0}, {"step": 2, "loss": 1.2},
               {"step": 2, "eval_loss": 1.1, "eval_accuracy": 0.5}, {"step": 4, "train_loss": 1.3, "train_runtime": 2.5}]
    provenance = {"berth_version": "0.1.0", "options": {"seed": 42, "fp16": False}, "data": {"train.h5": "ab"},
                  "jobs": [{"hosts": ["n1"], "device": "cpu", "ranks": 2, "started": "2026-01-01T00:00:00Z", "from_step": 0, "lost_steps": 0,
                            "seconds": {"start": 2.1, "train": 312.5, "evaluation": 8.2, "checkpoint": 0.4, "lost": 0}}]}
    save("report", "run", "\0".join(("\n".join(map(json.dumps, records)), json.dumps({"eval_accuracy": 0.5, "task": "<b>"}), json.dumps(provenance))))

    modules = [{"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
               {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
               {"idx": 2, "name": "2", "path": "2_Normalize", "type": "sentence_transformers.models.Normalize"}]
    pooling = {"word_embedding_dimension": 32, "pooling_mode_cls_token": True, "pooling_mode_mean_tokens": True, "include_prompt": True}
    prompts = {"prompts": {"query": "query: "}, "default_prompt_name": "query"}
    for name, pool in {"flags": pooling, "mode": {"pooling_mode": ["mean", "max"]}}.items():
        save("sentence_modules", name, "\0".join(map(json.dumps, (modules, pool, {"max_seq_length": 64, "do_lower_case": True}, prompts))))
    save("sentence_modules", "outside", json.dumps([{**modules[0], "path": "../other"}]))


def tokenizers():
    words = SPECIALS + ["the", "film", "##s", "é", "."]
    texts("vocab", small="\n".join(words) + "\n", crlf="\r\n".join(words), twice="\n".join(words + ["the", ""]))
    full = {"version": "1.0", "added_tokens": [{"id": len(words), "content": "[ENT]", "single_word": False, "lstrip": False, "rstrip": False,
                                                "normalized": False, "special": True}],
            "normalizer": {"type": "BertNormalizer", "lowercase": True, "handle_chinese_chars": True, "strip_accents": None},
            "model": {"type": "WordPiece", "unk_token": "[UNK]", "vocab": {word: i for i, word in enumerate(words)}}}
    config = {"do_lower_case": True, "strip_accents": None, "tokenize_chinese_chars": True, "unk_token": "[UNK]", "mask_token": {"content": "[MASK]"},
              "added_tokens_decoder": {str(len(words)): {"content": "[ENT]", "normalized": False, "special": True}}}
    texts("tokenizer_files", json=json.dumps(full), both=json.dumps(full) + "\0" + json.dumps(config),
          vocab="{}\0" + json.dumps(config) + "\0" + "\n".join(words), plain="{}\0{}\0" + "\n".join(words))
    samples = ["The films, été 中文 [MASK] x.", "ÅΣΊß\u0301\u0327 \u1100\u1161\u11a8 \u200b\ufeff\u00a0", "[LONG][L[LONG\t\r\n", "İI\u0307 ﬁ Ⅷ ½ " + "a" * 120]
    for i, text in enumerate(samples):
        for options in (1, 3 + 8 * 9, 6):
            save("tokenizer", f"{i}-{options}", bytes([options]) + text.encode())


def records():
    squad = {"version": "v2.0", "data": [{"title": "t", "paragraphs": [{"context": "The films été.", "qas": [
        {"id": "1", "question": "what?", "answers": [{"text": "films", "answer_start": 4}], "is_impossible": False},
        {"id": "2", "question": "who?", "answers": [], "is_impossible": True}]}]}]}
    flat = {"id": "1", "question": "what?", "context": "The films", "answers": {"text": ["films"], "answer_start": [4]}}
    lines = lambda *rows: "\n".join(json.dumps(row) for row in rows)
    files = {
        "csv": (0, 'text,label\n"The ""film"",\nwas",good\r\n\nbad film,bad\n'),
        "tsv": (1, "good film\tgood\n\"bad\tbad\n"),
        "jsonl": (2, lines({"text": "good", "label": 1}, {"text": "é", "label": "0"}, {"text": "x", "label": True})),
        "pair": (2, lines({"sentence1": "good", "sentence2": "film", "label": 0})),
        "number": (3, "sentence1,sentence2,score\na,b,0.5\nc,d,-1e3\n"),
        "labels": (4, "text,labels\na,x;y\nb,\n"),
        "labels-json": (5, lines({"text": "a", "labels": ["x", "y"]}, {"text": "b", "labels": []})),
        "conll": (6, "-DOCSTART- O\n\nThe O\nfilm B-X\n\nfilms\tB-Y\n"),
        "words": (7, lines({"tokens": ["The", "film"], "ner_tags": ["O", "B-X"]})),
        "squad": (8, json.dumps(squad)),
        "squad-flat": (8, lines(flat, flat)),
        "squad-list": (8, json.dumps({"data": [flat]})),
        "swag": (9, "sent1,sent2,ending0,ending1,label\na,b,c,d,1\n"),
        "choices": (10, lines({"question": "a", "choices": ["b", "c"], "answer": "B"})),
        "lines": (11 + 32, "The film.\n\nAnother film.\n"),
        "latin1": (0 + 16, "text,label\n\xe9,a\n"),
    }
    for name, (choice, text) in files.items():
        save("records", name, bytes([choice]) + text.encode("latin1" if choice & 16 else "utf8"))


def plain():
    texts("json", values='{"a": [1, -2, 3.5e10, true, null, "\\u00e9\\ud83d\\ude00"], "b": {"c": {}}}', deep="[[[[[[]]]]]]", twice='{"a":1,"a":2}')
    texts("normalize", tags="<p>a<br />b</p><script>x</script><!-- c --><!DOCTYPE html>&lt;&amp;lt;&hellip;&#xe9;&#0;",
          text="x<3 and vector<int> a &notanentity; <!-- never ends", links="see http://a.b/c?d=(e). or www.x.y, mail me@a.org\u00a0\u2003 now")


if __name__ == "__main__":
    tensors()
    stores()
    model_files()
    tokenizers()
    records()
    plain()
