// Reading and writing a tokenizer as the files of a Hugging Face model folder.
//
// vocab.txt               one token per line
// tokenizer_config.json   do_lower_case, strip_accents, tokenize_chinese_chars, added_tokens_decoder {id: {content, normalized,
// …}} tokenizer.json          model.vocab {token: id}, normalizer (the same settings under other names), added_tokens
// special_tokens_map.json the names of the special tokens, for old readers only
#include "data/tokenizer/tokenizer_files.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "data/check.h"
#include "data/files/files.h"
#include "data/json/json.h"
#include "data/tokenizer/bert_tokenizer.h"

namespace berth::data {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using nlohmann::ordered_json;

constexpr const char* kSpecialTokens[][2] = {
    {"unk_token", "[UNK]"}, {"sep_token", "[SEP]"}, {"pad_token", "[PAD]"}, {"cls_token", "[CLS]"}, {"mask_token", "[MASK]"}};

// An object, empty if there is no such file.
json read_json(const fs::path& path) {
  if (!fs::exists(path)) return json::object();
  constexpr JsonLimits kLimits;
  json value = parse_json(read_file(path, kLimits.bytes), path.string(), kLimits);
  check(value.is_object(), path, " is not a JSON object: the file is damaged or was not written completely");
  return value;
}

// Member `key` of `object`, null if it is missing or there is no object.
const json& member(const json& object, const char* key) {
  static const json null;
  if (!object.is_object()) return null;
  const auto found = object.find(key);
  return found == object.end() ? null : *found;
}

bool read_bool(const json& value, bool fallback, const fs::path& path, const char* key) {
  check(value.is_null() || value.is_boolean(), path, ": ", key, " is ", dump_json(value),
        ", but true, false or null was expected");
  return value.is_null() ? fallback : value.get<bool>();
}

void check_special_tokens(const json& config, const fs::path& path) {
  for (const auto& [key, expected] : kSpecialTokens) {
    const json& value = member(config, key);
    const json& text = value.is_object() ? member(value, "content") : value;
    check(text.is_null() || text == expected, path, ": ", key, " is ", dump_json(text), ", but only BERT's own ", expected,
          " is supported");
  }
}

struct Settings {
  TokenizerOptions options;
  std::vector<std::pair<int64_t, std::string>> added;  // id, text; all that the file lists
};

void read_added_token(const json& token, int64_t id, const fs::path& path, Settings& settings) {
  const json& content = member(token, "content");
  check(content.is_string() && !content.get_ref<const std::string&>().empty(), path, ": the added token ", id,
        " has no content: the file is damaged");
  for (const char* key : {"normalized", "lstrip", "rstrip", "single_word"})
    check(!read_bool(member(token, key), false, path, key), path, ": the added token ", dump_json(content), " is marked \"", key,
          "\", which is not supported: only tokens that are matched in the raw text as they are (add it as a special token)");
  settings.added.emplace_back(id, content.get<std::string>());
}

// tokenizer_config.json where it says something, then tokenizer.json, then BERT's defaults.
Settings read_settings(const json& config, const fs::path& config_path, const json& full, const fs::path& full_path) {
  check_special_tokens(config, config_path);
  const json& normalizer = member(full, "normalizer");
  const json& type = member(normalizer, "type");
  check(type.is_null() || type == "BertNormalizer", full_path, ": the normalizer is ", dump_json(type),
        ", but BertNormalizer is needed");
  Settings settings;
  TokenizerOptions& options = settings.options;
  const auto choose = [&](const char* key, const char* full_key) -> const json& {
    return config.contains(key) ? config.at(key) : member(normalizer, full_key);
  };
  const auto boolean = [&](const char* key, const char* full_key, bool fallback) {
    return read_bool(choose(key, full_key), fallback, config.contains(key) ? config_path : full_path, key);
  };
  options.do_lower_case = boolean("do_lower_case", "lowercase", options.do_lower_case);
  options.tokenize_chinese_chars = boolean("tokenize_chinese_chars", "handle_chinese_chars", options.tokenize_chinese_chars);
  if (!choose("strip_accents", "strip_accents").is_null())
    options.strip_accents = boolean("strip_accents", "strip_accents", false);

  const json& decoder = member(config, "added_tokens_decoder");
  if (decoder.is_object()) {
    for (const auto& [key, token] : decoder.items()) {
      check(!key.empty() && key.size() < 10 && key.find_first_not_of("0123456789") == std::string::npos, config_path,
            ": added_tokens_decoder has the key \"", key, "\", but token ids were expected");
      read_added_token(token, std::stoll(key), config_path, settings);
    }
  } else {
    for (const json& token : member(full, "added_tokens")) {
      const json& id = member(token, "id");
      check(id.is_number_unsigned() && id < (1 << 30), full_path, ": an added token has the id ", dump_json(id));
      read_added_token(token, id.get<int64_t>(), full_path, settings);
    }
  }
  std::sort(settings.added.begin(), settings.added.end());
  return settings;
}

std::vector<std::string> tokens_of(const json& full, const fs::path& path) {
  const json& model = member(full, "model");
  const json& type = member(model, "type");
  check(type.is_null() || type == "WordPiece", path, ": the model is ", dump_json(type),
        ", but WordPiece is needed, as BERT, DistilBERT and ELECTRA have it");
  const json& vocab = member(model, "vocab");
  check(vocab.is_object() && !vocab.empty(), path, " has no model.vocab: it is not a WordPiece tokenizer");
  std::vector<std::string> tokens(vocab.size());
  for (const auto& [token, id] : vocab.items()) {
    check(id.is_number_unsigned() && id < tokens.size(), path, ": token \"", token, "\" has the id ", dump_json(id),
          ", but 0 to ", tokens.size() - 1, " were expected");
    std::string& slot = tokens[id.get<size_t>()];
    check(slot.empty(), path, ": the tokens \"", slot, "\" and \"", token, "\" have the same id ", dump_json(id));
    slot = token;
  }
  return tokens;
}

}  // namespace

