#include "trainer/use/load_model.h"

#include <algorithm>
#include <boost/log/trivial.hpp>
#include <span>

#include "data/check.h"
#include "data/files/files.h"
#include "data/json/json.h"
#include "trainer/checkpoint/checkpoint.h"
#include "trainer/checkpoint/model_path.h"
#include "trainer/comm/agree.h"
#include "trainer/tasks/instance.h"
#include "trainer/use/pretrained.h"

namespace berth::train {
namespace {

// The task that a config.json names: its class, and for sequence classification its problem_type.
data::TaskKind task_of(const BertConfig& config, const std::string& text, const std::string& origin) {
  const auto json = data::parse_json(text, origin);
  check(json.is_object(), origin, ": not a JSON object");
  const auto classes = json.value("architectures", nlohmann::json::array());
  const std::string name =
      bert_class(classes.is_array() && !classes.empty() && classes[0].is_string() ? classes[0].get<std::string>() : "");
  std::string problem =
      json.contains("problem_type") && json["problem_type"].is_string() ? json["problem_type"].get<std::string>() : "";
  if (problem.empty() && config.label_names.size() == 1) problem = "regression";  // as transformers' class takes it
  for (const data::TaskInfo& info : data::tasks()) {
    const Architecture& architecture = architecture_of(info.kind);
    const std::string_view own = architecture.problem_type;
    if (name == config.class_name(architecture.name) && (own.empty() || problem.empty() || own == problem)) return info.kind;
  }
  fail(ExitCode::kBadInput, origin, ": architectures names ", name.empty() ? "no class" : name,
       problem.empty() ? "" : " with the problem_type " + problem,
       ": not a model that berth fine-tuned; give the folder of a run, or train one first");
}

struct Found {
  std::filesystem::path folder;
  std::string config;  // the text of config.json
};

// Rank 0 finds the folder and reads its config; the others get both.
Found find_model(const std::string& name, comm::Communicator& comm) {
  std::string folder, config;
  comm::agree_on_root(comm, [&] {
    folder = resolve_model(name).string();
    const std::filesystem::path file = std::filesystem::path(folder) / "config.json";
    const std::vector<Checkpoint> checkpoints = list_checkpoints(folder);
    check(checkpoints.empty() || std::filesystem::exists(file), folder,
          ": a run that has not ended has no model yet; let berth train go on with it, or name a checkpoint, such as ",
          checkpoints.empty() ? "" : checkpoints.back().folder.string());
    config = data::read_file(file);
  });
  comm.broadcast(folder, 0);
  comm.broadcast(config, 0);
  return {folder, config};
}

// Whether a head's outputs are labels, which config.json names.
bool has_labels(data::TaskKind task) {
  using enum data::LabelShape;
  const data::LabelShape shape = data::task_info(task).labels;
  return shape == kClass || shape == kFloat || shape == kMultiHot || shape == kTokenClass;
}

LoadedModel fill(const BertConfig& config, const std::filesystem::path& folder, data::TaskKind task,
                 const PrecisionOptions& precision, comm::Communicator& comm) {
  LoadedModel loaded{.folder = folder, .model = nullptr, .tokenizer = share_tokenizer(folder, comm)};
  comm::agree(comm, [&] {
    check(loaded.tokenizer->vocab().size() <= config.vocab_size, (folder / "config.json").string(), ": vocab_size ",
          config.vocab_size, " is smaller than the vocabulary of ", loaded.tokenizer->vocab().size(), " tokens beside it");
    check(!has_labels(task) || !config.label_names.empty(), (folder / "config.json").string(),
          ": names no labels (id2label): there is no head for ", data::task_info(task).name, "; train it first");
    check_has_class(config, task, (folder / "config.json").string());
  });
  const PretrainedOptions all_of_it{.family = config.family->class_prefix, .allow_new_head = false};
  check_pretrained(folder, architecture_of(task).parameters(config, true), comm, all_of_it);
  loaded.model = std::make_shared<ModelInstance>(config, task, comm, kBucketBytes, std::vector<std::string>(),
                                                 ParameterStore::Updates::kNone);
  load_pretrained(folder, loaded.model->parameters(), comm, all_of_it);
  if (compute_type(precision) != at::kFloat) loaded.model->parameters().enable_compute_copy(compute_type(precision));
  return loaded;
}

LoadedModel load_model(const std::string& name, const PrecisionOptions& precision, comm::Communicator& comm) {
  const Found found = find_model(name, comm);
  const std::string origin = (found.folder / "config.json").string();
  BertConfig config;
  data::TaskKind task{};
  comm::agree(comm, [&] {
    config = BertConfig::parse(found.config, origin);
    task = task_of(config, found.config, origin);
  });
  return fill(config, found.folder, task, precision, comm);
}

std::string describe(const data::NormalizeOptions& normalize) { return normalize.any() ? normalize.names() : "nothing"; }

std::string describe(const std::optional<DocumentWindows>& windows) {
  return windows ? concat("windows of ", windows->max_length, " tokens that share ", windows->doc_stride) : "cut";
}

void warn_of_other_windows(const LoadedModel& model, const data::Dataset& dataset, comm::Communicator& comm) {
  const data::DatasetInfo& info = dataset.info();
  const std::optional<DocumentWindows>& own = model.config().windows;
  if (!own || comm.rank() != 0) return;
  std::optional<DocumentWindows> there;
  if (info.doc_stride) there = {.max_length = info.max_length, .doc_stride = *info.doc_stride, .pooling = own->pooling};
  if (there != own)
    BOOST_LOG_TRIVIAL(warning) << dataset.path().string() << ": long texts are " << describe(there) << ", those that "
                               << model.folder.string() << " was trained with " << describe(own)
                               << ": the metrics are not those of berth predict";
}

}  // namespace

data::TaskKind LoadedModel::kind() const { return model->architecture().task; }
const Task& LoadedModel::task() const { return model->task(); }
const BertConfig& LoadedModel::config() const { return model->config(); }

std::optional<bool> pairs_of(const data::Split& split, data::TaskKind task) {
  if (!data::task_info(task).labels_texts() || split.size() == 0) return std::nullopt;
  data::Batch batch;
  const int64_t first = 0;
  split.read(std::span(&first, 1), batch);
  return std::find(batch.token_type_ids.begin(), batch.token_type_ids.end(), 1) != batch.token_type_ids.end();
}

BertConfig load_config(const std::filesystem::path& folder) {
  constexpr uint64_t kMaxBytes = 64 << 20;
  const std::filesystem::path file = folder / "config.json";
  return BertConfig::parse(data::read_file(file, kMaxBytes), file.string());
}

data::BertTokenizer share_tokenizer(const std::filesystem::path& folder, comm::Communicator& comm) {
  std::string bytes;
  std::optional<data::BertTokenizer> loaded;
  comm::agree_on_root(comm, [&] {
    loaded = data::BertTokenizer::load(folder);
    const data::TokenizerOptions& o = loaded->options();
    bytes = data::dump_json(nlohmann::json{loaded->vocab().tokens(), loaded->added_tokens(), o.do_lower_case,
                                           o.strip_accents.value_or(o.do_lower_case), o.tokenize_chinese_chars});
  });
  comm.broadcast(bytes, 0);
  if (loaded) return *std::move(loaded);
  const auto json = data::parse_json(bytes, "", data::kOwnJson, ExitCode::kInternal);
  return {data::Vocab(json[0].get<std::vector<std::string>>()),
          {.do_lower_case = json[2], .strip_accents = json[3].get<bool>(), .tokenize_chinese_chars = json[4]},
          json[1].get<std::vector<std::string>>()};
}

std::vector<LoadedModel> load_models(const std::vector<std::string>& names, const PrecisionOptions& precision,
                                     comm::Communicator& comm) {
  std::vector<LoadedModel> models;
  for (const std::string& name : names) {
    models.push_back(load_model(name, precision, comm));
    const LoadedModel &first = models.front(), &last = models.back();
    comm::agree(comm, [&] {
      const auto check_same = [&](bool same, const char* what) {
        check(same, last.folder.string(), ": ", what, " not that of ", first.folder.string(),
              ": their answers cannot be averaged");
      };
      check_same(last.kind() == first.kind(), "its task is");
      check_same(last.config().label_names == first.config().label_names, "its list of labels is");
      check_same(last.config().windows == first.config().windows, "what it does with long texts is");
      check_same(last.config().normalize == first.config().normalize, "the normalisation of its texts is");
      check_same(last.tokenizer->vocab().sha256() == first.tokenizer->vocab().sha256(), "its vocabulary is");
    });
  }
  return models;
}

LoadedModel load_model_for(const data::Dataset& dataset, const std::string& name, const PrecisionOptions& precision,
                           comm::Communicator& comm) {
  const Found found = find_model(name, comm);
  BertConfig config;
  comm::agree(comm, [&] { config = BertConfig::parse(found.config, (found.folder / "config.json").string()); });
  const data::DatasetInfo& info = dataset.info();
  LoadedModel loaded = fill(config, found.folder, info.task, precision, comm);
  comm::agree(comm, [&] {
    check(loaded.tokenizer->vocab().sha256() == info.vocab_sha256, dataset.path().string(),
          ": was prepared with another vocabulary than the model's in ", found.folder.string(),
          ": run berth prepare again with --tokenizer ", found.folder.string());
    const bool lower = loaded.tokenizer->options().do_lower_case;
    check(info.do_lower_case.value_or(lower) == lower, dataset.path().string(), ": was prepared ", lower ? "without" : "with",
          " lower-casing, the model in ", found.folder.string(), " was trained ", lower ? "with" : "without",
          ": run berth prepare again with --tokenizer ", found.folder.string());
    check(info.max_length <= config.max_position_embeddings, dataset.path().string(), ": holds texts of up to ", info.max_length,
          " tokens, the model has ", config.max_position_embeddings, " positions");
    check(!info.doc_stride || config.windows, dataset.path().string(),
          ": long texts are windows there (--doc-stride), but the model in ", found.folder.string(),
          " was trained on texts that were cut: run berth prepare again without --doc-stride");
    check(info.label_names.empty() || config.label_names == info.label_names, dataset.path().string(), ": its ",
          info.label_names.size(), " labels are not the ", config.label_names.size(), " that ", found.folder.string(),
          " was trained with: prepare the data set with the labels of the training data");
  });
  warn_of_other_windows(loaded, dataset, comm);
  if (comm.rank() == 0 && config.normalize != info.normalize)
    BOOST_LOG_TRIVIAL(warning) << dataset.path().string() << ": its texts were normalised by " << describe(info.normalize)
                               << ", those that " << found.folder.string() << " was trained with by "
                               << describe(config.normalize) << ": the metrics are not those of berth predict";
  return loaded;
}

}  // namespace berth::train
