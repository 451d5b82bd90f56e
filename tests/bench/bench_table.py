"""The runs of bench.py as medians and ratios (bench.json), tables (bench.md) and plots (speed.svg, phases.svg)."""
import collections, json, statistics

from bench_programs import JOBS, SAMPLERS, SHAPES, layout_of

TRAINER = list(SAMPLERS)
PHASES = ("data", "forward", "backward", "reduce", "optimizer", "log")


def failures(runs):
    """Those that failed and were not repeated since."""
    key = lambda run: tuple(run[name] for name in ("job", "mode", "ranks", "program", "round", "steps"))
    last = {key(run): run for run in runs}
    return [run for run in last.values() if "error" in run]


def flops_per_token(job, run):
    """(what the whole model asks for, what its loss needs), forward and backward: encoder and attention as berth counts them (trainer/model/flops.h), and the
    head of masked LM. A classifier reads [CLS] alone, so nothing but keys and values of the last layer is needed elsewhere; logits over the vocabulary are
    needed of the 15 % that are masked."""
    sizes = SHAPES[job.shape]
    layers, hidden, intermediate = sizes["layers"], sizes["hidden"], sizes["intermediate"]
    encoder = run["flops_per_token"]
    if job.task == "mlm":
        head = 6 * hidden * (sizes["vocab"] + hidden)
        return encoder + head, encoder + 0.15 * head
    if job.task != "classification":
        return encoder, encoder
    pairs = (encoder - 6 * layers * (4 * hidden**2 + 2 * hidden * intermediate)) / (12 * layers * hidden)  # a token's
    elsewhere = 1 - 1 / run["tokens_per_sample"]
    return encoder, encoder - elsewhere * 6 * (2 * hidden**2 + 2 * hidden * intermediate) - 12 * hidden * (pairs - 1)


def forward_flops_per_token(tokens, pairs, texts):
    """What a classifier of MiniLM's shape needs of forward alone."""
    sizes = SHAPES["MiniLM"]
    matrices = 4 * sizes["hidden"] ** 2 + 2 * sizes["hidden"] * sizes["intermediate"]
    whole = 6 * sizes["layers"] * matrices + 12 * sizes["layers"] * sizes["hidden"] * pairs / tokens
    return flops_per_token(JOBS["sst2"], {"flops_per_token": whole, "tokens_per_sample": tokens / texts})[1] / 3


def spread(values):
    return {"median": statistics.median(values), "least": min(values), "most": max(values), "rounds": len(values)}


def by_rounds(ours, theirs, ratio):
    """The ratio within each round that both have."""
    other = {run["round"]: run for run in theirs}
    values = [ratio(run, other[run["round"]]) for run in ours if run["round"] in other]
    return spread(values) if values else None


def ratios_of_training(job, programs, clock):
    """berth to Trainer and to the limit, by the clock ("") or by processor time ("_cpu")."""
    ours, products = programs.get("berth", []), programs.get("products", [])
    speed = lambda run: run["tokens_per_second" + clock]
    theirs = {program: runs for program, runs in programs.items() if program in TRAINER}
    found = {}
    if ours and theirs:
        best = max(theirs, key=lambda program: statistics.median(map(speed, theirs[program])))
        ratio = lambda run, other: speed(run) / speed(other)
        found = {"best": best, "to_best": by_rounds(ours, theirs[best], ratio), "to_default": by_rounds(ours, theirs.get("Trainer", []), ratio)}
    for kind, index in (("of_limit_full_model", 0), ("of_limit_needed", 1)):
        found[kind] = by_rounds(ours, products, lambda run, other: speed(run) * flops_per_token(job, run)[index] / (1e9 * other["gflops" + clock]))
    if products:
        found |= {"gflops": spread([run["gflops" + clock] for run in products]), "micro_batch_tokens": products[-1]["micro_batch_tokens"]}
    return found


