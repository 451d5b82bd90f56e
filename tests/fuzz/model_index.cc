// model.safetensors.index.json beside two shards.
#include "tests/fuzz/fuzz.h"
#include "trainer/checkpoint/model_weights.h"
#include "trainer/checkpoint/safetensors.h"

namespace {

using namespace berth;

void write_shard(const std::filesystem::path& path, const std::string& tensor) {
  const std::vector<std::byte> bytes(8);
  std::string file;
  train::write_safetensors({{tensor, train::DType::kF32, {2}, bytes}}, [&](std::string_view piece) { file += piece; });
  test::write_bytes(path, file);
}

const test::TempDir& folder() {
  static const test::TempDir made;
  static const bool filled = [] {
    test::write_bytes(made / "model/config.json", "{}");
    write_shard(made / "model/a.safetensors", "bert.a");
    write_shard(made / "model/b.safetensors", "bert.b");
    write_shard(made / "outside.safetensors", "bert.c");
    return true;
  }();
  static_cast<void>(filled);
  return made;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::filesystem::path model = folder() / "model";
  test::write_bytes(model / "model.safetensors.index.json", fuzz::text_of(data, size));
  fuzz::reads([&] {
    const auto weights = train::ModelWeights::open(model, "Bert");
    for (const auto& file : weights.files()) fuzz::require(file.parent_path() == model, "shards lie in the model's folder");
    for (const auto& [name, entry] : weights.tensors()) {
      fuzz::require(name != "bert.c", "no tensor comes from outside");
      std::vector<float> values(2);
      weights.read_f32(entry, values);
    }
  });
  return 0;
}
