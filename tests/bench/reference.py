"""The jobs as Hugging Face's example scripts run_glue, run_ner, run_qa and run_mlm do them: samples, collator, model and metrics of each task.

Needs the Python of tests/support/reference_env.sh.
"""
import collections, math, re, statistics, string

import numpy, pandas, transformers

import jobs


def make(job, files, folder):
    """The task of `job`, with the samples of both files (jobs.files_of), tokenized by the model in `folder`."""
    kinds = {"classification": Sequences, "regression": Sequences, "ner": Entities, "qa": Questions, "mlm": MaskedLM}
    return kinds[job.task](job, files, folder)


class Task:
    """train, valid: samples; names: labels, if there are any; score(Trainer): metrics of valid."""
    names = None

    def __init__(self, job, files, folder):
        self.job, self.folder = job, folder
        self.tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
        self.collator = transformers.DataCollatorWithPadding(self.tokenizer)
        self.read(files)

    def make_model(self, from_scratch=False):
        labels = {} if self.names is None else {"num_labels": len(self.names)}
        if not from_scratch:
            return self.model_class.from_pretrained(self.folder, **labels)
        return self.model_class.from_config(transformers.AutoConfig.from_pretrained(self.folder, **labels))

    def table(self, path, limit):
        tsv = str(path).endswith(".tsv")
        return pandas.read_csv(path, sep="\t" if tsv else ",", quoting=3 if tsv else 0, keep_default_na=False, encoding="utf-8-sig").head(
            limit if limit else 10**9)


class Sequences(Task):
    model_class = transformers.AutoModelForSequenceClassification

    def read(self, files):
        first, second, label = self.job.columns
        frames = [self.table(path, rows) for path, rows in zip(files, self.job.rows)]
        regression = self.job.task == "regression"
        self.names = ["score"] if regression else sorted({str(value) for value in frames[0][label]})

        def encode(frame):
            texts = [frame[first].tolist()] + ([frame[second].tolist()] if second else [])
            rows = self.tokenizer(*texts, truncation=True, max_length=self.job.max_length)
            labels = [float(x) if regression else self.names.index(str(x)) for x in frame[label]]
            return [{**{key: rows[key][i] for key in rows}, "label": labels[i]} for i in range(len(labels))]

        self.train, self.valid = map(encode, frames)

    def score(self, trainer):
        output = trainer.predict(self.valid)
        labels = output.label_ids
        result = {"loss": output.metrics["test_loss"]}
        if self.job.task == "regression":
            from scipy import stats
            result["pearson"] = stats.pearsonr(output.predictions[:, 0], labels)[0]
            result["spearmanr"] = stats.spearmanr(output.predictions[:, 0], labels)[0]
            return result
        from sklearn import metrics
        predicted = output.predictions.argmax(-1)
        average = "binary" if len(self.names) == 2 else "macro"
        result |= {name: getattr(metrics, name + "_score")(labels, predicted, average=average) for name in ("precision", "recall", "f1")}
        return result | {"accuracy": metrics.accuracy_score(labels, predicted)}


class Entities(Task):
    model_class = transformers.AutoModelForTokenClassification

    def read(self, files):
        splits = [jobs.read_words(path, rows) for path, rows in zip(files, self.job.rows)]
        self.names = jobs.tags_of(splits)
        self.collator = transformers.DataCollatorForTokenClassification(self.tokenizer)

        def encode(sentence):
            words, tags = sentence
            row = self.tokenizer(words, is_split_into_words=True, truncation=True, max_length=self.job.max_length)
            places, labels = row.word_ids(), []
            for i, place in enumerate(places):
                labels.append(-100 if place is None or (i and place == places[i - 1]) else self.names.index(tags[place]))
            return {**row, "labels": labels}

        self.train, self.valid = [[encode(sentence) for sentence in split] for split in splits]

    def score(self, trainer):
        from seqeval.metrics import accuracy_score, f1_score
        output = trainer.predict(self.valid)
        predicted, actual = [], []
        for logits, labels in zip(output.predictions, output.label_ids):
            kept = [(self.names[p], self.names[l]) for p, l in zip(logits.argmax(-1), labels) if l != -100]
            predicted.append([p for p, _ in kept])
            actual.append([l for _, l in kept])
        return {"f1": f1_score(actual, predicted), "accuracy": accuracy_score(actual, predicted)}


