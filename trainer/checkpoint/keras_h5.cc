#include "trainer/checkpoint/keras_h5.h"

#include <algorithm>

#include "data/check.h"
#include "trainer/checkpoint/hdf5_floats.h"

namespace berth::train {
namespace {

struct Name {
  std::string text;
  bool transposed = false;
};

// `scopes`: LAYER, MODEL, …
Name pytorch_name(std::span<const std::string> scopes) {
  Name name;
  for (size_t i = 2; i < scopes.size(); ++i) {
    std::string part = scopes[i];
    const bool variable = i + 1 == scopes.size();
    if (variable) {
      part.erase(std::min(part.find(':'), part.size()));
      name.transposed = part == "kernel";
      if (part == "kernel" || part == "embeddings" || part == "gamma") part = "weight";
      if (part == "beta") part = "bias";
    }
    if (const size_t cut = part.rfind("___"); cut != std::string::npos) part.erase(0, cut + 3);
    if (const size_t level = part.find("_._"); level != std::string::npos) part.replace(level, 3, ".");
    name.text += (name.text.empty() ? "" : ".") + part;
  }
  return name;
}

void add(const Hdf5Floats& floats, TensorFile& file) {
  const Name name = pytorch_name(floats.path);
  check(!name.text.empty(), file.bytes->name(), ": a dataset is not in a layer and a model, as Keras has them");
  const auto count = element_count(floats.shape);
  const uint64_t size = file.bytes->size();
  check(count && static_cast<uint64_t>(*count) <= size / sizeof(float) && floats.begin <= size - *count * sizeof(float),
        file.bytes->name(), ": the tensor ", name.text, " of ", shape_text(floats.shape), " does not lie in the file");
  TensorInfo tensor{name.text, DType::kF32, floats.shape, row_major_strides(floats.shape), floats.begin};
  if (name.transposed && tensor.shape.size() == 2) {
    std::swap(tensor.shape[0], tensor.shape[1]);
    std::swap(tensor.strides[0], tensor.strides[1]);
  }
  file.tensors.push_back(std::move(tensor));
}

}  // namespace

TensorFile parse_keras_h5(std::shared_ptr<const ByteSource> bytes) {
  TensorFile file{std::move(bytes), {}, {}};
  for_each_hdf5_floats(*file.bytes, [&](const Hdf5Floats& floats) { add(floats, file); });
  const auto by_name = [](const TensorInfo& a, const TensorInfo& b) { return a.name < b.name; };
  std::stable_sort(file.tensors.begin(), file.tensors.end(), by_name);
  const auto same = [](const TensorInfo& a, const TensorInfo& b) { return a.name == b.name && a.shape == b.shape; };
  file.tensors.erase(std::unique(file.tensors.begin(), file.tensors.end(), same), file.tensors.end());  // of layers that share it
  const auto twice = std::adjacent_find(file.tensors.begin(), file.tensors.end(),
                                        [](const TensorInfo& a, const TensorInfo& b) { return a.name == b.name; });
  check(twice == file.tensors.end(), file.bytes->name(), ": has two tensors ", twice == file.tensors.end() ? "" : twice->name,
        " of different shapes");
  return file;
}

}  // namespace berth::train
