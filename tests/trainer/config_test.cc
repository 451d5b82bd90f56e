#include "trainer/model/config.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "data/check.h"

namespace berth::train {
namespace {

using nlohmann::json;

// What parse() says of `text`, or "" if it takes it.
std::string complaint(const std::string& text) {
  try {
    BertConfig::parse(text, "config.json");
    return "";
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ExitCode::kBadInput);
    return e.what();
  }
}

// As transformers 5 writes it.
constexpr char kVersion5[] = R"({
  "add_cross_attention": false, "architectures": ["BertForSequenceClassification"], "attention_probs_dropout_prob": 0.2,
  "bos_token_id": null, "classifier_dropout": null, "dtype": "bfloat16", "eos_token_id": null, "hidden_act": "gelu_new",
  "hidden_dropout_prob": 0.0, "hidden_size": 32, "id2label": {"0": "no", "1": "yes", "2": "maybe"}, "initializer_range": 0.02,
  "intermediate_size": 64, "is_decoder": false, "label2id": {"maybe": 2, "no": 0, "yes": 1}, "layer_norm_eps": 1e-12,
  "max_position_embeddings": 40, "model_type": "bert", "num_attention_heads": 4, "num_hidden_layers": 2, "pad_token_id": 0,
  "problem_type": "single_label_classification", "tie_word_embeddings": true, "transformers_version": "5.23.0",
  "type_vocab_size": 2, "use_cache": true, "vocab_size": 99})";

TEST(BertConfig, ReadsWhatTransformersWrites) {
  const BertConfig config = BertConfig::parse(kVersion5, "config.json");
  EXPECT_EQ(config.hidden_size, 32);
  EXPECT_EQ(config.head_size(), 8);
  EXPECT_EQ(config.vocab_size, 99);
  EXPECT_EQ(config.hidden_act, Activation::kGeluNew);
  EXPECT_EQ(config.attention_probs_dropout_prob, 0.2);
  EXPECT_EQ(config.classifier_dropout_prob(), 0.0);
  EXPECT_EQ(config.label_names, (std::vector<std::string>{"no", "yes", "maybe"}));
}

TEST(BertConfig, SavesWhatItReadAndKeepsUnknownKeys) {
  BertConfig config = BertConfig::parse(kVersion5, "config.json");
  config.label_names = {"a", "b"};
  config.classifier_dropout = 0.5;
  const json saved = json::parse(config.to_json("BertForTokenClassification"));
  EXPECT_EQ(saved["architectures"], json({"BertForTokenClassification"}));
  EXPECT_EQ(saved["id2label"], json({{"0", "a"}, {"1", "b"}}));
  EXPECT_EQ(saved["label2id"], json({{"a", 0}, {"b", 1}}));
  EXPECT_EQ(saved["dtype"], "float32");
  EXPECT_EQ(saved["transformers_version"], "5.23.0");
  EXPECT_EQ(saved["tie_word_embeddings"], true);
  EXPECT_EQ(saved["classifier_dropout"], 0.5);
  config.classifier_dropout = -1;
  EXPECT_TRUE(json::parse(config.to_json("X"))["classifier_dropout"].is_null());
  config.classifier_dropout = 0.5;
  const BertConfig again = BertConfig::parse(saved.dump(), "saved");
  EXPECT_EQ(again.to_json("X"), config.to_json("X"));
}

TEST(BertConfig, ClassifierDropoutIsTheHiddenOneUnlessItIsANumber) {
  const auto rate = [](const std::string& rest) {
    return BertConfig::parse(R"({"model_type": "bert", "hidden_dropout_prob": 0.25)" + rest + "}", "f").classifier_dropout_prob();
  };
  EXPECT_EQ(rate(""), 0.25);
  EXPECT_EQ(rate(R"(, "classifier_dropout": null)"), 0.25);
  EXPECT_EQ(rate(R"(, "classifier_dropout": 0.5)"), 0.5);
  EXPECT_EQ(rate(R"(, "classifier_dropout": 0)"), 0.0);
}

TEST(BertConfig, OldFilesWithoutModelTypeOrLabels) {
  const BertConfig config =
      BertConfig::parse(R"({"hidden_size": 768, "hidden_act": "gelu", "num_labels": 3, "pad_token_id": null})", "f");
  EXPECT_EQ(config.label_names, (std::vector<std::string>{"LABEL_0", "LABEL_1", "LABEL_2"}));
  EXPECT_EQ(config.pad_token_id, -1);
  EXPECT_EQ(json::parse(config.to_json("X"))["model_type"], "bert");
}