TokenizerFiles read_tokenizer_files(const fs::path& path) {
  const bool is_folder = fs::is_directory(path);
  check(fs::exists(path), "there is no tokenizer at ", path, ": a vocab.txt or a model folder was expected");
  const fs::path folder = is_folder ? path : path.parent_path();
  const fs::path vocab_path = is_folder ? path / "vocab.txt" : path;
  const fs::path full_path = folder / "tokenizer.json", config_path = folder / "tokenizer_config.json";
  const bool own_folder = is_folder || path.filename() == "vocab.txt";
  const json full = own_folder ? read_json(full_path) : json::object();
  const json config = own_folder ? read_json(config_path) : json::object();
  check(fs::exists(vocab_path) || !full.empty(), path,
        " holds neither vocab.txt nor tokenizer.json: it is not a BERT model folder");

  const Settings settings = read_settings(config, config_path, full, full_path);
  const std::string origin = (fs::exists(vocab_path) ? vocab_path : full_path).string();
  std::vector<std::string> tokens = fs::exists(vocab_path) ? Vocab::load(vocab_path).tokens() : tokens_of(full, full_path);
  std::vector<std::string> added;
  for (const auto& [id, text] : settings.added) {
    const auto index = static_cast<size_t>(id);
    check(index <= tokens.size(), origin, " has ", tokens.size(), " tokens, but the next added token, \"", text,
          "\", has the id ", id);
    if (index == tokens.size()) {
      added.push_back(text);
      tokens.push_back(text);
    }
    check(tokens[index] == text, origin, ": token ", id, " is \"", tokens[index], "\", but \"", text,
          "\" was added under that id");
  }
  return {Vocab(std::move(tokens), origin), settings.options, std::move(added)};
}

BertTokenizer BertTokenizer::load(const fs::path& path) {
  TokenizerFiles files = read_tokenizer_files(path);
  return {std::move(files.vocab), files.options, std::move(files.added_tokens)};
}

std::vector<FileDigest> BertTokenizer::save(const fs::path& folder, int model_max_length,
                                            const std::string& tokenizer_class) const {
  std::vector<FileDigest> files;
  const auto write = [&](const char* name, const std::string& text) { files.push_back(write_durably(folder / name, text)); };
  const size_t model_size = vocab_.tokens().size() - added_tokens_.size();
  std::string lines;
  for (size_t i = 0; i < model_size; ++i) lines += vocab_.tokens()[i] + "\n";
  write("vocab.txt", lines);

  ordered_json map, decoder = ordered_json::object();
  for (const auto& [key, token] : kSpecialTokens) map[key] = token;
  std::vector<std::pair<int32_t, std::string>> specials;
  for (const Special& special : specials_) specials.emplace_back(special.id, special.text);
  std::sort(specials.begin(), specials.end());
  for (const auto& [id, text] : specials) {
    decoder[std::to_string(id)] = {{"content", text}, {"lstrip", false},      {"normalized", false},
                                   {"rstrip", false}, {"single_word", false}, {"special", true}};
  }
  if (!added_tokens_.empty()) map["additional_special_tokens"] = added_tokens_;
  write("special_tokens_map.json", dump_json(map, 2) + "\n");

  ordered_json config = map;
  config["added_tokens_decoder"] = decoder;
  config["do_lower_case"] = options_.do_lower_case;
  config["strip_accents"] = options_.strip_accents ? ordered_json(*options_.strip_accents) : ordered_json();
  config["tokenize_chinese_chars"] = options_.tokenize_chinese_chars;
  config["model_max_length"] = model_max_length;
  config["tokenizer_class"] = tokenizer_class;
  write("tokenizer_config.json", dump_json(config, 2) + "\n");
  return files;
}

}  // namespace berth::data
