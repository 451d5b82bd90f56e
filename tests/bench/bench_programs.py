"""How bench.py runs each program once. A function returns what it measured; a program that fails raises Failed with the end of what it wrote."""
import dataclasses, functools, json, os, pathlib, signal, socket, statistics, subprocess, sys, threading, time

import jobs

HERE = pathlib.Path(__file__).resolve().parent
MPIRUN = ["bash", "-c", f'. "{HERE}/../../launcher/setup/mpi_env.sh" && exec mpirun "$@"', "mpirun"]
TIMEOUT = 900  # seconds


class Failed(Exception):
    pass


@dataclasses.dataclass(frozen=True)
class Job(jobs.Job):
    steps: tuple = (2, 8)    # left out, and in all
    shape: str = "MiniLM"    # or BERT-base: random weights
    layouts: str = "1,2"     # ranks, or ranks x threads
    rounds: int = 2
    lengths_vary: bool = True  # else Trainer's samplers are all the same


SST2 = Job("classification", "sst2/train.tsv", "sst2/dev.tsv", ("sentence", None, "label"), (None, 400), steps=(5, 20), layouts="1,2,1x2", rounds=3)
IMDB = Job("classification", "imdb/train.csv", "imdb/test.csv", ("review", None, "sentiment"), (None, 64), batch=32, steps=(1, 4), lengths_vary=False)
JOBS = {
    "sst2": SST2,
    "imdb128": IMDB,
    "imdb512": dataclasses.replace(IMDB, max_length=512, batch=8, rows=(None, 32), lengths_vary=True),
    "conll": Job("ner", "conll2003/train.txt", "conll2003/valid.txt", rows=(None, 200), steps=(2, 12)),
    "squad384": Job("qa", "squad/train.json", "squad/valid.json", rows=(None, 16), max_length=384, steps=(1, 4)),
    "mlm128": Job("mlm", "nlbse24/issues_train.csv", "nlbse24/issues_test.csv", ("body", None, None), (None, 16), steps=(1, 5), lengths_vary=False),
    "base-sst2": dataclasses.replace(SST2, shape="BERT-base", rows=(None, 64), steps=(2, 8), layouts="2,1x2", rounds=2),
    "base-imdb128": dataclasses.replace(IMDB, shape="BERT-base", rows=(None, 32), steps=(1, 3), layouts="1x2"),
}
SHAPES = {"MiniLM": {"layers": 6, "hidden": 384, "intermediate": 1536, "vocab": 30522}, "BERT-base": {"layers": 12, "hidden": 768, "intermediate": 3072, "vocab": 30522}}
SAMPLERS = {"Trainer": "random", "Trainer, group_by_length": "group_by_length", "Trainer, batch_rebalance": "batch_rebalance"}


def layout_of(name):
    """(ranks, threads of each) of "2" or "1x2"."""
    ranks, _, threads = name.partition("x")
    return int(ranks), int(threads or 1)


def programs_of(job, layout):
    """berth, the reference's ways that differ (one rank without accumulation has nothing to rebalance), and matrix products alone."""
    ways = [name for name, sampler in SAMPLERS.items()
            if sampler == "random" or (job.lengths_vary and (sampler != "batch_rebalance" or layout_of(layout)[0] > 1))]
    return ["berth", *ways, "products"]


