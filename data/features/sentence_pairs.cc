#include "data/features/sentence_pairs.h"

#include <algorithm>

#include "data/check.h"
#include "data/philox.h"
#include "data/readers/lines.h"
#include "data/words.h"

namespace berth::data {

// The random numbers of one document.
class SentencePairs::Draws {
 public:
  Draws(uint64_t seed, uint32_t split, size_t document) : key_(philox_key(seed, Purpose::kSentencePairs, document, split)) {}
  // 0 … n - 1.
  uint32_t below(size_t n) { return static_cast<uint32_t>(uint64_t{next()} * n >> 32); }
  bool chance(float p) { return philox_uniform(next()) < p; }

 private:
  uint32_t next() { return philox({count_++}, key_)[0]; }
  PhiloxKey key_;
  uint32_t count_ = 0;
};

namespace {

constexpr float kShort = 0.1f, kRandomNext = 0.5f, kFront = 0.5f;
constexpr int kShortest = 2;
constexpr int kTries = 10;  // to draw another document

}  // namespace

SentencePairs::SentencePairs(const AssemblerOptions& options, const Vocab& vocab)
    : options_(options), cls_(vocab.cls()), sep_(vocab.sep()), room_(options.max_length - 3) {}

void SentencePairs::add(const Record& record, const Sample& text, const Emit&) {
  if (is_blank(record.text)) return close_document();
  in_document_ = true;
  if (text.input_ids.empty()) {
    ++without_tokens_;
    return;
  }
  sentences_.push_back({ids_.size(), ids_.size() + text.input_ids.size(), record.row});
  ids_.insert(ids_.end(), text.input_ids.begin(), text.input_ids.end());
}

void SentencePairs::close_document() {
  if (!in_document_) return;
  in_document_ = false;
  if (sentences_.size() > open_)
    documents_.push_back({open_, sentences_.size()});
  else
    ++empty_documents_;
  open_ = sentences_.size();
}

void SentencePairs::finish(const Emit& emit) {
  close_document();
  check(documents_.size() > 1, "there ", documents_.empty() ? "is no document" : "is only one document",
        " with tokens, but next-sentence prediction draws from another one: separate documents by blank lines");
  for (size_t document = 0; document < documents_.size(); ++document) pair_up(document, emit);
}

void SentencePairs::append(const Sentence& sentence, std::vector<int32_t>& ids) const {
  ids.insert(ids.end(), ids_.begin() + static_cast<ptrdiff_t>(sentence.begin),
             ids_.begin() + static_cast<ptrdiff_t>(sentence.end));
}

void SentencePairs::pair_up(size_t index, const Emit& emit) {
  Draws draws(options_.seed, options_.split, index);
  const Document& document = documents_[index];
  const int64_t target = draws.chance(kShort) ? kShortest + draws.below(static_cast<size_t>(room_ - kShortest + 1)) : room_;
  std::vector<int32_t> a, b;
  int64_t length = 0;
  for (size_t first = document.begin, i = first; i < document.end; ++i) {
    length += sentences_[i].size();
    if (i + 1 < document.end && length < target) continue;
    const size_t count = i + 1 - first, count_a = count > 1 ? 1 + draws.below(count - 1) : 1;
    a.clear(), b.clear();
    for (size_t s = first; s < first + count_a; ++s) append(sentences_[s], a);
    const bool random = count == 1 || draws.chance(kRandomNext);
    if (random) {
      append_other(index, target - std::ssize(a), draws, b);
      i = first + count_a - 1;
    } else {
      for (size_t s = first + count_a; s <= i; ++s) append(sentences_[s], b);
    }
    emit_pair(a, b, random, sentences_[first].row, draws, emit);
    first = i + 1;
    length = 0;
  }
}

void SentencePairs::append_other(size_t document, int64_t length, Draws& draws, std::vector<int32_t>& ids) const {
  size_t other = document;
  for (int i = 0; i < kTries && other == document; ++i) other = draws.below(documents_.size());
  if (other == document) other = (document + 1) % documents_.size();
  const Document& from = documents_[other];
  for (size_t s = from.begin + draws.below(from.size()); s < from.end; ++s) {
    append(sentences_[s], ids);
    if (std::ssize(ids) >= length) break;
  }
}

void SentencePairs::emit_pair(std::vector<int32_t>& a, std::vector<int32_t>& b, bool random, int64_t row, Draws& draws,
                              const Emit& emit) {
  Sample sample;
  sample.row = row;
  std::array<size_t, 2> begin{0, 0}, end{a.size(), b.size()};
  const auto size = [&](size_t segment) { return end[segment] - begin[segment]; };
  while (static_cast<int64_t>(size(0) + size(1)) > room_) {
    const size_t longer = size(0) > size(1) ? 0 : 1;
    if (draws.chance(kFront))
      ++begin[longer];
    else
      --end[longer];
    ++sample.cut;
  }
  const auto put = [&](const std::vector<int32_t>& ids, size_t segment) {
    sample.input_ids.insert(sample.input_ids.end(), ids.begin() + static_cast<ptrdiff_t>(begin[segment]),
                            ids.begin() + static_cast<ptrdiff_t>(end[segment]));
    sample.input_ids.push_back(sep_);
  };
  sample.input_ids = {cls_};
  put(a, 0);
  sample.segment_b = static_cast<int32_t>(sample.input_ids.size());
  put(b, 1);
  sample.labels = {random ? 1 : 0};
  ++pairs_;
  random_ += random;
  emit(sample);
}

std::string SentencePairs::summary() const {
  std::string text = concat("pairs    ", pairs_, " from ", counted(documents_.size(), "document"), "; in ", random_,
                            " the second text is of another document");
  if (without_tokens_ > 0) text += concat("; ", counted(without_tokens_, "line"), " without tokens left out");
  if (empty_documents_ > 0) text += concat("; ", counted(empty_documents_, "document"), " without tokens left out");
  return text;
}

}  // namespace berth::data
