// Augmentation by a masked language model: what it expects in place of the words that are hidden from it.
#pragma once

#include <string>

#include "data/text/augment.h"

namespace berth::train {

// `model`: a BertForMaskedLM (or a relative's) or BertForPreTraining folder with its tokenizer, or a name in the local Hugging Face cache. A word
// is hidden as one [MASK]; punctuation around it stays. Of the ten likeliest whole words other than the hidden one, the number
// drawn picks one by its probability. Words behind the model's last position are not replaced. The result may be called by
// several threads; it computes with one thread each and is the same for the same texts. Throws Error(kBadInput), also if the
// folder has no masked language model's head.
data::SubstituteWords load_substitution(const std::string& model);

}  // namespace berth::train
