// A tag for each word, and the entities that tags make.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "trainer/tasks/task.h"

namespace berth::train {

struct TaggedWord {
  std::string tag;
  double score = 0;            // the tag's probability
  int32_t begin = 0, end = 0;  // code points of the sentence
};

struct FoundEntity {
  std::string type;
  int32_t begin = 0, end = 0;  // code points of the sentence
  double score = 0;            // the mean of its words'
};

// Entities by the lenient rules of metrics/entities.h; where tags are B-, I- and O they are those of transformers'
// TokenClassificationPipeline with aggregation_strategy="first".
std::vector<FoundEntity> entities_of(std::span<const TaggedWord> words);

// A word's tag is that of its first WordPiece, which is the one that training labels.
const Task& token_classification();

}  // namespace berth::train