TEST(BertConfig, KeepsHowLongTextsAreCut) {
  const std::string text =
      R"({"model_type": "bert", "berth_max_length": 64, "berth_doc_stride": 16, "berth_document_pooling": "max"})";
  BertConfig config = BertConfig::parse(text, "config.json");
  const DocumentWindows windows{.max_length = 64, .doc_stride = 16, .pooling = DocumentPooling::kMax};
  EXPECT_EQ(config.windows, windows);
  EXPECT_EQ(BertConfig::parse(config.to_json("X"), "config.json").windows, windows);
  config.windows.reset();
  EXPECT_FALSE(BertConfig::parse(config.to_json("X"), "config.json").windows);
}

TEST(BertConfig, KeepsTheLengthOfItsSamples) {
  const BertConfig config = BertConfig::parse(R"({"model_type": "bert", "berth_max_length": 64})", "config.json");
  EXPECT_EQ(config.max_length, 64);
  EXPECT_FALSE(config.windows);
  EXPECT_EQ(BertConfig::parse(config.to_json("X"), "config.json").max_length, 64);
  EXPECT_FALSE(BertConfig::parse(R"({"model_type": "bert"})", "config.json").max_length);
  EXPECT_THROW(BertConfig::parse(R"({"model_type": "bert", "berth_max_length": 0})", "config.json"), Error);
}

TEST(BertConfig, KeepsWhetherItsTextsArePairs) {
  for (const char* flag : {"true", "false"}) {
    BertConfig config = BertConfig::parse(concat(R"({"model_type": "bert", "berth_text_pairs": )", flag, "}"), "config.json");
    EXPECT_EQ(config.text_pairs, *flag == 't');
    EXPECT_EQ(BertConfig::parse(config.to_json("X"), "config.json").text_pairs, config.text_pairs);
    config.text_pairs.reset();
    EXPECT_FALSE(BertConfig::parse(config.to_json("X"), "config.json").text_pairs);
  }
}

TEST(BertConfig, RelativesHaveTheirOwnKeysAndDefaults) {
  BertConfig distilbert =
      BertConfig::parse(R"({"model_type": "distilbert", "dim": 48, "n_heads": 3, "hidden_dim": 100, "dropout": 0.3,
      "activation": "relu", "attention_dropout": 0.4, "hidden_size": 7, "type_vocab_size": 5, "tie_weights_": true})",
                        "f");
  EXPECT_EQ(distilbert.hidden_size, 48);
  EXPECT_EQ(distilbert.num_attention_heads, 3);
  EXPECT_EQ(distilbert.num_hidden_layers, 6);
  EXPECT_EQ(distilbert.intermediate_size, 100);
  EXPECT_EQ(distilbert.hidden_act, Activation::kRelu);
  EXPECT_EQ(distilbert.type_vocab_size, 0);
  EXPECT_EQ(distilbert.classifier_dropout_prob(), 0.2);
  EXPECT_EQ(distilbert.token_dropout_prob(), 0.3);
  EXPECT_EQ(distilbert.qa_dropout, 0.1);
  EXPECT_EQ(distilbert.attention_output_dropout_prob(), 0);
  distilbert.classifier_dropout = 0.5;
  const json saved = json::parse(distilbert.to_json("BertForQuestionAnswering"));
  EXPECT_EQ(saved["architectures"], json({"DistilBertForQuestionAnswering"}));
  EXPECT_EQ(saved["model_type"], "distilbert");
  EXPECT_EQ(saved["seq_classif_dropout"], 0.5);
  EXPECT_EQ(saved["activation"], "relu");
  EXPECT_EQ(saved["tie_weights_"], true);
  for (const char* absent : {"num_hidden_layers", "classifier_dropout", "embedding_size", "layer_norm_eps"})
    EXPECT_FALSE(saved.contains(absent)) << absent;
  EXPECT_EQ(BertConfig::parse(saved.dump(), "saved").to_json("BertForQuestionAnswering"),
            distilbert.to_json("BertForQuestionAnswering"));

  const BertConfig electra = BertConfig::parse(R"({"model_type": "electra", "num_attention_heads": 8})", "f");
  EXPECT_EQ(electra.embedding_size, 128);
  EXPECT_EQ(electra.hidden_size, 256);
  EXPECT_EQ(electra.token_dropout_prob(), 0.1);
  EXPECT_EQ(json::parse(electra.to_json("BertForMaskedLM"))["architectures"], json({"ElectraForMaskedLM"}));
  EXPECT_EQ(BertConfig::parse(R"({"model_type": "bert", "embedding_size": 5, "qa_dropout": 0.5})", "f").embedding_columns(), 768);
}

