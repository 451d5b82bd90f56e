// Records to samples: one implementation per task family, all behind this interface.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "data/samples/batch.h"
#include "data/samples/record.h"
#include "data/samples/sample.h"
#include "data/samples/task.h"
#include "data/tokenizer/bert_tokenizer.h"

namespace berth::data {

inline constexpr int kMostTokens = 1 << 16;     // of a sequence: far more than any BERT has positions
inline constexpr size_t kMostSequences = 1024;  // of a sample: they are computed together

struct FeatureOptions {
  int max_length = 128;                       // tokens, special ones included; longer texts are cut
  std::vector<std::string> label_names = {};  // classes in the order of their indexes
  // Tokens that neighbouring windows share: of a question's context (unset: 128), or of a text that is longer than max_length and has a
  // label as a whole (unset: it is cut), whose windows are one sample's sequences.
  std::optional<int> doc_stride = {};
  bool label_all_tokens = false;  // token classification: all WordPieces of a word, not only the first, carry its tag
  bool offsets = false;           // fill Sample::offsets
  bool uncut = false;             // language models: all tokens of a text, for an Assembler (assembler.h)
  bool windows = false;  // token classification: a longer text becomes several samples, overlapping by half, and is not cut
};

// Immutable and safe to share between threads.
class Features {
 public:
  virtual ~Features() = default;
  // Appends the samples of `record`. A record without labels gives samples that say so (schema.h). Throws Error(kBadInput); the
  // caller says which row it was.
  virtual void make(const Record& record, std::vector<Sample>& samples) const = 0;
};

// `tokenizer` must outlive the result. Throws Error(kUsage) for a task that cannot be prepared and for a max_length above kMostTokens or
// that leaves no room for text.
std::unique_ptr<Features> make_features(TaskKind task, const BertTokenizer& tokenizer, FeatureOptions options);

std::vector<int32_t> ids_of(const Encoding& encoding);

// `samples` as one batch, they and their sequences numbered from `first_id`.
Batch make_batch(std::span<const Sample> samples, int64_t first_id);

}  // namespace berth::data
