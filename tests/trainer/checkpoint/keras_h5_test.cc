// tf_model.h5: as transformers 4 wrote it (tests/golden/tf_golden.py), and hostile.
#include "trainer/checkpoint/keras_h5.h"

#include <gtest/gtest.h>
#include <hdf5.h>

#include "tests/trainer/checkpoint/tensor_test_util.h"
#include "trainer/checkpoint/model_weights.h"

namespace berth::train {
namespace {

class KerasH5 : public ::testing::Test {
 protected:
  // A file with `make` done to the group of its variables; what parsing it says.
  template <class Make>
  std::string complaint(const Make& make) {
    const std::string path = folder_ / "tf_model.h5";
    const hid_t file = H5Fcreate(path.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT),
                layer = H5Gcreate2(file, "layer", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT),
                model = H5Gcreate2(layer, "model", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    make(model);
    H5Gclose(model), H5Gclose(layer), H5Fclose(file);
    try {
      parse_keras_h5(open_bytes(path));
      return "";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::kBadInput);
      EXPECT_TRUE(std::string(error.what()).starts_with(path)) << error.what();
      return error.what();
    }
  }
  static void dataset(hid_t group, const char* name, const std::vector<hsize_t>& shape, hid_t type = H5T_IEEE_F32LE,
                      hid_t creation = H5P_DEFAULT, bool written = true) {
    const hid_t space = H5Screate_simple(static_cast<int>(shape.size()), shape.data(), nullptr),
                data = H5Dcreate2(group, name, type, space, H5P_DEFAULT, creation, H5P_DEFAULT);
    const std::vector<double> zeros(64);
    if (written) H5Dwrite(data, H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, zeros.data());
    H5Dclose(data), H5Sclose(space);
  }
  TempDir folder_;
};

// Every tensor is named and turned as PyTorch has it: its elements follow from its name.
TEST_F(KerasH5, ReadsWhatTransformersSavedWithTensorFlow) {
  const struct {
    std::string file, family;
    size_t tensors;
    std::vector<std::string> some;
  } cases[] = {
      {"TFBertForPreTraining",
       "Bert",
       30,
       {"cls.predictions.transform.dense.weight", "cls.seq_relationship.weight", "bert.pooler.dense.bias"}},
      {"TFDistilBertForMaskedLM", "DistilBert", 25, {"bert.encoder.layer.0.intermediate.dense.weight", "cls.predictions.bias"}},
      {"TFElectraForSequenceClassification", "Electra", 27, {"bert.embeddings.project.weight", "classifier.out_proj.weight"}},
  };
  for (const auto& c : cases) {
    write_bytes(folder_ / c.file / "tf_model.h5", read_bytes(golden(c.file + ".h5")));
    const ModelWeights weights = ModelWeights::open(folder_ / c.file, c.family);
    EXPECT_EQ(weights.tensors().size(), c.tensors) << c.file;
    for (const std::string& name : c.some) EXPECT_TRUE(weights.tensors().contains(name)) << name;
    for (const auto& [name, entry] : weights.tensors()) {
      std::vector<float> values(static_cast<size_t>(*element_count(entry.tensor->shape)));
      weights.read_f32(entry, values);
      EXPECT_EQ(values, named_values(entry.in_file, static_cast<int64_t>(values.size()))) << entry.in_file;
    }
    const auto& tensors = weights.tensors();
    EXPECT_EQ(tensors.at("bert.encoder.layer.0.intermediate.dense.weight").tensor->shape, (std::vector<int64_t>{6, 4}));
  }
}

// So many that HDF5 makes a tree of several levels, and so many attributes that it continues the group's header elsewhere.
TEST_F(KerasH5, ReadsManyVariablesAndAttributes) {
  constexpr hsize_t kCount = 600;
  EXPECT_EQ(complaint([](hid_t model) {
              const hid_t one = H5Screate(H5S_SCALAR);
              for (hsize_t i = 0; i < kCount; ++i) {
                dataset(model, ("v" + std::to_string(i)).c_str(), {1 + i % 3});
                H5Aclose(H5Acreate2(model, ("a" + std::to_string(i)).c_str(), H5T_NATIVE_INT64, one, H5P_DEFAULT, H5P_DEFAULT));
              }
              H5Sclose(one);
            }),
            "");
  const TensorFile file = parse_keras_h5(open_bytes(folder_ / "tf_model.h5"));
  ASSERT_EQ(file.tensors.size(), kCount);
  for (hsize_t i = 0; i < kCount; ++i)
    EXPECT_EQ(file.find("v" + std::to_string(i))->shape, std::vector<int64_t>{static_cast<int64_t>(1 + i % 3)}) << i;
}

TEST_F(KerasH5, RefusesWhatDoesNotLieInTheFile) {
  const auto expect = [&](const std::string& said, const auto& make) {
    const std::string what = complaint(make);
    EXPECT_NE(what.find(said), std::string::npos) << what;
  };
  EXPECT_EQ(complaint([](hid_t model) { dataset(model, "x", {2, 3}); }), "");
  expect("does not hold floats", [](hid_t model) { dataset(model, "x", {2}, H5T_STD_I32LE); });
  expect("does not hold floats", [](hid_t model) { dataset(model, "x", {2}, H5T_IEEE_F32BE); });
  expect("are not in the file", [](hid_t model) { dataset(model, "x", {2}, H5T_IEEE_F32LE, H5P_DEFAULT, false); });
  expect("not lie in one piece", [](hid_t model) {
    const hid_t creation = H5Pcreate(H5P_DATASET_CREATE);
    const hsize_t chunk = 2;
    H5Pset_chunk(creation, 1, &chunk);
    H5Pset_deflate(creation, 9);
    dataset(model, "x", {2}, H5T_IEEE_F32LE, creation);
    H5Pclose(creation);
  });
  expect("not lie in one piece", [](hid_t model) {
    const hid_t creation = H5Pcreate(H5P_DATASET_CREATE);
    H5Pset_external(creation, "/etc/passwd", 0, 8);
    dataset(model, "x", {2}, H5T_IEEE_F32LE, creation, false);
    H5Pclose(creation);
  });
  expect("'model' is neither a group nor a dataset as Keras writes them",  // HDF5 1.6 had no links to other files
         [](hid_t model) { H5Lcreate_external("/etc/passwd", "/", model, "x", H5P_DEFAULT, H5P_DEFAULT); });
  expect("'x' is a link to elsewhere", [](hid_t model) { H5Lcreate_soft("/y", model, "x", H5P_DEFAULT, H5P_DEFAULT); });
  expect("is not in a layer and a model", [](hid_t model) { dataset(model, "/layer/x", {2}); });
}

TEST_F(KerasH5, RefusesGroupsWithoutAnEnd) {
  const std::string what = complaint([](hid_t model) {
    for (const char* name : {"a", "b"}) H5Lcreate_hard(model, "/", model, name, H5P_DEFAULT, H5P_DEFAULT);
  });
  EXPECT_NE(what.find("groups in each other"), std::string::npos) << what;
}

TEST_F(KerasH5, RefusesOtherShapesOfOneTensor) {
  const auto two = [&](hsize_t size) {
    return complaint([&](hid_t model) {
      dataset(model, "bias:0", {2});
      const hid_t other = H5Gcreate2(model, "/other", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT),
                  same = H5Gcreate2(other, "model", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
      dataset(same, "bias:0", {size});
      H5Gclose(same), H5Gclose(other);
    });
  };
  EXPECT_EQ(two(2), "");
  const std::string what = two(3);
  EXPECT_NE(what.find("two tensors bias of different shapes"), std::string::npos) << what;
}

TEST_F(KerasH5, DamagedFilesAreErrorsOrChangeNothing) {
  const std::string whole = read_bytes(golden("TFElectraForSequenceClassification.h5"));
  const auto read = [&](const std::string& bytes) {
    const auto path = write_bytes(folder_ / "tf_model.h5", bytes);
    try {
      const TensorFile file = parse_keras_h5(open_bytes(path));
      for (const TensorInfo& tensor : file.tensors) {
        std::vector<float> values(static_cast<size_t>(*element_count(tensor.shape)));
        read_f32(file, tensor, values);
      }
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::kBadInput) << error.what();
    }
  };
  for (size_t size = 0; size < whole.size(); size += 997) read(whole.substr(0, size));
  for (size_t at = 0; at < whole.size(); at += 211) {
    std::string bytes = whole;
    bytes[at] = static_cast<char>(bytes[at] ^ 0xff);
    read(bytes);
  }
}

}  // namespace
}  // namespace berth::train
