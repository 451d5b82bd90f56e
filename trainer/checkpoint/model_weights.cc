#include "trainer/checkpoint/model_weights.h"

#include <nlohmann/json.hpp>
#include <set>

#include "data/check.h"
#include "data/files/files.h"
#include "data/json/json.h"
#include "trainer/checkpoint/hf_names.h"
#include "trainer/checkpoint/keras_h5.h"
#include "trainer/checkpoint/pytorch_bin.h"
#include "trainer/checkpoint/safetensors.h"

namespace berth::train {
namespace {

namespace fs = std::filesystem;

constexpr const char* kCandidates[] = {"model.safetensors", "model.safetensors.index.json", "pytorch_model.bin",
                                       "pytorch_model.bin.index.json", "tf_model.h5"};
constexpr uint64_t kMaxIndex = 100'000'000;
constexpr size_t kMaxShards = 1000;

bool plain_file_name(const std::string& name) {
  return !name.empty() && name != "." && name != ".." && name.find_first_of(std::string_view("/\\\0", 3)) == std::string::npos;
}

// The index of a sharded model: {"weight_map": {"tensor": "shard file", …}}.
std::map<std::string, std::string> read_weight_map(const fs::path& index) {
  const auto json = data::parse_json(data::read_file(index, kMaxIndex), index.string(), {.bytes = kMaxIndex});
  check(json.is_object() && json.contains("weight_map") && json["weight_map"].is_object(), index.string(),
        ": is not JSON with a \"weight_map\"");
  std::map<std::string, std::string> map;
  for (const auto& [tensor, shard] : json["weight_map"].items()) {
    check(shard.is_string() && plain_file_name(shard.get_ref<const std::string&>()), index.string(), ": ", tensor,
          " is said to be in ", data::dump_json(shard), "; a shard must be a file of the same folder");
    map[tensor] = shard.get<std::string>();
  }
  return map;
}

std::string found_instead(const fs::path& folder) {
  for (const char* other : {"tf_model.h5.index.json", "flax_model.msgpack", "model.onnx", "adapter_model.safetensors"}) {
    if (fs::exists(folder / other))
      return concat("; it has ", other, ", which berth does not read: convert it with transformers first");
  }
  return "";
}

}  // namespace

ModelWeights ModelWeights::open(const fs::path& folder, std::string_view family) {
  check(fs::is_directory(folder), folder.string(),
        ": is not a folder; a model is a folder with config.json and model.safetensors");
  ModelWeights weights(family);
  for (const char* candidate : kCandidates) {
    const fs::path path = folder / candidate;
    if (!fs::exists(path)) continue;
    if (path.extension() != ".json") {
      weights.add_file(path);
      return weights;
    }
    const auto map = read_weight_map(path);
    std::set<std::string> shards;
    for (const auto& [tensor, shard] : map) shards.insert(shard);
    check(shards.size() <= kMaxShards, path.string(), ": speaks of ", shards.size(), " shards, at most ", kMaxShards,
          " are allowed");
    for (const std::string& shard : shards) {
      check(fs::exists(folder / shard), (folder / shard).string(), ": this shard is missing, ", candidate,
            " speaks of it: the download is incomplete");
      weights.add_file(folder / shard);
    }
    for (const auto& [tensor, shard] : map) {
      const auto found = weights.tensors_.find(canonical_name(tensor, family).name);
      check(found != weights.tensors_.end(), (folder / shard).string(), ": lacks the tensor ", tensor, ", which ", candidate,
            " says it holds");
    }
    return weights;
  }
  fail(ExitCode::kBadInput, folder.string(),
       ": has no model.safetensors (nor its index of shards, pytorch_model.bin or tf_model.h5)", found_instead(folder));
}

void ModelWeights::add_file(const fs::path& path) {
  files_.push_back(path.extension() == ".h5"            ? parse_keras_h5(open_bytes(path))
                   : path.extension() == ".safetensors" ? parse_safetensors(open_bytes(path))
                                                        : parse_pytorch_bin(open_bytes(path)));
  paths_.push_back(path);
  for (const TensorInfo& tensor : files_.back().tensors) {
    CanonicalName canonical = canonical_name(tensor.name, family_);
    const Entry entry{tensor.name, canonical.redundant, files_.size() - 1, &tensor};
    const auto [at, inserted] = tensors_.emplace(std::move(canonical.name), entry);
    if (inserted) continue;
    check(at->second.redundant || entry.redundant, path.string(), ": ", tensor.name, " and ", at->second.in_file, " (in ",
          file_of(at->second), ") are the same parameter ", at->first);
    if (at->second.redundant) at->second = entry;
  }
}

void ModelWeights::read_f32(const Entry& entry, std::span<float> out) const {
  train::read_f32(files_[entry.file], *entry.tensor, out);
}

}  // namespace berth::train
