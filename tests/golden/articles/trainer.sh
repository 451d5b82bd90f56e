#!/usr/bin/env bash
# trainer.sh BERTH: the article about Trainer's arguments and its evaluation. A CSV with numbers as labels; the arguments as TrainingArguments
# names them, underscores and all; evaluations in between, TensorBoard, and a last one that reports epoch, eval_loss and eval_accuracy.
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
for part in train test; do
  sed -E -e '1s/.*/text,label/' -e 's/,positive$/,1/' -e 's/,negative$/,0/' -e 801q "$root/data/demo/$part.csv" >$part.csv
done
cat >arguments.json <<'JSON'
{"per_device_train_batch_size": 8, "per_device_eval_batch_size": 64, "gradient_accumulation_steps": 2, "num_train_epochs": 2,
 "learning_rate": 5e-05, "warmup_steps": 5, "weight_decay": 0.01, "logging_steps": 10, "eval_strategy": "steps", "eval_steps": 25,
 "save_strategy": "no", "seed": 42}
JSON
"$berth" prepare --train_file train.csv --validation_file test.csv --tokenizer "$model" --output texts.h5 >prepare.log 2>&1
train --data texts.h5 --output_dir results --logging_dir logs --config arguments.json
python3 - <<'PYTHON'
import json
rows = [json.loads(line) for line in open("results/metrics.jsonl")]
evaluated = [row for row in rows if "eval_accuracy" in row]
assert [row["step"] for row in evaluated] == [25, 50], evaluated
assert [row["step"] for row in rows if "loss" in row][:4] == [10, 20, 30, 40]
PYTHON
ls logs/*tfevents* >/dev/null
"$berth" evaluate --model results --data texts.h5 --per_device_eval_batch_size 64 --output-dir evaluated >said.txt
for key in eval_loss eval_accuracy; do promised "the evaluation has $key" "$key" said.txt; done
python3 - <<'PYTHON'
import json
trained, alone = json.load(open("results/all_results.json")), json.load(open("evaluated/eval_results.json"))
assert trained["epoch"] == 2 and trained["eval_accuracy"] == alone["eval_accuracy"], (trained, alone)
PYTHON
at_least "accuracy on texts written by others" eval_accuracy 0.7 results/all_results.json
