// manifest.json of a checkpoint folder: which files it has, of what size and content. Written last: a folder without it was never
// finished.
//
//   {"format": "berth-checkpoint", "version": 1, "files": {"config.json": {"size": 612, "sha256": "…"}, …}}
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "data/files/files.h"

namespace berth::train {

inline constexpr std::string_view kManifestName = "manifest.json";
inline constexpr uint64_t kMaxManifest = 1'000'000;  // bytes

std::string manifest_text(std::span<const data::FileDigest> files);
// Throws Error(kBadInput), beginning with `origin`, unless it is a manifest whose names are plain file names.
std::vector<data::FileDigest> parse_manifest(std::string_view text, const std::string& origin);

enum class Verify { kSizes, kContent };  // kContent: sizes first, then hashes

// Throws Error(kBadInput) naming the first file of `folder` that is missing or is not what its manifest says, or that of
// `required` which the manifest lacks. Files in `ignored` are not looked at.
void verify_manifest(const std::filesystem::path& folder, std::span<const std::string_view> required, Verify verify,
                     std::span<const std::string_view> ignored = {});

}  // namespace berth::train
