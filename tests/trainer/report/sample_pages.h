// Runs whose names, labels and texts try to be more than text, for the pages' tests.
#pragma once

#include <string>

#include "trainer/report/html.h"

namespace berth::report_test {

inline const std::string kHostile =
    "<script>alert(1)</script>\"'><img src=x onerror=alert(1)></style><a href=\"javascript:alert(1)\">\xE2\x80\xAE" +
    std::string(300, 'W');

// 50 samples of each of so many classes, 40 of them right, the others taken for the next class.
inline nlohmann::ordered_json classes(size_t number) {
  nlohmann::ordered_json analysis{{"split", "validation"}, {"samples", 50 * number}, {"step", 40}};
  auto& rows = analysis["classes"] = nlohmann::ordered_json::array();
  nlohmann::ordered_json names, cells;
  for (size_t c = 0; c < number; ++c) {
    const std::string name = c == 0 ? kHostile : "class_number_" + std::to_string(c);
    names.push_back(name);
    cells.push_back({c, c, 40});
    cells.push_back({c, (c + 1) % number, 10});
    rows.push_back({{"name", name}, {"precision", 0.8}, {"recall", 0.8}, {"f1", 0.8}, {"support", 50}, {"predicted", 50}});
  }
  analysis["confusion"] = {{"names", names}, {"cells", cells}};
  return analysis;
}

inline train::RunReport hostile_run(size_t number = 3) {
  train::RunReport run{.name = kHostile};
  for (const int step : {20, 40, 60}) {
    run.records.push_back({{"step", step}, {"epoch", step / 20.0}, {"loss", 20.0 / step}, {"learning_rate", 1e-5 * step}});
    run.records.push_back(
        {{"step", step}, {"epoch", step / 20.0}, {"eval_loss", 0.5}, {"eval_accuracy", step == 40 ? 0.8 : 0.7}});
  }
  run.eval_analysis = classes(number);
  run.eval_analysis["mistakes"] = {{{"row", 7},
                                    {"text", kHostile},
                                    {"text_pair", kHostile},
                                    {"actual", kHostile},
                                    {"predicted", {kHostile, "b"}},
                                    {"score", 0.99}}};
  run.eval_analysis["calibration"] = {
      {"error", 0.1}, {"bins", {{{"confidence", 0.55}, {"accuracy", 0.5}}, {{"confidence", 0.95}, {"accuracy", 0.8}}}}};
  run.eval_analysis["scores"] = {{"names", {"right", "wrong"}},
                                 {"counts", {{0, 0, 0, 0, 0, 9, 8, 7, 20, 76}, {0, 0, 0, 0, 0, 9, 6, 7, 5, 3}}}};
  run.provenance = {
      {"berth_version", "berth 0.1.0"},
      {"options", {{"model", kHostile}, {"seed", "1"}, {"metric-for-best-model", "accuracy"}}},
      {"changed_options", {"model"}},
      {"data", {{kHostile, std::string(64, 'a')}}},
      {"jobs",
       {{{"slurm_job_id", "17"},
         {"hosts", {"a", kHostile}},
         {"ranks", 2},
         {"train_batch_size", 8},
         {"started", "2026-01-01T00:00:00Z"},
         {"from_step", 0}},
        {{"slurm_job_id", "18"},
         {"hosts", {"a", "b"}},
         {"ranks", 2},
         {"train_batch_size", 8},
         {"started", "2026-01-01T01:00:00Z"},
         {"from_step", 30},
         {"seconds", {{"start", 2}, {"train", 60}, {"wait", 5}, {"evaluation", 9}, {"checkpoint", 3}, {"lost", 4}}}}}}};
  run.results = {
      {"train_runtime", 75.5}, {"train_samples_per_second", 123.4}, {"test_accuracy", 0.81}, {"train_device", "<b>cpu</b>"}};
  return run;
}

// Two learning rates, of which the second is better by 0.15, and two batch sizes, by 0.05.
inline nlohmann::ordered_json sweep() {
  nlohmann::ordered_json sweep{{"metric", "eval_accuracy"},
                               {"greater_is_better", true},
                               {"finished", true},
                               {"configurations", nlohmann::ordered_json::array()}};
  for (const auto& [rate, batch, value] :
       {std::tuple{"1e-5", "8", 0.6}, {"1e-5", "16", 0.65}, {"1e-4", "8", 0.75}, {"1e-4", "16", 0.8}}) {
    const nlohmann::ordered_json options{{"batch", batch}, {"learning-rate", rate}};
    sweep["trials"].push_back(
        {{"folder", kHostile}, {"options", options}, {"state", "done"}, {"step", 9}, {"metrics", {{"eval_accuracy", value}}}});
    const nlohmann::ordered_json configuration{{"options", options}, {"mean", value}, {"sd", nullptr},
                                               {"best", value},      {"runs", 1},     {"best_trial", kHostile}};
    sweep["configurations"].insert(sweep["configurations"].begin(), configuration);
  }
  return sweep;
}

}  // namespace berth::report_test