def summary_of_training(name, programs):
    """Medians of one cell: programs' runs by name."""
    ours = programs.get("berth", [])
    speed = lambda run: run["tokens_per_second"]
    cell = {"programs": {}}
    per_sample = statistics.median(run["tokens_per_sample"] for run in ours) if ours else None
    for program, runs in programs.items():
        if program == "products":
            continue
        last = runs[-1]
        of = {"tokens_per_second": spread([speed(run) for run in runs])}
        if per_sample:
            of["samples_per_second"] = spread([speed(run) / per_sample for run in runs])
        for value in ("peak_mb", "first_step_seconds", "eval_samples_per_second"):
            found = [run[value] for run in runs if run.get(value) is not None]
            of[value] = spread(found) if found else None
        cell["programs"][program] = of | {key: last.get(key) for key in ("train_loss", "eval_loss", "accuracy")}
    cell |= ratios_of_training(JOBS[name], programs, "")
    cell["by_processor_time"] = ratios_of_training(JOBS[name], programs, "_cpu")
    if ours:
        shares = lambda run: {phase: run["phases"].get(phase, 0) / run["phases"]["all"] for phase in (*PHASES, "reduce_overlapped")}
        cell["phases"] = {phase: statistics.median(shares(run)[phase] for run in ours) for phase in (*PHASES, "reduce_overlapped")}
        cell["phases"]["log"] = max(0.0, 1 - sum(cell["phases"][phase] for phase in PHASES[:-1]))
    return cell


def summary(machine, runs):
    good = [run for run in runs if "error" not in run]
    grouped = collections.defaultdict(lambda: collections.defaultdict(list))
    for run in good:
        grouped[run["job"], run["mode"], run["ranks"], run["steps"]][run["program"]].append(run)
    training, others = [], []
    for (name, mode, layout, steps), programs in grouped.items():
        head = {"job": name, "mode": mode, "ranks": layout}
        if name in JOBS:
            training.append(head | {"steps": steps} | summary_of_training(name, programs))
            continue
        reference = next((program for program in programs if program not in ("berth", "products")), None)
        found = {program: {value: spread([run[value] for run in found]) for value in ("seconds", "peak_mb", "without_loading") if value in found[0]}
                 for program, found in programs.items() if program != "products"}
        ratio = by_rounds(programs["berth"], programs[reference], lambda run, other: other["seconds"] / run["seconds"]) if reference and "berth" in programs else None
        differences = [run["difference"] for run in programs.get("berth", []) if "difference" in run]
        counts = {key: run[key] for runs in programs.values() for run in runs for key in ("tokens", "texts", "pairs") if key in run}
        limit = None
        if "products" in programs and counts.get("tokens"):
            forward = counts["tokens"] * forward_flops_per_token(counts["tokens"], counts["pairs"], counts["texts"])
            limit = by_rounds(programs.get("berth", []), programs["products"], lambda run, other: forward / run["seconds"] / (1e9 * other["gflops"]))
        others.append(head | {"programs": found, "reference": reference, "ratio": ratio, "of_limit_needed": limit, "difference": max(differences, default=None)} | counts)
    return {"machine": machine, "load": spread([run["load"] for run in runs]), "training": training, "others": others,
            "failed": [{key: run[key] for key in ("job", "mode", "ranks", "program", "round", "error")} for run in failures(runs)], "runs": runs}


# ------------------------------------------------------------------------------------------------------------------------ Markdown

def number(value, digits=3):
    """Three significant digits, thousands whole."""
    return "" if value is None else f"{value:,.0f}" if abs(value) >= 100 else f"{value:.{digits}g}"


def shown(values, digits=3):
    """A median with the least and the most of its rounds."""
    if values is None:
        return ""
    text = number(values["median"], digits)
    return text if values["rounds"] < 2 else f"{text} ({number(values['least'], digits)} to {number(values['most'], digits)})"


def percent(value):
    return "" if value is None else f"{100 * (value['median'] if isinstance(value, dict) else value):.0f} %"


def table(head, rows):
    return ["| " + " | ".join(head) + " |", "|" + "---|" * len(head), *("| " + " | ".join(map(str, row)) + " |" for row in rows), ""]


def layout_text(layout):
    ranks, threads = layout_of(layout)
    return f"{ranks} x {threads}"


def of(cell, program, value):
    return (cell["programs"].get(program) or {}).get(value)


def head_of(cell):
    return [cell["job"], cell["mode"], layout_text(cell["ranks"])]


