#include "trainer/run/introduction.h"

#include <cstdio>

#include "data/check.h"
#include "data/json/json.h"
#include "data/words.h"

namespace berth::train {
namespace {

constexpr size_t kMostLabels = 8;

std::string number(const nlohmann::ordered_json& value) { return data::dump_json(value); }

// "22.7 M".
std::string millions(int64_t count) {
  char text[32];
  std::snprintf(text, sizeof text, count < 100'000 ? "%.3f M" : "%.1f M", static_cast<double>(count) / 1e6);
  return text;
}

std::string data_line(const TrainOptions& options, const TrainSetup& setup) {
  const data::DatasetInfo& info = setup.dataset->info();
  std::string line = concat(
      options.data.string(), ": ", data::task_info(info.task).name, ", ", counted(setup.plan.horizon.num_samples, "sample"),
      " of ", setup.train->name(), " to learn from, ",
      setup.validation ? concat(counted(setup.validation->size(), "sample"), " of ", setup.validation->name(), " to evaluate")
                       : "no evaluation");
  if (!info.label_names.empty())
    line += concat("; ", counted(info.label_names.size(), "label"), ": ", listed(info.label_names, kMostLabels));
  return line;
}

std::string model_line(const TrainOptions& options, const TrainSetup& setup) {
  int64_t all = 0, trained = 0;
  for (const Parameter& parameter : setup.model->parameters().parameters()) {
    all += parameter.value.numel();
    if (!parameter.frozen) trained += parameter.value.numel();
  }
  const std::string from = options.from_scratch && !setup.resumed ? "random weights" : setup.model_folder.string();
  return concat(setup.model->config().class_name(setup.model->architecture().name), ", ", millions(all), " parameters",
                trained == all ? "" : concat(", of which ", millions(trained), " are trained"), ", from ", from);
}

std::string step_line(const TrainOptions& options, const TrainSetup& setup) {
  const RunState& state = setup.state;
  const Horizon& horizon = state.horizon;
  const PrecisionOptions& precision = options.model_options.precision;
  const int64_t ranks = state.environment.value("ranks", int64_t{1}), at_once = ranks * state.train_batch_size;
  const bool by_fp32 = setup.model->parameters().parameters().front().compute_value.scalar_type() == at::kFloat;
  std::string line = concat(precision.bf16   ? by_fp32 ? "bf16 (products in fp32: this CPU multiplies no bf16)" : "bf16"
                            : precision.fp16 ? "fp16"
                            : precision.tf32 ? "tf32"
                                             : "fp32",
                            " on ", state.environment.value("device", std::string("cpu")), ", ", counted(ranks, "rank"));
  if (const auto threads = state.environment.find("threads"); threads != state.environment.end() && !threads->empty())
    line += concat(" of ", counted(threads->front().get<int64_t>(), "thread"));
  line += concat("; ", counted(horizon.global_batch, "sample"), " a step");
  if (horizon.global_batch > at_once)
    line += concat(" in ", (horizon.global_batch + at_once - 1) / at_once, " micro-batches of each rank");
  line += concat(", ", counted(horizon.total_steps, "step"), ", ");
  char epochs[32];
  std::snprintf(epochs, sizeof epochs, "%.4g", setup.plan.epoch_at(horizon.total_steps));
  line += concat(epochs, std::string_view(epochs) == "1" ? " epoch" : " epochs", "; learning rate ",
                 number(options.optimizer.learning_rate), ", ", schedule_name(horizon.schedule));
  if (horizon.warmup_steps > 0) line += concat(" after ", counted(horizon.warmup_steps, "step"), " of warm-up");
  return line;
}

}  // namespace

std::vector<std::string> introduction(const TrainOptions& options, const TrainSetup& setup) {
  std::vector<std::string> lines{data_line(options, setup), model_line(options, setup), step_line(options, setup)};
  if (setup.resumed)
    lines.push_back(concat("goes on after step ", setup.state.global_step, " of ", setup.state.horizon.total_steps));
  return lines;
}

std::string warm_up_warning(const Horizon& horizon, double peak) {
  if (horizon.warmup_steps < horizon.total_steps) return "";
  const double reached = peak * horizon.learning_rate_factor(horizon.total_steps - 1, peak);  // it has only risen
  if (reached >= peak) return "";                                                             // a schedule that does not warm up
  char shown[32];
  std::snprintf(shown, sizeof shown, "%.4g", reached);
  return concat("the learning rate warms up for ", counted(horizon.warmup_steps, "step"), ", and the run has ",
                counted(horizon.total_steps, "step"), ": it never comes above ", shown, ", let alone to ", number(peak),
                "; lower --warmup-steps, or give a share of the run with --warmup-ratio");
}

}  // namespace berth::train
