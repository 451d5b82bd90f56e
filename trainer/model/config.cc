#include "trainer/model/config.h"

#include <cmath>
#include <nlohmann/json.hpp>
#include <set>

#include "data/check.h"
#include "data/json/json.h"

namespace berth::train {
namespace {

using nlohmann::json;

constexpr const char *kNormalizeKey = "berth_normalize", *kTextPairsKey = "berth_text_pairs";
constexpr const char *kMaxLengthKey = "berth_max_length", *kDocStrideKey = "berth_doc_stride",
                     *kDocumentPoolingKey = "berth_document_pooling";

constexpr std::pair<const char*, DocumentPooling> kPoolings[] = {
    {"mean", DocumentPooling::kMean}, {"max", DocumentPooling::kMax}, {"first", DocumentPooling::kFirst}};

const std::pair<const char*, Activation> kActivations[] = {
    {"gelu", Activation::kGelu}, {"gelu_new", Activation::kGeluNew}, {"relu", Activation::kRelu},
    {"tanh", Activation::kTanh}, {"gelu_python", Activation::kGelu}, {"gelu_pytorch_tanh", Activation::kGeluNew},
};

bool known_activation(const std::string& name, Activation& activation) {
  for (const auto& [known, value] : kActivations)
    if (name == known) return activation = value, true;
  return false;
}

// One config.json being read, asked by BERT's keys: null and missing keys leave the default.
struct Reader {
  const json& root;
  const std::string& origin;
  const Family& family = kBert;

