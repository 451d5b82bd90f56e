#include "trainer/report/model_card.h"

#include <algorithm>

#include "data/check.h"
#include "data/files/files.h"
#include "data/json/json.h"
#include "data/shell.h"
#include "data/utf8.h"
#include "data/words.h"
#include "trainer/metrics/metrics.h"

namespace berth::train {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::string_view kMark =
    "<!-- berth wrote this file and replaces it at the end of a run, unless this line is not there. -->";

// What the Hub calls a task; Trainer's words for it.
struct HubTask {
  std::string_view task, tag, words;
  bool has_pipeline = true;  // in transformers, that gives what the model was trained for
};
constexpr HubTask kHubTasks[] = {
    {"sequence-classification", "text-classification", "Text Classification"},
    {"regression", "text-classification", "Text Classification"},
    {"multi-label", "text-classification", "Text Classification"},
    {"token-classification", "token-classification", "Token Classification"},
    {"question-answering", "question-answering", "Question Answering"},
    {"multiple-choice", "multiple-choice", "Multiple Choice", false},
    {"masked-lm", "fill-mask", "Masked Language Modeling"},
    {"pretraining", "fill-mask", "Masked Language Modeling", false},
};

// Null for tasks that the Hub has no name for.
const HubTask* hub_task(const std::string& task) {
  const auto found = std::find_if(std::begin(kHubTasks), std::end(kHubTasks), [&](const HubTask& t) { return t.task == task; });
  return found == std::end(kHubTasks) ? nullptr : found;
}

// JSON's strings are YAML's double-quoted ones, as long as no control characters are in them.
std::string quoted(const std::string& text) { return data::dump_json(Json(data::printable(text))); }

// Text from outside in Markdown: shown as it is, on one line.
std::string plain(const std::string& text) {
  std::string result;
  for (const char c : data::printable(text)) {
    if (std::string_view("\\`*_[]<>|#&").find(c) != std::string_view::npos) result += '\\';
    result += c;
  }
  return result;
}
std::string code(const std::string& text) {
  std::string inner = data::printable(text);
  std::replace(inner.begin(), inner.end(), '`', '\'');
  return "`" + inner + "`";
}

// eval_accuracy: 0.9 -> {accuracy, 0.9}: the scores, and losses but for the loss.
std::vector<std::pair<std::string, double>> scores_of(const Json& evaluation) {
  std::vector<std::pair<std::string, double>> scores;
  if (!evaluation.is_object()) return scores;
  for (const auto& [key, value] : evaluation.items()) {
    const MetricKind kind = metric_kind(key);
    if (!key.starts_with("eval_") || key == "eval_loss" || !value.is_number()) continue;
    if (kind == MetricKind::kScore || kind == MetricKind::kLoss) scores.emplace_back(key.substr(5), value.get<double>());
  }
  return scores;
}

std::string head(const ModelCard& card) {
  const HubTask* task = hub_task(card.task);
  const auto scores = scores_of(card.evaluation);
  std::string yaml = "---\nlibrary_name: transformers\n";
  if (card.base_is_hub_name) yaml += "base_model: " + quoted(card.base_model) + "\n";
  if (task != nullptr) yaml += concat("pipeline_tag: ", task->tag, "\n");
  yaml += "tags:\n- berth\n";
  if (task == nullptr || scores.empty()) return yaml + "---\n";
  yaml += "metrics:\n";
  for (const auto& [name, value] : scores) yaml += "- " + name + "\n";
  yaml += concat("model-index:\n- name: ", quoted(card.name), "\n  results:\n  - task:\n      type: ", task->tag,
                 "\n      name: ", task->words, "\n    dataset:\n      name: ", quoted(card.data),
                 "\n      type: ", quoted(card.data), "\n      split: ", card.evaluated, "\n    metrics:\n");
  for (const auto& [name, value] : scores)
    yaml += concat("    - type: ", name, "\n      name: ", name, "\n      value: ", data::dump_json(Json(value)), "\n");
  return yaml + "---\n";
}

std::string data_section(const ModelCard& card) {
  std::string text =
      "## Data\n\n" + code(card.data) + ": " +
      joined(card.samples, ", ", [](const auto& split) { return concat(split.first, " ", counted(split.second, "sample")); }) +
      ".\n";
  if (!card.data_sha256.empty()) {
    text += "\n| made of | SHA-256 |\n|---|---|\n";
    for (const auto& [name, digest] : card.data_sha256) text += "| " + plain(name) + " | " + code(digest) + " |\n";
  }
  if (!card.labels.empty()) {
    text += "\n| label | in the training split |\n|---|---|\n";
    for (const auto& [name, count] : card.labels) text += concat("| ", plain(name), " | ", count, " |\n");
  }
  return text;
}

std::string jobs_section(const Json& jobs) {
  std::string text = "### Jobs\n\n| from step | Slurm job | started | ranks | micro-batch | on |\n|---|---|---|---|---|---|\n";
  for (const Json& job : jobs) {
    const auto value = [&](const char* key) {
      const Json found = job.is_object() ? job.value(key, Json()) : Json();
      return found.is_string() ? plain(found.get<std::string>()) : found.is_number() ? data::dump_json(found) : "";
    };
    text += concat("| ", value("from_step"), " | ", value("slurm_job_id"), " | ", value("started"), " | ", value("ranks"), " | ",
                   value("train_batch_size"), " | ", value("device"), " |\n");
  }
  return text;
}

std::string use_section(const ModelCard& card) {
  const std::string folder = card.name, trust = card.remote_code ? ", trust_remote_code=True" : "";
  std::string text = "## Use\n\n```python\n";
  if (const HubTask* task = hub_task(card.task); task != nullptr && task->has_pipeline)
    text +=
        concat("from transformers import pipeline\n\nmodel = pipeline(\"", task->tag, "\", model=", quoted(folder), trust, ")\n");
  else
    text += concat("from transformers import AutoTokenizer, ", card.model_class, "\n\nmodel = ", card.model_class,
                   ".from_pretrained(", quoted(folder), ")\ntokenizer = AutoTokenizer.from_pretrained(", quoted(folder), ")\n");
  return text + "```\n```\nberth predict --model " + data::printable(shell_quoted(folder)) +
         " --input new.csv --output predictions.jsonl\n```\n";
}

}  // namespace

