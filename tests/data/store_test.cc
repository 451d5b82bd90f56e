#include <fcntl.h>
#include <gtest/gtest.h>
#include <hdf5.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <limits>
#include <thread>

#include "data/files/files.h"
#include "data/store/dataset.h"
#include "data/store/writer.h"
#include "tests/data/dataset_file.h"

// HDF5 does not free all of what it read of a damaged file. LeakSanitizer asks this function what to overlook.
extern "C" const char* __lsan_default_suppressions() { return "leak:libhdf5"; }

namespace berth::data {
namespace {

using namespace testing;

class EveryTask : public ::testing::TestWithParam<TaskInfo> {};

TEST_P(EveryTask, GivesBackWhatWasWritten) {
  const TempDir folder;
  const auto path = folder / "data.h5";
  for (int32_t vocab_size : {1000, 70000}) {
    std::filesystem::remove(path);
    write_dataset(path, GetParam().kind, 20000, vocab_size);
    const auto dataset = Dataset::open(path);
    EXPECT_EQ(dataset->info().task, GetParam().kind);
    EXPECT_EQ(dataset->info().label_names, made_up_info(GetParam().kind, vocab_size, 3).label_names);
    EXPECT_EQ(dataset->info().source_sha256.at("dev.csv"), std::string(64, 'c'));
    EXPECT_EQ(dataset->info().command, "berth prepare …");
    EXPECT_EQ(dataset->info().splits, (std::vector<std::string>{"train", "validation"}));
    const auto split = dataset->split("train");
    ASSERT_EQ(split->size(), 20000);
    const std::vector<int64_t> samples{19999, 0, 16383, 16384, 3, 3};
    Batch batch;
    split->read(samples, batch);
    EXPECT_EQ(batch.sample_ids, samples);
    size_t token_labels = 0, float_labels = 0, labels = 0;
    for (size_t b = 0; b < samples.size(); ++b) {
      const Sample sample = made_up_sample(samples[b], GetParam().labels, vocab_size, 3);
      const auto begin = batch.input_ids.begin() + batch.cu_seqlens[b], end = batch.input_ids.begin() + batch.cu_seqlens[b + 1];
      EXPECT_EQ(std::vector<int32_t>(begin, end), sample.input_ids);
      EXPECT_EQ(split->lengths()[static_cast<size_t>(samples[b])], end - begin);
      for (int32_t t = 0; t < end - begin; ++t) {
        EXPECT_EQ(batch.token_type_ids[static_cast<size_t>(batch.cu_seqlens[b] + t)], t >= sample.segment_b);
        EXPECT_EQ(batch.position_ids[static_cast<size_t>(batch.cu_seqlens[b] + t)], t);
      }
      for (int32_t label : sample.labels) EXPECT_EQ(batch.labels.at(labels++), label);
      for (float label : sample.float_labels) EXPECT_EQ(batch.float_labels.at(float_labels++), label);
      EXPECT_EQ(split->rows(samples)[b], sample.row);
      token_labels += sample.labels.size();
    }
    EXPECT_EQ(batch.labels.size(), token_labels);
    EXPECT_EQ(batch.float_labels.size(), float_labels);

    if (GetParam().labels == LabelShape::kSpan || GetParam().labels == LabelShape::kChoice) continue;
    std::vector<int64_t> last(100);
    std::iota(last.begin(), last.end(), 19900);
    Batch labels_alone;
    split->read(last, batch);
    split->read_labels(19900, 20000, labels_alone);
    EXPECT_EQ(labels_alone.labels, batch.labels);
    EXPECT_EQ(labels_alone.float_labels, batch.float_labels);
    EXPECT_EQ(labels_alone.tokens(), 0);
  }
}

INSTANTIATE_TEST_SUITE_P(Store, EveryTask, ::testing::ValuesIn(tasks()), [](const auto& info) {
  std::string name(info.param.alias);
  std::erase(name, '-');
  return name;
});

TEST(Store, EqualInputGivesEqualBytes) {
  const TempDir folder;
  write_dataset(folder / "a.h5", TaskKind::kSequenceClassification, 40000);
  write_dataset(folder / "b.h5", TaskKind::kSequenceClassification, 40000);
  EXPECT_TRUE(read_bytes(folder / "a.h5") == read_bytes(folder / "b.h5"));
}

TEST(Store, SaysHowSamplesWereAugmented) {
  const TempDir folder;
  const auto write = [&](AugmentKind last) {
    DatasetWriter writer(folder / "data.h5", TaskKind::kSequenceClassification, 1000, 3);
    const int train = writer.add_split("train", {.augmented = true}), validation = writer.add_split("validation");
    Sample sample = made_up_sample(0, LabelShape::kClass, 1000, 3);
    writer.append(validation, sample);
    for (const AugmentKind kind : {AugmentKind::kNone, AugmentKind::kSwap, AugmentKind::kDelete, last}) {
      sample.augmented = kind;
      writer.append(train, sample);
    }
    DatasetInfo info = made_up_info(TaskKind::kSequenceClassification, 1000, 3);
    info.normalize.urls = true;
    writer.commit(info);
    return Dataset::open(folder / "data.h5");
  };
  const auto data = write(AugmentKind::kSubstitute);
  EXPECT_EQ(data->info().normalize.names(), "urls");
  EXPECT_EQ(data->split("train")->augmented(std::vector<int64_t>{3, 0, 2, 1}),
            (std::vector{AugmentKind::kSubstitute, AugmentKind::kNone, AugmentKind::kDelete, AugmentKind::kSwap}));
  EXPECT_EQ(data->split("validation")->augmented(std::vector<int64_t>{0}), std::vector{AugmentKind::kNone});
  const auto damaged = write(static_cast<AugmentKind>(9))->split("train");
  const std::string error = error_of([&] { damaged->augmented(std::vector<int64_t>{3}); });
  EXPECT_NE(error.find("train: sample 3: 'augmented' is 9, expected 0 to 3"), std::string::npos) << error;
}

TEST(Store, ManyLongLabelNamesFit) {
  const TempDir folder;
  DatasetInfo info = made_up_info(TaskKind::kSequenceClassification, 100, 10000);
  for (std::string& name : info.label_names) name += std::string(50, 'x');
  DatasetWriter writer(folder / "data.h5", info.task, 100, 10000);
  writer.add_split("train");
  writer.append(0, made_up_sample(0, LabelShape::kClass, 100, 10000));
  writer.commit(info);
  EXPECT_EQ(Dataset::open(folder / "data.h5")->info().label_names, info.label_names);
}

TEST(Store, WithoutCommitNothingIsLeft) {
  const TempDir folder;
  {
    DatasetWriter writer(folder / "data.h5", TaskKind::kSequenceClassification, 100, 2);
    writer.add_split("train");
    writer.append(0, made_up_sample(0, LabelShape::kClass, 100, 2));
    EXPECT_FALSE(std::filesystem::is_empty(folder.path()));
  }
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
}

TEST(Store, AnExistingFileStaysUntilTheNewOneIsWhole) {
  const TempDir folder;
  write_bytes(folder / "data.h5", "old");
  {
    DatasetWriter writer(folder / "data.h5", TaskKind::kSequenceClassification, 100, 2);
    writer.add_split("train");
  }
  EXPECT_EQ(read_bytes(folder / "data.h5"), "old");
  write_dataset(folder / "data.h5", TaskKind::kSequenceClassification, 5);
  EXPECT_EQ(Dataset::open(folder / "data.h5")->split("train")->size(), 5);
}

TEST(Store, SaysWhatIsWrongWithAFile) {
  const TempDir folder;
  const auto good = folder / "good.h5";
  write_dataset(good, TaskKind::kSequenceClassification, 100);
  const std::string bytes = read_bytes(good);
  const struct {
    std::filesystem::path path;
    const char* says;
  } cases[] = {
      {folder / "missing.h5", "no such file"},
      {folder.path(), "not a file"},
      {write_bytes(folder / "empty.h5", ""), "damaged or truncated"},
      {write_bytes(folder / "text.h5", "label,text\n"), "damaged or truncated"},
      {write_bytes(folder / "half.h5", bytes.substr(0, bytes.size() / 2)), "damaged or truncated"},
      {write_bytes(folder / "short.h5", bytes.substr(0, bytes.size() - 1)), "damaged or truncated"},
      {write_bytes(folder / "behind.h5", std::string(512, '\0') + bytes), "damaged or truncated"},
      {write_bytes(folder / "old.h5", bytes.substr(0, 8) + '\0' + bytes.substr(9)), "its format, of HDF5 1.6, has no checksums"},
  };
  for (const auto& [path, says] : cases) {
    const std::string error = error_of([&] { read_everything(path); });
    EXPECT_NE(error.find(says), std::string::npos) << path << ": " << error;
    EXPECT_TRUE(error.starts_with(path.string())) << error;
  }
  const std::string error = error_of([&] { Dataset::open(good)->split("test"); });
  EXPECT_NE(error.find("no split 'test'; it has: train, validation"), std::string::npos) << error;
}

// A file of a few KB with filters could make any amount of memory out of a chunk, and rows that were never stored cost nothing.
TEST(Store, OnlyWhatIsStoredAsBerthStoresItIsRead) {
  const TempDir folder;
  const auto path = folder / "data.h5";
  const auto replace = [&](const char* name, bool deflate, hsize_t written) {
    write_dataset(path, TaskKind::kSequenceClassification, 100);
    const hid_t file = H5Fopen(path.c_str(), H5F_ACC_RDWR, H5P_DEFAULT), train = H5Gopen2(file, "train", H5P_DEFAULT);
    ASSERT_GE(H5Ldelete(train, name, H5P_DEFAULT), 0);
    const hsize_t rows = 100, chunk = 10;
    const hid_t space = H5Screate_simple(1, &rows, nullptr), creation = H5Pcreate(H5P_DATASET_CREATE);
    H5Pset_chunk(creation, 1, &chunk);
    if (deflate) H5Pset_deflate(creation, 9);
    const hid_t dataset = H5Dcreate2(train, name, H5T_NATIVE_INT64, space, H5P_DEFAULT, creation, H5P_DEFAULT);
    const std::vector<int64_t> values(100, 1);
    const hsize_t begin = 0;
    H5Sselect_hyperslab(space, H5S_SELECT_SET, &begin, nullptr, &written, nullptr);
    if (written > 0) H5Dwrite(dataset, H5T_NATIVE_INT64, space, space, H5P_DEFAULT, values.data());
    H5Dclose(dataset), H5Pclose(creation), H5Sclose(space), H5Gclose(train), H5Fclose(file);
  };
  const auto error = [&] { return error_of([&] { read_everything(path); }); };
  replace("rows", false, 100);
  EXPECT_EQ(error(), "");
  replace("rows", true, 100);
  EXPECT_NE(error().find("'rows' is compressed (HDF5 filter 1)"), std::string::npos) << error();
  replace("rows", false, 90);
  EXPECT_NE(error().find("'rows' claims 100 rows, more than are stored"), std::string::npos) << error();
  replace("rows", false, 0);
  EXPECT_NE(error().find("more than are stored"), std::string::npos) << error();
}

// Rows without a value cost no room in the file, whatever their number.
TEST(Store, RowsOfSeveralOrNoTokensAreRefused) {
  const TempDir folder;
  const auto path = folder / "data.h5";
  const auto error_with = [&](hsize_t rows, hsize_t width) {
    write_dataset(path, TaskKind::kSequenceClassification, 1);
    const hid_t file = H5Fopen(path.c_str(), H5F_ACC_RDWR, H5P_DEFAULT), train = H5Gopen2(file, "train", H5P_DEFAULT);
    H5Ldelete(train, "input_ids", H5P_DEFAULT);
    const std::array<hsize_t, 2> shape{rows, width}, most{H5S_UNLIMITED, H5S_UNLIMITED}, chunk{4, 4};
    const hid_t space = H5Screate_simple(2, shape.data(), most.data()), creation = H5Pcreate(H5P_DATASET_CREATE);
    H5Pset_chunk(creation, 2, chunk.data());
    const hid_t dataset = H5Dcreate2(train, "input_ids", H5T_NATIVE_UINT16, space, H5P_DEFAULT, creation, H5P_DEFAULT);
    const std::vector<uint16_t> values(rows * width, 1);
    if (!values.empty()) H5Dwrite(dataset, H5T_NATIVE_UINT16, H5S_ALL, H5S_ALL, H5P_DEFAULT, values.data());
    H5Dclose(dataset), H5Pclose(creation), H5Sclose(space), H5Gclose(train), H5Fclose(file);
    return error_of([&] { read_everything(path); });
  };
  EXPECT_NE(error_with(2, 2).find("'input_ids' is not a list of numbers"), std::string::npos);
  EXPECT_NE(error_with(hsize_t{1} << 60, 0).find("'input_ids' claims 1152921504606846976 rows of 0 values"), std::string::npos);
}

TEST(Store, LabelNamesAreDistinct) {
  const TempDir folder;
  for (const std::vector<std::string>& names : {std::vector<std::string>{"a", "a", "b"}, {}}) {
    DatasetWriter writer(folder / "data.h5", TaskKind::kSequenceClassification, 1000, 3);
    DatasetInfo info = made_up_info(TaskKind::kSequenceClassification, 1000, 3);
    info.label_names = names;
    writer.commit(info);
    const std::string error = error_of([&] { Dataset::open(folder / "data.h5"); });
    EXPECT_NE(error.find("its labels have no names, or two of them the same"), std::string::npos) << error;
  }
}

TEST(Store, ValuesOutOfRangeAreRefused) {
  const TempDir folder;
  const struct {
    const char* name;
    Sample sample;
    const char* says;
  } cases[] = {
      {"id", {.row = 1, .input_ids = {1, 100}, .segment_b = 2, .labels = {0}}, "token id 100"},
      {"segment", {.row = 1, .input_ids = {1, 2}, .segment_b = 3, .labels = {0}}, "segment B"},
      {"label", {.row = 1, .input_ids = {1, 2}, .segment_b = 2, .labels = {3}}, "label 3"},
      {"negative", {.row = 1, .input_ids = {1, 2}, .segment_b = 2, .labels = {-1}}, "label -1"},
      {"empty", {.row = 1, .input_ids = {}, .segment_b = 0, .labels = {0}}, "0 tokens"},
      {"long", {.row = 1, .input_ids = std::vector<int32_t>(17, 1), .segment_b = 17, .labels = {0}}, "17 tokens"},
      {"no label", {.row = 1, .input_ids = {1, 2}, .segment_b = 2, .labels = {}}, "shape [0, 0]"},
  };
  for (const auto& [name, sample, says] : cases) {
    DatasetWriter writer(folder / name, TaskKind::kSequenceClassification, 100, 3);
    writer.add_split("train");
    writer.append(0, sample);
    writer.commit(made_up_info(TaskKind::kSequenceClassification, 100, 3));
    const std::string error = error_of([&] { read_everything(folder / name); });
    EXPECT_NE(error.find(says), std::string::npos) << name << ": " << error;
    EXPECT_NE(error.find(": train"), std::string::npos) << error;
  }
}

TEST(Store, ALabelOfRegressionIsANumberOrNone) {
  const TempDir folder;
  for (const float label : {1.5f, std::numeric_limits<float>::quiet_NaN(), -std::numeric_limits<float>::infinity()}) {
    const auto path = folder / "data.h5";
    DatasetWriter writer(path, TaskKind::kRegression, 1000, 0);
    writer.add_split("train");
    Sample sample = made_up_sample(0, LabelShape::kFloat, 1000, 1);
    sample.float_labels = {label};
    writer.append(0, sample);
    writer.commit(made_up_info(TaskKind::kRegression, 1000, 0));
    const std::string error = error_of([&] { read_everything(path); });
    EXPECT_EQ(error.find("sample 0: label -inf is out of range") != std::string::npos, std::isinf(label)) << error;
  }
}

// The numbers of this process's open files of that name.
std::vector<int> open_files(const std::filesystem::path& path) {
  std::vector<int> numbers;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    std::error_code gone;
    if (std::filesystem::read_symlink(entry.path(), gone) == path) numbers.push_back(std::stoi(entry.path().filename()));
  }
  return numbers;
}

// As a server that restarts: what is read of the file is EIO for a moment (so is /proc/self/mem where nothing is mapped).
TEST(Store, WhatCannotBeReadForAMomentIsReadLater) {
  const TempDir folder;
  const auto path = std::filesystem::canonical(folder.path()) / "data.h5";
  write_dataset(path, TaskKind::kSequenceClassification, 50);
  const auto dataset = Dataset::open(path);
  const std::vector<int> files = open_files(path);
  ASSERT_EQ(files.size(), 1u);
  const int kept = dup(files[0]), nothing = ::open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
  ASSERT_GE(std::min(kept, nothing), 0);
  dup2(nothing, files[0]);
  const auto began = std::chrono::steady_clock::now();
  std::thread server([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(300));
    dup2(kept, files[0]);
  });
  EXPECT_EQ(error_of([&] { EXPECT_EQ(dataset->split("train")->size(), 50); }), "");
  EXPECT_GE(std::chrono::steady_clock::now() - began, kReadWaits[0]);
  server.join();
  close(kept), close(nothing);
}

