// Files of a test's own, prepared with a vocabulary of a few words.
#pragma once

#include <gtest/gtest.h>

#include <set>
#include <string>
#include <vector>

#include "data/prepare/prepare.h"
#include "data/store/dataset.h"
#include "tests/data/dataset_file.h"

namespace berth::data::testing {

// [PAD] 0, [UNK] 1, [CLS] 2, [SEP] 3, [MASK] 4, then these from 5 on.
inline constexpr const char* kVocab = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\ngood\nbad\nfilm\nthe\nwas\n##s\nnot\n";

class PrepareTest : public ::testing::Test {
 protected:
  PrepareOptions options() {
    PrepareOptions options;
    options.tokenizer = write_bytes(folder_ / "vocab.txt", kVocab);
    options.output = folder_ / "data.h5";
    options.threads = 2;
    return options;
  }
  PrepareOptions options(std::string_view train, const char* name = "train.csv") {
    PrepareOptions with = options();
    with.train_file = write_bytes(folder_ / name, train);
    return with;
  }
  Batch read(const std::string& split) {
    const auto data = Dataset::open(folder_ / "data.h5")->split(split);
    std::vector<int64_t> samples;
    for (int64_t i = 0; i < data->size(); ++i) samples.push_back(i);
    Batch batch;
    data->read(samples, batch);
    rows_ = data->rows(samples);
    return batch;
  }
  std::set<std::string> files() const {
    std::set<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(folder_.path())) names.insert(entry.path().filename());
    return names;
  }

  TempDir folder_;
  std::vector<int64_t> rows_;
};

// `rows` rows of texts of many lengths, two thirds of them labelled good.
inline std::string many_rows(int rows) {
  std::string csv = "text,label\n";
  for (int i = 0; i < rows; ++i) {
    csv += '"';
    for (int word = 0; word < i * 7 % 41; ++word) csv += word % 5 == 4 ? "films\n" : "the film was ";
    csv += i % 3 == 0 ? "\",bad\n" : "\",good\n";
  }
  return csv;
}

}  // namespace berth::data::testing