std::string to_markdown(const ModelCard& card) {
  std::string text = head(card) + "\n" + std::string(kMark) + "\n\n# " + plain(card.name) + "\n\n";
  text += concat("A ", code(card.model_class), " (", card.task, "), ",
                 card.base_model.empty() ? "trained from random weights" : "fine-tuned from " + code(card.base_model), " on ",
                 code(card.data), " by ", plain(card.version), ".\n");
  if (card.evaluation.is_object()) {
    text += concat("\nOn ", card.evaluated == "validation" ? "the validation split" : card.evaluated, ":\n");
    for (const auto& [key, value] : card.evaluation.items())
      if (key.starts_with("eval_") && metric_kind(key) != MetricKind::kSpeed && value.is_number())
        text += concat("- ", plain(key.substr(5)), ": ", data::dump_json(value), "\n");
  }
  text += "\n" + use_section(card) + "\n" + data_section(card) + "\n## Training procedure\n\n### Training hyperparameters\n\n";
  for (const auto& [name, value] : card.hyperparameters) text += concat("- ", name, ": ", value, "\n");
  if (!card.results.empty()) text += "\n### Training results\n\n" + card.results;
  text += "\n" + jobs_section(card.jobs) + "\n### Making it again\n\n" + card.environment + "\n\n```\n" +
          joined(card.commands, "\n") + "\n```\n";
  return text;
}

bool write_model_card(const std::filesystem::path& folder, const std::string& markdown) {
  constexpr uint64_t kMaxBytes = 16 << 20;
  const std::filesystem::path path = folder / "README.md";
  std::error_code ignored;
  if (std::filesystem::exists(std::filesystem::symlink_status(path, ignored))) {
    try {
      if (data::read_file(path, kMaxBytes).find(kMark) == std::string::npos) return false;
    } catch (const Error&) {
      return false;
    }
  }
  data::write_durably(path, markdown);
  return true;
}

}  // namespace berth::train
