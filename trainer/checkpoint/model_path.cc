#include "trainer/checkpoint/model_path.h"

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <optional>
#include <string_view>
#include <vector>

#include "data/check.h"
#include "data/files/files.h"
#include "data/words.h"
#include "trainer/checkpoint/checkpoint.h"

namespace berth::train {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kFolderPrefix = "models--";
constexpr uint64_t kMaxRef = 4096;  // bytes
constexpr size_t kMostSuggestions = 5;

std::vector<fs::path> hub_caches() {
  std::vector<fs::path> caches;
  const auto add = [&](const char* variable, const fs::path& below) {
    const char* value = std::getenv(variable);
    if (value == nullptr || *value == '\0') return;
    const fs::path cache = fs::path(value) / below;
    if (std::find(caches.begin(), caches.end(), cache) == caches.end()) caches.push_back(cache);
  };
  add("HF_HUB_CACHE", "");
  add("HUGGINGFACE_HUB_CACHE", "");
  add("HF_HOME", "hub");
  add("XDG_CACHE_HOME", "huggingface/hub");
  add("HOME", ".cache/huggingface/hub");
  return caches;
}

// "name" or "org/name", of the characters the hub allows; anything else can only be meant as a path.
bool is_hub_name(std::string_view name) {
  const auto allowed = [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '_' || c == '.' || c == '/';
  };
  return !name.empty() && name.front() != '/' && name.front() != '.' && name.back() != '/' &&
         std::count(name.begin(), name.end(), '/') <= 1 && name.find("..") == std::string_view::npos &&
         name.find("--") == std::string_view::npos && std::all_of(name.begin(), name.end(), allowed);
}

std::string folder_name(const std::string& name) {
  const size_t slash = name.find('/');
  if (slash == std::string::npos) return concat(kFolderPrefix, name);
  return concat(kFolderPrefix, name.substr(0, slash), "--", name.substr(slash + 1));
}

std::string name_of_folder(const std::string& folder) {
  const std::string name = folder.substr(kFolderPrefix.size());
  const size_t dashes = name.find("--");
  return dashes == std::string::npos ? name : concat(name.substr(0, dashes), "/", name.substr(dashes + 2));
}

// The snapshot that refs/main points to; without refs/main the only one there is.
std::optional<fs::path> snapshot(const fs::path& model) {
  if (const fs::path ref = model / "refs" / "main"; fs::is_regular_file(ref)) {
    std::string commit = data::read_file(ref, kMaxRef);
    commit.erase(commit.find_last_not_of(" \r\n") + 1);
    const bool plain =
        !commit.empty() && std::all_of(commit.begin(), commit.end(), [](unsigned char c) { return std::isalnum(c); });
    check(plain, ref.string(), ": does not hold a commit");
    if (const fs::path folder = model / "snapshots" / commit; fs::is_directory(folder)) return folder;
  }
  std::vector<fs::path> all;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(model / "snapshots", ignored)) all.push_back(entry.path());
  if (all.size() == 1) return all.front();
  return std::nullopt;
}

std::string suggestions(const std::vector<fs::path>& caches, const std::string& wanted) {
  std::vector<std::pair<size_t, std::string>> names;
  for (const fs::path& cache : caches) {
    std::error_code ignored;
    for (const auto& entry : fs::directory_iterator(cache, ignored)) {
      const std::string folder = entry.path().filename().string();
      if (folder.starts_with(kFolderPrefix))
        names.emplace_back(edit_distance(wanted, name_of_folder(folder)), name_of_folder(folder));
    }
  }
  std::sort(names.begin(), names.end());
  names.erase(std::unique(names.begin(), names.end()), names.end());
  if (names.empty()) return "";
  names.resize(std::min(names.size(), kMostSuggestions));
  return "; nearest there: " + joined(names, ", ", &std::pair<size_t, std::string>::second);
}

}  // namespace

fs::path resolve_model(const std::string& model) {
  if (fs::is_directory(model)) {
    verify_model_folder(model);
    return model;
  }
  check(!fs::exists(model), model, ": is a file; --model takes the folder that holds config.json and the weights");
  check(is_hub_name(model), "no model folder ", model);
  const std::vector<fs::path> caches = hub_caches();
  for (const fs::path& cache : caches) {
    const fs::path folder = cache / folder_name(model);
    if (!fs::is_directory(folder)) continue;
    const auto found = snapshot(folder);
    check(found.has_value(), folder.string(), ": has no usable snapshot of ", model, ": download it again (hf download ", model,
          ")");
    return *found;
  }
  fail(ExitCode::kBadInput, "no model ", model, ": there is no such folder, and it is not in the Hugging Face cache (looked in ",
       joined(caches, ", ", [](const fs::path& cache) { return cache.string(); }), ")", suggestions(caches, model),
       ". Nothing is downloaded at run time: run `hf download ", model, "` where there is a network, or give a folder");
}

}  // namespace berth::train
