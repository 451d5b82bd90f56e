// BERT and its relatives: encoders of WordPieces whose layers are BERT's. What a relative does otherwise than BERT, beside its sizes, is
// its row in family.cc; what it calls its tensors is in checkpoint/hf_names.cc.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "trainer/kernels/activation.h"

namespace berth::train {

struct BertConfig;

struct Family {
  std::string_view model_type;    // in config.json
  std::string_view class_prefix;  // of Hugging Face's classes: "Bert" + "ForSequenceClassification"

  // Keys of config.json: BERT's, and what they are called here; "" where there is no such thing.
  struct Key {
    std::string_view bert, here;
  };
  std::span<const Key> keys;
  std::string_view key(std::string_view bert) const;
  void (*set_defaults)(BertConfig& config);   // of keys that are missing, where they are not BERT's
  std::span<const std::string_view> without;  // BERT's classes that have no counterpart here, or one that berth does not have

  // Sequence classification: a dense layer ("pooler") with this activation on the first token, then the output layer, of this name.
  Activation pooler_act = Activation::kTanh;
  std::string_view classifier = "classifier";
  bool drops_pooler_input = false;               // classifier_dropout before the dense layer, as well as behind it
  bool drops_attention_output = true;            // hidden_dropout_prob on what attention adds to a layer
  bool drops_tokens_as_hidden = false;           // token classification has hidden_dropout_prob, not classifier_dropout
  std::optional<Activation> masked_lm_act = {};  // before the scores of the vocabulary; unset: hidden_act
};

extern const Family kBert;
// Throws Error(kBadInput) that names those there are, beginning with `origin`.
const Family& find_family(std::string_view model_type, const std::string& origin);

}  // namespace berth::train
