// A BERT model's hyper-parameters: Hugging Face's config.json.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace berth::train {

enum class Activation { kGelu, kGeluNew, kRelu, kTanh };  // gelu = erf form; gelu_new = tanh approximation

struct BertConfig {
  int64_t vocab_size = 30522;
  int64_t hidden_size = 768;
  int64_t num_hidden_layers = 12;
  int64_t num_attention_heads = 12;
  int64_t intermediate_size = 3072;
  Activation hidden_act = Activation::kGelu;
  double hidden_dropout_prob = 0.1;
  double attention_probs_dropout_prob = 0.1;
  double classifier_dropout = -1;  // < 0: as hidden_dropout_prob
  int64_t max_position_embeddings = 512;
  int64_t type_vocab_size = 2;
  double initializer_range = 0.02;
  double layer_norm_eps = 1e-12;
  int64_t pad_token_id = 0;
  std::string problem_type;             // "", single_label_classification, multi_label_classification, regression
  std::vector<std::string> label_names;  // id2label in order of id
  // The file's whole text, so that keys berth does not know survive a load and a save.
  std::string original_json;

  // Throws Error(kBadInput) naming the file and key on wrong types, impossible sizes or a model_type other than bert.
  static BertConfig load(const std::filesystem::path& config_json);
  static BertConfig parse(const std::string& json, const std::string& origin);
  // config.json for a model of class `architecture` (e.g. BertForSequenceClassification).
  std::string to_json(const std::string& architecture) const;
  void validate(const std::string& origin) const;
};

}  // namespace berth::train
