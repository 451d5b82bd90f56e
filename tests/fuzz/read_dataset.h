// Everything that a data set can be asked for.
#pragma once

#include <algorithm>
#include <numeric>
#include <vector>

#include "data/store/dataset.h"
#include "tests/fuzz/fuzz.h"

namespace berth::fuzz {

inline void read_split(const data::Split& split, data::LabelShape shape) {
  const int64_t size = std::min<int64_t>(split.size(), 50);
  std::vector<int64_t> samples(static_cast<size_t>(size));
  std::iota(samples.begin(), samples.end(), 0);
  split.rows(samples);
  split.augmented(samples);
  for (int64_t question = 0; question < std::min<int64_t>(split.num_questions(), 50); ++question) split.question(question);
  data::Batch batch;
  for (const int64_t sample : samples) {
    const auto length = static_cast<size_t>(split.lengths()[static_cast<size_t>(sample)]);
    split.read({&sample, 1}, batch);
    require(batch.input_ids.size() == length, "a sample has its length");
    require(batch.sequences() == split.sequences_of(sample), "a sample has its sequences");
    if (split.num_questions() > 0) {
      require(split.question_of(sample) < split.num_questions(), "a sample's question is there");
      require(split.token_offsets(sample).size() == length, "each token has its place");
    }
  }
  if (shape != data::LabelShape::kSpan && shape != data::LabelShape::kChoice) split.read_labels(0, size, batch);
}

inline void read_dataset(const std::filesystem::path& path) {
  const auto dataset = data::Dataset::open(path);
  for (const std::string& name : dataset->info().splits)
    read_split(*dataset->split(name), data::task_info(dataset->info().task).labels);
}

}  // namespace berth::fuzz
