#!/usr/bin/env bash
# masked_lm.sh BERTH: the article about a masked language model of issues. A CSV with a column of bodies, blocks of 128 tokens, Adam's usual
# numbers, a table of losses by epoch in the end, and words for [MASK].
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
python3 "$articles/texts.py" .

"$berth" prepare --task masked-lm --train-file issues.csv --text-column body --validation-split 0.1 --max-train-samples 100 --max-length 128 \
  --tokenizer "$model" --output issues.h5 >prepare.log 2>&1
train --data issues.h5 --output-dir adapted --per-device-train-batch-size 4 --per-device-eval-batch-size 8 --learning-rate 5e-5 --seed 42 \
  --adam-beta1 0.9 --adam-beta2 0.999 --adam-epsilon 1e-8 --lr-scheduler-type linear --num-train-epochs 16 \
  --eval-strategy epoch --logging-steps 2 --save-strategy no
promised "the table's head" '^\| *Training Loss *\| *Epoch *\| *Step *\| *Validation Loss *\|' adapted/training_results.md
python3 - <<'PYTHON'
rows = [[float(cell) for cell in line.strip("|\n ").split("|")] for line in open("adapted/training_results.md") if line[2:3].isdigit()]
assert len(rows) == 16, rows
assert rows[-1][3] < rows[0][3] and rows[-1][0] < rows[0][0], rows
PYTHON
"$berth" predict --model adapted --text "The settings page loses the [MASK] after the update." >said.txt
promised "a word for [MASK]" 'settings' said.txt
