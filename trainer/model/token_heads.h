// Heads that look at every token: see heads.h, where the table is.
#pragma once

#include "trainer/model/heads.h"

namespace berth::train {

// dropout -> hidden layers, if there are any -> classifier: [T, labels].
Architecture token_classification_architecture();
// [dropout ->] [T, 2]: logits of an answer's first and last token. Padding being absent, it has no share in the softmax.
Architecture question_answering_architecture();
// Scores of the vocabulary at the tokens that have a label, in order: [targets, V]. The decoder's weight is the word embeddings'.
Architecture masked_lm_architecture();
// The same, and [B, 2]: does the second text follow the first (0) or not (1)? Two loss terms.
Architecture pretraining_architecture();

}  // namespace berth::train
