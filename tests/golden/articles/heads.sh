#!/usr/bin/env bash
# heads.sh BERTH: the article about task-specific heads on one pretrained encoder: named entities (a word a line with its tag, as in
# CoNLL's files) and answers to questions (SQuAD's JSON).
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
python3 "$articles/texts.py" .

"$berth" prepare --task ner --train-file people.conll --validation-split 0.2 --tokenizer "$model" --output people.h5 >prepare.log 2>&1
train --data people.h5 --output-dir entities --per-device-train-batch-size 4 --num-train-epochs 3 --learning-rate 2e-4 \
  --eval-strategy epoch --save-strategy no
at_least "entity F1" eval_f1 0.9 entities/all_results.json
"$berth" predict --model entities --text "Yesterday Maria Keller flew from Toronto to the office of Globex ." >said.txt
for entity in 'Maria Keller.*PER' 'Toronto.*LOC' 'Globex.*ORG'; do promised "an entity" "${entity%%.\**}" said.txt; done
"$berth" predict --model entities --text "Yesterday Maria Keller flew from Toronto to the office of Globex ." --output said.jsonl
python3 - <<'PYTHON'
import json
row = json.loads(open("said.jsonl").read())
found = [(entity["type"], entity["text"]) for entity in row["entities"]]
assert found == [("PER", "Maria Keller"), ("LOC", "Toronto"), ("ORG", "Globex")], found
PYTHON

"$berth" prepare --task qa --train-file landmarks.json --validation-file landmarks_dev.json --tokenizer "$model" \
  --output landmarks.h5 >prepare.log 2>&1
train --data landmarks.h5 --output-dir answers --per-device-train-batch-size 8 --num-train-epochs 3 --learning-rate 3e-4 \
  --eval-strategy epoch --save-strategy no
at_least "F1 of answers" eval_f1 90 answers/all_results.json
cat >question.json <<'JSON'
{"data": [{"title": "new", "paragraphs": [{"context": "The old mill stands in the middle of Bergen. It was designed by Lena Novak and opened to the public in 1911.",
  "qas": [{"id": "who", "question": "Who designed the old mill?"}, {"id": "when", "question": "When was the old mill opened?"}]}]}]}
JSON
"$berth" predict --model answers --input question.json --output answers.jsonl
promised "who" 'Lena Novak' answers.jsonl
promised "when" '"1911"' answers.jsonl
