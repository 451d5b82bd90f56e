// A data set whose container is sound and whose content is not: one that berth wrote, with attributes and datasets replaced by what
// the input says.
#include <fuzzer/FuzzedDataProvider.h>
#include <hdf5.h>

#include <array>
#include <map>

#include "data/hdf5/hdf5.h"
#include "data/store/schema.h"
#include "tests/data/dataset_file.h"
#include "tests/fuzz/read_dataset.h"

namespace {

using namespace berth;
namespace h5 = data::h5;
namespace schema = data::schema;

constexpr const char* kAttributes[] = {schema::kFormat,      schema::kSchemaVersion, schema::kTask,          schema::kLabelNames,
                                       schema::kMaxLength,   schema::kVocabSha256,   schema::kVocabSize,     schema::kSourceFiles,
                                       schema::kDoLowerCase, schema::kSourceSha256,  schema::kNormalize,     schema::kDocStride,
                                       schema::kFolds,       schema::kFoldsSha256,   schema::kContentSha256, schema::kCommand};
constexpr const char* kDatasets[] = {
    schema::kInputIds, schema::kOffsets, schema::kSequences,  schema::kSegmentB, schema::kRows,         schema::kAugmented,
    schema::kFold,     schema::kLabels,  schema::kQuestion,   schema::kContext,  schema::kTokenOffsets, schema::kIds,
    schema::kContexts, schema::kAnswers, schema::kAnswerEnds, "ids_ends",        "contexts_ends",       "answers_ends"};

constexpr hsize_t kMostRows = 40;

const std::string& sound_file(const data::TaskInfo& task) {
  static std::map<std::string_view, std::string> made;
  std::string& bytes = made[task.name];
  if (bytes.empty()) {
    const test::TempDir folder;
    const int labels = task.has_label_names ? 3 : 0;
    data::testing::write_dataset(folder / "data.h5", task.kind, 4, 50, std::max(1, labels));
    bytes = test::read_bytes(folder / "data.h5");
  }
  return bytes;
}

void replace_attribute(hid_t file, FuzzedDataProvider& input) {
  const char* name = input.PickValueInArray(kAttributes);
  if (H5Aexists(file, name) > 0) H5Adelete(file, name);
  switch (input.ConsumeIntegralInRange(0, 3)) {
    case 0:
      return h5::write_attribute(file, name, input.ConsumeIntegral<int64_t>());
    case 1:
      return h5::write_attribute(file, name, input.ConsumeRandomLengthString(20));
    case 2:
      return h5::write_attribute(
          file, name, std::vector<std::string>(input.ConsumeIntegralInRange<size_t>(1, 3), input.ConsumeRandomLengthString(5)));
    default:
      return;
  }
}

void replace_dataset(hid_t group, FuzzedDataProvider& input) {
  const char* name = input.PickValueInArray(kDatasets);
  if (h5::has_link(group, name)) H5Ldelete(group, name, H5P_DEFAULT);
  const hid_t type = input.PickValueInArray(
      {H5T_NATIVE_INT64, H5T_NATIVE_INT32, H5T_NATIVE_UINT16, H5T_NATIVE_UINT8, H5T_NATIVE_FLOAT, hid_t{-1}});
  if (type < 0) return;
  const auto rank = input.ConsumeIntegralInRange(1, 3);
  const hsize_t rows =
      input.ConsumeBool() ? input.ConsumeIntegralInRange<hsize_t>(0, kMostRows) : input.ConsumeIntegral<hsize_t>() >> 1;
  const std::array<hsize_t, 3> shape{rows, input.ConsumeIntegralInRange<hsize_t>(0, 4), 1}, chunk{4, 1, 1},
      any{H5S_UNLIMITED, H5S_UNLIMITED, H5S_UNLIMITED};
  const h5::Handle space(H5Screate_simple(rank, shape.data(), any.data()), "space"),
      creation(H5Pcreate(H5P_DATASET_CREATE), "creation");
  H5Pset_chunk(creation, rank, chunk.data());
  const h5::Handle dataset(H5Dcreate2(group, name, type, space, H5P_DEFAULT, creation, H5P_DEFAULT), "dataset");
  if (rows > kMostRows) return;  // never written
  const hsize_t count = rank == 1 ? rows : rows * shape[1];
  std::vector<uint8_t> values = input.ConsumeBytes<uint8_t>(count * H5Tget_size(type));
  values.resize(count * H5Tget_size(type));
  H5Dwrite(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, values.data());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  FuzzedDataProvider input(data, size);
  const data::TaskInfo& task = data::tasks()[input.ConsumeIntegralInRange<size_t>(0, data::tasks().size() - 1)];
  const fuzz::InputFile file(sound_file(task));
  {
    const h5::Handle open(H5Fopen(file.path().c_str(), H5F_ACC_RDWR, H5P_DEFAULT), "file"),
        train(H5Gopen2(open, "train", H5P_DEFAULT), "group");
    while (input.remaining_bytes() > 0) input.ConsumeBool() ? replace_attribute(open, input) : replace_dataset(train, input);
  }
  fuzz::reads([&] { fuzz::read_dataset(file.path()); });
  return 0;
}
