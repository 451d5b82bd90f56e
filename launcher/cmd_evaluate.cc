#include "launcher/cmd_evaluate.h"

#include <iostream>
#include <nlohmann/json.hpp>

#include "data/check.h"
#include "data/files/files.h"
#include "data/json/json.h"
#include "data/store/folds.h"
#include "launcher/signals.h"
#include "trainer/comm/agree.h"
#include "trainer/report/metrics_file.h"
#include "trainer/report/results.h"
#include "trainer/run/train_options.h"
#include "trainer/sweep/sweep_folder.h"
#include "trainer/use/evaluate.h"
#include "trainer/use/load_model.h"

namespace berth::launch {

int run_evaluate(const EvaluateCommand& command, const std::string& log_level) {
  check_range("--per-device-eval-batch-size", command.per_device_eval_batch_size, 1, train::kMostBatch);
  check_usage(command.max_eval_samples >= -1 && command.max_eval_samples != 0,
              "--max-eval-samples must be positive, or -1 for all; got ", command.max_eval_samples);
  command.predictions.validate();
  command.masks.validate();
  command.precision.validate();
  return on_all_ranks(command.device, log_level, [&](Rank& rank) {
    comm::Communicator& comm = rank.comm;
    train::set_precision(command.precision, comm);
    comm::agree(comm, [&] {
      const std::vector<std::string> members = train::ensemble_members(command.model);
      check_usage(members[0] == command.model, command.model, " is a sweep: name one of its trials, ", members[0], " say");
    });
    std::unique_ptr<data::Dataset> dataset;
    std::unique_ptr<data::Split> split;
    comm::agree(comm, [&] {
      dataset = data::Dataset::open(command.data);
      split = command.fold ? data::open_fold(*dataset, *command.fold).fold : dataset->split(command.split);
    });
    const train::LoadedModel loaded = train::load_model_for(*dataset, command.model, command.precision, comm);
    comm::agree(comm, [&] { loaded.task().check_options(command.predictions, loaded.config().label_names); });
    comm::agree_on_root(comm, [&] {
      std::error_code error;
      if (!command.output_dir.empty()) std::filesystem::create_directories(command.output_dir, error);
      check(!error, "--output-dir ", command.output_dir.string(), ": cannot be made: ", error.message());
    });
    const data::BatchTransform transform = loaded.task().transform(loaded.tokenizer->vocab(), command.masks);
    const train::EvalResult result = train::evaluate(*loaded.model, *split, comm,
                                                     {.batch_size = command.per_device_eval_batch_size,
                                                      .max_samples = command.max_eval_samples,
                                                      .precision = command.precision,
                                                      .predictions = command.predictions,
                                                      .transform = transform},
                                                     [] { return stop_signal() != 0; });
    if (result.stopped) return end_stopped(rank, "stopped on request; there are no metrics");
    if (comm.rank() != 0) return 0;
    train::EvalReport report{
        .step = 0, .epoch = 0, .prefix = command.split == "test" ? "test" : "eval", .metrics = result.metrics};
    report.metrics.push_back({"samples", static_cast<double>(result.samples), train::MetricKind::kCount});
    train::add_speed(report.metrics, result.seconds, result.samples, result.batches);
    train::Metrics values = train::scalars(report);
    std::erase_if(values, [](const train::Metric& metric) { return metric.name == "epoch"; });
    if (!command.output_dir.empty()) {
      train::write_results(command.output_dir, report.prefix, values);
      for (const auto& [name, content] : result.files)
        data::write_durably(command.output_dir / name, data::dump_json(content, 4, /*ascii=*/true) + "\n");
    }
    nlohmann::ordered_json json;
    for (const train::Metric& metric : values) json[metric.name] = train::json_value(metric);
    std::cout << data::dump_json(json, 2) << "\n";
    return 0;
  });
}

}  // namespace berth::launch