TEST(BertConfig, RefusesWhatItCannotCompute) {
  const std::pair<const char*, const char*> cases[] = {
      {R"({"model_type": "roberta"})", "model_type is \"roberta\"; berth fine-tunes models of type bert, distilbert, electra"},
      {R"({"model_type": "distilbert", "dim": "768"})", "dim must be an integer"},
      {R"({"model_type": "distilbert", "dim": 100})", "dim 100 is not a multiple of n_heads 12"},
      {R"({"model_type": "distilbert", "qa_dropout": 1.5})", "qa_dropout is 1.5"},
      {R"({"model_type": "distilbert", "sinusoidal_pos_embds": 1})", "sinusoidal_pos_embds must be true or false"},
      {R"({"model_type": "electra", "embedding_size": -1})", "embedding_size is -1"},
      {R"({})", "model_type"},
      {R"([])", "object"},
      {R"({"model_type": "bert", )", "not valid JSON"},
      {"", "not valid JSON"},
      {R"({"model_type": "bert", "position_embedding_type": "relative_key"})", "relative_key"},
      {R"({"model_type": "bert", "is_decoder": true})", "decoder"},
      {R"({"model_type": "bert", "hidden_act": "silu"})", "silu"},
      {R"({"model_type": "bert", "hidden_size": 100})", "multiple"},
      {R"({"model_type": "bert", "hidden_size": "768"})", "integer"},
      {R"({"model_type": "bert", "hidden_size": 768.5})", "integer"},
      {R"({"model_type": "bert", "hidden_size": -768})", "hidden_size"},
      {R"({"model_type": "bert", "hidden_size": 18446744073709551615})", "hidden_size"},
      {R"({"model_type": "bert", "hidden_size": 1e999})", "not valid JSON"},
      {R"({"model_type": "bert", "vocab_size": 0})", "vocab_size"},
      {R"({"model_type": "bert", "num_hidden_layers": 1000000000})", "num_hidden_layers"},
      {R"({"model_type": "bert", "hidden_dropout_prob": 1.0})", "hidden_dropout_prob"},
      {R"({"model_type": "bert", "classifier_dropout": -0.5})", "classifier_dropout"},
      {R"({"model_type": "bert", "layer_norm_eps": 0})", "layer_norm_eps"},
      {R"({"model_type": "bert", "pad_token_id": 30522})", "pad_token_id"},
      {R"({"model_type": "bert", "problem_type": "guess"})", "problem_type"},
      {R"({"model_type": "bert", "id2label": ["a"]})", "id2label"},
      {R"({"model_type": "bert", "id2label": {"0": "a", "7": "b"}})", "id 1"},
      {R"({"model_type": "bert", "id2label": {"0": {}}})", "id2label"},
      {R"({"model_type": "bert", "id2label": {"0": "a", "1": "a"}})", "id2label has the name \"a\" twice"},
      {R"({"model_type": "bert", "num_labels": 99999999999})", "num_labels"},
      {R"({"model_type": "bert", "berth_doc_stride": 8})", "berth_document_pooling"},
      {R"({"model_type": "bert", "berth_max_length": 64, "berth_doc_stride": 64, "berth_document_pooling": "max"})",
       "berth_doc_stride"},
      {R"({"model_type": "bert", "berth_max_length": 64, "berth_doc_stride": -1, "berth_document_pooling": "max"})",
       "berth_doc_stride"},
      {R"({"model_type": "bert", "berth_max_length": 64, "berth_doc_stride": 8, "berth_document_pooling": "sum"})", "\"sum\""},
  };
  for (const auto& [text, expected] : cases)
    EXPECT_NE(complaint(text).find(expected), std::string::npos) << text << "\n" << complaint(text);
  EXPECT_NE(complaint(std::string(1 << 20, '[')), "");  // deep nesting ends in an error, not in a stack overflow
  std::string valid = R"({"model_type": "bert", "hidden_size": )";
  valid.append(100'000, '[').append(100'000, ']').append("}");
  EXPECT_NE(complaint(valid).find("nested"), std::string::npos);
}

}  // namespace
}  // namespace berth::train
