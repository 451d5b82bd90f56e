// The hyper-parameters of a BERT model or one of its relatives (family.h), under BERT's names: Hugging Face's config.json, as transformers 4
// and 5 write it.
//
// The file comes from outside: types and sizes are checked, keys that berth does not know are kept, and keys that would change
// what the model computes (relative positions, a decoder's causal mask) are refused.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "data/samples/normalize_options.h"
#include "trainer/kernels/activation.h"
#include "trainer/model/custom_head.h"
#include "trainer/model/family.h"

namespace berth::train {

const char* activation_name(Activation activation);  // as in hidden_act

// How the logits of a long text's windows become the text's.
enum class DocumentPooling { kMean, kMax, kFirst };
DocumentPooling parse_document_pooling(const std::string& name);  // "mean", "max", "first"; Error(kUsage) listing them
const char* document_pooling_name(DocumentPooling pooling);

// What a model has learned of long texts: new ones are cut into windows as those were ("berth_max_length", "berth_doc_stride",
// "berth_document_pooling").
struct DocumentWindows {
  int64_t max_length = 0;  // tokens of a window
  int64_t doc_stride = 0;  // that neighbouring windows share
  DocumentPooling pooling = DocumentPooling::kMean;
  bool operator==(const DocumentWindows&) const = default;
};

struct BertConfig {
  const Family* family = &kBert;
  int64_t vocab_size = 30522;
  int64_t embedding_size = 0;  // 0: as hidden_size; otherwise a linear layer makes hidden_size of it
  int64_t hidden_size = 768;
  int64_t num_hidden_layers = 12;
  int64_t num_attention_heads = 12;
  int64_t intermediate_size = 3072;
  Activation hidden_act = Activation::kGelu;
  double hidden_dropout_prob = 0.1;
  double attention_probs_dropout_prob = 0.1;
  double classifier_dropout = -1;  // < 0: as hidden_dropout_prob
  double qa_dropout = 0;
  int64_t max_position_embeddings = 512;
  bool sinusoidal_pos_embds = false;  // what a new table of positions begins with
  int64_t type_vocab_size = 2;        // 0: segments make no difference
  double initializer_range = 0.02;
  double layer_norm_eps = 1e-12;
  int64_t pad_token_id = 0;                // -1: none
  std::string problem_type;                // "", single_label_classification, multi_label_classification, regression
  std::vector<std::string> label_names;    // id2label in order of id
  data::NormalizeOptions normalize;        // what the training texts went through: new ones must too ("berth_normalize")
  std::optional<int64_t> max_length;       // tokens of a training sample at most ("berth_max_length"); unset: not known
  std::optional<DocumentWindows> windows;  // unset: long texts are cut
  std::optional<bool> text_pairs;          // trained on pairs of texts, or on single ones ("berth_text_pairs"); unset: not known
  CustomHead head;                         // of classification and regression
  // The file's whole text, so that keys berth does not know survive a load and a save.
  std::string original_json;

  int64_t head_size() const { return hidden_size / num_attention_heads; }
  int64_t embedding_columns() const { return embedding_size > 0 ? embedding_size : hidden_size; }
  double classifier_dropout_prob() const { return classifier_dropout < 0 ? hidden_dropout_prob : classifier_dropout; }

  double attention_output_dropout_prob() const { return family->drops_attention_output ? hidden_dropout_prob : 0; }
  double token_dropout_prob() const { return family->drops_tokens_as_hidden ? hidden_dropout_prob : classifier_dropout_prob(); }

  // What the family calls BERT's class: of "BertForMaskedLM", "DistilBertForMaskedLM".
  std::string class_name(std::string_view bert_class) const;

  // Throws Error(kBadInput) naming the file and key on wrong types, impossible sizes or a model_type of no family.
  static BertConfig parse(const std::string& json, const std::string& origin);
  // config.json for a model of the family's class for `architecture` (BERT's, e.g. BertForSequenceClassification), its weights saved as
  // fp32. Label names must be distinct.
  std::string to_json(const std::string& architecture) const;
  void validate(const std::string& origin) const;
};

}  // namespace berth::train
