// Samples of several sequences in the store: windows of a text, choices.
#include <gtest/gtest.h>
#include <hdf5.h>

#include <array>

#include "data/store/dataset.h"
#include "data/store/writer.h"
#include "tests/data/dataset_file.h"

// As in store_test.cc.
extern "C" const char* __lsan_default_suppressions() { return "leak:libhdf5"; }

namespace berth::data {
namespace {

using namespace testing;

// Sample i has 1 + i % 3 sequences.
Sample several_sequences(int64_t i) {
  Sample sample = made_up_sample(i, LabelShape::kClass, 1000, 3);
  for (int64_t further = 0; further < i % 3; ++further) {
    const Sample other = made_up_sample(i * 7 + further, LabelShape::kClass, 1000, 3);
    sample.further.push_back({other.input_ids, other.segment_b});
  }
  return sample;
}

void write_sequences(const std::filesystem::path& path, int64_t samples) {
  DatasetWriter writer(path, TaskKind::kSequenceClassification, 1000, 3);
  writer.add_split("train", {.several_sequences = true});
  for (int64_t i = 0; i < samples; ++i) writer.append(0, several_sequences(i));
  DatasetInfo info = made_up_info(TaskKind::kSequenceClassification, 1000, 3);
  info.doc_stride = 4;
  writer.commit(info);
}

TEST(Sequences, OfASampleComeTogether) {
  const TempDir folder;
  write_sequences(folder / "data.h5", 5000);
  const auto dataset = Dataset::open(folder / "data.h5");
  EXPECT_EQ(dataset->info().schema_version, 3);
  EXPECT_EQ(dataset->info().doc_stride, 4);
  const auto split = dataset->split("train");
  ASSERT_EQ(split->size(), 5000);
  const std::vector<int64_t> samples{4999, 0, 2, 2, 4097};
  Batch batch;
  split->read(samples, batch);
  EXPECT_EQ(batch.sample_ids, samples);
  constexpr std::array<int64_t, 3> kBefore{0, 1, 3};  // sequences; three samples have six
  for (size_t b = 0; b < samples.size(); ++b) {
    const Sample sample = several_sequences(samples[b]);
    std::vector<Sequence> sequences = sample.further;
    sequences.insert(sequences.begin(), {sample.input_ids, sample.segment_b});
    ASSERT_EQ(batch.cu_samples[b + 1] - batch.cu_samples[b], std::ssize(sequences));
    EXPECT_EQ(split->lengths()[static_cast<size_t>(samples[b])], batch.tokens_of(static_cast<int64_t>(b)));
    EXPECT_EQ(split->rows(samples)[b], sample.row);
    EXPECT_EQ(batch.labels[b], sample.labels[0]);
    for (size_t i = 0; i < sequences.size(); ++i) {
      const size_t s = static_cast<size_t>(batch.cu_samples[b]) + i;
      EXPECT_EQ(batch.sequence_ids[s], samples[b] / 3 * 6 + kBefore[samples[b] % 3] + static_cast<int64_t>(i));
      const auto begin = batch.input_ids.begin() + batch.cu_seqlens[s], end = batch.input_ids.begin() + batch.cu_seqlens[s + 1];
      EXPECT_EQ(std::vector<int32_t>(begin, end), sequences[i].input_ids);
      for (int32_t t = 0; t < end - begin; ++t) {
        EXPECT_EQ(batch.token_type_ids[static_cast<size_t>(batch.cu_seqlens[s] + t)], t >= sequences[i].segment_b);
        EXPECT_EQ(batch.position_ids[static_cast<size_t>(batch.cu_seqlens[s] + t)], t);
      }
    }
  }
}

TEST(Sequences, OnlyFilesWithSeveralOfASampleNeedANewBerth) {
  const TempDir folder;
  write_dataset(folder / "data.h5", TaskKind::kSequenceClassification, 3);
  EXPECT_EQ(Dataset::open(folder / "data.h5")->info().schema_version, 2);
  EXPECT_FALSE(Dataset::open(folder / "data.h5")->info().doc_stride);
}

TEST(Sequences, WhichASampleHasIsDistrusted) {
  const TempDir folder;
  const auto path = folder / "data.h5";
  // Three samples, of sequence 0, of 1 and 2, of 3 to 5.
  const auto error_with = [&](const std::vector<int64_t>& sequences) {
    write_sequences(path, 3);
    const hid_t file = H5Fopen(path.c_str(), H5F_ACC_RDWR, H5P_DEFAULT), train = H5Gopen2(file, "train", H5P_DEFAULT);
    H5Ldelete(train, "sequences", H5P_DEFAULT);
    const hsize_t rows = sequences.size(), chunk = 4, any = H5S_UNLIMITED;
    const hid_t space = H5Screate_simple(1, &rows, &any), creation = H5Pcreate(H5P_DATASET_CREATE);
    H5Pset_chunk(creation, 1, &chunk);
    const hid_t dataset = H5Dcreate2(train, "sequences", H5T_NATIVE_INT64, space, H5P_DEFAULT, creation, H5P_DEFAULT);
    if (rows > 0) H5Dwrite(dataset, H5T_NATIVE_INT64, H5S_ALL, H5S_ALL, H5P_DEFAULT, sequences.data());
    H5Dclose(dataset), H5Pclose(creation), H5Sclose(space), H5Gclose(train), H5Fclose(file);
    return error_of([&] { read_everything(path); });
  };
  EXPECT_EQ(error_with({0, 1, 3, 6}), "");
  const std::pair<std::vector<int64_t>, const char*> cases[] = {
      {{1, 1, 3, 6}, "does not go from 0 to the 6 sequences"},
      {{0, 1, 3, 5}, "does not go from 0 to the 6 sequences"},
      {{0, 3, 3, 6}, "sample 1 has the sequences from 3 to 3"},
      {{0, 7, 3, 6}, "sample 0 has the sequences from 0 to 7 of 6"},
      {{0, INT64_MAX, INT64_MIN, 6}, "sample 0 has the sequences"},
      {{0, INT64_MIN, 3, 6}, "sample 0 has the sequences"},
      {{0, 6}, "does not have 1 rows"},
      {{}, "'sequences' is not a list of at least one number"},
  };
  for (const auto& [sequences, says] : cases) {
    const std::string error = error_with(sequences);
    EXPECT_NE(error.find(says), std::string::npos) << says << ": " << error;
  }
}

TEST(Sequences, TheRightChoiceIsOneOfThem) {
  const TempDir folder;
  for (int32_t label = 0; label < 3; ++label) {
    const auto path = folder / std::to_string(label);
    DatasetWriter writer(path, TaskKind::kMultipleChoice, 1000, 0);
    writer.add_split("train", {.several_sequences = true});
    Sample two = several_sequences(1);
    two.labels = {label};
    writer.append(0, two);
    writer.append(0, several_sequences(3));
    writer.commit(made_up_info(TaskKind::kMultipleChoice, 1000, 0));
    const std::string error = error_of([&] { read_everything(path); });
    EXPECT_EQ(error.find("sample 0: label 2 is out of range") != std::string::npos, label == 2) << error;
  }
}

}  // namespace
}  // namespace berth::data