TEST(Store, AFileCutAnywhereIsRefused) {
  const TempDir folder;
  write_dataset(folder / "good.h5", TaskKind::kSequenceClassification, 50);
  const std::string bytes = read_bytes(folder / "good.h5");
  for (size_t size = 0; size < bytes.size(); size += std::max<size_t>(1, bytes.size() / 200)) {
    const auto cut = write_bytes(folder / "cut.h5", std::string_view(bytes).substr(0, size));
    EXPECT_NE(error_of([&] { read_everything(cut); }), "") << "cut at " << size << " of " << bytes.size();
  }
}

TEST(Store, AFlippedBitIsFoundOrHarmless) {
  const TempDir folder;
  const auto path = folder / "data.h5";
  write_dataset(path, TaskKind::kSequenceClassification, 50);
  const auto content = [&] {
    const auto split = Dataset::open(path)->split("train");
    Batch batch;
    split->read(all(*split), batch);
    read_everything(path);
    return std::tuple(batch.input_ids, batch.token_type_ids, batch.labels, split->rows(all(*split)));
  };
  const auto good = content();
  const uint64_t size = std::filesystem::file_size(path);
  int found = 0, harmless = 0;
  for (uint64_t byte = 0; byte < size; byte += byte < 1024 || byte + 1024 > size ? 1 : 61) {
    const int bit = static_cast<int>(byte % 8);
    flip_bit(path, byte, bit);
    decltype(content()) read;
    const std::string error = error_of([&] { read = content(); });
    EXPECT_TRUE(!error.empty() || read == good) << "byte " << byte << " of " << size << " changed the data unnoticed";
    ++(error.empty() ? harmless : found);
    flip_bit(path, byte, bit);
  }
  EXPECT_GT(found, 200);
  RecordProperty("found", found);
  RecordProperty("harmless", harmless);
  EXPECT_TRUE(content() == good);
}

}  // namespace
}  // namespace berth::data
