#include "data/json/json.h"

#include <algorithm>
#include <type_traits>
#include <utility>
#include <vector>

namespace berth::data {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;

// "[json.exception.parse_error.101] parse error at line 1, column 2: …" without the brackets, and cut: it quotes what was read.
std::string sentence_of(std::string_view what) {
  constexpr size_t kMost = 300;
  if (const size_t bracket = what.find("] "); bracket != what.npos) what.remove_prefix(bracket + 2);
  return concat(what.substr(0, kMost), what.size() > kMost ? "…" : "");
}

// Builds a value from what the parser reads, within the limits; the first problem ends it. nlohmann's own builder knows no limits,
// and compares each key of an ordered object with all before it.
template <class Json>
class Builder {
 public:
  explicit Builder(const JsonLimits& limits) : limits_(limits) {}
  Json root;
  std::string problem;

  bool null() { return add(nullptr); }
  bool boolean(bool value) { return add(value); }
  bool number_integer(int64_t value) { return add(value); }
  bool number_unsigned(uint64_t value) { return add(value); }
  bool number_float(double value, const std::string&) { return add(value); }
  bool string(std::string& value) { return add(std::move(value)); }
  bool binary(typename Json::binary_t&) { return false; }
  bool start_object(size_t) { return open(Json::object()); }
  bool start_array(size_t) { return open(Json::array()); }
  bool end_array() { return close(); }
  bool end_object() {
    if constexpr (kOrdered) {
      if (const std::string* twice = equal_key(open_.back()->template get_ref<const typename Json::object_t&>()))
        return stop(concat("has the key \"", twice->substr(0, 80), "\" twice in an object"));
    }
    return close();
  }
  bool key(std::string& name) {
    auto& members = open_.back()->template get_ref<typename Json::object_t&>();
    if constexpr (kOrdered)
      member_ = &members.emplace_back(std::move(name), nullptr).second;
    else
      member_ = &members[std::move(name)];
    return true;
  }
  bool parse_error(size_t, const std::string&, const json::exception& error) {
    return stop("not valid JSON: " + sentence_of(error.what()));
  }

 private:
  static constexpr bool kOrdered = std::is_same_v<Json, ordered_json>;

  bool stop(std::string why) {
    problem = std::move(why);
    return false;
  }
  bool add(Json value) { return place(std::move(value)) != nullptr; }
  // Where the value now is; null: it was one too many.
  Json* place(Json value) {
    if (++values_ > limits_.values) return stop(concat("holds more than ", limits_.values, " values")), nullptr;
    if (open_.empty()) return &(root = std::move(value));
    if (open_.back()->is_object()) return &(*member_ = std::move(value));
    return &open_.back()->template get_ref<typename Json::array_t&>().emplace_back(std::move(value));
  }
  bool open(Json value) {
    if (open_.size() >= limits_.depth) return stop(concat("has brackets nested deeper than ", limits_.depth));
    Json* const placed = place(std::move(value));
    if (placed != nullptr) open_.push_back(placed);
    return placed != nullptr;
  }
  bool close() {
    open_.pop_back();
    return true;
  }
  static const std::string* equal_key(const typename Json::object_t& members) {
    std::vector<const std::string*> keys;
    for (const auto& [name, value] : members) keys.push_back(&name);
    std::sort(keys.begin(), keys.end(), [](const std::string* a, const std::string* b) { return *a < *b; });
    const auto twice = std::adjacent_find(keys.begin(), keys.end(), [](auto* a, auto* b) { return *a == *b; });
    return twice == keys.end() ? nullptr : *twice;
  }

  const JsonLimits& limits_;
  size_t values_ = 0;
  std::vector<Json*> open_;  // brackets; only what the last one holds still grows
  Json* member_ = nullptr;   // whose key was read last
};

// The value, or what is wrong with the text in `problem`.
template <class Json>
Json build(std::string_view text, const JsonLimits& limits, std::string& problem) {
  Builder<Json> builder(limits);
  if (text.size() > limits.bytes)
    problem = concat("has ", text.size(), " bytes, more than the ", limits.bytes, " expected at most");
  else if (!Json::sax_parse(text, &builder))
    problem = std::move(builder.problem);
  return std::move(builder.root);
}

}  // namespace

template <class Json>
Json parse_json(std::string_view text, std::string_view origin, const JsonLimits& limits, ExitCode failure) {
  std::string problem;
  Json value = build<Json>(text, limits, problem);
  if (!problem.empty()) fail(failure, origin, origin.empty() ? "" : ": ", problem);
  return value;
}

template <class Json>
std::optional<Json> find_json(std::string_view text, const JsonLimits& limits) {
  std::string problem;
  Json value = build<Json>(text, limits, problem);
  return problem.empty() ? std::optional<Json>(std::move(value)) : std::nullopt;
}

template <class Json>
std::string dump_json(const Json& value, int indent, bool ascii) {
  return value.dump(indent, ' ', ascii, Json::error_handler_t::replace);
}

template json parse_json(std::string_view, std::string_view, const JsonLimits&, ExitCode);
template ordered_json parse_json(std::string_view, std::string_view, const JsonLimits&, ExitCode);
template std::optional<json> find_json(std::string_view, const JsonLimits&);
template std::optional<ordered_json> find_json(std::string_view, const JsonLimits&);
template std::string dump_json(const json&, int, bool);
template std::string dump_json(const ordered_json&, int, bool);

}  // namespace berth::data
