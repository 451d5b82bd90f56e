#include "trainer/model/flops.h"

namespace berth::train {

ModelFlops model_flops(const ParameterStore& parameters, const BertConfig& config) {
  ModelFlops flops;
  bool goes_back = false;   // whether what the parameters so far have made takes a gradient
  bool into_layer = false;  // the same of the layer's input
  for (const Parameter& parameter : parameters.parameters()) {
    const bool in_layers = parameter.name.find(".encoder.layer.") != std::string::npos;
    if (parameter.name.ends_with(".attention.self.query.weight")) into_layer = goes_back;
    if (in_layers && parameter.value.dim() == 2) {
      const bool of_layer_input = parameter.name.find(".attention.self.") != std::string::npos;
      const int products = 1 + ((of_layer_input ? into_layer : goes_back) ? 1 : 0) + (parameter.frozen ? 0 : 1);
      flops.per_token += 2.0 * products * static_cast<double>(parameter.value.numel());
    }
    goes_back = goes_back || !parameter.frozen;
    if (parameter.name.ends_with(".attention.self.value.weight"))
      flops.per_pair += (goes_back ? 12.0 : 4.0) * static_cast<double>(config.hidden_size);
  }
  return flops;
}

}  // namespace berth::train
