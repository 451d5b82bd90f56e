// How a text becomes one row. Compiles without libtorch.
#pragma once

#include <string>
#include <string_view>

namespace berth::train {

// pooler: what BERT's own heads see, tanh(W x + b) of the first token's hidden state x; cls: x itself; mean, max: of each column of
// the hidden states of all tokens, [CLS] and [SEP] included.
enum class TextPooling { kPooler, kCls, kMean, kMax };

TextPooling parse_text_pooling(const std::string& name);  // Error(kUsage)
std::string_view text_pooling_name(TextPooling pooling);

}  // namespace berth::train