class Programs:
    def __init__(self, build, model, work):
        self.berth, self.model, self.work = pathlib.Path(build).resolve() / "berth", pathlib.Path(model), pathlib.Path(work)
        self.work.mkdir(parents=True, exist_ok=True)

    # ------------------------------------------------------------------------------------------------------------ processes

    def run(self, command, layout, ranks_by="none", seen=lambda line: None):
        """Runs a rank's `command` on all ranks of `layout`, by mpirun or with torchrun's variables. Wall seconds and peak MB of the largest rank."""
        ranks, threads = layout_of(layout)
        out = self.work / "rank"
        for old in [*self.work.glob("rank.*"), *self.work.glob("rank-pid.*")]:
            old.unlink()
        rank_command = [sys.executable, "-IS", HERE / "bench_rank.py", threads, out, *command]
        environment = dict(os.environ, OMP_NUM_THREADS=str(threads), RAYON_NUM_THREADS=str(threads), TOKENIZERS_PARALLELISM="true" if threads > 1 else "false",
                           HF_HUB_OFFLINE="1", PYTHONDONTWRITEBYTECODE="1")
        if ranks_by == "mpirun":
            commands = [([*MPIRUN, "-np", ranks, *rank_command], environment)]
        elif ranks == 1:
            commands = [(rank_command, environment)]
        else:
            with socket.socket() as free:
                free.bind(("127.0.0.1", 0))
                port = free.getsockname()[1]
            commands = [(rank_command, dict(environment, RANK=str(r), LOCAL_RANK=str(r), WORLD_SIZE=str(ranks), LOCAL_WORLD_SIZE=str(ranks),
                                            MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))) for r in range(ranks)]
        start, told, children, readers = time.time(), [], [], []  # no session of its own: Linux shares a busy machine out by sessions (autogroups)
        for line, variables in commands:
            child = subprocess.Popen(list(map(str, line)), env=variables, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                     stderr=subprocess.PIPE, text=True, errors="replace", process_group=0)
            children.append(child)

            def read(child=child):
                for line in child.stderr:
                    told.append(line)
                    seen(line)
            readers.append(threading.Thread(target=read))
            readers[-1].start()
        try:
            codes = self.wait(children, start)
        finally:
            self.end(children)
        for reader in readers:
            reader.join()
        if codes != [0] * len(children):
            raise Failed(f"exit codes {codes}: {''.join(told)[-800:]}")
        return {"started": start, "seconds": time.time() - start, "peak_mb": max(int(file.read_text()) for file in self.work.glob("rank.*")) / 1024}

    def cpu_seconds(self):
        """Processor time of all ranks that run, so far."""
        pids = [file.read_text() for file in self.work.glob("rank-pid.*")]
        fields = [pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split() for pid in pids]
        return sum(int(row[11]) + int(row[12]) for row in fields) / os.sysconf("SC_CLK_TCK")

    @staticmethod
    def wait(children, start):
        """The exit codes, when all have ended, one has failed, or their time is over (None)."""
        while any(child.poll() is None for child in children):
            if any(child.poll() for child in children) or time.time() - start > TIMEOUT:
                break
            time.sleep(0.02)
        return [child.poll() for child in children]

    @staticmethod
    def end(children):
        for child in children:
            if child.poll() is None:
                os.killpg(child.pid, signal.SIGTERM)  # mpirun ends its ranks
                try:
                    child.wait(10)
                except subprocess.TimeoutExpired:
                    os.killpg(child.pid, signal.SIGKILL)
                    child.wait()

    def child(self, part, layout, **arguments):
        """A part of bench_child.py on all ranks: what run() returns, and what each of them found."""
        for old in self.work.glob("found.*"):
            old.unlink()
        ran = self.run([sys.executable, HERE / "bench_child.py", part, json.dumps(arguments, default=str), self.work / "found"], layout, "torchrun")
        return ran, [json.loads((self.work / f"found.{rank}").read_text()) for rank in range(layout_of(layout)[0])]

    # ------------------------------------------------------------------------------------------------------------- training

    @functools.cache
    def model_of(self, shape):
        """The folder of a model of that shape: the pretrained one, or a config beside its tokenizer."""
        if shape == "MiniLM":
            return self.model
        folder = self.work / shape
        folder.mkdir(exist_ok=True)
        for file in self.model.iterdir():
            if file.is_file() and file.name not in ("config.json", "model.safetensors"):
                (folder / file.name).write_bytes(file.read_bytes())
        config = json.loads((self.model / "config.json").read_text())
        sizes = SHAPES[shape]
        config |= {"num_hidden_layers": sizes["layers"], "hidden_size": sizes["hidden"], "intermediate_size": sizes["intermediate"],
                   "num_attention_heads": sizes["hidden"] // 64, "vocab_size": sizes["vocab"]}
        (folder / "config.json").write_text(json.dumps(config))
        return folder

    def measured(self, name, layout, steps):
        """The job with the rows that so many steps on so many ranks take."""
        job = JOBS[name]
        return dataclasses.replace(job, rows=(steps * job.batch * layout_of(layout)[0], job.rows[1]))

    @functools.cache
    def files(self, name, layout, steps):
        """Its files. Questions come from all over theirs: neighbours are about one text, and so of one length."""
        job = self.measured(name, layout, steps)
        train, valid = jobs.files_of(job, self.work)
        if job.task != "qa":
            return train, valid
        paragraphs = [paragraph for article in json.loads(train.read_text(encoding="utf-8"))["data"] for paragraph in article["paragraphs"]]
        questions = [(paragraph["context"], question) for paragraph in paragraphs for question in paragraph["qas"]]
        chosen = questions[:: max(1, len(questions) // job.rows[0])]
        path = self.work / f"{name}-{job.rows[0]}.json"
        path.write_text(json.dumps({"data": [{"paragraphs": [{"context": context, "qas": [question]} for context, question in chosen]}]}), encoding="utf-8")
        return path, valid

    @functools.cache
    def data(self, name, layout, steps):
        job, output = self.measured(name, layout, steps), self.work / f"{name}-{layout}-{steps}.h5"
        done = subprocess.run(jobs.prepare_command(job, self.files(name, layout, steps), self.berth, self.model, output), capture_output=True, text=True)
        if done.returncode:
            raise Failed(done.stderr[-800:])
        return output

    def train_berth(self, name, mode, layout, warm_up, steps):
        job, data, out = JOBS[name], self.data(name, layout, steps), self.work / "run"
        first, cpu = [], []

        def seen(line):
            if f" step 1/{steps}," in line and not first:
                first.append(time.time())
            if f" step {warm_up}/{steps}," in line or (f" step {steps}/{steps}," in line and len(cpu) < 2):
                cpu.append(self.cpu_seconds())
        command = [self.berth, "train", "--model", self.model_of(job.shape), "--data", data, "--output-dir", out, "--overwrite-output-dir",
                   "--per-device-train-batch-size", job.batch, "--per-device-eval-batch-size", 32, "--max-steps", steps, "--logging-steps", warm_up,
                   "--logging-first-step", "--save-strategy", "no", "--report-to", "jsonl", "--seed", 1, "--disable-tqdm"]
        command += ["--bf16"] if mode == "bf16" else []
        command += ["--from-scratch"] if job.shape != "MiniLM" else []
        command += [] if job.task == "qa" else ["--eval-strategy", "steps", "--eval-steps", steps]
        ran = self.run(command, layout, "mpirun" if layout_of(layout)[0] > 1 else "none", seen)
        records = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
        logged = [record for record in records if "tokens_per_second" in record]
        tokens = seconds = 0
        for before, record in zip([{"step": 0}, *logged], logged):
            if before["step"] >= warm_up:
                samples = (record["step"] - before["step"]) * job.batch * layout_of(layout)[0]
                seconds += samples / record["samples_per_second"]
                tokens += samples / record["samples_per_second"] * record["tokens_per_second"]
        results = json.loads((out / "all_results.json").read_text())
        last = json.loads((out / "provenance.json").read_text())["jobs"][-1]
        all_tokens = results["train_tokens_per_second"] * results["train_runtime"]
        return self.rows_of_training(ran, layout, tokens, seconds, cpu[1] - cpu[0], first[0]) | {
            "train_loss": results["train_loss"], "accuracy": results.get("eval_accuracy"), "eval_loss": results.get("eval_loss"),
            "eval_samples_per_second": results.get("eval_samples_per_second"), "flops_per_token": results["total_flos"] / all_tokens,
            "tokens_per_sample": all_tokens / (steps * job.batch * layout_of(layout)[0]),
            "phases": last["step_seconds"] | {"all": last["seconds"]["train"] + last["seconds"]["wait"]}}

    def train_reference(self, name, mode, layout, warm_up, steps, sampler):
        job = self.measured(name, layout, steps)
        base = {field.name: getattr(job, field.name) for field in dataclasses.fields(jobs.Job)}
        ran, found = self.child("train", layout, job=base, model=self.model_of(job.shape), from_scratch=job.shape != "MiniLM",
                                files=self.files(name, layout, steps), work=self.work / "trainer", steps=steps, warm_up=warm_up, bf16=mode == "bf16", sampler=sampler)
        first = found[0]
        tokens = sum(sum(rank["tokens"][warm_up:]) for rank in found)
        passed = lambda rank, clock: rank["ends"][-1][clock] - rank["ends"][warm_up - 1][clock]
        return self.rows_of_training(ran, layout, tokens, passed(first, 0), sum(passed(rank, 1) for rank in found), first["ends"][0][0]) | {
            key: first[key] for key in ("train_loss", "accuracy", "eval_loss", "eval_samples_per_second")}

    @staticmethod
    def rows_of_training(ran, layout, tokens, seconds, cpu_seconds, first_step):
        """tokens_per_second_cpu: if all cores of the layout had been free for it all the time, and no rank had waited."""
        ranks, threads = layout_of(layout)
        return {"tokens_per_second": tokens / seconds, "tokens_per_second_cpu": tokens / cpu_seconds * ranks * threads, "first_step_seconds": first_step - ran["started"], "peak_mb": ran["peak_mb"], "seconds": ran["seconds"]}

    def products(self, name, mode, layout, steps):
        """GFLOP/s of all ranks at once, at the size of berth's micro-batches."""
        job = JOBS[name]
        found = subprocess.run([self.berth, "inspect", self.data(name, layout, steps), "--json"], capture_output=True, text=True, check=True)
        train = json.loads(found.stdout)["splits"][0]
        tokens = min(1024, round(job.batch * train["tokens"] / train["samples"]))
        return self.products_of(job.shape, layout, tokens, mode)

    def products_of(self, shape, layout, tokens, mode):
        sizes = SHAPES[shape]
        _, ranks = self.child("gemm", layout, hidden=sizes["hidden"], intermediate=sizes["intermediate"], tokens=tokens, bf16=mode == "bf16")
        return {**{rate: sum(rank[rate] for rank in ranks) for rate in ("gflops", "gflops_cpu")}, "micro_batch_tokens": tokens}

    # ------------------------------------------------------------------------------------------------------- everything else

    @functools.cache
    def texts(self, rows):
        """The first sentences of SST-2, a line each."""
        lines = open(jobs.data_file("sst2/train.tsv"), encoding="utf-8").read().split("\n")[1:]
        path = self.work / f"texts-{rows}.txt"
        path.write_text("".join(line.split("\t")[0] + "\n" for line in lines[:rows] if line), encoding="utf-8")
        return path

    @functools.cache
    def classifier(self):
        out = self.work / "classifier"
        self.run([self.berth, "train", "--model", self.model, "--data", self.data("sst2", "1", 2), "--output-dir", out, "--overwrite-output-dir",
                  "--max-steps", 2, "--save-strategy", "no", "--report-to", "none", "--disable-tqdm"], "1")
        return out

    def predict(self, program, layout, rows):
        if program == "transformers":
            ran, found = self.child("predict", layout, model=self.classifier(), texts=self.texts(rows), batch=64)
            (self.work / f"probabilities-{rows}.json").write_text(json.dumps(found[0].pop("probabilities")))
            return ran | found[0] | {"texts": rows}
        out = self.work / "predictions.jsonl"
        ran = self.run([self.berth, "predict", "--model", self.classifier(), "--input", self.texts(rows), "--output", out], layout)
        return ran | {"texts": rows} | self.difference(out, self.work / f"probabilities-{rows}.json")

    @staticmethod
    def difference(predictions, probabilities):
        """The largest between our probabilities and theirs, where those are there."""
        if not probabilities.exists():
            return {}
        ours = [list(json.loads(line)["scores"].values()) for line in open(predictions, encoding="utf-8")]
        theirs = json.loads(probabilities.read_text())
        return {"difference": max(abs(a - b) for row, other in zip(ours, theirs, strict=True) for a, b in zip(row, other, strict=True))}

    def prepare(self, program, layout):
        if program == "tokenizers":
            ran, found = self.child("tokenize", layout, texts=self.texts(10**9), tokenizer=self.model)
            return {"seconds": found[0]["seconds"], "tokens": found[0]["tokens"], "peak_mb": ran["peak_mb"]}
        return self.run([self.berth, "prepare", "--train-file", jobs.data_file("sst2/train.tsv"), "--tokenizer", self.model,
                         "--output", self.work / "prepared.h5"], layout)
