// What goes with what: which of several choices with a text (BertForMultipleChoice), and whether a second text follows the first
// (BertForNextSentencePrediction).
#pragma once

#include "trainer/model/heads.h"

namespace berth::train {

Architecture multiple_choice_architecture();
Architecture next_sentence_architecture();

}  // namespace berth::train
