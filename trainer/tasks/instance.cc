#include "trainer/tasks/instance.h"

#include <algorithm>
#include <charconv>

#include "data/check.h"

namespace berth::train {
namespace {

// The prefixes of parameter names that one --freeze word stands for.
std::vector<std::string> frozen_prefixes(const std::string& word, const BertConfig& config) {
  const auto layer_number = [&](const std::string& text) {
    int64_t number = -1;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    return error == std::errc() && end == text.data() + text.size() ? number : -1;
  };
  if (word == "embeddings") return {"bert.embeddings."};
  if (word == "encoder") return {"bert.embeddings.", "bert.encoder."};
  if (word.starts_with("layer.") && layer_number(word.substr(6)) >= 0 && layer_number(word.substr(6)) < config.num_hidden_layers)
    return {"bert.encoder." + word + "."};
  const int64_t layers = layer_number(word);
  check_usage(layers >= 0 && layers <= config.num_hidden_layers, "--freeze ", word,
              " is not known; use embeddings, encoder, layer.N or a number of layers up to ", config.num_hidden_layers);
  std::vector<std::string> prefixes{"bert.embeddings."};
  for (int64_t i = 0; i < layers; ++i) prefixes.push_back(concat("bert.encoder.layer.", i, "."));
  return prefixes;
}

std::vector<std::string> frozen_names(const std::vector<std::string>& words, const std::vector<ParameterSpec>& specs,
                                      const BertConfig& config) {
  std::vector<std::string> names;
  for (const std::string& word : words)
    for (const std::string& prefix : frozen_prefixes(word, config))
      for (const ParameterSpec& spec : specs)
        if (spec.name.starts_with(prefix) && std::find(names.begin(), names.end(), spec.name) == names.end())
          names.push_back(spec.name);
  return names;
}

}  // namespace

ModelInstance::ModelInstance(const BertConfig& config, data::TaskKind task, comm::Communicator& comm, int64_t bucket_bytes,
                             const std::vector<std::string>& freeze, ParameterStore::Updates updates)
    : config_(config),
      task_(find_task(task)),
      architecture_(architecture_of(task)),
      specs_(architecture_.parameters(config, true)),
      parameters_(std::make_unique<ParameterStore>(specs_, comm, bucket_bytes, frozen_names(freeze, specs_, config), updates)),
      model_(architecture_.make(config_, *parameters_)) {}

void ModelInstance::initialize(uint64_t seed, const std::string& parameter) {
  for (const ParameterSpec& spec : specs_)
    if (spec.name == parameter) parameters_->initialize_here({spec}, config_.initializer_range, seed);
}

}  // namespace berth::train
