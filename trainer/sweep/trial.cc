#include "trainer/sweep/trial.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "data/check.h"
#include "data/files/files.h"
#include "data/json/json.h"
#include "trainer/checkpoint/checkpoint.h"

namespace berth::train {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;
using data::LabelShape;

constexpr uint64_t kMostRecordBytes = 1 << 20;
constexpr int64_t kSamplesAtOnce = 1 << 14;

// NaN: none.
double value_of(const Json& metrics, const std::string& name) {
  const auto found = metrics.find(name);
  return found != metrics.end() && found->is_number() ? found->get<double>() : std::nan("");
}

// The state of a run that has ended, else of its newest checkpoint that holds one, else what drop_checkpoints() left.
std::optional<RunState> newest_state(const fs::path& run) {
  const auto read = [](const fs::path& folder) -> std::optional<RunState> {
    const fs::path file = folder / kTrainerStateFile;
    if (!fs::exists(file)) return std::nullopt;
    try {
      return RunState::parse(data::read_file(file), file.string());
    } catch (const Error&) {
      return std::nullopt;  // damaged: the trial looks for another when it goes on
    }
  };
  auto end = read(run);
  if (end && end->complete) return end;
  const std::vector<Checkpoint> checkpoints = list_checkpoints(run);
  for (auto checkpoint = checkpoints.rbegin(); checkpoint != checkpoints.rend(); ++checkpoint)
    if (auto state = read(checkpoint->folder)) return state;
  return end;
}

}  // namespace

TrialRecord TrialRecord::read(const fs::path& run) {
  const fs::path file = run / kTrialFile;
  if (!fs::exists(file)) return {};
  const auto json = data::find_json<Json>(data::read_file(file, kMostRecordBytes));
  if (!json || !json->is_object()) return {};
  const auto number = [&](const char* key) {
    const auto found = json->find(key);
    return found != json->end() && found->is_number_integer() ? found->get<int64_t>() : 0;
  };
  const auto error = json->find("error");
  return {.starts = number("starts"),
          .step = number("step"),
          .exit_code = static_cast<int>(std::clamp<int64_t>(number("exit_code"), 0, 255)),
          .error = error != json->end() && error->is_string() ? error->get<std::string>() : ""};
}

void TrialRecord::write(const fs::path& run) const {
  const Json json{{"starts", starts}, {"step", step}, {"exit_code", exit_code}, {"error", error}};
  data::write_durably(run / kTrialFile, data::dump_json(json, 2) + "\n");
}

bool TrialProgress::has_trained(double share) const {
  if (complete || failed()) return true;
  const double wanted = share * static_cast<double>(total_steps);
  return !evaluations.empty() && static_cast<double>(evaluations.back().step) >= wanted;
}

const TrialProgress::Evaluation* TrialProgress::counting(const std::string& metric, double share, bool best) const {
  const Evaluation* counts = nullptr;
  for (const Evaluation& evaluation : evaluations) {
    const double value = value_of(evaluation.metrics, metric);
    const double so_far = counts == nullptr ? std::nan("") : value_of(counts->metrics, metric);
    if (std::isfinite(value) ? !best || counts == nullptr || (greater ? value > so_far : value < so_far) : !best)
      counts = std::isfinite(value) ? &evaluation : nullptr;
    if (static_cast<double>(evaluation.step) >= share * static_cast<double>(total_steps)) break;
  }
  return counts;
}

TrialProgress read_trial(const fs::path& run) {
  const TrialRecord record = TrialRecord::read(run);
  TrialProgress progress;
  progress.exit_code = record.exit_code;
  progress.error = record.error;
  const std::optional<RunState> state = newest_state(run);
  if (!state) return progress;
  progress.complete = state->complete;
  progress.step = state->global_step;
  progress.total_steps = state->horizon.total_steps;
  progress.greater = state->best.greater;
  if (state->complete) progress.exit_code = 0;
  for (const Json& entry : state->log_history) {
    if (!entry.is_object() || !entry.contains("eval_loss") || !entry.contains("step")) continue;
    TrialProgress::Evaluation evaluation{.step = entry["step"].get<int64_t>(), .metrics = Json::object()};
    for (const auto& [name, value] : entry.items())
      if (name.starts_with("eval_")) evaluation.metrics[name] = value;
    if (evaluation.step > 0) progress.evaluations.push_back(std::move(evaluation));
  }
  return progress;
}

void drop_checkpoints(const fs::path& run) {
  const std::optional<RunState> state = newest_state(run);
  const std::vector<Checkpoint> checkpoints = list_checkpoints(run);
  if (state && !state->complete && !checkpoints.empty())
    data::write_durably(run / kTrainerStateFile, state->to_json(/*epoch=*/0));
  for (const Checkpoint& checkpoint : checkpoints) fs::remove_all(checkpoint.folder);
}

bool is_degenerate(LabelShape shape, const Json& metrics, std::optional<double> majority) {
  // Whether there is such a metric, and it is no better.
  const auto no_better = [&](const char* name, double than) {
    return metrics.contains(name) && !(value_of(metrics, name) > than);
  };
  switch (shape) {
    case LabelShape::kClass:
    case LabelShape::kNextSentence:
      return majority && no_better("eval_accuracy", *majority);
    case LabelShape::kTokenClass:
      return no_better("eval_f1", 0);
    case LabelShape::kMultiHot:
      return no_better("eval_f1_micro", 0);
    case LabelShape::kFloat:
      return no_better("eval_pearson", 0);
    case LabelShape::kSpan:
      return no_better("eval_f1", 0);
    case LabelShape::kChoice:
    case LabelShape::kNone:
      return false;
  }
  return false;
}

std::optional<double> majority_share(const data::Split& split, LabelShape shape, int64_t most) {
  if (shape != LabelShape::kClass && shape != LabelShape::kNextSentence) return std::nullopt;
  const int64_t samples = most < 0 ? split.size() : std::min(most, split.size());
  std::map<int32_t, int64_t> counts;
  data::Batch batch;
  for (int64_t begin = 0; begin < samples; begin += kSamplesAtOnce) {
    split.read_labels(begin, std::min(samples, begin + kSamplesAtOnce), batch);
    for (const int32_t label : batch.labels) ++counts[label];
  }
  int64_t largest = 0;
  for (const auto& [label, count] : counts) largest = std::max(largest, count);
  return samples > 0 ? std::optional(static_cast<double>(largest) / static_cast<double>(samples)) : std::nullopt;
}

}  // namespace berth::train
