#include "trainer/run/fixed_options.h"

#include <algorithm>
#include <filesystem>

#include "data/check.h"
#include "data/json/json.h"
#include "data/words.h"

namespace berth::train {
namespace {

using Json = nlohmann::ordered_json;

// What tells one data set from another: the content of the splits that a run reads, and how folds are cut if it asks for one; for files
// of before it was stored, their sources.
Json identity(const data::DatasetInfo& info, bool folds) {
  Json splits = Json::object();
  for (const char* name : {"train", "validation"})
    if (const auto found = info.content_sha256.find(name); found != info.content_sha256.end()) splits[name] = found->second;
  if (folds) splits["folds"] = info.folds_sha256;
  return splits.empty() ? Json(info.source_sha256) : splits;
}

// By content: a file may have changed meanwhile.
Json as_asked(const LabelWeights& weights, const data::DatasetInfo& info) {
  return weights.balanced ? Json("balanced") : weights.any() ? weights_by_name(weights.values, info.label_names) : Json("none");
}

// By its folder's name, or the one that it has in the Hugging Face cache: the same model may lie elsewhere for another job of the run.
std::string model_name(const std::string& model) {
  std::error_code error;
  const auto last = [](const std::filesystem::path& path) { return path.has_filename() ? path : path.parent_path(); };
  std::filesystem::path path = last(std::filesystem::path(model).lexically_normal());
  if (path.filename() == "." || path.filename() == "..") path = last(std::filesystem::absolute(path, error).lexically_normal());
  for (const std::filesystem::path& part : path)
    if (const std::string name = part.string(); name.starts_with("models--")) return name.substr(name.rfind("--") + 2);
  return path.filename().string();
}

std::string plain(std::string name) {
  name.erase(0, std::min(name.find_first_not_of('-'), name.size()));
  std::replace(name.begin(), name.end(), '-', '_');
  return name == "num_train_epochs" ? "max_steps" : name;  // both give the number of steps
}

std::string flag(std::string name) {
  std::replace(name.begin(), name.end(), '_', '-');
  return "--" + name;
}

}  // namespace

Json fixed_options(const Horizon& horizon) {
  return {{"seed", horizon.seed},
          {"data_seed", horizon.data_seed},
          {"dataloader_drop_last", horizon.drop_last},
          {"num_samples", horizon.num_samples},
          {"max_steps", horizon.total_steps},
          {"warmup_steps", horizon.warmup_steps},
          {"lr_scheduler_type", schedule_name(horizon.schedule)}};
}

Json fixed_options(const TrainOptions& options, const Horizon& horizon, const data::DatasetInfo& info,
                   const LabelWeights& weights, const BertConfig* config) {
  Json fixed = fixed_options(horizon);
  fixed["model"] = model_name(options.model);
  fixed["lr_scheduler_kwargs"] = options.lr_scheduler_kwargs;
  fixed["data"] = identity(info, options.fold.has_value());
  fixed["fold"] = options.fold ? Json(*options.fold) : Json(nullptr);
  const AdamWOptions& adam = options.optimizer;
  fixed["optim"] = optim_name(adam.optim);
  fixed["ema_decay"] = adam.ema_decay;
  fixed["learning_rate"] = adam.learning_rate;
  fixed["layerwise_lr_decay"] = adam.layerwise_lr_decay;
  fixed["head_learning_rate"] = adam.head_learning_rate ? Json(*adam.head_learning_rate) : Json(nullptr);
  fixed["weight_decay"] = adam.weight_decay;
  fixed["adam_beta1"] = adam.beta1;
  fixed["adam_beta2"] = adam.beta2;
  fixed["adam_epsilon"] = adam.epsilon;
  fixed["max_grad_norm"] = adam.max_grad_norm;
  const PrecisionOptions& precision = options.model_options.precision;
  fixed["bf16"] = precision.bf16;
  fixed["fp16"] = precision.fp16;
  fixed["tf32"] = precision.tf32;
  fixed["label_smoothing_factor"] = options.model_options.label_smoothing_factor;
  const bool multi = data::task_info(info.task).labels == data::LabelShape::kMultiHot;
  fixed["class_weights"] = multi ? Json("none") : as_asked(weights, info);
  fixed["pos_weight"] = multi ? as_asked(weights, info) : Json("none");
  fixed["weighted_sampling"] = options.batch.weighted_sampling;
  fixed["freeze"] = options.model_options.freeze;
  fixed["mlm_probability"] = options.masks.probability;
  fixed["whole_word_mask"] = options.masks.whole_words;
  fixed["metric_for_best_model"] = options.eval_save.best_model().name();
  if (config == nullptr) return fixed;
  fixed["hidden_dropout_prob"] = config->hidden_dropout_prob;
  fixed["attention_probs_dropout_prob"] = config->attention_probs_dropout_prob;
  fixed["classifier_dropout"] = config->classifier_dropout_prob();
  fixed["head_hidden_sizes"] = config->head.hidden_sizes;
  fixed["head_dropout"] = config->head.dropout;
  fixed["head_activation"] = activation_name(config->head.activation);
  fixed["pooling"] = text_pooling_name(config->head.pooling);
  if (config->windows) fixed["document_pooling"] = document_pooling_name(config->windows->pooling);
  return fixed;
}

void check_fixed_options(const Json& began, const Json& now, const std::vector<std::string>& allowed, const std::string& origin) {
  std::vector<std::string> may_differ;
  for (const std::string& name : allowed) may_differ.push_back(plain(name));
  const auto allows = [&](const std::string& name) {
    return std::any_of(may_differ.begin(), may_differ.end(), [&](const std::string& it) { return it == name || it == "all"; });
  };
  for (const std::string& name : may_differ) {
    std::vector<std::string> names;
    for (const auto& [known, value] : now.items()) names.push_back(known);
    check_usage(name == "all" || now.contains(name), "--allow-change ", name, ": is none of ", joined(names), ", all");
  }
  // Another data set or fold has another number of samples: said once.
  const bool other_data =
      (began.contains("data") && began["data"] != now["data"]) || (began.contains("fold") && began["fold"] != now["fold"]);
  std::vector<std::string> changes, refused;
  for (const auto& [name, value] : began.items()) {
    if (!now.contains(name) || now[name] == value || allows(name) || (name == "num_samples" && other_data)) continue;
    refused.push_back(name);
    if (name == "max_steps" && other_data) continue;
    if (name == "data")
      changes.push_back("--data holds other samples");
    else if (name == "max_steps")
      changes.push_back(concat("it has ", data::dump_json(value), " steps, now ", data::dump_json(now[name]),
                               ": --num-train-epochs, --max-steps"));
    else if (name == "model")
      changes.push_back(concat("--model ", data::dump_json(value), ", now ", data::dump_json(now[name]),
                               ", which a run that goes on does not read"));
    else if (name == "num_samples")
      changes.push_back(concat("the training split has ", data::dump_json(value), " samples, now ", data::dump_json(now[name])));
    else
      changes.push_back(concat(flag(name), " ", data::dump_json(value), ", now ", data::dump_json(now[name])));
  }
  check_usage(
      changes.empty(), origin, ": this run began with other options (", joined(changes, "; "),
      "): going on would bend it. Give the options that it began with, start afresh in another --output-dir, or allow what "
      "you mean to change: --allow-change ",
      joined(refused, ","));
}

}  // namespace berth::train