  const json* find(std::string_view key) const {
    const std::string_view here = family.key(key);
    const auto found = here.empty() ? root.end() : root.find(here);
    return found == root.end() || found->is_null() ? nullptr : &*found;
  }
  void read(std::string_view key, int64_t& value) const {
    if (const json* found = find(key)) {
      check(found->is_number_integer() && (!found->is_number_unsigned() || found->get<uint64_t>() <= INT64_MAX), origin, ": ",
            family.key(key), " must be an integer, but is ", excerpt(*found));
      value = found->get<int64_t>();
    }
  }
  void read(std::string_view key, double& value) const {
    if (const json* found = find(key)) {
      check(found->is_number(), origin, ": ", family.key(key), " must be a number, but is ", excerpt(*found));
      value = found->get<double>();
    }
  }
  void read(std::string_view key, std::string& value) const {
    if (const json* found = find(key)) {
      check(found->is_string(), origin, ": ", family.key(key), " must be a string, but is ", excerpt(*found));
      value = found->get<std::string>();
    }
  }
  bool read_flag(std::string_view key) const {
    const json* found = find(key);
    check(!found || found->is_boolean(), origin, ": ", family.key(key), " must be true or false");
    return found && found->get<bool>();
  }
  static std::string excerpt(const json& value) {
    std::string text = data::dump_json(value, -1, /*ascii=*/true);
    return text.size() <= 80 ? text : concat(text.substr(0, 77), "...");
  }
};

std::vector<std::string> read_label_names(const Reader& reader) {
  std::vector<std::string> names;
  if (const json* labels = reader.find("id2label")) {
    check(labels->is_object(), reader.origin, ": id2label must be an object of id and name");
    names.resize(labels->size());
    std::set<std::string> distinct;
    for (size_t id = 0; id < names.size(); ++id) {
      const auto found = labels->find(std::to_string(id));
      check(found != labels->end(), reader.origin, ": id2label has ", names.size(), " entries, but none for id ", id);
      check(found->is_string() || found->is_number_integer(), reader.origin, ": id2label[", id, "] must be a name");
      names[id] = found->is_string() ? found->get<std::string>() : data::dump_json(*found);
      check(distinct.insert(names[id]).second, reader.origin, ": id2label has the name \"", names[id], "\" twice");
    }
    return names;
  }
  int64_t count = 0;
  reader.read("num_labels", count);
  if (count == 0) reader.read("_num_labels", count);
  check(count >= 0 && count <= 1'000'000, reader.origin, ": num_labels is ", count);
  for (int64_t id = 0; id < count; ++id) names.push_back("LABEL_" + std::to_string(id));
  return names;
}

// Texts that were changed in a way unknown here could not be changed alike for a prediction.
data::NormalizeOptions read_normalize(const Reader& reader) {
  std::string names;
  reader.read(kNormalizeKey, names);
  try {
    return data::NormalizeOptions::parse(names);
  } catch (const Error&) {
    fail(ExitCode::kBadInput, reader.origin, ": ", kNormalizeKey, " is \"", names, "\"; known are html, urls and whitespace");
  }
}

std::optional<DocumentWindows> read_windows(const Reader& reader) {
  if (!reader.find(kDocStrideKey) && !reader.find(kDocumentPoolingKey)) return std::nullopt;
  DocumentWindows windows;
  std::string pooling;
  reader.read(kMaxLengthKey, windows.max_length);
  reader.read(kDocStrideKey, windows.doc_stride);
  reader.read(kDocumentPoolingKey, pooling);
  try {
    windows.pooling = parse_document_pooling(pooling);
  } catch (const Error&) {
    fail(ExitCode::kBadInput, reader.origin, ": ", kDocumentPoolingKey, " is \"", pooling, "\"; known are mean, max and first");
  }
  check(windows.doc_stride >= 0 && windows.doc_stride < windows.max_length && windows.max_length <= 1 << 20, reader.origin, ": ",
        kDocStrideKey, " is ", windows.doc_stride, ", ", kMaxLengthKey, " ", windows.max_length);
  return windows;
}

const Family& family_of(const Reader& reader) {
  std::string model_type;
  reader.read("model_type", model_type);
  return model_type.empty() && reader.find("hidden_size") ? kBert : find_family(model_type, reader.origin);
}

}  // namespace

DocumentPooling parse_document_pooling(const std::string& name) {
  for (const auto& [known, pooling] : kPoolings)
    if (name == known) return pooling;
  fail(ExitCode::kUsage, "document pooling ", name, " is not known; use mean, max or first");
}

const char* document_pooling_name(DocumentPooling pooling) {
  for (const auto& [name, known] : kPoolings)
    if (known == pooling) return name;
  return "?";
}

const char* activation_name(Activation activation) {
  for (const auto& [name, value] : kActivations)
    if (value == activation) return name;
  return "?";
}

BertConfig BertConfig::parse(const std::string& text, const std::string& origin) {
  json root = data::parse_json(text, origin);
  check(root.is_object(), origin, " must hold a JSON object");
  const CustomHead head = CustomHead::take_from(root, origin);
  BertConfig config;
  config.family = &family_of({root, origin});
  config.family->set_defaults(config);
  const Reader reader{root, origin, *config.family};

  std::string positions = "absolute", activation = "gelu";
  reader.read("position_embedding_type", positions);
  check(positions == "absolute", origin, ": position_embedding_type is \"", positions, "\"; only \"absolute\" is supported");
  check(!reader.read_flag("is_decoder") && !reader.read_flag("add_cross_attention"), origin,
        ": the model is a decoder (is_decoder or add_cross_attention); berth fine-tunes encoders");

  reader.read("hidden_act", activation);
  check(known_activation(activation, config.hidden_act), origin, ": ", config.family->key("hidden_act"), " \"", activation,
        "\" is not supported; known are gelu, gelu_new, relu and tanh");
  reader.read("vocab_size", config.vocab_size);
  reader.read("embedding_size", config.embedding_size);
  reader.read("hidden_size", config.hidden_size);
  reader.read("num_hidden_layers", config.num_hidden_layers);
  reader.read("num_attention_heads", config.num_attention_heads);
  reader.read("intermediate_size", config.intermediate_size);
  reader.read("hidden_dropout_prob", config.hidden_dropout_prob);
  reader.read("attention_probs_dropout_prob", config.attention_probs_dropout_prob);
  reader.read("classifier_dropout", config.classifier_dropout);
  reader.read("qa_dropout", config.qa_dropout);
  reader.read("max_position_embeddings", config.max_position_embeddings);
  config.sinusoidal_pos_embds = reader.read_flag("sinusoidal_pos_embds");
  reader.read("type_vocab_size", config.type_vocab_size);
  reader.read("initializer_range", config.initializer_range);
  reader.read("layer_norm_eps", config.layer_norm_eps);
  reader.read("problem_type", config.problem_type);
  if (root.contains("pad_token_id") && root["pad_token_id"].is_null()) config.pad_token_id = -1;
  reader.read("pad_token_id", config.pad_token_id);
  config.label_names = read_label_names(reader);
  config.normalize = read_normalize(reader);
  config.windows = read_windows(reader);
  if (reader.find(kMaxLengthKey)) reader.read(kMaxLengthKey, config.max_length.emplace());
  check(!config.max_length || (*config.max_length > 0 && *config.max_length <= 1 << 20), origin, ": ", kMaxLengthKey, " is ",
        config.max_length.value_or(0));
  if (reader.find(kTextPairsKey)) config.text_pairs = reader.read_flag(kTextPairsKey);
  config.head = head;
  config.original_json = text;
  config.validate(origin);
  return config;
}

void BertConfig::validate(const std::string& origin) const {
  const auto in_range = [&](const char* key, int64_t value, int64_t low, int64_t high) {
    check(value >= low && value <= high, origin, ": ", family->key(key), " is ", value, "; expected ", low, " to ", high);
  };
  in_range("vocab_size", vocab_size, 1, 1 << 26);
  in_range("embedding_size", embedding_size, 0, 1 << 16);
  in_range("hidden_size", hidden_size, 1, 1 << 16);
  in_range("num_hidden_layers", num_hidden_layers, 1, 1024);
  in_range("num_attention_heads", num_attention_heads, 1, 1024);
  in_range("intermediate_size", intermediate_size, 1, 1 << 20);
  in_range("max_position_embeddings", max_position_embeddings, 1, 1 << 20);
  in_range("type_vocab_size", type_vocab_size, family->key("type_vocab_size").empty() ? 0 : 1, 1 << 16);
  in_range("pad_token_id", pad_token_id, -1, vocab_size - 1);
  check(hidden_size % num_attention_heads == 0, origin, ": ", family->key("hidden_size"), " ", hidden_size,
        " is not a multiple of ", family->key("num_attention_heads"), " ", num_attention_heads);
  const auto probability = [&](const char* key, double value) {
    check(value >= 0 && value < 1, origin, ": ", family->key(key), " is ", value, "; expected at least 0 and below 1");
  };
  probability("hidden_dropout_prob", hidden_dropout_prob);
  probability("attention_probs_dropout_prob", attention_probs_dropout_prob);
  if (classifier_dropout != -1) probability("classifier_dropout", classifier_dropout);
  probability("qa_dropout", qa_dropout);
  check(layer_norm_eps > 0 && layer_norm_eps < 1, origin, ": layer_norm_eps is ", layer_norm_eps,
        "; expected above 0 and below 1");
  check(initializer_range >= 0 && std::isfinite(initializer_range), origin, ": initializer_range is ", initializer_range);
  static const std::set<std::string> kProblemTypes = {"", "single_label_classification", "multi_label_classification",
                                                      "regression"};
  check(kProblemTypes.contains(problem_type), origin, ": problem_type is \"", problem_type,
        "\"; known are single_label_classification, multi_label_classification and regression");
}

std::string BertConfig::class_name(std::string_view bert_class) const {
  if (family == &kBert) return std::string(bert_class);
  return concat(family->class_prefix, bert_class.substr(kBert.class_prefix.size()));
}

std::string BertConfig::to_json(const std::string& architecture) const {
  json root = original_json.empty() ? json::object() : data::parse_json(original_json, "config.json");
  root["architectures"] = {class_name(architecture)};
  root["model_type"] = family->model_type;
  const auto set = [&](std::string_view key, const json& value) {
    // A string, since nlohmann-json before 3.11 takes no view.
    if (const std::string here(family->key(key)); !here.empty()) root[here] = value;
  };
  set("vocab_size", vocab_size);
  set("embedding_size", embedding_columns());
  set("hidden_size", hidden_size);
  set("num_hidden_layers", num_hidden_layers);
  set("num_attention_heads", num_attention_heads);
  set("intermediate_size", intermediate_size);
  set("hidden_dropout_prob", hidden_dropout_prob);
  set("attention_probs_dropout_prob", attention_probs_dropout_prob);
  set("classifier_dropout", classifier_dropout < 0 ? json() : json(classifier_dropout));
  set("qa_dropout", qa_dropout);
  set("max_position_embeddings", max_position_embeddings);
  set("sinusoidal_pos_embds", sinusoidal_pos_embds);
  set("type_vocab_size", type_vocab_size);
  set("initializer_range", initializer_range);
  set("layer_norm_eps", layer_norm_eps);
  set("pad_token_id", pad_token_id < 0 ? json() : json(pad_token_id));
  // The file may name the activation by one of its other names.
  Activation written;
  const json& act = root[std::string(family->key("hidden_act"))];
  if (!act.is_string() || !known_activation(act.get<std::string>(), written) || written != hidden_act)
    set("hidden_act", activation_name(hidden_act));
  // from_pretrained loads in the type that is named here.
  for (const char* key : {"dtype", "torch_dtype"})
    if (root.contains(key)) root[key] = "float32";
  for (const char* key : {kNormalizeKey, kTextPairsKey, kMaxLengthKey, kDocStrideKey, kDocumentPoolingKey}) root.erase(key);
  if (text_pairs) root[kTextPairsKey] = *text_pairs;
  if (max_length) root[kMaxLengthKey] = *max_length;
  if (windows) {
    root[kMaxLengthKey] = windows->max_length;
    root[kDocStrideKey] = windows->doc_stride;
    root[kDocumentPoolingKey] = document_pooling_name(windows->pooling);
  }
  if (normalize.any()) root[kNormalizeKey] = normalize.names();
  root.erase("problem_type");
  if (!problem_type.empty()) root["problem_type"] = problem_type;
  for (const char* key : {"id2label", "label2id", "num_labels", "_num_labels"}) root.erase(key);
  for (size_t id = 0; id < label_names.size(); ++id) {
    root["id2label"][std::to_string(id)] = label_names[id];
    root["label2id"][label_names[id]] = id;
  }
  head.put_into(root);
  check_internal(label_names.empty() || root["label2id"].size() == label_names.size(), "label names must be distinct");
  return data::dump_json(root, 2) + "\n";
}

}  // namespace berth::train