class Questions(Task):
    model_class = transformers.AutoModelForQuestionAnswering

    def read(self, files):
        train, self.questions = [jobs.read_questions(path, rows) for path, rows in zip(files, self.job.rows)]
        self.train, self.valid = self.encode(train, True), self.encode(self.questions, False)
        self.places = [feature.pop("place") for feature in self.valid]

    def encode(self, questions, with_labels):
        features = []
        for q, (_, question, context, texts, starts) in enumerate(questions):
            rows = self.tokenizer(question, context, truncation="only_second", max_length=self.job.max_length, stride=128,
                                  return_overflowing_tokens=True, return_offsets_mapping=True)
            for w in range(len(rows["input_ids"])):
                offsets = [o if s == 1 else None for o, s in zip(rows["offset_mapping"][w], rows.sequence_ids(w))]
                feature = {key: rows[key][w] for key in ("input_ids", "token_type_ids", "attention_mask")}
                if with_labels:
                    begin, end = starts[0], starts[0] + len(texts[0])
                    inside = [i for i, o in enumerate(offsets) if o]
                    span = (0, 0)
                    if offsets[inside[0]][0] <= begin and offsets[inside[-1]][1] >= end:
                        span = (max(i for i in inside if offsets[i][0] <= begin), min(i for i in inside if offsets[i][1] >= end))
                    feature["start_positions"], feature["end_positions"] = span
                else:
                    feature["place"] = (q, offsets)
                features.append(feature)
        return features

    def score(self, trainer):
        starts, ends = trainer.predict(self.valid).predictions[:2]
        best = {}
        for (q, offsets), start, end in zip(self.places, starts, ends):
            top = lambda row: [int(i) for i in numpy.argsort(row)[-1:-21:-1]]
            for s in top(start):
                for e in top(end):
                    if s < len(offsets) and e < len(offsets) and offsets[s] and offsets[e] and s <= e < s + 30:
                        answer = self.questions[q][2][offsets[s][0] : offsets[e][1]]
                        best[q] = max(best.get(q, (-1e9, "")), (float(start[s] + end[e]), answer))
        scores = [score_answer(best.get(q, (0, ""))[1], question[3]) for q, question in enumerate(self.questions)]
        return {"exact_match": 100 * statistics.mean(s[0] for s in scores), "f1": 100 * statistics.mean(s[1] for s in scores)}


class MaskedLM(Task):
    model_class = transformers.AutoModelForMaskedLM

    def read(self, files):
        self.collator = transformers.DataCollatorForLanguageModeling(self.tokenizer, mlm_probability=0.15)

        def chunks(path, rows):
            ids = [i for text in self.table(path, rows)[self.job.columns[0]] for i in self.tokenizer(text)["input_ids"]]
            size = self.job.max_length
            return [{"input_ids": ids[i : i + size], "attention_mask": [1] * size} for i in range(0, len(ids) // size * size, size)]

        self.train, self.valid = [chunks(path, rows) for path, rows in zip(files, self.job.rows)]

    def score(self, trainer):
        loss = trainer.evaluate()["eval_loss"]
        return {"loss": loss, "perplexity": math.exp(loss), "chunks": len(self.train)}


def score_answer(answer, truths):
    """SQuAD's exact match and F1 of one answer."""
    def normal(text):
        text = "".join(c for c in text.lower() if c not in string.punctuation)
        return re.sub(r"\b(a|an|the)\b", " ", text).split()

    def f1(a, b):
        common = sum((collections.Counter(a) & collections.Counter(b)).values())
        return 2 * common / (len(a) + len(b)) if common else 0.0

    words = normal(answer)
    return max(float(words == normal(t)) for t in truths), max(f1(words, normal(t)) for t in truths)
