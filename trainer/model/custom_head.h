// A head of another form than Hugging Face's: a text or token as one row, hidden layers, then the classifier. Compiles without libtorch.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "trainer/kernels/activation.h"
#include "trainer/model/text_pooling.h"

namespace berth::train {

// row -> dropout (classifier_dropout) -> [linear -> activation -> dropout] for each hidden size -> classifier. The standard head is the one
// without hidden layers on the pooler's row (on each token's, in token classification).
struct CustomHead {
  std::vector<int64_t> hidden_sizes = {};
  double dropout = 0.1;
  Activation activation = Activation::kRelu;
  TextPooling pooling = TextPooling::kPooler;  // of texts; tokens stay rows of their own

  bool is_standard() const { return hidden_sizes.empty() && pooling == TextPooling::kPooler; }
  // What the classifier sees, of rows of `hidden_size`.
  int64_t width(int64_t hidden_size) const { return hidden_sizes.empty() ? hidden_size : hidden_sizes.back(); }

  // What a config.json says. One of a custom head has a model_type of its own, "berth", so that nothing takes the model for a BERT with
  // the standard head; it is made "bert" in `config`. Throws Error(kBadInput) naming `origin`.
  static CustomHead take_from(nlohmann::json& config, const std::string& origin);
  // The opposite, with what transformers' Auto classes need to find kModelingFile. Of the standard head nothing is written, and what an
  // earlier head has left is removed.
  void put_into(nlohmann::json& config) const;
};

// transformers' classes for custom heads, which is saved beside the model.
inline constexpr const char* kModelingFile = "modeling_berth.py";

// "256,64", or "none". Throws Error(kUsage).
std::vector<int64_t> parse_hidden_sizes(const std::vector<std::string>& sizes);
// relu, gelu, gelu_new or tanh. Throws Error(kUsage).
Activation parse_head_activation(const std::string& name);

// The class of a model with a custom head for BERT's: "BerthForSequenceClassification" for "BertForSequenceClassification"; and back.
std::string custom_class(const std::string& bert_class);
std::string bert_class(const std::string& name);

}  // namespace berth::train
