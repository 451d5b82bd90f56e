#include "trainer/sweep/trial.h"

#include <algorithm>
#include <cmath>

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

// The number of evaluations that a model trained for `share` of its steps has seen.
size_t count_until(const TrialProgress& progress, double share) {
  const double wanted = share * static_cast<double>(progress.total_steps);
  size_t count = 0;
  for (const TrialProgress::Evaluation& evaluation : progress.evaluations) {
    ++count;
    if (static_cast<double>(evaluation.step) >= wanted) break;
  }
  return count;
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
  TrialRecord record{.arguments = {}, .starts = number("starts"), .step = number("step"), .exit_code = 0, .error = ""};
  record.exit_code = static_cast<int>(std::clamp<int64_t>(number("exit_code"), 0, 255));
  if (const auto error = json->find("error"); error != json->end() && error->is_string())
    record.error = error->get<std::string>();
  for (const Json& argument : json->value("arguments", Json::array()))
    if (argument.is_string()) record.arguments.push_back(argument.get<std::string>());
  return record;
}

void TrialRecord::write(const fs::path& run) const {
  const Json json{{"arguments", arguments}, {"starts", starts}, {"step", step}, {"exit_code", exit_code}, {"error", error}};
  data::write_durably(run / kTrialFile, data::dump_json(json, 2) + "\n");
}

bool TrialProgress::has_trained(double share) const {
  if (complete || failed()) return true;
  const double wanted = share * static_cast<double>(total_steps);
  return !evaluations.empty() && static_cast<double>(evaluations.back().step) >= wanted;
}

const TrialProgress::Evaluation* TrialProgress::last(double share) const {
  const size_t count = count_until(*this, share);
  return count == 0 ? nullptr : &evaluations[count - 1];
}

const TrialProgress::Evaluation* TrialProgress::best(const std::string& metric, bool greater, double share) const {
  const Evaluation* best = nullptr;
  for (size_t i = 0; i < count_until(*this, share); ++i) {
    const std::optional<double> value = value_of(evaluations[i].metrics, metric);
    const double so_far = best == nullptr ? 0 : *value_of(best->metrics, metric);
    if (value && (best == nullptr || (greater ? *value > so_far : *value < so_far))) best = &evaluations[i];
  }
  return best;
}

std::optional<double> value_of(const Json& metrics, const std::string& metric) {
  const auto found = metrics.find(metric);
  if (found == metrics.end() || !found->is_number() || !std::isfinite(found->get<double>())) return std::nullopt;
  return found->get<double>();
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
  const std::vector<Checkpoint> checkpoints = list_checkpoints(run);
  if (checkpoints.empty()) return;
  const std::optional<RunState> state = newest_state(run);
  const fs::path newest = checkpoints.back().folder / kTrainerStateFile;
  if (state && !state->complete && fs::exists(newest)) data::write_durably(run / kTrainerStateFile, data::read_file(newest));
  for (const Checkpoint& checkpoint : checkpoints) fs::remove_all(checkpoint.folder);
}

bool is_degenerate(LabelShape shape, const Json& metrics) {
  const auto not_positive = [&](const char* name) { return metrics.contains(name) && value_of(metrics, name).value_or(0) <= 0; };
  switch (shape) {
    case LabelShape::kClass:
    case LabelShape::kNextSentence:
      return not_positive("eval_matthews_correlation");
    case LabelShape::kTokenClass:
    case LabelShape::kSpan:
      return not_positive("eval_f1");
    case LabelShape::kMultiHot:
      return not_positive("eval_f1_micro");
    case LabelShape::kFloat:
      return not_positive("eval_pearson");
    case LabelShape::kChoice:
    case LabelShape::kNone:
      return false;
  }
  return false;
}

}  // namespace berth::train