def speed_table(training):
    rows = []
    for cell in training:
        best, cpu = f"**{shown(cell['to_best'])}**" if cell.get("to_best") else "", cell["by_processor_time"]
        rows.append([*head_of(cell), cell["steps"], *(shown(of(cell, program, "samples_per_second")) for program in ("berth", *TRAINER)),
                     shown(cell.get("to_default")), best, percent(cell.get("of_limit_full_model")), percent(cell.get("of_limit_needed")),
                     shown(cpu.get("to_default")), shown(cpu.get("to_best")), percent(cpu.get("of_limit_needed"))])
    return ["## Training, samples a second", "",
            "From the end of the first steps, which are left out, to the end of the last, both by the program's own clock; of each the same steps over the same rows. Speeds are "
            "counted in real tokens, in samples of the job's mean length. Limit: the products of the model's matrices over real tokens at the rate torch.mm has on as many "
            "cores in the same round; needed: without what the loss does not look at (of the last layer all but [CLS], of masked LM's logits all but the masked places). By "
            "processor time of all ranks in place of the clock: what other load disturbs less, and what leaves out how ranks wait for each other.", "",
            *table(["job", "precision", "ranks x threads", "steps", "berth", "Trainer", "by length", "rebalanced", "to the default", "to the best", "of the limit",
                    "of what is needed", "by processor time: to the default", "to the best", "of what is needed"], rows), "![Speed](speed.svg)", ""]


def memory_table(training):
    rows = []
    for cell in training:
        median = lambda value: value["median"] if isinstance(value, dict) else value
        pair = lambda value: " / ".join(number(median(of(cell, program, value))) or "-" for program in ("berth", cell.get("best")))
        rows.append([*head_of(cell), *map(pair, ("peak_mb", "first_step_seconds", "eval_samples_per_second", "train_loss", "eval_loss", "accuracy"))])
    return ["## Memory, start, evaluation, and what was reached", "",
            "Peak memory of the largest rank (resident, pages in common counted in parts), seconds from the program's start to the end of its first step, evaluation in samples a second; berth / the "
            "fastest of Trainer's ways in training. Reached after so few steps: it shows that both learn the same, not how well.", "",
            *table(["job", "precision", "ranks x threads", "peak MB", "first step, s", "evaluation", "training loss", "loss", "accuracy"], rows)]


def phase_table(training):
    rows = [[*head_of(cell), *(f"{100 * cell['phases'][phase]:.1f} %" for phase in (*PHASES, "reduce_overlapped"))] for cell in training if "phases" in cell]
    return ["## Where a step of berth goes", "", "Shares of rank 0's time. Reductions that run beside backward are counted in backward, too.", "",
            *table(["job", "precision", "ranks x threads", *PHASES[:3], "waiting for ranks and reductions", *PHASES[4:], "beside backward: reductions"], rows),
            "![Phases](phases.svg)", ""]


def scaling_table(training):
    speeds = {tuple(head_of(cell)): of(cell, "berth", "tokens_per_second") for cell in training}
    ratio = lambda a, b, ranks: f"{a['median'] / b['median'] / ranks:.2f}" if a and b else ""
    rows = []
    for name, mode in dict.fromkeys((cell["job"], cell["mode"]) for cell in training):
        one, two, threads = (speeds.get((name, mode, layout)) for layout in ("1 x 1", "2 x 1", "1 x 2"))
        if two and (one or threads):
            rows.append([name, mode, ratio(two, one, 2), ratio(threads, two, 1)])
    if not rows:
        return []
    return ["## More ranks", "", *table(["job", "precision", "two ranks of one thread against one rank (weak scaling)",
                                         "one rank of two threads against two of one"], rows)]


def other_table(others):
    rows = []
    for cell in others:
        theirs, ours = cell["programs"].get(cell["reference"], {}), cell["programs"].get("berth", {})
        what = ", ".join([cell["job"], *(f"{cell[key]:,} {key}" for key in ("texts", "tokens") if cell.get(key, 1) > 1)])
        loading = f" [{shown(theirs['without_loading'])}]" if "without_loading" in theirs else ""
        memory = " / ".join(shown(side.get("peak_mb")) or "-" for side in (ours, theirs))
        rows.append([what, layout_text(cell["ranks"]), shown(ours.get("seconds")), shown(theirs.get("seconds")) + loading, shown(cell["ratio"]), percent(cell["of_limit_needed"]), memory,
                     "" if cell["difference"] is None else f"{cell['difference']:.1e}"])
    return ["## Prediction, preparing", "",
            "Whole processes from start to end: sentences of SST-2 against transformers with sorted batches of 64, in brackets without loading; prepare of its 67,349 "
            "against encode_batch of Rust's tokenizers alone.", "",
            *table(["", "ranks x threads", "berth, s", "the other, s", "ratio", "of what is needed", "peak MB", "largest difference of probabilities"], rows)]


