// What a prepared file keeps of a question, so that its answer can be found in the context's text and judged.
#pragma once

#include <string>
#include <vector>

namespace berth::data {

struct Question {
  std::string id;
  std::string context;               // UTF-8; token offsets count its code points
  std::vector<std::string> answers;  // any of them is right; none: the question has no answer, or the split is not labelled
};

}  // namespace berth::data
