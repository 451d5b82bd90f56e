"""What only a GPU can show: kernels and whole steps against the CPU and transformers, the same bits after a resume, and speed beside
Hugging Face Trainer. Run by run.sh beside what pack.sh has packed; writes results.json and prints a table last. Exits 1 if a check fails.
"""
import argparse
import hashlib
import json
import os
import pathlib
import shutil
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
TASKS = ("data", "documents", "choices", "next", "regression", "topics", "ner", "qa", "mlm", "pretraining")
# Relative differences from the CPU over the first steps: losses, and norms of gradients.
TOLERANCE = {"fp32": (1e-4, 1e-3), "bf16": (3e-2, 1e-1), "fp16": (4e-3, 2e-2)}
FP16_TASKS = ("data", "ner", "mlm")


def environment():
    import torch
    site = pathlib.Path(torch.__file__).parent
    wanted = (HERE / "torch_version").read_text().strip()
    if torch.__version__.split("+")[0].rsplit(".", 1)[0] != wanted.rsplit(".", 1)[0]:
        sys.exit(f"these programs are for torch {wanted}, here is {torch.__version__}: pack them for it (tests/gpu/pack.sh TORCH_DIR)")
    libraries = [HERE / "lib", site / "lib", *sorted((site.parent / "nvidia").glob("*/lib"))]
    return {**os.environ, "LD_LIBRARY_PATH": ":".join(map(str, libraries)), "OMPI_ALLOW_RUN_AS_ROOT": "1",
            "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1", "OPAL_PREFIX": str(HERE / "openmpi"), "HF_HUB_OFFLINE": "1",
            "OMPI_MCA_mca_base_component_path": str(HERE / "openmpi/components"), "OMPI_MCA_ess_singleton_isolated": "1",
            "PMIX_MCA_gds": "hash"}


def precision(kind):
    return () if kind == "fp32" else (f"--{kind}",)


