#include "trainer/model/head_layers.h"

#include "data/check.h"

namespace berth::train {
namespace {

std::string layer_name(size_t layer) { return concat("head.", layer); }

// Of the layers' dropout; the lower numbers key what comes before them.
constexpr uint32_t kFirstDropout = 16;

}  // namespace

HeadLayers::HeadLayers(const BertConfig& config, ParameterStore& parameters) : store_(parameters), head_(config.head) {
  for (size_t i = 0; i < head_.hidden_sizes.size(); ++i) layers_.push_back(linear_at(parameters, layer_name(i)));
}

void HeadLayers::declare(std::vector<ParameterSpec>& specs, const BertConfig& config) {
  int64_t width = config.hidden_size;
  for (size_t i = 0; i < config.head.hidden_sizes.size(); ++i) {
    declare_linear(specs, layer_name(i), width, config.head.hidden_sizes[i]);
    width = config.head.hidden_sizes[i];
  }
}

at::Tensor HeadLayers::forward(at::Tensor x, const ForwardContext& context, const RowIds& rows) const {
  for (size_t i = 0; i < layers_.size(); ++i) {
    x = linear_activated(store_, x, layers_[i], head_.activation);
    x = drop(x, context.dropout(head_.dropout, Purpose::kClassifierDropout, kFirstDropout + static_cast<uint32_t>(i)), rows);
  }
  return x;
}

}  // namespace berth::train
