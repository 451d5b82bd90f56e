#include "trainer/checkpoint/manifest.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "data/check.h"
#include "data/json/json.h"
#include "trainer/checkpoint/byte_source.h"

namespace berth::train {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr std::string_view kFormat = "berth-checkpoint";
constexpr int kVersion = 1;
constexpr size_t kMaxDepth = 4;

bool is_sha256(const json& value) { return value.is_string() && value.get_ref<const std::string&>().size() == 64; }

}  // namespace

std::string manifest_text(std::span<const data::FileDigest> files) {
  json entries = json::object();
  for (const data::FileDigest& file : files) entries[file.name] = {{"size", file.size}, {"sha256", file.sha256}};
  return data::dump_json(json{{"format", kFormat}, {"version", kVersion}, {"files", entries}}, 2) + "\n";
}

std::vector<data::FileDigest> parse_manifest(std::string_view text, const std::string& origin) {
  const json manifest = data::find_json(text, {.bytes = kMaxManifest, .depth = kMaxDepth}).value_or(nullptr);
  const bool known = manifest.is_object() && manifest.value("format", json()) == kFormat && manifest.contains("files") &&
                     manifest["files"].is_object();
  check(known, origin, ": is not the manifest of a checkpoint: it is damaged");
  check(manifest.value("version", json()) == kVersion, origin, ": has version ",
        data::dump_json(manifest.value("version", json())), ", this berth reads ", kVersion);
  std::vector<data::FileDigest> files;
  for (const auto& [name, entry] : manifest["files"].items()) {
    const bool plain = !name.empty() && name != "." && name != ".." && name.find('/') == std::string::npos &&
                       name.find('\0') == std::string::npos;
    check(plain, origin, ": speaks of ", data::dump_json(json(name)), ", which is not a file of its folder");
    const bool complete =
        entry.is_object() && entry.value("size", json()).is_number_unsigned() && is_sha256(entry.value("sha256", json()));
    check(complete, origin, ": lacks size or sha256 of ", name);
    files.push_back({name, entry["size"].get<uint64_t>(), entry["sha256"].get<std::string>()});
  }
  return files;
}

void verify_manifest(const fs::path& folder, std::span<const std::string_view> required, Verify verify,
                     std::span<const std::string_view> ignored) {
  const fs::path path = folder / kManifestName;
  std::vector<data::FileDigest> files = parse_manifest(data::read_file(path, kMaxManifest), path.string());
  for (std::string_view name : required) {
    const bool there = std::any_of(files.begin(), files.end(), [&](const data::FileDigest& file) { return file.name == name; });
    check(there, path.string(), ": does not list ", name);
  }
  std::erase_if(files, [&](const data::FileDigest& file) { return std::ranges::find(ignored, file.name) != ignored.end(); });
  for (const data::FileDigest& file : files) {
    const uint64_t size = open_bytes(folder / file.name)->size();
    check(size == file.size, (folder / file.name).string(), ": has ", size, " bytes, its manifest says ", file.size,
          ": it is damaged");
  }
  if (verify == Verify::kSizes) return;
  for (const data::FileDigest& file : files) {
    const std::string found = data::sha256_file(folder / file.name);
    check(found == file.sha256, (folder / file.name).string(), ": has SHA-256 ", found, ", its manifest says ", file.sha256,
          ": it is damaged");
  }
}

}  // namespace berth::train