def markdown(found):
    machine, training = found["machine"], found["training"]
    lines = ["# berth beside what people use instead", "",
             f"`make bench` at {machine['commit']}: {machine['cpu']}, {machine['cores']} cores ({', '.join(machine['isa'])}), {machine['memory_gb']} GB; {machine['berth']}; "
             f"{machine['mpi']}; transformers {machine['transformers']}, torch {machine['torch']}, accelerate {machine['accelerate']}, tokenizers {machine['tokenizers']}.",
             "Medians of alternating rounds, with the least and the most of them; ratios are those within a round. "
             f"Load average before each run: {shown(found['load'])}; what else ran on this machine is in it.", ""]
    if training:
        lines += speed_table(training) + memory_table(training) + phase_table(training) + scaling_table(training)
    if found["others"]:
        lines += other_table(found["others"])
    if found["failed"]:
        lines += ["## Failed", "", *(f"- {run['job']} {run['mode']} {run['ranks']}, {run['program']}, round {run['round']}: {' '.join(run['error'].split())[:300]}"
                                     for run in found["failed"]), ""]
    return "\n".join(lines)


# --------------------------------------------------------------------------------------------------------------------------- plots

def plots(found, folder):
    import matplotlib
    matplotlib.use("svg")
    matplotlib.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "berth", "font.size": 8, "axes.spines.top": False, "axes.spines.right": False})
    from matplotlib import pyplot
    cells = [cell for cell in found["training"] if cell["programs"].get("berth")]
    label = lambda cell: f"{cell['job']} {cell['mode']} {layout_text(cell['ranks'])}"
    places = list(range(len(cells)))[::-1]

    def save(figure, name):
        figure.savefig(folder / name, metadata={"Date": None}, bbox_inches="tight")
        pyplot.close(figure)

    figure, (left, right) = pyplot.subplots(1, 2, figsize=(9, 0.6 + 0.24 * len(cells)), sharey=True)
    for axes, bars in ((left, (("to_default", "Trainer's default"), ("to_best", "its best sampler"))), (right, (("of_limit_full_model", "whole model"), ("of_limit_needed", "what is needed")))):
        for (value, text), shift in zip(bars, (0.19, -0.19)):
            known = [(place + shift, cell[value]) for place, cell in zip(places, cells) if cell.get(value)]
            middle = [v["median"] for _, v in known]
            error = [[m - v["least"] for m, (_, v) in zip(middle, known)], [v["most"] - m for m, (_, v) in zip(middle, known)]]
            axes.barh([place for place, _ in known], middle, 0.36, xerr=error if known else None, label=text, error_kw={"elinewidth": 0.6})
        axes.axvline(1, color="black", linewidth=0.6)
    left.set_yticks(places, map(label, cells))
    left.set_title("berth's speed, times that of …")
    right.set_title("share of the limit by matrix products")
    for axes in (left, right):
        axes.legend(frameon=False, loc="lower center", bbox_to_anchor=(0.5, -0.2 - 1.5 / (2 + len(cells))), ncols=2)
    save(figure, "speed.svg")

    figure, axes = pyplot.subplots(figsize=(7, 0.6 + 0.2 * len(cells)))
    begun = [0.0] * len(cells)
    for phase in PHASES:
        shares = [100 * cell["phases"][phase] for cell in cells]
        axes.barh(places, shares, 0.7, left=begun, label="waiting" if phase == "reduce" else phase)
        begun = [a + b for a, b in zip(begun, shares)]
    axes.set_yticks(places, map(label, cells))
    axes.set_xlabel("% of a step")
    axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(1, 1))
    save(figure, "phases.svg")


def rounded(value):
    """Numbers with six significant digits."""
    if isinstance(value, dict):
        return {key: rounded(one) for key, one in value.items()}
    if isinstance(value, list):
        return [rounded(one) for one in value]
    return float(f"{value:.6g}") if isinstance(value, float) else value


def write(machine, runs, folder):
    """Writes all of it into `folder`; the Markdown."""
    folder.mkdir(parents=True, exist_ok=True)
    found = summary(machine, runs)
    parts = [f'"{key}": ' + ("[\n" + ",\n".join(map(json.dumps, value)) + "\n]" if isinstance(value, list) else json.dumps(value)) for key, value in rounded(found).items()]
    (folder / "bench.json").write_text("{" + ",\n".join(parts) + "}\n", encoding="utf-8")
    text = markdown(found)
    (folder / "bench.md").write_text(text, encoding="utf-8")
    if any(cell["programs"].get("berth") for cell in found["training"]):
        plots(found, folder)
    return text
