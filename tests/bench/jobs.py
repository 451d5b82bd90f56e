"""Jobs on real data sets, as benchmarks run them on both sides: their files, how berth prepares them, how they are read for the reference.

BERTH_DATASETS: the folder with the data sets.
"""
import csv, dataclasses, json, os, pathlib


@dataclasses.dataclass(frozen=True)
class Job:
    task: str
    train: str
    valid: str | None
    columns: tuple = (None, None, None)  # text, second text, label
    rows: tuple = (None, None)           # of the training and the validation file; None: all
    max_length: int = 128
    batch: int = 16


def data_file(name):
    return pathlib.Path(os.environ["BERTH_DATASETS"]) / name


def files_of(job, work):
    """The job's training and validation file; SMS Spam has one file, whose head and tail are written as two CSV files."""
    if job.valid:
        return data_file(job.train), data_file(job.valid)
    rows = [line.rstrip("\r\n").split("\t", 1) for line in open(data_file(job.train), encoding="utf-8", newline="\n")]
    parts = {"train": rows[: job.rows[0]], "valid": rows[-job.rows[1] :]}
    for part, chosen in parts.items():
        with open(work / f"{part}.csv", "w", encoding="utf-8", newline="") as out:
            csv.writer(out).writerows([("label", "text"), *chosen])
    return work / "train.csv", work / "valid.csv"


def prepare_command(job, files, berth, tokenizer, output):
    """berth prepare of the job's rows, for subprocess."""
    command = [berth, "prepare", "--task", job.task, "--train-file", files[0], "--validation-file", files[1], "--tokenizer", tokenizer,
               "--max-length", job.max_length, "--output", output]
    for flag, column in zip(("--text-column", "--text-pair-column", "--label-column"), job.columns):
        command += [flag, column] if column else []
    for flag, rows in zip(("--max-train-samples", "--max-eval-samples"), job.rows):
        command += [flag, rows] if rows else []
    if job.task == "ner":
        command += ["--label-names", ",".join(tags_of([read_words(file, rows) for file, rows in zip(files, job.rows)]))]
    return list(map(str, command))


def read_words(path, limit):
    """[(words, tags)] of a CoNLL file (first and last column) or an ATIS folder."""
    if path.is_dir():
        lines = zip(open(path / "seq.in", encoding="utf-8"), open(path / "seq.out", encoding="utf-8"))
        return [(words.split(), tags.split()) for words, tags in lines][:limit]
    sentences, words, tags = [], [], []
    for line in [*open(path, encoding="utf-8"), "\n"]:
        fields = line.split()
        if fields and fields[0] != "-DOCSTART-":
            words.append(fields[0])
            tags.append(fields[-1])
        elif words:
            sentences.append((words, tags))
            words, tags = [], []
    return sentences[:limit]


def tags_of(splits):
    """All tags of both splits: ATIS's dev has one that its training part lacks."""
    return sorted({tag for split in splits for _, tags in split for tag in tags})


def read_questions(path, limit):
    """[(id, question, context, texts, starts)] of a SQuAD file."""
    found = []
    for article in json.load(open(path, encoding="utf-8"))["data"]:
        for paragraph in article["paragraphs"]:
            for qa in paragraph["qas"]:
                found.append((qa["id"], qa["question"].lstrip(), paragraph["context"], [x["text"] for x in qa["answers"]],
                              [x["answer_start"] for x in qa["answers"]]))
    return found[:limit]
