#include "trainer/run/card.h"

#include <algorithm>
#include <numeric>
#include <set>

#include "data/check.h"
#include "data/json/json.h"
#include "data/words.h"
#include "trainer/report/closing_table.h"

namespace berth::train {
namespace {

using Json = nlohmann::ordered_json;

std::string number(const Json& value) { return data::dump_json(value); }

// How often each label is in the split; of tokens, how many have it.
std::vector<std::pair<std::string, int64_t>> count_labels(const data::Split& split, const data::DatasetInfo& info) {
  constexpr int64_t kAtOnce = 1024;
  if (info.label_names.empty()) return {};
  std::vector<int64_t> counts(info.label_names.size(), 0);
  data::Batch batch;
  for (int64_t begin = 0; begin < split.size(); begin += kAtOnce) {
    std::vector<int64_t> samples(static_cast<size_t>(std::min(kAtOnce, split.size() - begin)));
    std::iota(samples.begin(), samples.end(), begin);
    split.read(samples, batch);
    for (const int32_t label : batch.labels)
      if (label >= 0 && label < std::ssize(counts)) ++counts[static_cast<size_t>(label)];
    for (size_t i = 0; i < batch.float_labels.size(); ++i) counts[i % counts.size()] += batch.float_labels[i] > 0;
  }
  std::vector<std::pair<std::string, int64_t>> labels;
  for (size_t i = 0; i < counts.size(); ++i) labels.emplace_back(info.label_names[i], counts[i]);
  return labels;
}

// The last evaluation of the model as it was after `step`.
Json evaluation_at(const Json& history, int64_t step) {
  Json found;
  for (const Json& record : history)
    if (record.contains("eval_loss") && record.value("step", int64_t{0}) == step) found = record;
  return found;
}

Json jobs_of(const std::filesystem::path& run) {
  const std::filesystem::path path = run / "provenance.json";
  if (!std::filesystem::exists(path)) return Json::array();
  const Json provenance = data::find_json<Json>(data::read_file(path)).value_or(nullptr);
  const bool listed = provenance.is_object() && provenance.contains("jobs") && provenance["jobs"].is_array();
  return listed ? provenance["jobs"] : Json::array();
}

// Named as Trainer's cards name them.
std::vector<std::pair<std::string, std::string>> hyperparameters(const TrainOptions& options, const TrainSetup& setup) {
  const RunState& state = setup.state;
  const Horizon& horizon = state.horizon;
  const AdamWOptions& adam = options.optimizer;
  const int64_t ranks = state.environment.value("ranks", int64_t{1});
  std::vector<std::pair<std::string, std::string>> all{
      {"learning_rate", number(adam.learning_rate)},
      {"train_batch_size", number(state.train_batch_size)},
      {"eval_batch_size", number(options.batch.per_device_eval_batch_size)},
      {"seed", number(options.seed)},
      {"num_devices", number(ranks)},
      {"gradient_accumulation_steps", number(std::max<int64_t>(1, horizon.global_batch / (ranks * state.train_batch_size)))},
      {"total_train_batch_size", number(horizon.global_batch)},
      {"optimizer", concat(adam.optim == Optim::kLamb ? "LAMB" : "AdamW", " with betas=(", number(adam.beta1), ",",
                           number(adam.beta2), ") and epsilon=", number(adam.epsilon),
                           ", weight_decay=", number(adam.weight_decay), ", max_grad_norm=", number(adam.max_grad_norm))},
      {"lr_scheduler_type", std::string(schedule_name(horizon.schedule))},
  };
  const auto add = [&](bool given, const char* name, const std::string& value) {
    if (given) all.emplace_back(name, value);
  };
  add(!horizon.schedule_kwargs.empty(), "lr_scheduler_kwargs", data::dump_json(horizon.schedule_kwargs));
  add(adam.layerwise_lr_decay != 1, "layerwise_lr_decay", number(adam.layerwise_lr_decay));
  add(adam.head_learning_rate.has_value(), "head_learning_rate", number(adam.head_learning_rate.value_or(0)));
  add(adam.ema_decay > 0, "ema_decay", number(adam.ema_decay));
  add(horizon.warmup_steps > 0, "lr_scheduler_warmup_steps", number(horizon.warmup_steps));
  add(options.fold.has_value(), "fold", concat(options.fold.value_or(0), " of 0 to ", setup.dataset->info().folds - 1));
  add(options.max_steps > 0, "training_steps", number(horizon.total_steps));
  add(options.max_steps <= 0, "num_epochs", number(options.num_train_epochs));
  if (const CustomHead& head = setup.model->config().head; !head.is_standard()) {
    add(true, "pooling", std::string(text_pooling_name(head.pooling)));
    add(!head.hidden_sizes.empty(), "head_hidden_sizes",
        concat(number(head.hidden_sizes), " (", activation_name(head.activation), ", dropout ", number(head.dropout), ")"));
  }
  const PrecisionOptions& precision = options.model_options.precision;
  add(precision.bf16 || precision.fp16, "mixed_precision_training", precision.bf16 ? "bf16" : "fp16");
  add(options.model_options.label_smoothing_factor > 0, "label_smoothing_factor",
      number(options.model_options.label_smoothing_factor));
  add(!setup.label_weights.empty(), "label_weights",
      data::dump_json(weights_by_name(setup.label_weights, setup.dataset->info().label_names)));
  add(options.batch.weighted_sampling, "weighted_sampling", "true");
  if (const auto& windows = setup.model->config().windows) add(true, "document_pooling", document_pooling_name(windows->pooling));
  return all;
}

// What the commands must run on to end in the same bits.
std::string environment_of(const Json& jobs, const Json& environment, const std::string& version, bool changed) {
  std::set<std::string> splits;  // of the work: other ones sum in another order
  for (const Json& job : jobs)
    if (job.is_object())
      splits.insert(concat(data::dump_json(job.value("ranks", Json())), " ",
                           data::dump_json(job.value("train_batch_size", Json())), " ",
                           data::dump_json(job.value("device", Json()))));
  std::string where = version;
  for (const char* key : {"ranks", "threads", "device"})
    if (environment.contains(key)) where += concat(", ", key, " ", data::dump_json(environment[key]));
  if (changed)
    return "The run went on with other options than it began with (--allow-change): no one command makes it again. (" + where +
           ")";
  if (splits.size() > 1)
    return "The run was gone on with on other ranks or GPUs, so these commands end in the same results to rounding, not to the "
           "bit. (" +
           where + ")";
  return "These commands end in the same bits on the same machine (" + where +
         "), however often they are interrupted and started again.";
}

}  // namespace

ModelCard make_card(const TrainOptions& options, const TrainSetup& setup, const std::string& command, const std::string& version,
                    int64_t model_step) {
  const data::DatasetInfo& info = setup.dataset->info();
  const RunState& state = setup.state;
  const std::filesystem::path folder = std::filesystem::absolute(options.output_dir).lexically_normal();
  ModelCard card;
  card.name = (folder.has_filename() ? folder : folder.parent_path()).filename().string();
  card.model_class = setup.model->config().class_name(setup.model->architecture().name);
  card.remote_code = !setup.model->config().head.is_standard();
  if (card.remote_code) card.model_class = custom_class(card.model_class);
  card.task = data::task_info(info.task).name;
  if (!options.from_scratch) card.base_model = options.model;
  card.base_is_hub_name = !card.base_model.empty() && !std::filesystem::exists(card.base_model);
  card.data = options.data.filename().string();
  card.data_sha256 = info.source_sha256;
  for (const std::string& name : info.splits)
    if (!options.fold || name != "train") card.samples.emplace_back(name, setup.dataset->split(name)->size());
  if (options.fold) card.samples.emplace_back(setup.train->name(), setup.train->size());
  if (options.fold && setup.validation) {
    card.evaluated = setup.validation->name();
    card.samples.emplace_back(card.evaluated, setup.validation->size());
  }
  card.labels = count_labels(*setup.train, info);
  card.evaluation = evaluation_at(state.log_history, model_step);
  card.hyperparameters = hyperparameters(options, setup);
  card.results = closing_table(state.log_history);
  card.jobs = jobs_of(options.output_dir);
  const int64_t ranks = state.environment.value("ranks", int64_t{1});
  card.commands = {info.command, ranks > 1 ? concat("mpirun -np ", ranks, " ", command) : command};
  card.environment = environment_of(card.jobs, state.environment, version, !options.allow_change.empty());
  card.version = version;
  return card;
}

}  // namespace berth::train
