#include "trainer/checkpoint/sentence_modules.h"

#include <algorithm>
#include <array>
#include <vector>

#include "data/check.h"
#include "data/files/files.h"
#include "data/json/json.h"
#include "data/words.h"

namespace berth::train {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr uint64_t kMaxBytes = 1 << 20;
constexpr std::array kKinds{"Transformer", "Pooling", "Normalize"};  // of modules, in the order in which they may come

// Of versions before 5.4, a flag for each; several make an embedding of several parts.
constexpr std::pair<const char*, const char*> kPoolingFlags[] = {
    {"pooling_mode_cls_token", "cls"},
    {"pooling_mode_max_tokens", "max"},
    {"pooling_mode_mean_tokens", "mean"},
    {"pooling_mode_mean_sqrt_len_tokens", "mean_sqrt_len_tokens"},
    {"pooling_mode_weightedmean_tokens", "weightedmean"},
    {"pooling_mode_lasttoken", "lasttoken"},
};

// A configuration of a folder; without keys if it is not there.
struct Settings {
  fs::path file;
  json root = json::object();

  explicit Settings(fs::path path) : file(std::move(path)) {
    if (!fs::exists(file)) return;
    root = data::parse_json(data::read_file(file, kMaxBytes), file.string());
    check(root.is_object(), file.string(), ": not a JSON object");
  }
  // Null and missing keys: nothing.
  const json* find(const char* key) const {
    const auto found = root.find(key);
    return found == root.end() || found->is_null() ? nullptr : &*found;
  }
  template <class T>
  std::optional<T> get(const char* key, bool (json::*is)() const noexcept, const char* expected) const {
    const json* found = find(key);
    if (found == nullptr) return std::nullopt;
    check((found->*is)(), file.string(), ": ", key, " must be ", expected);
    return found->get<T>();
  }
  bool flag(const char* key, bool absent) const { return get<bool>(key, &json::is_boolean, "true or false").value_or(absent); }
  std::string text(const char* key) const { return get<std::string>(key, &json::is_string, "a string").value_or(""); }
  // A positive number; transformers writes 1e30 where there is no limit.
  std::optional<int64_t> length(const char* key) const {
    const auto value = get<double>(key, &json::is_number, "a number");
    if (!value) return std::nullopt;
    check(*value >= 1, file.string(), ": ", key, " is ", *value, "; expected at least 1");
    return static_cast<int64_t>(std::min(*value, double{1 << 30}));
  }
};

struct Module {
  std::string kind;  // the last part of its class's name
  fs::path folder;
};

std::vector<Module> read_modules(const fs::path& folder, const fs::path& file) {
  const json list = data::parse_json(data::read_file(file, kMaxBytes), file.string());
  check(list.is_array() && !list.empty(), file.string(), ": not a list of modules");
  std::vector<Module> modules;
  for (const json& entry : list) {
    const auto text = [&](const char* key) {
      check(entry.is_object() && entry.contains(key) && entry[key].is_string(), file.string(), ": module ", modules.size() + 1,
            " has no ", key);
      return entry[key].get<std::string>();
    };
    const std::string type = text("type"), kind = type.substr(type.rfind('.') + 1);
    const fs::path path = text("path");
    check(path.is_relative() && std::find(path.begin(), path.end(), "..") == path.end(), file.string(), ": the path '",
          path.string(), "' leads out of the folder");
    const auto known = std::find(kKinds.begin(), kKinds.end(), kind);
    const bool in_order = known != kKinds.end() && known - kKinds.begin() == std::ssize(modules);
    check(in_order, file.string(), ": module ", modules.size() + 1, " is ", type,
          "; berth computes Transformer, Pooling and Normalize, ", "in this order");
    modules.push_back({kind, path.empty() ? folder : folder / path});
  }
  return modules;
}

std::string read_pooling(const Settings& settings, bool has_prompt) {
  check(!has_prompt || settings.flag("include_prompt", true), settings.file.string(),
        ": leaves the prompt out of the pooling (include_prompt), which berth does not");
  std::vector<std::string> modes;
  if (const json* mode = settings.find("pooling_mode")) {
    for (const json& one : mode->is_array() ? *mode : json::array({*mode})) {
      check(one.is_string(), settings.file.string(), ": pooling_mode must be a name, or a list of names");
      modes.push_back(one.get<std::string>());
    }
  } else {
    for (const auto& [key, name] : kPoolingFlags)
      if (settings.flag(key, false)) modes.push_back(name);
  }
  return modes.empty() ? "mean" : joined(modes, "+");
}

}  // namespace

SentenceModules read_sentence_modules(const fs::path& folder) {
  SentenceModules result{.encoder = folder};
  const fs::path file = folder / "modules.json";
  if (fs::exists(file)) {
    const std::vector<Module> modules = read_modules(folder, file);
    result.encoder = modules[0].folder;
    result.normalize = modules.size() > 2;
    const Settings whole(folder / "config_sentence_transformers.json");
    if (const std::string name = whole.text("default_prompt_name"); !name.empty()) {
      const json* prompts = whole.find("prompts");
      check(prompts != nullptr && prompts->is_object() && prompts->contains(name) && (*prompts)[name].is_string(),
            whole.file.string(), ": default_prompt_name is \"", name, "\", but there is no such prompt");
      result.prompt = (*prompts)[name].get<std::string>();
    }
    if (modules.size() > 1) result.pooling = read_pooling(Settings(modules[1].folder / "config.json"), !result.prompt.empty());
    for (const char* name : {"sentence_bert_config.json", "sentence_distilbert_config.json"}) {
      const Settings settings(result.encoder / name);
      if (!result.max_length) result.max_length = settings.length("max_seq_length");
      result.lower_case = result.lower_case || settings.flag("do_lower_case", false);
    }
  }
  if (!result.max_length) result.max_length = Settings(result.encoder / "tokenizer_config.json").length("model_max_length");
  return result;
}

}  // namespace berth::train
