#include "launcher/cmd_inspect.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "data/check.h"
#include "data/files/files.h"
#include "data/json/json.h"
#include "data/store/dataset.h"
#include "data/tokenizer/bert_tokenizer.h"
#include "trainer/checkpoint/checkpoint.h"
#include "trainer/checkpoint/model_weights.h"
#include "trainer/model/config.h"
#include "trainer/report/metrics_file.h"
#include "trainer/run/run_state.h"
#include "trainer/sweep/sweep_folder.h"
#include "trainer/use/load_model.h"

namespace berth::launch {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr int64_t kReadAtOnce = 4096;  // samples

// An empty string, or what is wrong.
template <class Work>
std::string problem_of(Work work) {
  try {
    work();
    return "";
  } catch (const Error& error) {
    return error.what();
  }
}

// Null if the file is missing or is no JSON.
Json read_json(const fs::path& path) {
  if (!fs::exists(path)) return nullptr;
  return data::find_json<Json>(data::read_file(path)).value_or(nullptr);
}

std::vector<int64_t> next_samples(const data::Split& split, int64_t begin) {
  std::vector<int64_t> samples(static_cast<size_t>(std::min(kReadAtOnce, split.size() - begin)));
  std::iota(samples.begin(), samples.end(), begin);
  return samples;
}

Json label_counts(const data::Split& split, const std::vector<std::string>& names) {
  std::vector<int64_t> counts(names.size());
  int64_t unlabelled = 0;
  data::Batch batch;
  for (int64_t begin = 0; begin < split.size(); begin += kReadAtOnce) {
    split.read(next_samples(split, begin), batch);
    for (const int32_t label : batch.labels) {
      const bool known = label >= 0 && static_cast<size_t>(label) < counts.size();
      ++(known ? counts[static_cast<size_t>(label)] : unlabelled);
    }
  }
  Json out = Json::object();
  for (size_t i = 0; i < names.size(); ++i) out[names[i]] = counts[i];
  if (unlabelled > 0) out["(none)"] = unlabelled;
  return out;
}

// A row for each fold: the samples of each, and of them those that are evaluated on.
Json describe_folds(const data::Dataset& dataset) {
  Json rows = Json::array();
  const auto train = dataset.split("train");
  std::vector<int64_t> all(static_cast<size_t>(dataset.info().folds)), own = all;
  for (int64_t begin = 0; begin < train->size(); begin += kReadAtOnce) {
    const std::vector<int64_t> samples = next_samples(*train, begin);
    const std::vector<data::AugmentKind> augmented = train->augmented(samples);
    for (size_t i = 0; i < samples.size(); ++i) {
      const auto fold = static_cast<size_t>(train->fold_of(samples[i]));
      ++all[fold];
      own[fold] += augmented[i] == data::AugmentKind::kNone;
    }
  }
  for (size_t fold = 0; fold < all.size(); ++fold)
    rows.push_back({{"fold", fold}, {"samples", all[fold]}, {"evaluated", own[fold]}});
  return rows;
}

// Samples of each kind of augmentation.
Json augmented_counts(const data::Split& split) {
  Json counts = Json::object();
  for (int64_t begin = 0; begin < split.size(); begin += kReadAtOnce) {
    for (const data::AugmentKind kind : split.augmented(next_samples(split, begin)))
      if (kind != data::AugmentKind::kNone) counts[data::augment_name(kind)] = counts.value(data::augment_name(kind), 0) + 1;
  }
  return counts;
}

Json describe_split(const data::Split& split) {
  std::vector<int32_t> lengths(split.lengths().begin(), split.lengths().end());
  std::sort(lengths.begin(), lengths.end());
  const int64_t tokens = std::accumulate(lengths.begin(), lengths.end(), int64_t{0});
  Json row = {{"split", split.name()}, {"samples", split.size()}, {"tokens", tokens}};
  const Json copies = augmented_counts(split);
  if (!copies.empty()) row["augmented"] = copies;
  if (lengths.empty()) return row;
  row["shortest"] = lengths.front();
  row["median"] = lengths[lengths.size() / 2];
  row["mean"] = std::round(10.0 * static_cast<double>(tokens) / static_cast<double>(lengths.size())) / 10;
  row["longest"] = lengths.back();
  return row;
}

Json describe_tokenizer(const fs::path& folder) {
  Json out;
  const std::string problem = problem_of([&] {
    const auto tokenizer = data::BertTokenizer::load(folder);
    out = {{"vocabulary", tokenizer.vocab().size()},
           {"vocabulary_sha256", tokenizer.vocab().sha256()},
           {"lower_case", tokenizer.options().do_lower_case}};
  });
  return problem.empty() ? out : Json(problem);
}

// What all that is saved as a model has: the folder of a model, of a checkpoint, and of a finished run.
train::BertConfig describe_model(const fs::path& folder, Json& out) {
  const train::BertConfig config = train::load_config(folder);
  const Json original = data::parse_json<Json>(config.original_json, (folder / "config.json").string());
  out["architecture"] = original.value("architectures", Json::array());
  out["config"] = {{"type", config.family->model_type},
                   {"layers", config.num_hidden_layers},
                   {"embedding", config.embedding_columns()},
                   {"hidden", config.hidden_size},
                   {"heads", config.num_attention_heads},
                   {"intermediate", config.intermediate_size},
                   {"vocabulary", config.vocab_size},
                   {"positions", config.max_position_embeddings},
                   {"activation", train::activation_name(config.hidden_act)},
                   {"problem_type", config.problem_type.empty() ? Json() : Json(config.problem_type)}};
  out["labels"] = config.label_names;
  out["normalize"] = config.normalize.names();
  if (config.windows)
    out["windows"] = {{"max_length", config.windows->max_length},
                      {"doc_stride", config.windows->doc_stride},
                      {"pooling", train::document_pooling_name(config.windows->pooling)}};
  out["tokenizer"] = describe_tokenizer(folder);
  const bool has_one = fs::exists(folder / "vocab.txt") || fs::exists(folder / "tokenizer.json");
  if (has_one && out["tokenizer"].is_string()) out["problem"] = out["tokenizer"];
  return config;
}

void describe_weights(const fs::path& folder, const train::Family& family, Json& out) {
  const train::ModelWeights weights = train::ModelWeights::open(folder, family.class_prefix);
  int64_t parameters = 0;
  Json tensors = Json::array();
  for (const auto& [name, entry] : weights.tensors()) {
    const int64_t elements = train::element_count(entry.tensor->shape).value_or(0);
    if (!entry.redundant) parameters += elements;
    tensors.push_back({{"name", entry.in_file},
                       {"type", train::dtype_name(entry.tensor->dtype)},
                       {"shape", train::shape_text(entry.tensor->shape)},
                       {"elements", elements}});
  }
  Json files = Json::array();
  for (const fs::path& path : weights.files())
    files.push_back({{"file", path.filename().string()}, {"bytes", static_cast<int64_t>(fs::file_size(path))}});
  out["parameters"] = parameters;
  out["files"] = files;
  out["tensors"] = tensors;
}

// The parts of trainer_state.json that say where a run stands.
void describe_state(const fs::path& state_file, Json& out) {
  const std::string text = data::read_file(state_file);
  const train::RunState state = train::RunState::parse(text, state_file.string());
  out["step"] = state.global_step;
  out["steps_in_all"] = state.horizon.total_steps;
  out["epoch"] = data::parse_json<Json>(text, state_file.string(), train::kStateLimits).value("epoch", Json());
  out["complete"] = state.complete;
  out["samples_seen"] = state.samples_seen;
  out["global_batch"] = state.horizon.global_batch;
  out["seed"] = state.horizon.seed;
  if (state.best.metric) {
    out["best_metric"] = *state.best.metric;
    out["best_step"] = state.best.step;
  }
  if (state.kept.step > 0) out["best_checkpoint"] = state.kept.checkpoint;
}

// Read whole are those that matter: the newest that is whole, and what is newer (where a run goes on from), and the best one (what
// it may end with). Of the others only the files' sizes are looked at.
Json describe_checkpoints(std::vector<train::Checkpoint> checkpoints, std::optional<int64_t>& newest_whole) {
  std::vector<Json> rows;
  std::string best;
  for (; !checkpoints.empty(); checkpoints.pop_back()) {
    const fs::path& folder = checkpoints.back().folder;
    const std::string name = folder.filename().string();
    const bool matters = !newest_whole || name == best;
    const std::string problem =
        problem_of([&] { train::verify_checkpoint(folder, matters ? train::Verify::kContent : train::Verify::kSizes); });
    if (problem.empty() && !newest_whole) {
      newest_whole = checkpoints.back().step;
      Json state;
      (void)problem_of([&] { describe_state(folder / train::kTrainerStateFile, state); });
      best = state.value("best_checkpoint", "");
    }
    rows.push_back({{"checkpoint", name},
                    {"step", checkpoints.back().step},
                    {"whole", problem.empty()},
                    {"problem", problem.empty() ? Json() : Json(problem)}});
  }
  std::reverse(rows.begin(), rows.end());
  return rows;
}

// The last record that has `key`; null if none.
Json last_with(const std::vector<train::LogRecord>& records, const char* key) {
  const auto found = std::find_if(records.rbegin(), records.rend(), [&](const auto& record) { return record.contains(key); });
  return found == records.rend() ? Json() : *found;
}

bool is_run(const fs::path& folder) {
  for (const char* name : {"metrics.jsonl", "all_results.json", "provenance.json"})
    if (fs::exists(folder / name)) return true;
  return !train::list_checkpoints(folder).empty();
}

bool is_checkpoint(const fs::path& folder) {
  return fs::exists(folder / train::kManifestName) || fs::exists(folder / train::kOptimizerFile) ||
         folder.filename().string().starts_with("checkpoint-");
}

Json inspect_sweep(const fs::path& folder) {
  const fs::path file = folder / train::kSweepFile;
  const auto sweep = data::parse_json<Json>(data::read_file(file), file.string());
  check(sweep.is_object() && sweep.value("trials", Json()).is_array(), file.string(), ": is no sweep of berth");
  const Json metric = sweep.value("metric", Json());
  Json trials = Json::array();
  for (const Json& trial : sweep["trials"]) {
    check(trial.is_object(), file.string(), ": a trial is no object");
    Json& row = trials.emplace_back(Json::object());
    for (const char* key : {"folder", "options", "state", "step", "degenerate"}) row[key] = trial.value(key, Json());
    const Json metrics = trial.value("metrics", Json());
    if (metric.is_string())
      row[metric.get<std::string>()] = metrics.is_object() ? metrics.value(metric.get<std::string>(), Json()) : Json();
  }
  return {{"kind", "sweep"},
          {"path", folder.string()},
          {"metric", metric},
          {"ranks_per_trial", sweep.value("ranks_per_trial", Json())},
          {"configurations", sweep.value("configurations", Json())},
          {"trials", trials},
          {"ensemble", sweep.value("ensemble", Json())}};
}

Json inspect(const fs::path& path) {
  check(fs::exists(path), "there is no ", path.string());
  if (!fs::is_directory(path)) return inspect_dataset(path);
  if (is_checkpoint(path)) return inspect_checkpoint(path);
  if (fs::is_regular_file(path / train::kSweepFile)) return inspect_sweep(path);
  if (is_run(path)) return inspect_run(path);
  check(fs::exists(path / "config.json"), path.string(),
        " is neither a model folder (no config.json), nor a checkpoint, nor a run or sweep folder of berth");
  return inspect_model(path);
}

}  // namespace

