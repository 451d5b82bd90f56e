#!/usr/bin/env bash
# sentiment.sh BERTH: the article about sentiment. A CSV of reviews with the columns review and sentiment, four fifths to learn from (seed
# 42), batches of 32, 3 epochs with a validation after each, then the labels of new texts.
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
sed -e '1s/.*/review,sentiment/' -e 801q "$root/data/demo/train.csv" >reviews.csv

"$berth" prepare --train-file reviews.csv --validation-split 0.2 --seed 42 --max-length 128 --tokenizer "$model" --output reviews.h5 >prepare.log 2>&1
promised "four fifths to learn from" 'train.* 640 ' prepare.log
train --data reviews.h5 --output-dir sentiment --per-device-train-batch-size 16 --num-train-epochs 3 --learning-rate 5e-5 \
  --eval-strategy epoch --save-strategy epoch --load-best-model-at-end --metric-for-best-model accuracy
[ "$(grep -c '"eval_accuracy"' sentiment/metrics.jsonl)" = 3 ]
at_least "validation accuracy" eval_accuracy 0.9 sentiment/all_results.json
"$berth" predict --model sentiment --text "I absolutely loved this film, a wonderful evening." --text "This was a waste of money and time." >said.txt
promised "a text that is positive" '^Text: I absolutely loved this film.* => .*: positive' said.txt
promised "a text that is negative" '^Text: This was a waste of money.* => .*: negative' said.txt
