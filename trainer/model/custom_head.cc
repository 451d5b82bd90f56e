#include "trainer/model/custom_head.h"

#include <charconv>

#include "data/check.h"
#include "data/json/json.h"
#include "data/words.h"
#include "trainer/model/config.h"

namespace berth::train {
namespace {

using nlohmann::json;

constexpr const char *kModelType = "berth", *kSizes = "head_hidden_sizes", *kDropout = "head_dropout",
                     *kActivation = "head_activation", *kPooling = "pooling", *kAutoMap = "auto_map";
constexpr int64_t kMostLayers = 16, kMostUnits = 1 << 16;
constexpr std::string_view kPrefix = "Bert", kOwnPrefix = "Berth";

void check_sizes(const std::vector<int64_t>& sizes, ExitCode failure, const std::string& what) {
  if (std::ssize(sizes) > kMostLayers) fail(failure, what, ": ", sizes.size(), " hidden layers, expected at most ", kMostLayers);
  for (const int64_t size : sizes)
    if (size < 1 || size > kMostUnits) fail(failure, what, ": a hidden layer of ", size, "; expected 1 to ", kMostUnits);
}

}  // namespace

CustomHead CustomHead::take_from(json& config, const std::string& origin) {
  CustomHead head;
  const auto type = config.find("model_type");
  if (type == config.end() || *type != kModelType) return head;
  *type = "bert";
  const auto find = [&](const char* key, bool (json::*is)() const noexcept, const char* expected) -> const json& {
    const auto found = config.find(key);
    check(found != config.end() && ((*found).*is)(), origin, ": ", key, " must be ", expected);
    return *found;
  };
  for (const json& size : find(kSizes, &json::is_array, "a list of numbers")) {
    check(size.is_number_integer(), origin, ": ", kSizes, " must be a list of whole numbers");
    head.hidden_sizes.push_back(size.get<int64_t>());
  }
  check_sizes(head.hidden_sizes, ExitCode::kBadInput, concat(origin, ": ", kSizes));
  head.dropout = find(kDropout, &json::is_number, "a number").get<double>();
  check(head.dropout >= 0 && head.dropout < 1, origin, ": ", kDropout, " is ", head.dropout, "; expected at least 0 and below 1");
  const std::string activation = find(kActivation, &json::is_string, "a name").get<std::string>(),
                    pooling = find(kPooling, &json::is_string, "a name").get<std::string>();
  try {
    head.activation = parse_head_activation(activation);
    head.pooling = parse_text_pooling(pooling);
  } catch (const Error&) {
    fail(ExitCode::kBadInput, origin, ": ", kActivation, " \"", activation, "\" or ", kPooling, " \"", pooling,
         "\" is not known");
  }
  return head;
}

void CustomHead::put_into(json& config) const {
  const json* map = config.contains(kAutoMap) ? &config[kAutoMap] : nullptr;
  const bool had_head =
      map != nullptr && map->is_object() && map->contains("AutoConfig") && (*map)["AutoConfig"] == "modeling_berth.BerthConfig";
  if (had_head)
    for (const char* key : {kAutoMap, kSizes, kDropout, kActivation, kPooling}) config.erase(key);
  if (is_standard()) return;
  config["model_type"] = kModelType;
  for (json& name : config["architectures"]) name = custom_class(name.get<std::string>());
  config[kSizes] = hidden_sizes;
  config[kDropout] = dropout;
  config[kActivation] = activation_name(activation);
  config[kPooling] = text_pooling_name(pooling);
  config[kAutoMap] = {{"AutoConfig", "modeling_berth.BerthConfig"},
                      {"AutoModelForSequenceClassification", "modeling_berth.BerthForSequenceClassification"},
                      {"AutoModelForTokenClassification", "modeling_berth.BerthForTokenClassification"}};
}

std::vector<int64_t> parse_hidden_sizes(const std::vector<std::string>& sizes) {
  if (sizes == std::vector<std::string>{"none"}) return {};
  std::vector<int64_t> result;
  for (const std::string& text : sizes) {
    int64_t size = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), size);
    check_usage(error == std::errc() && end == text.data() + text.size(), "--head-hidden-sizes ", text,
                ": is no number; give sizes like 256,64, or none");
    result.push_back(size);
  }
  check_sizes(result, ExitCode::kUsage, "--head-hidden-sizes");
  return result;
}

Activation parse_head_activation(const std::string& name) {
  for (const Activation activation : {Activation::kRelu, Activation::kGelu, Activation::kGeluNew, Activation::kTanh})
    if (name == activation_name(activation)) return activation;
  fail(ExitCode::kUsage, "--head-activation ", name, " is not known; use relu, gelu, gelu_new or tanh");
}

std::string custom_class(const std::string& bert_class) { return concat(kOwnPrefix, bert_class.substr(kPrefix.size())); }

std::string bert_class(const std::string& name) {
  return name.starts_with(kOwnPrefix) ? concat(kPrefix, name.substr(kOwnPrefix.size())) : name;
}

}  // namespace berth::train
