#include "trainer/model/family.h"

#include <algorithm>

#include "data/check.h"
#include "data/words.h"
#include "trainer/model/config.h"

namespace berth::train {
namespace {

constexpr Family::Key kBertKeys[] = {{"embedding_size", ""}, {"qa_dropout", ""}, {"sinusoidal_pos_embds", ""}};
constexpr Family::Key kElectraKeys[] = {{"qa_dropout", ""}, {"sinusoidal_pos_embds", ""}};
constexpr Family::Key kDistilBertKeys[] = {{"hidden_size", "dim"},
                                           {"num_hidden_layers", "n_layers"},
                                           {"num_attention_heads", "n_heads"},
                                           {"intermediate_size", "hidden_dim"},
                                           {"hidden_act", "activation"},
                                           {"hidden_dropout_prob", "dropout"},
                                           {"attention_probs_dropout_prob", "attention_dropout"},
                                           {"classifier_dropout", "seq_classif_dropout"},
                                           {"embedding_size", ""},
                                           {"type_vocab_size", ""},
                                           {"layer_norm_eps", ""}};

constexpr std::string_view kDistilBertLacks[] = {"BertForPreTraining", "BertForNextSentencePrediction"};
constexpr std::string_view kElectraLacks[] = {"BertForPreTraining", "BertForNextSentencePrediction", "BertForMultipleChoice"};

// Sanh et al., "DistilBERT, a distilled version of BERT" (2019): no segments.
const Family kDistilBert{.model_type = "distilbert",
                         .class_prefix = "DistilBert",
                         .keys = kDistilBertKeys,
                         .set_defaults =
                             [](BertConfig& config) {
                               config.num_hidden_layers = 6;
                               config.type_vocab_size = 0;
                               config.classifier_dropout = 0.2;
                               config.qa_dropout = 0.1;
                             },
                         .without = kDistilBertLacks,
                         .pooler_act = Activation::kRelu,
                         .drops_attention_output = false,
                         .drops_tokens_as_hidden = true};

// Clark et al., "ELECTRA: Pre-training Text Encoders as Discriminators Rather Than Generators" (2020).
const Family kElectra{.model_type = "electra",
                      .class_prefix = "Electra",
                      .keys = kElectraKeys,
                      .set_defaults =
                          [](BertConfig& config) {
                            config.embedding_size = 128;
                            config.hidden_size = 256;
                            config.num_attention_heads = 4;
                            config.intermediate_size = 1024;
                          },
                      .without = kElectraLacks,
                      .pooler_act = Activation::kGelu,
                      .classifier = "classifier.out_proj",
                      .drops_pooler_input = true,
                      .masked_lm_act = Activation::kGelu};

const Family* const kFamilies[] = {&kBert, &kDistilBert, &kElectra};

}  // namespace

const Family kBert{
    .model_type = "bert", .class_prefix = "Bert", .keys = kBertKeys, .set_defaults = [](BertConfig&) {}, .without = {}};

std::string_view Family::key(std::string_view bert) const {
  const auto found = std::find_if(keys.begin(), keys.end(), [&](const Key& key) { return key.bert == bert; });
  return found == keys.end() ? bert : found->here;
}

const Family& find_family(std::string_view model_type, const std::string& origin) {
  for (const Family* family : kFamilies)
    if (family->model_type == model_type) return *family;
  fail(ExitCode::kBadInput, origin, ": model_type is \"", model_type, "\"; berth fine-tunes models of type ",
       joined(kFamilies, ", ", [](const Family* family) { return family->model_type; }));
}

}  // namespace berth::train