Json inspect_dataset(const fs::path& path) {
  const auto dataset = data::Dataset::open(path);
  const data::DatasetInfo& info = dataset->info();
  Json out = {{"kind", "data set"},
              {"path", path.string()},
              {"bytes", static_cast<int64_t>(fs::file_size(path))},
              {"schema_version", info.schema_version},
              {"task", data::task_info(info.task).name},
              {"labels", info.label_names},
              {"max_length", info.max_length},
              {"lower_case", info.do_lower_case ? Json(*info.do_lower_case) : Json()},
              {"normalize", info.normalize.names()},
              {"vocabulary", info.vocab_size},
              {"vocabulary_sha256", info.vocab_sha256},
              {"command", info.command},
              {"sources", info.source_sha256}};
  if (info.doc_stride) out["doc_stride"] = *info.doc_stride;
  Json splits = Json::array(), counts = Json::object();
  for (const std::string& name : info.splits) {
    const auto split = dataset->split(name);
    splits.push_back(describe_split(*split));
    if (data::task_info(info.task).labels == data::LabelShape::kClass) counts[name] = label_counts(*split, info.label_names);
  }
  out["splits"] = splits;
  if (info.folds > 0 && dataset->has_split("train")) out["folds"] = describe_folds(*dataset);
  if (!counts.empty()) out["samples_by_label"] = counts;
  return out;
}

