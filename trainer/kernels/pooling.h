// How a sample's tokens become one row.
#pragma once

namespace berth::train {

enum class Pooling { kMean, kMax };  // of each column, over all tokens of the sample, special ones included

}  // namespace berth::train
