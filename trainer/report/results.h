// The result files that Hugging Face's save_metrics writes: train_results.json, eval_results.json, and all_results.json, which
// gathers them. Sorted keys, four spaces.
#pragma once

#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <string>

#include "trainer/report/report.h"

namespace berth::train {

// Writes `folder`/`split`_results.json and merges the values into all_results.json. `split` is "train", "eval", "test".
void write_results(const std::filesystem::path& folder, const std::string& split, const Metrics& values);

// Writes `folder`/`split`_analysis.json: which samples and model it is about, then what trainer/tasks/analysis.h describes.
void write_analysis(const std::filesystem::path& folder, const std::string& split, nlohmann::ordered_json about,
                    const nlohmann::ordered_json& analysis);

// Writes each report's results as it comes: train_results.json at the end of the run, eval_results.json after each evaluation. What
// cannot be written is tried again with the next ones and at the end; the first failure is a warning, and what is lost then.
class ResultsSink : public Sink {
 public:
  explicit ResultsSink(std::filesystem::path folder) : folder_(std::move(folder)) {}
  ~ResultsSink() override;
  ResultsSink(const ResultsSink&) = delete;
  ResultsSink& operator=(const ResultsSink&) = delete;
  void log(const LogReport&) override {}
  void eval(const EvalReport& report) override;
  void finish(const TrainSummary& summary) override;

 private:
  void write(const std::string& split, nlohmann::json values);
  void write_waiting();

  std::filesystem::path folder_;
  std::map<std::string, nlohmann::json> waiting_;  // by split
  std::string failure_;                            // "": they were written
};

}  // namespace berth::train
