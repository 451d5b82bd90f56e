// What is done with a trained model: evaluated and asked, on any number of ranks.
#include <csignal>
#include <fstream>
#include <sstream>

#include "data/check.h"
#include "tests/support/tiny_job.h"

namespace berth::test {
namespace {

class UseJob : public TinyJob {
 protected:
  static void SetUpTestSuite() {
    TinyJob::SetUpTestSuite();
    ASSERT_EQ(train("run", "--max-steps 6 --save-strategy no").exit_code, 0);
  }

  static nlohmann::json evaluate(int ranks) {
    const JobResult result = run_berth("evaluate --model " + at("run") + " --data " + at("data.h5"), ranks);
    EXPECT_EQ(result.exit_code, 0) << result.err;
    nlohmann::json metrics = nlohmann::json::parse(result.out);
    for (const char* timed : {"eval_runtime", "eval_samples_per_second", "eval_steps_per_second"}) metrics.erase(timed);
    return metrics;
  }
};

TEST_F(UseJob, TheSameMetricsOnAnyRankCount) {
  const nlohmann::json one = evaluate(1);
  EXPECT_EQ(one["eval_samples"], 41);
  for (int ranks : {2, 3, 5, 8}) EXPECT_EQ(evaluate(ranks), one) << ranks << " ranks";
}

TEST_F(UseJob, EvaluationOfARunIsThatOfItsEnd) {
  ASSERT_EQ(train("evaluated", "--max-steps 6 --save-strategy no --eval-strategy steps --eval-steps 6").exit_code, 0);
  const auto results = nlohmann::json::parse(read_bytes(at("evaluated") + "/eval_results.json"));
  const auto separate = nlohmann::json::parse(run_berth("evaluate --model " + at("evaluated") + " --data " + at("data.h5")).out);
  EXPECT_EQ(separate["eval_loss"], results["eval_loss"]);
  EXPECT_EQ(separate["eval_accuracy"], results["eval_accuracy"]);
}

// Metrics on standard output, for scripts; tables on standard error, for people; each row's prediction where it is asked for.
TEST_F(UseJob, EvaluateTellsWhatItsMetricsAreMadeOf) {
  const JobResult result = run_berth("evaluate --model " + at("run") + " --data " + at("data.h5") + " --output-dir " +
                                         at("told") + " --predictions-file " + at("told/told.jsonl"),
                                     2);
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const auto metrics = nlohmann::json::parse(result.out);
  EXPECT_NE(result.err.find("are those of positive"), std::string::npos) << result.err;
  EXPECT_NE(result.err.find("| actual \\ predicted | negative | positive |"), std::string::npos) << result.err;
  const auto lines = read_jsonl(at("told/told.jsonl"));
  ASSERT_EQ(lines.size(), 41u);
  double right = 0;
  for (size_t i = 0; i < lines.size(); ++i) {
    right += lines[i]["actual"] == lines[i]["predicted"];
    EXPECT_EQ(lines[i]["row"], i + 1);
  }
  EXPECT_DOUBLE_EQ(right / 41, metrics["eval_accuracy"]);
  const JobResult unwritable =
      run_berth("evaluate --model " + at("run") + " --data " + at("data.h5") + " --predictions-file /not/there/told.jsonl");
  EXPECT_EQ(unwritable.exit_code, 3) << unwritable.err;
  const std::string data = read_bytes(at("data.h5"));
  const JobResult over_data =
      run_berth("evaluate --model " + at("run") + " --data " + at("data.h5") + " --predictions-file " + at("model/../data.h5"));
  EXPECT_EQ(over_data.exit_code, 2) << over_data.err;
  const JobResult csv =
      run_berth("evaluate --model " + at("run") + " --data " + at("data.h5") + " --predictions-file " + at("told.csv"));
  EXPECT_EQ(csv.exit_code, 2) << csv.err;
  EXPECT_TRUE(read_bytes(at("data.h5")) == data);
}

TEST_F(UseJob, PredictionsKeepTheOrderOfTheInputOnAnyRankCount) {
  const std::string command = "predict --logits --model " + at("run") + " --input " + at("validation.csv") + " --output ";
  ASSERT_EQ(run_berth(command + at("one.jsonl"), 1).exit_code, 0);
  ASSERT_EQ(run_berth(command + at("three.jsonl"), 3).exit_code, 0);
  EXPECT_EQ(read_bytes(at("one.jsonl")), read_bytes(at("three.jsonl")));
  const auto lines = read_jsonl(at("one.jsonl"));
  ASSERT_EQ(lines.size(), 41u);
  for (size_t i = 0; i < lines.size(); ++i) EXPECT_EQ(lines[i]["row"], i + 1);
  EXPECT_EQ(lines[0]["logits"].size(), 2u);
  EXPECT_NEAR(lines[0]["scores"]["positive"].get<double>() + lines[0]["scores"]["negative"].get<double>(), 1, 1e-9);
  // Cut where training cut.
  std::filesystem::copy(at("run"), at("short"));
  auto config = nlohmann::json::parse(read_bytes(at("short/config.json")));
  EXPECT_EQ(config["berth_max_length"], 32);
  config["berth_max_length"] = 5;
  write_bytes(at("short/config.json"), config.dump());
  ASSERT_EQ(
      run_berth("predict --logits --model " + at("short") + " --input " + at("validation.csv") + " --output " + at("five.jsonl"))
          .exit_code,
      0);
  ASSERT_EQ(run_berth(command + at("asked.jsonl") + " --max-length 5").exit_code, 0);
  EXPECT_EQ(read_bytes(at("five.jsonl")), read_bytes(at("asked.jsonl")));
  EXPECT_NE(read_bytes(at("five.jsonl")), read_bytes(at("one.jsonl")));
  const std::string texts = read_bytes(at("validation.csv"));
  const JobResult over_input = run_berth(command + at("model/../validation.csv"));
  EXPECT_EQ(over_input.exit_code, 2) << over_input.err;
  EXPECT_EQ(read_bytes(at("validation.csv")), texts);
}

TEST_F(UseJob, PredictionsAreCsvWhereTheFilesNameSaysSo) {
  std::ofstream lines(at("with_ids.csv"));
  lines << "id,label,text,note\na1,negative,\"ban, bas\",\"two\nlines\"\n007,,tus,\n";
  lines.close();
  const std::string command = "predict --model " + at("run") + " --input ";
  const JobResult told = run_berth(command + at("with_ids.csv") + " --output " + at("told.csv"), 2);
  ASSERT_EQ(told.exit_code, 0) << told.err;
  EXPECT_NE(told.err.find("with_ids.csv: columns text: text, label: label (guessed)"), std::string::npos) << told.err;
  ASSERT_EQ(run_berth(command + at("with_ids.csv") + " --output " + at("same.jsonl")).exit_code, 0);
  const auto same = read_jsonl(at("same.jsonl"));
  ASSERT_EQ(same.size(), 2u);
  EXPECT_EQ(same[0]["text"], "ban, bas");
  EXPECT_EQ(same[0]["input"].dump(), R"({"id":"a1","label":"negative","note":"two\nlines"})");
  const auto cells = [&](size_t i) {
    const nlohmann::json& line = same[i];
    return concat(line["label"].get<std::string>(), ",", line["score"].dump(), ",", line["scores"]["negative"].dump(), ",",
                  line["scores"]["positive"].dump(), "\n");
  };
  EXPECT_EQ(read_bytes(at("told.csv")),
            "id,label,text,note,predicted_label,score,scores.negative,scores.positive\n"
            "a1,negative,\"ban, bas\",\"two\nlines\"," +
                cells(0) + "007,,tus,," + cells(1));
  ASSERT_EQ(run_berth("predict --model " + at("run") + " --text ban --output " + at("plain.csv")).exit_code, 0);
  EXPECT_TRUE(read_bytes(at("plain.csv")).starts_with("row,text,label,score,scores.negative,scores.positive\n1,ban,"));
}

TEST_F(UseJob, PairsAndSingleTextsAreAskedAsTheyWereTrained) {
  std::ofstream pairs(at("pairs.csv"));
  pairs << "text,text_pair,label\n";
  for (int i = 0; i < 16; ++i) pairs << "ban,tus," << (i % 2 == 0 ? "positive" : "negative") << "\n";
  pairs.close();
  ASSERT_EQ(run_berth("prepare --train-file " + at("pairs.csv") + " --tokenizer " + at("model") + " --max-length 32 --output " +
                      at("pairs.h5"))
                .exit_code,
            0);
  ASSERT_EQ(run_berth("train --max-steps 1 --save-strategy no --model " + at("model") + " --data " + at("pairs.h5") +
                      " --output-dir " + at("pairs"))
                .exit_code,
            0);
  const std::string one = " --text ban", two = one + " --text-pair tus", alone = " --text-column text --input " + at("pairs.csv");
  EXPECT_EQ(run_berth("predict --model " + at("pairs") + two).exit_code, 0);
  for (const std::string& asked : {one, alone}) {
    const JobResult result = run_berth("predict --model " + at("pairs") + asked);
    EXPECT_EQ(result.exit_code, 3);
    EXPECT_NE(result.err.find("row 1: one text, but " + at("pairs") + " was trained on pairs: "), std::string::npos)
        << result.err;
  }
  const std::string evaluate = "evaluate --split train --data " + at("pairs.h5") + " --model ";
  EXPECT_EQ(run_berth(evaluate + at("pairs")).exit_code, 0);
  const JobResult other = run_berth(evaluate + at("run"));
  EXPECT_EQ(other.exit_code, 3);
  EXPECT_NE(other.err.find("pairs.h5: holds pairs of texts, but " + at("run") + " was trained on single texts: "),
            std::string::npos)
      << other.err;
  const JobResult result = run_berth("predict --model " + at("run") + two);
  EXPECT_EQ(result.exit_code, 3);
  EXPECT_NE(result.err.find("row 1: two texts, but " + at("run") + " was trained on single texts: "), std::string::npos)
      << result.err;
}

// More records than are in memory at a time (4096), of very different lengths, from standard input.
TEST_F(UseJob, StandardInputIsPredictedInOrderWhateverItsSize) {
  std::ofstream lines(at("many.txt"));
  for (int i = 0; i < 4500; ++i) lines << (i % 2 == 0 ? "ban bas" : "tus") << " " << std::string(i % 13, 'a') << "\n";
  lines.close();
  const std::string command = "predict --max-length 8 --per-device-eval-batch-size 64 --model " + at("run") + " --output ";
  const JobResult piped = run_berth(command + at("piped.jsonl") + " --input - < " + at("many.txt"), 2);
  ASSERT_EQ(piped.exit_code, 0) << piped.err;
  ASSERT_EQ(run_berth(command + at("read.jsonl") + " --input " + at("many.txt")).exit_code, 0);
  EXPECT_TRUE(read_bytes(at("piped.jsonl")) == read_bytes(at("read.jsonl")));
  const auto records = read_jsonl(at("piped.jsonl"));
  ASSERT_EQ(records.size(), 4500u);
  for (size_t i = 0; i < records.size(); ++i) ASSERT_EQ(records[i]["row"], i + 1);
  const JobResult jsonl = run_berth("predict --input-format jsonl --input - --model " + at("run") + " --output " +
                                    at("jsonl.jsonl") + " < " + at("read.jsonl"));
  ASSERT_EQ(jsonl.exit_code, 0) << jsonl.err;
  EXPECT_EQ(read_jsonl(at("jsonl.jsonl")).size(), 4500u) << "what predict writes, it reads";
}

// The shell keeps the pipe open, so predict waits for more.
TEST_F(UseJob, ASignalEndsThePredictionThatWaitsForInput) {
  const std::string fifo = at("fifo"), out = at("stopped.jsonl");
  const JobResult stopped =
      run_shell("mkfifo " + fifo + "; exec 3<>" + fifo + "; timeout 100 " + berth_program() + " predict --model " + at("run") +
                " --input - --output " + out + " <" + fifo + " & seq 100 >" + fifo + "; until ls " + out +
                "*.tmp-berth-* >/dev/null 2>&1; do sleep 0.05; done; kill -TERM $!; wait $!");
  EXPECT_EQ(stopped.exit_code, 143) << stopped.err;
  EXPECT_NE(stopped.err.find("stopped on request"), std::string::npos) << stopped.err;
}

TEST_F(UseJob, PredictionsThatCannotBeWrittenLeaveOtherFilesAlone) {
  for (const char* name : {"mine", "mine.tmp"}) std::ofstream(at(name)) << name;
  const JobResult full =
      run_berth("predict --model " + at("run") + " --input " + at("validation.csv") + " --output " + at("mine"), 2,
                {{"BERTH_FAILPOINT", "write:ENOSPC"}});
  EXPECT_EQ(full.exit_code, 3);
  EXPECT_NE(full.err.find(at("mine") + ": cannot be written: No space left on device"), std::string::npos) << full.err;
  for (const char* name : {"mine", "mine.tmp"}) EXPECT_EQ(read_bytes(at(name)), name);
  for (const auto& entry : std::filesystem::directory_iterator(dir_->path()))
    EXPECT_FALSE(entry.path().filename().string().starts_with("mine.tmp-")) << entry.path();
}

TEST_F(UseJob, ResultsThatStandardOutputDoesNotTakeAreAnError) {
  for (const std::string& command :
       {"evaluate --data " + at("data.h5") + " --model " + at("run"), "predict --text ban --output - --model " + at("run"),
        "predict --text ban --model " + at("run"), "inspect " + at("run")}) {
    const JobResult full = run_shell(berth_program() + " " + command + " >/dev/full");
    EXPECT_EQ(full.exit_code, 1) << command << "\n" << full.err;
    EXPECT_NE(full.err.find("standard output cannot be written"), std::string::npos) << full.err;
  }
}

TEST_F(UseJob, AnEnsembleAveragesProbabilities) {
  ASSERT_EQ(train("other", "--max-steps 6 --save-strategy no --seed 3").exit_code, 0);
  const auto scores = [&](const std::string& models) {
    const JobResult result = run_berth("predict --input " + at("validation.csv") + " --output " + at("e.jsonl") + models, 2);
    EXPECT_EQ(result.exit_code, 0) << result.err;
    std::vector<double> positive;
    for (const auto& record : read_jsonl(at("e.jsonl"))) positive.push_back(record["scores"]["positive"]);
    return positive;
  };
  const std::string one = " --model " + at("run"), two = " --model " + at("other");
  const auto a = scores(one), b = scores(two), both = scores(one + two);
  ASSERT_EQ(both.size(), 41u);
  EXPECT_NE(a, b);
  for (size_t i = 0; i < both.size(); ++i) EXPECT_NEAR(both[i], (a[i] + b[i]) / 2, 1e-12);
  const JobResult unlike = run_berth("predict --text x" + one + " --model " + at("model"));
  EXPECT_EQ(unlike.exit_code, 3);
  EXPECT_NE(unlike.err.find("its list of labels is not that of"), std::string::npos) << unlike.err;
}

TEST_F(UseJob, SeveralLabelsInACellAndThresholdsOfTheirOwn) {
  std::ofstream csv(at("topics.csv"));
  csv << "text,labels\n";
  for (int i = 0; i < 60; ++i) csv << (i % 3 == 0 ? "ban bas,sun; sea\n" : i % 3 == 1 ? "tus tut,snow\n" : "den dan,\n");
  csv.close();
  const JobResult prepared =
      run_berth("prepare --max-length 32 --task multi-label --label-separator \";\" --train-file " + at("topics.csv") +
                " --validation-file " + at("topics.csv") + " --tokenizer " + at("model") + " --output " + at("topics.h5"));
  ASSERT_EQ(prepared.exit_code, 0) << prepared.err;
  EXPECT_NE((prepared.out + prepared.err).find("sea 20, snow 20, sun 20"), std::string::npos) << prepared.out << prepared.err;
  EXPECT_EQ((prepared.out + prepared.err).find("no label"), std::string::npos) << "an empty cell is a row without labels";
  ASSERT_EQ(run_berth("train --ignore-mismatched-sizes --model " + at("model") + " --data " + at("topics.h5") + " --output-dir " +
                      at("topics") + " --max-steps 60 --learning-rate 5e-3 --save-strategy no --disable-tqdm")
                .exit_code,
            0);
  const auto measure = [&](const std::string& options) {
    const JobResult result = run_berth("evaluate --model " + at("topics") + " --data " + at("topics.h5") + options);
    EXPECT_EQ(result.exit_code, 0) << result.err;
    return nlohmann::json::parse(result.out);
  };
  EXPECT_EQ(measure("")["eval_roc_auc_macro"], 1);
  EXPECT_EQ(measure("")["eval_f1_micro"], 1);
  const auto strict = measure(" --thresholds sun=1,sea=1");
  EXPECT_EQ(strict["eval_precision_micro"], 1);
  EXPECT_NEAR(strict["eval_recall_micro"].get<double>(), 1. / 3, 1e-12);
  EXPECT_EQ(measure(" --thresholds 0")["eval_recall_macro"], 1);
  const std::string data = " --data " + at("topics.h5"), model = " --model " + at("topics"),
                    rain = " --thresholds sun=1,rain=0.5";
  for (const std::string& command : {"predict --input " + at("topics.csv") + " --output " + at("rain") + model,
                                     "evaluate --output-dir " + at("rain") + data + model,
                                     "train --output-dir " + at("rain") + data + " --model " + at("model")}) {
    const JobResult unknown = run_berth(command + rain);
    EXPECT_EQ(unknown.exit_code, 2) << command;
    EXPECT_NE(unknown.err.find("'rain=0.5' is for a label that the model does not have"), std::string::npos) << unknown.err;
    for (const char* name : {"rain/eval_results.json", "rain/metrics.jsonl", "rain/model.safetensors"})
      EXPECT_FALSE(std::filesystem::exists(at(name))) << command << ": " << name;
    EXPECT_FALSE(std::filesystem::is_regular_file(at("rain")));
    for (const auto& entry : std::filesystem::directory_iterator(dir_->path()))
      EXPECT_FALSE(entry.path().filename().string().starts_with("rain.tmp")) << command << ": " << entry.path();
  }
  const JobResult people = run_berth("predict --text \"ban bas\" --thresholds sea=1 --model " + at("topics"));
  EXPECT_EQ(people.out.substr(0, 31), "Text: ban bas => Labels: sun (0") << people.out;
  const JobResult json = run_berth("predict --text \"ban bas\" --output - --model " + at("topics"));
  EXPECT_EQ(nlohmann::json::parse(json.out)["labels"], nlohmann::json({"sea", "sun"})) << json.out;
  const JobResult one_label = run_berth("predict --text x --thresholds 0.4 --model " + at("run"));
  EXPECT_EQ(one_label.exit_code, 2);
  EXPECT_NE(one_label.err.find("--thresholds is for multi-label models"), std::string::npos) << one_label.err;
}

// An input without end, of which the signal comes when predict has opened it; the exit code is not 75, on which a batch script
// starts again.
TEST_F(UseJob, PredictThatASignalStopsEndsAsAnyProgram) {
  for (const std::string& launch : {std::string(), std::string("mpiexec --oversubscribe -n 2 ")}) {
    const JobResult stopped =
        run_shell("cd " + dir_->path().string() +
                      " && rm -f endless.csv opened && mkfifo endless.csv && { { exec 3>endless.csv; touch opened; while cat "
                      "train.csv >&3; " +
                      "do :; done; } & } 2>/dev/null; " + launch + berth_program() +
                      " predict --model run --input endless.csv --output stopped.jsonl & job=$!; " +
                      "until [ -e opened ]; do sleep 0.01; kill -0 $job || break; done; kill -USR1 $job; wait $job",
                  {{"OMPI_ALLOW_RUN_AS_ROOT", "1"}, {"OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1"}});
    EXPECT_EQ(stopped.exit_code, 128 + SIGUSR1) << stopped.err;
    EXPECT_NE(stopped.err.find("berth: stopped on request; the predictions are not complete\n"), std::string::npos)
        << stopped.err;
    for (const auto& entry : std::filesystem::directory_iterator(dir_->path()))
      EXPECT_EQ(entry.path().filename().string().find("stopped.jsonl"), std::string::npos);
  }
}

// The output folder is made before the first batch; all of them together take a minute.
TEST_F(UseJob, EvaluateThatASignalStopsEndsAsAnyProgram) {
  write_tiny_reviews(at("long.csv"), 200'000);
  ASSERT_EQ(run_berth("prepare --train-file " + at("long.csv") + " --tokenizer " + at("model") + " --max-length 32 --output " +
                      at("long.h5"))
                .exit_code,
            0);
  const JobResult stopped = run_shell("cd " + dir_->path().string() + "; " + berth_program() +
                                      " evaluate --model run --data long.h5 --split train --output-dir stopped "
                                      "--per-device-eval-batch-size 1 & job=$!; " +
                                      "until [ -e stopped ]; do sleep 0.01; kill -0 $job || break; done; kill -USR1 $job; wait "
                                      "$job");
  EXPECT_EQ(stopped.exit_code, 128 + SIGUSR1) << stopped.err;
  EXPECT_EQ(stopped.out, "");
  EXPECT_NE(stopped.err.find("berth: stopped on request; there are no metrics\n"), std::string::npos) << stopped.err;
  EXPECT_TRUE(std::filesystem::is_empty(at("stopped")));
}

TEST_F(UseJob, TextsOfTheCommandLineArePrintedForPeople) {
  const JobResult result = run_berth("predict --model " + at("run") + " --text \"ban bas\" --text \"tus tut\"");
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(result.out.substr(0, 25), "Text: ban bas => Label: " + result.out.substr(24, 1));
  EXPECT_EQ(std::count(result.out.begin(), result.out.end(), '\n'), 2);
}

TEST_F(UseJob, TheRunFolderHoldsWhatHuggingFacesTrainerWrites) {
  ASSERT_EQ(train("folder", "--max-steps 6 --save-steps 3 --save-total-limit 1 --eval-strategy steps --eval-steps 3").exit_code,
            0);
  for (const char* name :
       {"config.json", "model.safetensors", "vocab.txt", "tokenizer_config.json", "train_results.json", "eval_results.json",
        "all_results.json", "trainer_state.json", "metrics.jsonl", "berth.log", "provenance.json", "README.md", "tensorboard",
        "checkpoint-6/optimizer.safetensors", "checkpoint-6/manifest.json"})
    EXPECT_TRUE(std::filesystem::exists(at("folder") + "/" + name)) << name;
  EXPECT_FALSE(std::filesystem::exists(at("folder") + "/checkpoint-3")) << "--save-total-limit 1";
  const auto all = nlohmann::json::parse(read_bytes(at("folder") + "/all_results.json"));
  for (const char* name : {"train_loss", "train_runtime", "train_samples_per_second", "train_steps_per_second", "epoch",
                           "eval_loss", "eval_accuracy"})
    EXPECT_TRUE(all.contains(name)) << name;
  const auto config = nlohmann::json::parse(read_bytes(at("folder") + "/config.json"));
  EXPECT_EQ(config["id2label"], (nlohmann::json{{"0", "negative"}, {"1", "positive"}}));
}

TEST_F(UseJob, TheModelCardsCommandMakesTheSameModel) {
  std::ofstream(at("card.json")) << R"({"max_steps": 6, "seed": 3, "freeze": ["embeddings", "layer.0"], "disable_tqdm": true})";
  const std::string run = at("a run");
  std::filesystem::create_directory(run);
  std::ofstream(run + "/README.md") << "mine";
  const std::string command =
      "train --config " + at("card.json") + " --model " + at("model") + " --data " + at("data.h5") + " --output-dir \"" + run +
      "\" --eval-strategy steps --eval-steps 3 --learning-rate 0.05 --load-best-model-at-end --save-steps 3";
  ASSERT_EQ(run_berth(command).exit_code, 0);
  EXPECT_EQ(read_bytes(run + "/README.md"), "mine");
  const std::string model = read_bytes(run + "/model.safetensors");
  std::filesystem::remove(run + "/README.md");
  ASSERT_EQ(run_berth(command + " --overwrite-output-dir").exit_code, 0);
  const std::string card = read_bytes(run + "/README.md");
  const size_t begin = card.find("\nberth train "), end = card.find('\n', begin + 1);
  ASSERT_NE(begin, std::string::npos) << card;
  EXPECT_NE(card.find("\nberth prepare --train-file "), std::string::npos) << card;
  EXPECT_NE(card.find("| negative | "), std::string::npos) << card;
  const auto state = nlohmann::json::parse(read_bytes(run + "/trainer_state.json"));
  std::string best;
  for (const auto& record : state["log_history"])
    if (record.contains("eval_loss") && record["step"] == state["best_global_step"]) best = record["eval_loss"].dump();
  EXPECT_NE(card.find("\n- loss: " + best + "\n"), std::string::npos) << card;
  ASSERT_EQ(run_shell(berth_program() + card.substr(begin + 6, end - begin - 6)).exit_code, 0) << card;
  EXPECT_TRUE(read_bytes(run + "/model.safetensors") == model);
}

TEST_F(UseJob, TheBestModelIsKeptAndLoadedAtTheEnd) {
  // A learning rate this high ends worse than it once was.
  const JobResult result =
      train("best",
            "--max-steps 12 --learning-rate 0.05 --eval-strategy steps --eval-steps 2 --save-strategy steps --save-steps 2 "
            "--save-total-limit 1 --load-best-model-at-end");
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const auto state = nlohmann::json::parse(read_bytes(at("best") + "/trainer_state.json"));
  const std::string best = state["best_model_checkpoint"];
  double lowest = 1e9;
  for (const auto& record : read_jsonl(at("best") + "/metrics.jsonl"))
    if (record.contains("eval_loss")) lowest = std::min(lowest, record["eval_loss"].get<double>());
  EXPECT_EQ(state["best_metric"].get<double>(), lowest);
  ASSERT_LT(state["best_global_step"], 12) << "the test needs a best model that is not the last one";
  EXPECT_FALSE(read_bytes(at("best") + "/model.safetensors") == read_bytes(at("best") + "/checkpoint-12/model.safetensors"));
  EXPECT_TRUE(read_bytes(at("best") + "/model.safetensors") == read_bytes(at("best") + "/" + best + "/model.safetensors"));
}

TEST_F(UseJob, EarlyStoppingEndsTheRun) {
  const JobResult result = train("early",
                                 "--max-steps 40 --learning-rate 0.05 --eval-strategy steps --eval-steps 2 --save-strategy no "
                                 "--early-stopping-patience 2 --early-stopping-threshold 10");
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(nlohmann::json::parse(read_bytes(at("early") + "/trainer_state.json"))["global_step"], 6);
}

TEST_F(UseJob, OptionsComeFromAFileAndInEitherSpelling) {
  std::ofstream(at("options.json"))
      << R"({"max_steps": 2, "per_device_train_batch_size": 4, "bf16": false, "save_strategy": "no"})";
  std::ofstream(at("options.toml")) << "max_steps = 2\nper-device-train-batch-size = 4\nsave_strategy = \"no\"\n";
  ASSERT_EQ(train("from_json", "--config " + at("options.json")).exit_code, 0);
  ASSERT_EQ(train("from_toml", "--config=" + at("options.toml")).exit_code, 0);
  ASSERT_EQ(train("from_line", "--max_steps 2 --per_device_train_batch_size 4 --bf16 False --save-strategy no").exit_code, 0);
  const std::string model = read_bytes(at("from_line") + "/model.safetensors");
  EXPECT_TRUE(read_bytes(at("from_json") + "/model.safetensors") == model);
  EXPECT_TRUE(read_bytes(at("from_toml") + "/model.safetensors") == model);
  ASSERT_EQ(train("line_wins", "--config " + at("options.json") + " --max-steps 3").exit_code, 0);
  EXPECT_EQ(nlohmann::json::parse(read_bytes(at("line_wins") + "/trainer_state.json"))["global_step"], 3);
}

}  // namespace
}  // namespace berth::test