class Run:
    def __init__(self, arguments):
        self.work = pathlib.Path(arguments.out).resolve()
        self.work.mkdir(parents=True, exist_ok=True)
        self.plain, self.env = dict(os.environ), environment()
        self.results, self.failed = {}, []

    def check(self, name, holds, text=""):
        print(f"  {'ok    ' if holds else 'FAILED'} {name} {text}", flush=True)
        self.results[name] = {"ok": bool(holds), "text": str(text)}
        if not holds:
            self.failed.append(name)

    def start(self, name, command, env=None):
        """A process whose output goes to a file of that name."""
        log = open(self.work / f"{name}.log", "w")
        return subprocess.Popen(list(map(str, command)), stdout=log, stderr=subprocess.STDOUT, env=env or self.env)

    def output(self, name):
        return (self.work / f"{name}.log").read_text(errors="replace")

    def call(self, name, command, env=None, timeout=180):
        process = self.start(name, command, env)
        try:
            return process.wait(timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            return -1

    def train(self, name, *options, model="mini", data="data", background=False, resume=False, env=None):
        folder = self.work / name
        if not resume:
            shutil.rmtree(folder, ignore_errors=True)
        env = {**self.env, **(env or {})}
        command = [HERE / "berth", "train", "--model", HERE / "models" / model, "--from-scratch", "--data", HERE / f"data/{data}.h5",
                   "--output-dir", folder, "--disable-tqdm", "--report-to", "jsonl", *options]
        return self.start(name, command, env) if background else self.call(name, command, env)

    def metrics(self, name, key):
        rows = map(json.loads, open(self.work / name / "metrics.jsonl"))
        return [row[key] for row in rows if key in row and "loss" in row]

    # ---- sections

    def machine(self):
        for command in (["nvidia-smi", "-L"], ["nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"]):
            print("  " + subprocess.run(command, capture_output=True, text=True).stdout.strip())
        self.results["machine"] = subprocess.run(["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"],
                                                 capture_output=True, text=True).stdout.strip()
        missing = subprocess.run(["ldd", HERE / "libberth_cuda.so"], env=self.env, capture_output=True, text=True).stdout
        self.check("every library is found", "not found" not in missing, [x.strip() for x in missing.splitlines() if "not found" in x])

    def kernels(self):
        for name in ("gpu_kernels_test", "gpu_tests"):
            code = self.call(name, [HERE / name])
            bad = [x for x in self.output(name).splitlines() if x.startswith("[  FAILED  ]")]
            self.check(name, code == 0, "\n      ".join(bad[:20]) or self.output(name).splitlines()[-1])

    def sanitizer(self):
        if shutil.which("compute-sanitizer"):
            code = self.call("sanitizer", ["compute-sanitizer", "--error-exitcode", "9", HERE / "gpu_kernels_test",
                                           "--gtest_filter=*Norm*:*Embed*:*Loss*:*Entropy*:*Attention*:*AdamW*:*Update*"], timeout=120)
            self.check("compute-sanitizer", code == 0, self.output("sanitizer").splitlines()[-1])

    def tasks(self):
        """The same steps on the CPU and on the GPU, dropout on: masks are the same."""
        common = ("--max-steps", 8, "--logging-steps", 1, "--save-strategy", "no", "--per-device-train-batch-size", 16, "--learning-rate",
                  "1e-4", "--log-level", "warning")
        on_cpu = {task: self.train(f"{task}_cpu", *common, "--device", "cpu", "--threads", max(1, os.cpu_count() // len(TASKS)), data=task,
                                   background=True) for task in TASKS}
        codes = {(task, kind): self.train(f"{task}_{kind}", *common, "--device", "cuda", *precision(kind), data=task)
                 for task in TASKS for kind in TOLERANCE if kind != "fp16" or task in FP16_TASKS}
        for task in TASKS:
            code = on_cpu[task].wait()
            for kind, tolerance in TOLERANCE.items():
                if (task, kind) not in codes:
                    continue
                name = f"{task} {kind} equals the CPU"
                if code or codes[task, kind]:
                    self.check(name, False, self.output(f"{task}_{kind}").strip().splitlines()[-1:])
                    continue
                differences = []
                for key in ("loss", "grad_norm"):
                    pairs = list(zip(self.metrics(f"{task}_cpu", key), self.metrics(f"{task}_{kind}", key)))
                    differences.append(max(abs(a - b) / abs(a) for a, b in pairs))
                self.check(name, all(d <= t for d, t in zip(differences, tolerance)), "loss %.1e, gradient norm %.1e" % tuple(differences))

    def bits(self):
        """Twice the same run, and one that goes on from its middle."""
        for kind in TOLERANCE:
            options = ("--max-steps", 40, "--save-steps", 20, "--per-device-train-batch-size", 16, "--learning-rate", "1e-4", "--log-level",
                       "warning", *precision(kind))
            digests = []
            for name in ("first", "again", "resumed"):
                if name == "resumed":
                    shutil.rmtree(self.work / name, ignore_errors=True)
                    shutil.copytree(self.work / "first/checkpoint-20", self.work / name / "checkpoint-20")
                self.train(name, *options, resume=name == "resumed")
                model = self.work / name / "model.safetensors"
                digests.append(hashlib.sha256(model.read_bytes()).hexdigest()[:12] if model.exists() else name)
            self.check(f"the same bits in {kind}", digests[0] == digests[1], digests[:2])
            self.check(f"the same bits after a resume in {kind}", digests[0] == digests[2], digests[::2])

    def transformers(self):
        code = self.train("trained", "--max-steps", 30, "--per-device-train-batch-size", 32, "--learning-rate", "1e-4", "--eval-strategy",
                          "steps", "--eval-steps", 30, "--log-level", "warning")
        if code == 0:
            code = self.call("evaluate", [sys.executable, HERE / "hugging_face.py", "evaluate", self.work / "trained", HERE / "data/data.h5"],
                             self.plain)
        if code:
            return self.check("transformers loads the model", False, self.output("evaluate" if (self.work / "evaluate.log").exists() else "trained")[-400:])
        expected = json.loads(self.output("evaluate").splitlines()[-1])["loss"]
        mine = json.load(open(self.work / "trained/eval_results.json"))["eval_loss"]
        self.check("transformers' loss of the trained model", abs(expected - mine) < 1e-4 * abs(expected), f"{mine:.6f}, {expected:.6f}")

    def memory(self):
        code = self.train("too_large", "--max-steps", 2, "--per-device-train-batch-size", 2000, model="large", data="long384")
        said = [line for line in self.output("too_large").splitlines() if line.startswith("berth: ")]
        self.check("out of memory says what to do", code == 2 and "--per-device-train-batch-size" in "".join(said), "".join(said)[:200])

    def speed(self):
        for name in ("gpu_kernels_bench", "gpu_attention_bench", "gpu_adamw_bench"):
            if (HERE / name).exists():
                self.call(name, [HERE / name])
                print(self.output(name))
        table = []
        for model, data, batch in (("base", "long128", 32), ("base", "data", 32), ("large", "long384", 32)):
            row = {"model": model, "data": data, "batch": batch}
            options = ("--logging-steps", 10, "--save-strategy", "no", "--per-device-train-batch-size", batch, "--bf16", "--log-level",
                       "warning")
            name = f"speed_{model}_{data}"
            self.train(name, "--max-steps", 100, *options, model=model, data=data)
            speeds = sorted(self.metrics(name, "samples_per_second")[3:])
            row["berth"] = speeds[len(speeds) // 2] if speeds else 0
            row["mfu"] = (self.metrics(name, "mfu") or [None])[-1]
            if (HERE / "libgpu_profile.so").exists():
                profile = self.work / f"profile_{model}_{data}.txt"
                self.train("profiled", "--max-steps", 60, *options, model=model, data=data,
                           env={"CUDA_INJECTION64_PATH": str(HERE / "libgpu_profile.so"), "BERTH_PROFILE": str(profile)})
                print("".join(profile.read_text().splitlines(keepends=True)[:22]) if profile.exists() else "  no profile", flush=True)
            for label, extra in (("trainer", ()), ("trainer_grouped", ("--grouped",))):
                if extra and data.startswith("long"):
                    continue
                code = self.call("trainer", [sys.executable, HERE / "hugging_face.py", "train", HERE / "models" / model,
                                             HERE / f"data/{data}.h5", "--batch", batch, *extra], self.plain)
                if code == 0:
                    row[label] = json.loads(self.output("trainer").splitlines()[-1])["samples_per_second"]
            best = max(row.get("trainer", 0), row.get("trainer_grouped", 0))
            row["ratio"] = round(row["berth"] / best, 2) if best else None
            table.append(row)
            print("  " + json.dumps(row), flush=True)
        self.results["speed"] = table


def main():
    sections = ("machine", "kernels", "tasks", "bits", "transformers", "memory", "speed", "sanitizer")
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", default=",".join(sections))
    parser.add_argument("--out", default="results")
    arguments = parser.parse_args()
    run, begin = Run(arguments), time.time()
    for section in arguments.only.split(","):
        print(f"== {section} [{time.time() - begin:.0f} s]", flush=True)
        try:
            getattr(run, section)()
        except Exception as error:  # the other sections are worth having
            run.check(section, False, repr(error))
    (run.work / "results.json").write_text(json.dumps(run.results, indent=1) + "\n")
    print(f"== {len(run.failed)} failed in {time.time() - begin:.0f} s: {', '.join(run.failed)}")
    sys.exit(bool(run.failed))


main()
