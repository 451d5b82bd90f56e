#include "launcher/cmd_evaluate.h"

#include <boost/log/trivial.hpp>
#include <iostream>
#include <nlohmann/json.hpp>
#include <optional>

#include "data/check.h"
#include "data/files/files.h"
#include "data/json/json.h"
#include "data/store/folds.h"
#include "data/words.h"
#include "launcher/cmd_report.h"
#include "launcher/signals.h"
#include "trainer/comm/agree.h"
#include "trainer/report/analysis_text.h"
#include "trainer/report/html.h"
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
  const std::string kind = command.predictions_file.extension().string();
  check_usage(kind != ".csv" && kind != ".tsv", "--predictions-file ", command.predictions_file.string(),
              ": JSON Lines are written: name it .jsonl (berth predict --output writes CSV)");
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
      check(command.fold || dataset->has_split(command.split), "--split ", command.split, ": ", command.data.string(),
            dataset->info().splits.empty() ? " has no splits" : " has the splits " + joined(dataset->info().splits));
      split = command.fold ? data::open_fold(*dataset, *command.fold).fold : dataset->split(command.split);
    });
    const train::LoadedModel loaded = train::load_model_for(*dataset, command.model, command.precision, comm);
    comm::agree(comm, [&] {
      loaded.task().check_options(command.predictions, loaded.config().label_names);
      const std::optional<bool> trained = loaded.config().text_pairs, given = train::pairs_of(*split, loaded.kind());
      check(!trained || !given || trained == given, command.data.string(),
            given == true ? ": holds pairs of texts, but " : ": holds single texts, but ", loaded.folder.string(),
            " was trained on ",
            given == true ? "single texts: prepare it with the column of the texts alone (--text-column)"
                          : "pairs: prepare it with the second text's column (--text-pair-column)");
      check_usage(command.predictions_file.empty() || !data::task_info(loaded.kind()).is_language_model,
                  "--predictions-file: a language model predicts nothing of whole rows");
    });
    std::optional<data::DurableFile> predictions;
    comm::agree_on_root(comm, [&] {
      std::error_code error;
      if (!command.output_dir.empty()) std::filesystem::create_directories(command.output_dir, error);
      check(!error, "--output-dir ", command.output_dir.string(), ": cannot be made: ", error.message());
      check_usage(!std::filesystem::equivalent(command.predictions_file, command.data, error), "--predictions-file ",
                  command.predictions_file.string(), " would replace the data set: give another file");
      if (!command.predictions_file.empty()) predictions.emplace(command.predictions_file, ExitCode::kBadInput);
    });
    const data::BatchTransform transform = loaded.task().transform(loaded.tokenizer->vocab(), command.masks);
    comm.set_stage("evaluation");
    const train::EvalResult result = train::evaluate(*loaded.model, *split, comm,
                                                     {.batch_size = command.per_device_eval_batch_size,
                                                      .max_samples = command.max_eval_samples,
                                                      .precision = command.precision,
                                                      .predictions = command.predictions,
                                                      .transform = transform,
                                                      .analyse_with = &*loaded.tokenizer,
                                                      .tell_predictions = predictions.has_value()},
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
      if (!result.analysis.is_null())
        train::write_analysis(command.output_dir, report.prefix, {{"split", split->name()}, {"samples", result.samples}},
                              result.analysis);
      // A run folder's page has these results, too.
      if (std::filesystem::exists(command.output_dir / train::kReportFile)) try_to_write_page(command.output_dir);
    }
    if (predictions) {
      predictions->write(result.predictions);
      predictions->commit();
    }
    if (const std::string text = train::analysis_text(result.analysis); !text.empty()) BOOST_LOG_TRIVIAL(info) << text;
    nlohmann::ordered_json json;
    for (const train::Metric& metric : values) json[metric.name] = train::json_value(metric);
    std::cout << data::dump_json(json, 2) << "\n";
    return 0;
  });
}

}  // namespace berth::launch
