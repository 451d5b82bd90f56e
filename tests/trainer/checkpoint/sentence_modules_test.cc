// Folders of sentence-transformers, good and bad.
#include "trainer/checkpoint/sentence_modules.h"

#include <gtest/gtest.h>

#include "data/check.h"
#include "tests/support/temp_dir.h"

namespace berth::train {
namespace {

using test::TempDir;
using test::write_bytes;

const std::string kModules = R"([
  {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
  {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
  {"idx": 2, "name": "2", "path": "2_Normalize", "type": "sentence_transformers.models.Normalize"}])";

class SentenceModulesTest : public testing::Test {
 protected:
  void write(const std::string& file, const std::string& text) { write_bytes(dir_ / file, text); }
  SentenceModules read() const { return read_sentence_modules(dir_.path()); }
  std::string error() const {
    try {
      read();
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::kBadInput);
      return error.what();
    }
    return "";
  }
  void expect_error(const std::string& file, const std::string& text, const std::string& what) {
    write(file, text);
    EXPECT_NE(error().find(file), std::string::npos) << error();
    EXPECT_NE(error().find(what), std::string::npos) << error();
  }

  TempDir dir_;
};

TEST_F(SentenceModulesTest, AFolderWithoutModulesIsTheMeanOfAllTokens) {
  const SentenceModules plain = read();
  EXPECT_EQ(plain.encoder, dir_.path());
  EXPECT_EQ(plain.pooling, "mean");
  EXPECT_FALSE(plain.normalize);
  EXPECT_FALSE(plain.max_length.has_value());
  write("tokenizer_config.json", R"({"model_max_length": 1000000000000000019884624838656})");
  EXPECT_EQ(read().max_length, 1 << 30);
  write("1_Pooling/config.json", R"({"pooling_mode": "cls"})");
  EXPECT_EQ(read().pooling, "mean") << "nothing names it";
}

TEST_F(SentenceModulesTest, WhatVersion2Wrote) {
  write("modules.json", kModules);
  write("1_Pooling/config.json",
        R"({"word_embedding_dimension": 384, "pooling_mode_cls_token": true, "pooling_mode_mean_tokens": false})");
  write("sentence_bert_config.json", R"({"max_seq_length": 256, "do_lower_case": false})");
  write("tokenizer_config.json", R"({"model_max_length": 512})");
  const SentenceModules modules = read();
  EXPECT_EQ(modules.pooling, "cls");
  EXPECT_TRUE(modules.normalize);
  EXPECT_FALSE(modules.lower_case);
  EXPECT_EQ(modules.max_length, 256);
  write("1_Pooling/config.json", R"({"pooling_mode_max_tokens": true, "pooling_mode_mean_tokens": true})");
  EXPECT_EQ(read().pooling, "max+mean") << "two, one behind the other";
}

TEST_F(SentenceModulesTest, WhatVersion6Writes) {
  write(
      "modules.json",
      R"([{"idx": 0, "name": "0", "path": "0_Transformer", "type": "sentence_transformers.base.modules.transformer.Transformer"},
    {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.sentence_transformer.modules.pooling.Pooling"}])");
  write("1_Pooling/config.json", R"({"embedding_dimension": 384, "pooling_mode": "max", "include_prompt": true})");
  write("config_sentence_transformers.json",
        R"({"default_prompt_name": "query", "prompts": {"query": "query: ", "document": ""}})");
  write("0_Transformer/sentence_bert_config.json", R"({"transformer_task": "feature-extraction"})");
  write("0_Transformer/tokenizer_config.json", R"({"model_max_length": 128})");
  const SentenceModules modules = read();
  EXPECT_EQ(modules.encoder, dir_ / "0_Transformer");
  EXPECT_EQ(modules.pooling, "max");
  EXPECT_FALSE(modules.normalize);
  EXPECT_EQ(modules.prompt, "query: ");
  EXPECT_EQ(modules.max_length, 128);
  write("1_Pooling/config.json", R"({"pooling_mode": ["cls", "mean"]})");
  EXPECT_EQ(read().pooling, "cls+mean");
}

TEST_F(SentenceModulesTest, WhatCannotBeComputedOrReadIsAnError) {
  expect_error("modules.json", "{}", "not a list of modules");
  expect_error("modules.json", "[]", "not a list of modules");
  expect_error("modules.json", "[1]", "module 1 has no type");
  expect_error("modules.json", std::string(2 << 20, ' '), "more than the");
  expect_error("modules.json", R"([{"type": "a.Transformer", "path": "../other"}])", "leads out of the folder");
  expect_error("modules.json", R"([{"type": "a.Transformer", "path": "/etc"}])", "leads out of the folder");
  expect_error("modules.json", R"([{"type": "a.Pooling", "path": ""}])", "in this order");
  expect_error("modules.json",
               R"([{"type": "a.Transformer", "path": ""}, {"type": "a.Pooling", "path": ""}, {"type": "a.Dense", "path": ""}])",
               "module 3 is a.Dense");
  write("modules.json", kModules);
  expect_error("1_Pooling/config.json", R"({"pooling_mode": 3})", "must be a name");
  expect_error("1_Pooling/config.json", R"({"pooling_mode_cls_token": "yes"})", "must be true or false");
  write("1_Pooling/config.json", R"({"pooling_mode": "mean", "include_prompt": false})");
  EXPECT_EQ(error(), "") << "there is no prompt";
  expect_error("sentence_bert_config.json", R"({"max_seq_length": -1})", "expected at least 1");
  expect_error("sentence_bert_config.json", R"({"max_seq_length": "long"})", "must be a number");
  write("sentence_bert_config.json", "{}");
  expect_error("config_sentence_transformers.json", R"({"default_prompt_name": "query"})", "no such prompt");
  write("config_sentence_transformers.json", R"({"default_prompt_name": "query", "prompts": {"query": "a"}})");
  EXPECT_NE(error().find("include_prompt"), std::string::npos) << error();
}

}  // namespace
}  // namespace berth::train
