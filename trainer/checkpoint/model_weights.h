// All tensors of a Hugging Face model folder under berth's names, whichever of the usual files hold them.
#pragma once

#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "trainer/checkpoint/tensor_file.h"

namespace berth::train {

class ModelWeights {
 public:
  struct Entry {
    std::string in_file;  // the name there
    bool redundant = false;
    size_t file = 0;
    const TensorInfo* tensor = nullptr;
  };

  // Takes the first of model.safetensors, model.safetensors.index.json, pytorch_model.bin, pytorch_model.bin.index.json, tf_model.h5
  // that is there. Reads headers only. Throws Error(kBadInput): no such folder, none of these files, a damaged file, a missing shard, a
  // shard outside the folder, a tensor twice. `family`: whose names the files have (hf_names.h).
  static ModelWeights open(const std::filesystem::path& folder, std::string_view family);

  const std::map<std::string, Entry>& tensors() const { return tensors_; }  // by canonical name (hf_names.h)
  const std::vector<std::filesystem::path>& files() const { return paths_; }
  const std::string& file_of(const Entry& entry) const { return files_[entry.file].bytes->name(); }
  void read_f32(const Entry& entry, std::span<float> out) const;

 private:
  explicit ModelWeights(std::string_view family) : family_(family) {}
  void add_file(const std::filesystem::path& path);

  std::string family_;
  std::vector<std::filesystem::path> paths_;
  std::vector<TensorFile> files_;
  std::map<std::string, Entry> tensors_;
};

}  // namespace berth::train
