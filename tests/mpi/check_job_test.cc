// berth check, whole: a job with nothing wrong, and jobs that would be ruined.
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "tests/support/tiny_job.h"

namespace berth::test {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

class CheckJob : public TinyJob {
 protected:
  static void SetUpTestSuite() {
    TinyJob::SetUpTestSuite();
    // Texts whole; and the training file once more to validate.
    prepare("whole.h5", "validation.csv");
    prepare("leaky.h5", "train.csv");
    fs::copy(at("model"), at("other_model"));
    std::ofstream(at("other_model") + "/vocab.txt", std::ios::app) << "more\n";
  }

  static std::string options(const std::string& model, const std::string& data, const std::string& run) {
    return " --model " + at(model) + " --data " + at(data) + " --output-dir " + at(run);
  }

  static std::set<std::string> files() {
    std::set<std::string> names;
    for (const auto& entry : fs::recursive_directory_iterator(dir_->path())) names.insert(entry.path().string());
    return names;
  }

  // What is found of `name`; more than one finding: the last.
  static Json finding(const Json& report, const std::string& name) {
    Json found;
    for (const Json& row : report["findings"])
      if (row["name"] == name) found = row;
    EXPECT_TRUE(found.is_object()) << name << " is not there: " << report.dump(1);
    return found;
  }
  static void expect_found(const Json& report, const std::string& name, const std::string& level, const std::string& text = "") {
    const Json row = finding(report, name);
    EXPECT_EQ(row["level"], level) << row;
    EXPECT_NE(row["found"].get<std::string>().find(text), std::string::npos) << row;
  }

 private:
  static void prepare(const std::string& data, const std::string& validation) {
    const JobResult result = run_berth("prepare --train-file " + at("train.csv") + " --validation-file " + at(validation) +
                                       " --tokenizer " + at("model") + " --max-length 64 --output " + at(data));
    ASSERT_EQ(result.exit_code, 0) << result.err;
  }
};

TEST_F(CheckJob, NothingIsWrong) {
  const auto before = files();
  const JobResult result =
      run_berth("check --json --eval-strategy epoch --num-train-epochs 2 --save-total-limit 1 --max-time 3600" +
                    options("model", "whole.h5", "runs/new"),
                2);
  ASSERT_EQ(result.exit_code, 0) << result.err << result.out;
  const Json report = Json::parse(result.out);
  EXPECT_TRUE(report["ok"]);
  for (const auto& [name, text] : {std::pair("data", "read by all 2 ranks, with the same content"),
                                   {"labels", "2 labels, "},
                                   {"truncation", "no sample was cut to 64 tokens"},
                                   {"duplicates", "no training sample occurs twice"},
                                   {"leakage", "none of 41 validation samples"},
                                   {"folder", "runs/new can be made"},
                                   {"model", "BertForSequenceClassification, "},
                                   {"run", "2 ranks of 1 thread; 16 samples a step, 16 steps, 2 epochs"},
                                   {"vocabulary", " tokens of the data set are the model's"},
                                   {"head", "LABEL_0, LABEL_1"},
                                   {"disk", "checkpoint"},
                                   {"time", "16 steps of "}})
    expect_found(report, name, "ok", text);
  EXPECT_NE(finding(report, "time")["found"].get<std::string>().find("2 evaluations of "), std::string::npos);
  // What the machine and what else it does decide: told, whatever comes of it.
  for (const auto& [name, text] : {std::pair("versions", ""),
                                   {"cores", "rank"},
                                   {"memory", "the largest micro-batch, 8 samples with "},
                                   {"communicator", "an all-reduce of "}}) {
    const Json row = finding(report, name);
    EXPECT_NE(row["level"], "error") << row;
    EXPECT_NE(row["found"].get<std::string>().find(text), std::string::npos) << row;
  }
  EXPECT_EQ(files(), before) << "nothing is written";
}

// Each of them is found, though berth train would end at the first; in its words.
TEST_F(CheckJob, AllThatIsWrongIsFoundAtOnce) {
  const auto before = files();
  const std::string bad = options("other_model", "leaky.h5", "train.csv/run");
  const JobResult result = run_berth("check --json" + bad, 2);
  EXPECT_EQ(result.exit_code, 3) << result.err;
  const Json report = Json::parse(result.out);
  EXPECT_FALSE(report["ok"]);
  expect_found(report, "leakage", "error", "125 of 125 validation samples (100 %)");
  expect_found(report, "folder", "error", "cannot be made: Not a directory");
  expect_found(report, "run", "error", "was prepared with another vocabulary");
  expect_found(report, "time", "unknown", "not known: the run cannot be set up");
  for (const auto& [name, its_options] :
       {std::pair("folder", bad), std::pair("run", options("other_model", "leaky.h5", "runs/other"))}) {
    const JobResult train = run_berth("train" + its_options);
    EXPECT_EQ(train.exit_code, 3);
    EXPECT_NE(train.err.find("berth: " + finding(report, name)["found"].get<std::string>() + "\n"), std::string::npos)
        << train.err;
  }
  fs::remove_all(at("runs"));
  EXPECT_EQ(files(), before);
}

// As people read it: a line a finding, plain where there is no terminal.
TEST_F(CheckJob, TooLittleTime) {
  const JobResult result = run_berth("check --max-time 1 --eval-strategy epoch" + options("model", "whole.h5", "runs/new"));
  EXPECT_EQ(result.exit_code, 3) << result.out;
  std::istringstream in(result.out);
  std::string line, time, last;
  while (std::getline(in, line)) {
    if (line.starts_with("error") && line.find(" time ") != std::string::npos) time = line;
    last = line;
  }
  EXPECT_NE(time.find("too little for one step and a checkpoint; remedy: a longer job"), std::string::npos) << result.out;
  EXPECT_NE(last.find("1 error, "), std::string::npos) << last;
  EXPECT_EQ(result.out.find('\x1b'), std::string::npos);
  EXPECT_EQ(run_berth("check --learning-rate -1" + options("model", "whole.h5", "run")).exit_code, 2);
}

}  // namespace
}  // namespace berth::test
