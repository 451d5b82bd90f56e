// Fixtures for the store's tests: a small data set on disk, and verbs that damage it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <numeric>
#include <string>
#include <string_view>
#include <vector>

#include "data/check.h"
#include "data/store/dataset.h"
#include "data/store/writer.h"
#include "tests/support/temp_dir.h"

namespace berth::data::testing {

using test::flip_bit;
using test::read_bytes;
using test::TempDir;
using test::write_bytes;

inline void truncate_to(const std::filesystem::path& path, uint64_t size) { std::filesystem::resize_file(path, size); }

// What `action` throws, or "" if it does not.
template <class Action>
std::string error_of(Action&& action) {
  try {
    action();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

inline std::vector<int64_t> all(const Split& split) {
  std::vector<int64_t> samples(static_cast<size_t>(split.size()));
  std::iota(samples.begin(), samples.end(), 0);
  return samples;
}

// Reads everything there is; tests of damage only ask that this throws an Error or gives the right data.
inline void read_everything(const std::filesystem::path& path) {
  const auto dataset = Dataset::open(path);
  for (const std::string& name : dataset->info().splits) {
    const auto split = dataset->split(name);
    Batch batch;
    split->read(all(*split), batch);
    split->rows(all(*split));
  }
}

// Sample i of a made-up data set: 2 to 9 tokens, pairs at every third, labels of the task's shape.
inline Sample made_up_sample(int64_t i, LabelShape shape, int32_t vocab_size, int32_t num_labels) {
  Sample sample{.row = i + 1};
  const int64_t length = 2 + i % 8;
  for (int64_t t = 0; t < length; ++t) sample.input_ids.push_back(static_cast<int32_t>((i * 31 + t * 7) % vocab_size));
  sample.segment_b = static_cast<int32_t>(i % 3 == 0 ? length - 1 : length);
  const auto label = static_cast<int32_t>(i % num_labels);
  if (shape == LabelShape::kClass) sample.labels = {label};
  if (shape == LabelShape::kChoice) sample.labels = {0};
  if (shape == LabelShape::kNextSentence) sample.labels = {label % 2};
  if (shape == LabelShape::kTokenClass) sample.labels.assign(static_cast<size_t>(length), label), sample.labels[0] = kIgnoreIndex;
  if (shape == LabelShape::kSpan) {
    sample.labels = {static_cast<int32_t>(i % 2), static_cast<int32_t>(i % 2)};
    for (int32_t t = 0; t < length; ++t) sample.offsets.push_back({t, t + static_cast<int32_t>(i % 5)});
  }
  if (shape == LabelShape::kFloat) sample.float_labels = {static_cast<float>(i) / 4};
  if (shape == LabelShape::kMultiHot) {
    sample.float_labels.assign(static_cast<size_t>(num_labels), 0.f);
    sample.float_labels[static_cast<size_t>(label)] = 1.f;
  }
  return sample;
}

inline DatasetInfo made_up_info(TaskKind task, int32_t vocab_size, int32_t num_labels) {
  DatasetInfo info;
  info.task = task;
  info.max_length = 16;
  info.vocab_sha256 = std::string(64, 'a');
  info.vocab_size = vocab_size;
  for (int32_t i = 0; i < num_labels; ++i) info.label_names.push_back("label " + std::to_string(i));
  info.source_sha256 = {{"train.csv", std::string(64, 'b')}, {"dev.csv", std::string(64, 'c')}};
  info.command = "berth prepare …";
  return info;
}

// Question e of a made-up data set, which owns the samples 2e and 2e + 1; contexts are shared by three questions.
inline Question made_up_question(int64_t e) {
  Question question{.id = "question " + std::to_string(e), .context = "Kontext №" + std::to_string(e / 3), .answers = {}};
  for (int64_t a = 0; a < e % 4; ++a) question.answers.push_back(std::string(static_cast<size_t>(a), 'x') + "é");
  return question;
}

// A file with the splits train (`samples` samples) and validation (3 samples).
inline void write_dataset(const std::filesystem::path& path, TaskKind task, int64_t samples, int32_t vocab_size = 1000,
                          int32_t num_labels = 3) {
  const LabelShape shape = task_info(task).labels;
  DatasetWriter writer(path, task, vocab_size, num_labels);
  const int train = writer.add_split("train"), validation = writer.add_split("validation");
  const auto append = [&](int split, int64_t i) {
    if (shape == LabelShape::kSpan && i % 2 == 0) writer.append(split, made_up_question(i / 2));
    writer.append(split, made_up_sample(i, shape, vocab_size, num_labels));
  };
  for (int64_t i = 0; i < samples; ++i) append(train, i);
  for (int64_t i = 0; i < 3; ++i) append(validation, i);
  writer.commit(made_up_info(task, vocab_size, num_labels));
}

}  // namespace berth::data::testing
