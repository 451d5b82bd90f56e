// The activations of a BERT layer.
#pragma once

namespace berth::train {

enum class Activation { kGelu, kGeluNew, kRelu, kTanh };  // gelu = erf form; gelu_new = tanh approximation

}  // namespace berth::train
