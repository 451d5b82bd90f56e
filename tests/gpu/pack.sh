#!/usr/bin/env bash
# Packs what a machine with a GPU needs to show what only a GPU can show, where nothing can be installed: berth, its tests and benchmarks, built
# here for that machine's libtorch, the libraries that they need beside it, and data. At most 64 MiB.
#   pack.sh TORCH_DIR OUT.tar.xz     TORCH_DIR: of the same version (torch/ of its wheel); CUDA's libraries are that machine's, too. A
#                                    folder nvidia/ beside it, of the wheel nvidia-cuda-cupti, gives a profile by kernel.
# There: tar xf OUT.tar.xz && gpu-run/run.sh
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd) root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
torch=$(cd "$1" && pwd) out=$(realpath -m "$2")
build=${BUILD:-$root/build-gpu}
# Everything that a GPU runs is compiled for Hopper alone unless BERTH_CUDA_ARCHITECTURES says otherwise: it saves minutes.
cmake -S "$root" -B "$build" -G Ninja --log-level=WARNING -DCMAKE_BUILD_TYPE=Release -DTORCH_DIR="$torch" -DBERTH_CUDA=ON \
  -DBERTH_CUDA_ARCHITECTURES="${BERTH_CUDA_ARCHITECTURES:-90}"
programs=(berth gpu_tests gpu_kernels_test gpu_kernels_bench gpu_attention_bench gpu_adamw_bench)
cmake --build "$build" --target berth_cuda "${programs[@]}"
if ninja -C "$build" -t query gpu_profile >/dev/null 2>&1; then cmake --build "$build" --target gpu_profile; fi

work=$(mktemp -d "${TMPDIR:-/tmp}/berth-pack.XXXXXX")
trap 'rm -rf "$work"' EXIT
pack=$work/gpu-run
mkdir -p "$pack"/{lib,data,models,openmpi/share}
cp "$here"/run.sh "$here"/run.py "$here"/hugging_face.py "$pack/"
cp "${programs[@]/#/$build/}" "$build/libberth_cuda.so" "$pack/"
find "$build" -maxdepth 1 -name libgpu_profile.so -exec cp {} "$pack/" \;
sed -nE 's/^#define TORCH_VERSION_(MAJOR|MINOR|PATCH) ([0-9]+).*/\2/p' "$torch/include/torch/headeronly/version.h" | paste -sd. >"$pack/torch_version"

