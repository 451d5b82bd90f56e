// Metrics of language models.
#pragma once

#include <cmath>

namespace berth::train {

// Of the mean loss (natural logarithm) per predicted token; infinite where that overflows, as Hugging Face's run_mlm has it.
inline double perplexity(double mean_loss) { return std::exp(mean_loss); }

}  // namespace berth::train
