"""bench.py's arguments and order, and what bench_table.py makes of runs: no program runs here, nothing but the standard library is needed."""
import contextlib, io, json, pathlib, sys, tempfile, unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import bench, bench_programs, bench_table


def run(program, turn, **found):
    cell = {"job": "sst2", "mode": "fp32", "ranks": "2", "program": program, "round": turn, "steps": 20, "load": 0.5}
    training = {"peak_mb": 100, "first_step_seconds": 1, "eval_samples_per_second": 9, "train_loss": 0.7, "eval_loss": 0.6, "accuracy": 0.5}
    if program == "berth":
        phases = {"data": 0, "forward": 2, "backward": 5, "reduce": 1, "optimizer": 1, "reduce_overlapped": 1, "all": 10}
        training |= {"flops_per_token": 64e6, "tokens_per_sample": 13.4, "phases": phases}
    found |= {key + "_cpu": 2 * value for key, value in found.items() if key in ("tokens_per_second", "gflops")}
    return cell | (training if program != "products" else {"micro_batch_tokens": 214}) | found


RUNS = [run("berth", 1, tokens_per_second=2000), run("berth", 2, tokens_per_second=1500),
        run("Trainer", 1, tokens_per_second=500), run("Trainer", 2, tokens_per_second=500),
        run("Trainer, group_by_length", 1, tokens_per_second=1000), run("Trainer, group_by_length", 2, tokens_per_second=500),
        run("Trainer, batch_rebalance", 1, error="exit codes [1]: out of memory"), run("Trainer, batch_rebalance", 2, tokens_per_second=700),
        run("products", 1, gflops=200), run("products", 2, gflops=150)]
MACHINE = {"commit": "abc1234", "cpu": "a CPU", "isa": ["avx2"], "cores": 2, "memory_gb": 8, "berth": "berth 0.1.0", "mpi": "MPI", "transformers": "5", "torch": "2",
           "accelerate": "1", "tokenizers": "0"}


class Table(unittest.TestCase):
    def setUp(self):
        self.found = bench_table.summary(MACHINE, RUNS)
        self.cell, = self.found["training"]

    def test_the_best_of_trainers_ways_is_compared_round_by_round(self):
        self.assertEqual(self.cell["best"], "Trainer, group_by_length")  # medians 750, 700, 500
        self.assertEqual(self.cell["to_best"], {"median": 2.5, "least": 2, "most": 3, "rounds": 2})
        self.assertEqual(self.cell["to_default"], {"median": 3.5, "least": 3, "most": 4, "rounds": 2})

    def test_the_limit_is_of_the_same_round(self):
        for ratios in (self.cell, self.cell["by_processor_time"]):
            self.assertAlmostEqual(ratios["of_limit_full_model"]["median"], 0.64)
        whole, needed = bench_table.flops_per_token(bench_programs.JOBS["sst2"], RUNS[0])
        self.assertEqual(whole, 64e6)
        # A sixth of the layers' matrices but for keys and values (2 of 12 parts), in 12.4 of 13.4 tokens, and the attention of as many queries.
        pairs = (64e6 - 36 * 12 * 384**2) / (72 * 384)
        self.assertAlmostEqual(needed, whole - 12.4 / 13.4 * 60 * 384**2 - 12 * 384 * (pairs - 1), delta=1)

    def test_what_failed_is_named_until_it_has_been_repeated(self):
        self.assertEqual([one["program"] for one in self.found["failed"]], ["Trainer, batch_rebalance"])
        again = [*RUNS, run("Trainer, batch_rebalance", 1, tokens_per_second=700)]
        self.assertEqual(bench_table.summary(MACHINE, again)["failed"], [])

    def test_markdown_has_a_row_for_each_cell(self):
        text = bench_table.markdown(self.found)
        self.assertIn("| sst2 | fp32 | 2 x 1 | 20 | 131 (112 to 149) |", text)
        self.assertIn("**2.5 (2 to 3)** | 64 % |", text)
        self.assertIn("| sst2 | fp32 | 2 x 1 | 0.0 % | 20.0 % | 50.0 % | 10.0 % | 10.0 % | 10.0 % | 10.0 % |", text)
        self.assertIn("- sst2 fp32 2, Trainer, batch_rebalance, round 1: exit codes [1]: out of memory", text)


class Arguments(unittest.TestCase):
    def refused(self, *arguments):
        with contextlib.redirect_stderr(io.StringIO()) as told, self.assertRaises(SystemExit) as ended:
            bench.options(arguments)
        self.assertEqual(ended.exception.code, 2)
        return told.getvalue()

    def test_what_is_wrong_is_named(self):
        self.assertIn("--jobs: sst3 is not known", self.refused("--jobs", "sst2,sst3"))
        self.assertIn("--ranks 0x2", self.refused("--ranks", "0x2"))
        self.assertIn("the first 5 of sst2 are left out", self.refused("--jobs", "sst2", "--steps", "5"))

    def test_programs_take_turns(self):
        cells = list(bench.cells_of(bench.options(["--jobs", "sst2,predict", "--modes", "bf16", "--ranks", "1,2", "--rounds", "2"])))
        one = [cell["program"] for cell in cells if (cell["job"], cell["ranks"]) == ("sst2", "1")]
        self.assertEqual(one, 2 * ["berth", "Trainer", "Trainer, group_by_length", "products"])
        self.assertEqual([cell["program"] for cell in cells if (cell["job"], cell["ranks"], cell["round"]) == ("sst2", "2", 2)],
                         ["berth", *bench_table.TRAINER, "products"])
        self.assertEqual([cell["program"] for cell in cells if cell["job"] == "predict"], 4 * ["transformers", "berth", "products"])

    def test_runs_of_another_commit_are_not_gone_on_with(self):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "runs.jsonl"
            self.assertEqual(bench.earlier_runs(path, MACHINE), [])
            with open(path, "a") as out:
                out.write(json.dumps(RUNS[0]) + "\n")
            self.assertEqual(bench.earlier_runs(path, MACHINE), RUNS[:1])
            with self.assertRaises(SystemExit) as ended:
                bench.earlier_runs(path, MACHINE | {"commit": "def5678"})
            self.assertIn("another commit", ended.exception.code)


if __name__ == "__main__":
    unittest.main()
