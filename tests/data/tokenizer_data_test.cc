// Every text of the real data sets under four vocabularies, by the digests in tests/golden/tokenizer_digests.tsv.
// Needs BERTH_DATASETS; exits with 77 where it is unset or no folder.
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <map>
#include <nlohmann/json.hpp>
#include <sstream>

#include "data/check.h"
#include "data/files/sha256.h"
#include "data/tokenizer/bert_tokenizer.h"
#include "data/utf8.h"

namespace berth::data {
namespace {

using nlohmann::json;

const char* datasets() { return std::getenv("BERTH_DATASETS"); }

void collect_strings(const json& value, std::vector<std::string>& out) {
  if (value.is_string()) out.push_back(value.get<std::string>());
  if (value.is_structured())
    for (const json& item : value) collect_strings(item, out);
}

// texts_of in tests/golden/tokenizer_reference.py.
std::vector<std::string> texts_of(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  check(in.is_open(), "cannot open ", path);
  std::vector<std::string> texts;
  if (path.extension() == ".json") {
    collect_strings(json::parse(in), texts);
  } else {
    for (std::string line; std::getline(in, line);) texts.push_back(line);
  }
  for (const std::string& text : texts) check(!find_invalid_utf8(text), path, " is not UTF-8");
  return texts;
}

const BertTokenizer& tokenizer_of(const std::string& vocab) {
  static std::map<std::string, BertTokenizer> cache;
  const auto found = cache.find(vocab);
  if (found != cache.end()) return found->second;
  TokenizerOptions options;
  options.do_lower_case = vocab == "uncased" || vocab == "chinese";
  const std::string name = "vocab/bert-base-" + vocab + (vocab == "multilingual" ? "-cased" : "") + "-vocab.txt";
  return cache.emplace(vocab, BertTokenizer(Vocab::load(std::filesystem::path(datasets()) / name), options)).first->second;
}

TEST(TokenizerData, EveryTextOfTheRealDataSetsHasTheReferenceIdsAndOffsets) {
  std::ifstream in(std::string(BERTH_SOURCE_DIR) + "/tests/golden/tokenizer_digests.tsv");
  std::string line, last_file;
  std::getline(in, line);
  std::vector<std::string> texts;
  std::vector<Token> tokens;
  std::vector<uint32_t> numbers;
  int rows = 0;
  while (std::getline(in, line)) {
    std::istringstream fields(line);
    std::string file, vocab;
    fields >> file >> vocab;
    if (file != last_file) texts = texts_of(std::filesystem::path(datasets()) / file);
    last_file = file;
    const BertTokenizer& tokenizer = tokenizer_of(vocab);
    Sha256 digest;
    size_t count = 0;
    for (const std::string& text : texts) {
      tokens.clear();
      tokenizer.tokenize(text, tokens);
      numbers.assign(1, static_cast<uint32_t>(tokens.size()));
      for (const Token& token : tokens) numbers.insert(numbers.end(), {static_cast<uint32_t>(token.id), token.begin, token.end});
      digest.update({reinterpret_cast<const char*>(numbers.data()), numbers.size() * sizeof(uint32_t)});
      count += tokens.size();
    }
    EXPECT_EQ(concat(file, "\t", vocab, "\t", texts.size(), "\t", count, "\t", digest.hex()), line);
    ++rows;
  }
  EXPECT_GT(rows, 100);
}

}  // namespace
}  // namespace berth::data

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  const char* datasets = berth::data::datasets();
  if (!datasets || !std::filesystem::is_directory(datasets)) {
    std::cout << "not run: tokenizer_data_test (the digests over the real data sets): BERTH_DATASETS does not name a folder\n";
    return 77;
  }
  return RUN_ALL_TESTS();
}