Json inspect_model(const fs::path& folder) {
  Json out = {{"kind", "model"}, {"path", folder.string()}};
  describe_weights(folder, *describe_model(folder, out).family, out);
  return out;
}

Json inspect_checkpoint(const fs::path& folder) {
  const std::string problem = problem_of([&] { train::verify_checkpoint(folder); });
  Json out = {{"kind", "checkpoint"}, {"path", folder.string()}, {"whole", problem.empty()}};
  if (!problem.empty()) {
    out["problem"] = problem;
    return out;
  }
  describe_state(folder / train::kTrainerStateFile, out);
  describe_weights(folder, *describe_model(folder, out).family, out);
  return out;
}

Json inspect_run(const fs::path& folder) {
  Json out = {{"kind", "run"}, {"path", folder.string()}};
  bool complete = false;
  if (const fs::path state = folder / train::kTrainerStateFile; fs::exists(state)) {
    const std::string problem = problem_of([&] { describe_state(state, out); });
    if (!problem.empty()) out["problem"] = problem;
    complete = out.value("complete", false);
  }
  const auto checkpoints = train::list_checkpoints(folder);
  std::optional<int64_t> newest_whole;
  const Json rows = describe_checkpoints(checkpoints, newest_whole);
  out["goes_on"] = complete       ? Json("no, it is complete")
                   : newest_whole ? Json(concat("from step ", *newest_whole))
                                  : Json("from the start: there is no whole checkpoint");
  out["results"] = read_json(folder / "all_results.json");
  const auto records = train::read_records(folder / "metrics.jsonl");
  out["last_log"] = last_with(records, "loss");
  out["last_evaluation"] = last_with(records, "eval_loss");
  const Json provenance = read_json(folder / "provenance.json");
  if (provenance.is_object()) {
    out["berth_version"] = provenance.value("berth_version", Json());
    out["jobs"] = provenance.value("jobs", Json::array());
  }
  out["checkpoints"] = rows;
  return out;
}

int run_inspect(const InspectOptions& options, std::ostream& out) {
  const Json description = inspect(options.path);
  out << (options.json ? data::dump_json(description, 2) + "\n" : describe_as_text(description));
  const Json checkpoints = description.value("checkpoints", Json::array());
  const bool broken = description.contains("problem") || std::any_of(checkpoints.begin(), checkpoints.end(),
                                                                     [](const Json& row) { return !row["whole"].get<bool>(); });
  return static_cast<int>(broken ? ExitCode::kBadInput : ExitCode::kOk);
}

}  // namespace berth::launch
