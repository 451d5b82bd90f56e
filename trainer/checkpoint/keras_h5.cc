#include "trainer/checkpoint/keras_h5.h"

#include <algorithm>

#include "data/check.h"
#include "data/hdf5/hdf5.h"

namespace berth::train {
namespace {

namespace h5 = data::h5;
using Scopes = std::vector<std::string>;  // of a variable's name: LAYER, MODEL, …

constexpr size_t kMaxDepth = 32, kMaxObjects = 100'000;

struct Name {
  std::string text;
  bool transposed = false;
};

Name pytorch_name(const Scopes& scopes) {
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

class Reader {
 public:
  explicit Reader(TensorFile& file) : file_(file) {}

  // All variables in and below a group.
  void read(hid_t group, Scopes& scopes) {
    check(scopes.size() <= kMaxDepth, "more than ", kMaxDepth, " groups in each other");
    for (const std::string& name : h5::names_in(group)) {
      check(++objects_ <= kMaxObjects, "more than ", kMaxObjects, " objects");
      scopes.push_back(name);
      if (h5::is_group(group, name.c_str()))
        read(h5::open_group(group, name.c_str()), scopes);
      else
        add(h5::float_piece(group, name.c_str()), pytorch_name(scopes));
      scopes.pop_back();
    }
  }

 private:
  void add(const h5::Piece& piece, const Name& name) {
    check(!name.text.empty(), "a dataset is not in a layer and a model, as Keras has them");
    TensorInfo tensor{name.text, DType::kF32, piece.shape, row_major_strides(piece.shape), piece.begin};
    const auto count = element_count(tensor.shape);
    const uint64_t size = file_.bytes->size();
    check(count && static_cast<uint64_t>(*count) <= size / sizeof(float) && piece.begin <= size - *count * sizeof(float),
          "the tensor ", name.text, " of ", shape_text(tensor.shape), " does not lie in the file");
    if (name.transposed && tensor.shape.size() == 2) {
      std::swap(tensor.shape[0], tensor.shape[1]);
      std::swap(tensor.strides[0], tensor.strides[1]);
    }
    file_.tensors.push_back(std::move(tensor));
  }

  TensorFile& file_;
  size_t objects_ = 0;
};

}  // namespace

TensorFile parse_keras_h5(const std::filesystem::path& path) {
  TensorFile file;
  file.bytes = open_bytes(path);
  in_context(path.string(), [&] {
    Scopes scopes;
    Reader(file).read(h5::open_file(path), scopes);
  });
  const auto by_name = [](const TensorInfo& a, const TensorInfo& b) { return a.name < b.name; };
  std::stable_sort(file.tensors.begin(), file.tensors.end(), by_name);
  const auto same = [](const TensorInfo& a, const TensorInfo& b) { return a.name == b.name && a.shape == b.shape; };
  file.tensors.erase(std::unique(file.tensors.begin(), file.tensors.end(), same), file.tensors.end());  // of layers that share it
  const auto twice = std::adjacent_find(file.tensors.begin(), file.tensors.end(),
                                        [](const TensorInfo& a, const TensorInfo& b) { return a.name == b.name; });
  check(twice == file.tensors.end(), path.string(), ": has two tensors ", twice == file.tensors.end() ? "" : twice->name,
        " of different shapes");
  return file;
}

}  // namespace berth::train