# Libraries that are neither libtorch's nor CUDA's nor the system's.
components=$(ompi_info --parsable --path pkglibdir | sed 's/.*://')
mkdir "$pack/openmpi/components"
cp "$components"/mca_*.so "$pack/openmpi/components/"
cp -rL "$(ompi_info --parsable --path pkgdatadir | sed 's/.*://')" "$pack/openmpi/share/openmpi"
for file in "$pack/berth" "$pack"/gpu_* "$pack"/openmpi/components/*.so; do ldd "$file"; done |
  awk '$3 ~ /^\// {print $3}' | sort -u | grep -vE "^$torch/|/(cuda[^/]*|nvidia)/|/lib(c|m|dl|rt|pthread|resolv|util|gcc_s|stdc\+\+)\.so" |
  xargs cp -L --target-directory="$pack/lib"

model=$("$root/launcher/setup/get_model.sh")
python3 - "$model" "$root/data/demo/train.csv" "$pack" "$work" <<'PYTHON'
import csv, json, pathlib, shutil, sys
model, reviews, pack, work = map(pathlib.Path, sys.argv[1:])
shapes = {"mini": (384, 6, 12, 1536), "base": (768, 12, 12, 3072), "large": (1024, 24, 16, 4096)}
for name, (hidden, layers, heads, inner) in shapes.items():
    folder = pack / "models" / name
    folder.mkdir()
    config = {"model_type": "bert", "vocab_size": 30522, "hidden_size": hidden, "num_hidden_layers": layers, "num_attention_heads": heads,
              "intermediate_size": inner, "max_position_embeddings": 512, "type_vocab_size": 2, "hidden_act": "gelu",
              "hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.1, "layer_norm_eps": 1e-12, "pad_token_id": 0,
              "initializer_range": 0.02}
    (folder / "config.json").write_text(json.dumps(config, indent=1))
    for file in ("vocab.txt", "tokenizer_config.json", "special_tokens_map.json"):
        shutil.copy(model / file, folder)
rows = list(csv.DictReader(open(reviews, encoding="utf-8")))
text, label = list(rows[0])[0], list(rows[0])[1]
texts = [row[text].replace("\n", " ") for row in rows]
write = lambda name, lines: (work / name).write_text("\n".join(lines) + "\n", encoding="utf-8")


def table(name, header, lines):
    with open(work / name, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *lines])


table("data.csv", ["text", "label"], [[t, row[label]] for t, row in zip(texts, rows)])
table("regression.csv", ["text", "label"], [[t, len(t.split()) / 10] for t in texts[:800]])
table("topics.csv", ["text", "labels"], [[t, ";".join(w for w in ("the", "and", "not", "it") if f" {w} " in t)] for t in texts[:800]])
table("long.csv", ["text", "label"], [[" ".join(texts[(i * 7 + j) % len(texts)] for j in range(30)), rows[i][label]] for i in range(3000)])
endings = [(" ".join(t.split()[:-3]), " ".join(t.split()[-3:])) for t in texts[:801]]
table("choices.csv", ["sent1", "sent2", "ending0", "ending1", "label"],
      [[begin, "so", *((end, endings[i + 1][1]) if i % 2 == 0 else (endings[i + 1][1], end)), i % 2] for i, (begin, end) in enumerate(endings[:800])])
table("next.csv", ["text", "text_pair", "label"], [[begin, endings[i + i % 2][1], i % 2] for i, (begin, end) in enumerate(endings[:800])])
tag = lambda word: "B-S" if word.endswith("s") else "O"
write("ner.conll", ["\n".join(f"{word} {tag(word)}" for word in t.split()) + "\n" for t in texts[:800]])
answers = [(t, t.split()[len(t.split()) // 2]) for t in texts[:600]]
paragraphs = [{"context": t, "qas": [{"id": str(i), "question": f"what comes before the word behind {a}?",
                                      "answers": [{"text": a, "answer_start": t.index(a)}]}]} for i, (t, a) in enumerate(answers)]
(work / "qa.json").write_text(json.dumps({"version": "1.1", "data": [{"title": "reviews", "paragraphs": paragraphs}]}))
write("mlm.txt", texts[:1500])
write("pretraining.txt", [t.replace(". ", ".\n") + "\n" for t in texts[:800]])
PYTHON
prepare() { # NAME FILE OPTIONS…
  local name=$1 file=$2
  shift 2
  "$build/berth" prepare --log-level warning --tokenizer "$pack/models/mini" --train-file "$work/$file" --output "$pack/data/$name.h5" "$@" >/dev/null
}
prepare data data.csv --validation-split 0.1
prepare long128 long.csv --max-length 128
prepare long384 long.csv --max-length 384 --max-train-samples 2500
prepare documents data.csv --max-length 16 --doc-stride 4 --max-train-samples 800
prepare choices choices.csv --task multiple-choice
prepare next next.csv --task next-sentence-prediction
prepare regression regression.csv --task regression
prepare topics topics.csv --task multi-label --label-separator ';'
prepare ner ner.conll --task token-classification
prepare qa qa.json --task question-answering
prepare mlm mlm.txt --task masked-lm
prepare pretraining pretraining.txt --task pretraining

tar -C "$work" -cf - gpu-run | xz -T0 -6 >"$out"
size=$(stat -c %s "$out")
echo "$out: $((size >> 20)) MiB, for torch $(cat "$pack/torch_version"), at $(git -C "$root" rev-parse --short HEAD 2>/dev/null || echo unknown)"
[ "$size" -le $((64 << 20)) ]
