"""What bench.py runs in Python, each in a process (or rank) of its own: bench_child.py PART JSON OUT

PART is a function below, JSON its arguments. What it found goes to OUT.RANK as JSON. Needs the Python of tests/support/reference_env.sh.
"""
import json, os, pathlib, statistics, sys, time

RANK = int(os.environ.get("RANK", 0))


def train(job, model, from_scratch, files, work, steps, warm_up, bf16, sampler):
    """Hugging Face's Trainer. ends: when each step had ended, by the clock, and the processor time by then; tokens: of each step's batch, without padding."""
    import numpy, transformers

    import jobs, reference
    transformers.set_seed(1)
    job = jobs.Job(**job)
    task = reference.make(job, list(map(pathlib.Path, files)), model)
    ends, tokens = [], []

    class Clock(transformers.TrainerCallback):
        def on_step_end(self, *arguments, **options):
            ends.append((time.time(), time.process_time()))

    def collate(samples):
        batch = task.collator(samples)
        tokens.append(int(batch["attention_mask"].sum()))
        return batch

    def accuracy(output):
        wanted = output.label_ids != -100
        return {"accuracy": float(numpy.mean((output.predictions.argmax(-1) == output.label_ids)[wanted]))}

    arguments = transformers.TrainingArguments(
        work, per_device_train_batch_size=job.batch, per_device_eval_batch_size=32, max_steps=steps, use_cpu=True, bf16=bf16, seed=1,
        ddp_backend="gloo" if "RANK" in os.environ else None, train_sampling_strategy=sampler, logging_steps=warm_up,
        save_strategy="no", report_to="none", disable_tqdm=True)
    trainer = transformers.Trainer(
        task.make_model(from_scratch), arguments, train_dataset=task.train, eval_dataset=task.valid, data_collator=collate,
        processing_class=task.tokenizer, callbacks=[Clock()], compute_metrics=accuracy if job.task in ("classification", "ner") else None)
    result = trainer.train()
    of_steps = tokens[:steps]  # a batch may have been read ahead
    evaluated = {} if job.task == "qa" else trainer.evaluate()
    ranks = arguments.world_size  # by which transformers 5.23 multiplies losses that it averages over ranks' tokens
    return {"ends": ends, "tokens": of_steps, "train_loss": result.training_loss / ranks, "accuracy": evaluated.get("eval_accuracy"),
            "eval_loss": evaluated["eval_loss"] / ranks if evaluated else None, "eval_samples_per_second": evaluated.get("eval_samples_per_second")}


def gemm(hidden, intermediate, tokens, bf16):
    """GFLOP/s of the products of an encoder layer over so many tokens, forward and both of backward, as torch.mm has them; also by processor time."""
    import torch
    dtype = torch.bfloat16 if bf16 else torch.float32
    shapes = [(hidden, hidden)] * 4 + [(hidden, intermediate), (intermediate, hidden)]
    operands = [(torch.randn(tokens, n, dtype=dtype), torch.randn(m, n, dtype=dtype), torch.randn(tokens, m, dtype=dtype)) for n, m in shapes]
    results = [(torch.empty_like(y), torch.empty_like(x), torch.empty_like(w)) for x, w, y in operands]
    seconds, cpu, began = [], [], time.perf_counter()
    while len(seconds) < 6 or time.perf_counter() - began < 2:
        start, cpu_start = time.perf_counter(), time.process_time()
        for (x, w, y), (to_y, to_x, to_w) in zip(operands, results):
            torch.mm(x, w.t(), out=to_y)
            torch.mm(y, w, out=to_x)
            torch.mm(y.t(), x, out=to_w)
        seconds.append(time.perf_counter() - start)
        cpu.append((time.process_time() - cpu_start) / torch.get_num_threads())
    billions = 6e-9 * tokens * sum(n * m for n, m in shapes)
    return {"gflops": billions / statistics.median(seconds[1:]), "gflops_cpu": billions / statistics.median(cpu[1:])}


def predict(model, texts, batch):
    """Probabilities of the lines of `texts`, in batches sorted by length, in fp32."""
    import torch, transformers
    tokenizer = transformers.AutoTokenizer.from_pretrained(model)
    network = transformers.AutoModelForSequenceClassification.from_pretrained(model).eval()
    lines = open(texts, encoding="utf-8").read().splitlines()
    start = time.perf_counter()
    rows = tokenizer(lines, truncation=True, max_length=128)["input_ids"]
    order = sorted(range(len(rows)), key=lambda i: len(rows[i]))
    found = [None] * len(rows)
    with torch.inference_mode():
        for begin in range(0, len(order), batch):
            chosen = order[begin : begin + batch]
            inputs = tokenizer.pad({"input_ids": [rows[i] for i in chosen]}, return_tensors="pt")
            for i, row in zip(chosen, network(**inputs).logits.softmax(-1).tolist()):
                found[i] = row
    lengths = [len(row) for row in rows]
    return {"without_loading": time.perf_counter() - start, "probabilities": found, "tokens": sum(lengths), "pairs": sum(n * n for n in lengths)}


def tokenize(texts, tokenizer):
    """encode_batch of Rust's `tokenizers`, all of `texts` at once."""
    import tokenizers
    lines = open(texts, encoding="utf-8").read().splitlines()
    encoder = tokenizers.Tokenizer.from_file(str(pathlib.Path(tokenizer) / "tokenizer.json"))
    encoder.no_padding()
    start = time.perf_counter()
    encodings = encoder.encode_batch(lines)
    return {"seconds": time.perf_counter() - start, "tokens": sum(map(len, encodings))}


if __name__ == "__main__":
    part, arguments, out = sys.argv[1:]
    found = {"train": train, "gemm": gemm, "predict": predict, "tokenize": tokenize}[part](**json.loads(arguments))
    pathlib.Path(f"{out}.{RANK}").write_text(json.dumps(found))
