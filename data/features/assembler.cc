#include "data/features/assembler.h"

#include "data/check.h"
#include "data/features/sentence_pairs.h"
#include "data/words.h"

namespace berth::data {
namespace {

// Texts, [CLS] and [SEP] included, laid end to end and cut into blocks of exactly max_length tokens, as Hugging Face's run_mlm
// does (tokenize_function, group_texts): it works on 1,000 texts at a time and drops what remains of each thousand.
class Blocks final : public Assembler {
 public:
  explicit Blocks(int max_length) : max_length_(static_cast<size_t>(max_length)) {}

  void add(const Record&, const Sample& text, const Emit& emit) override {
    for (int32_t id : text.input_ids) {
      if (block_.input_ids.empty()) block_.row = text.row;
      block_.input_ids.push_back(id);
      if (block_.input_ids.size() < max_length_) continue;
      block_.segment_b = static_cast<int32_t>(max_length_);
      emit(block_);
      ++blocks_;
      block_.input_ids.clear();
    }
    if (++texts_ % kTextsTogether == 0) drop_rest();
  }

  void finish(const Emit&) override {
    drop_rest();
    check(blocks_ > 0, "all texts together have ", dropped_, " tokens, less than one block of ", max_length_,
          ": use a smaller --max-length, or --line-by-line");
  }

  std::string summary() const override {
    const int64_t groups = (texts_ + kTextsTogether - 1) / kTextsTogether;
    return concat(
        "blocks   of ", max_length_, " tokens; ", counted(dropped_, "token"), " dropped at the end of ",
        groups > 1 ? concat("each of ", groups, " groups of up to ", kTextsTogether, " texts") : counted(texts_, "text"),
        ", as run_mlm does");
  }

 private:
  static constexpr int64_t kTextsTogether = 1000;

  void drop_rest() {
    dropped_ += std::ssize(block_.input_ids);
    block_.input_ids.clear();
  }

  size_t max_length_;
  Sample block_;
  int64_t texts_ = 0, blocks_ = 0, dropped_ = 0;
};

// Each text that has tokens is a sample.
class Lines final : public Assembler {
 public:
  void add(const Record&, const Sample& text, const Emit& emit) override {
    if (text.input_ids.size() > kSpecials)
      emit(text), ++samples_;
    else
      ++skipped_;
  }
  void finish(const Emit&) override { check(samples_ > 0, "no text has a single token"); }
  std::string summary() const override {
    return concat("lines    a sample each; ", counted(skipped_, "text"), " without tokens left out");
  }

 private:
  static constexpr size_t kSpecials = 2;
  int64_t samples_ = 0, skipped_ = 0;
};

}  // namespace

std::unique_ptr<Assembler> make_assembler(TaskKind task, const AssemblerOptions& options, const Vocab& vocab) {
  const TaskInfo& info = task_info(task);
  if (!info.is_language_model) return nullptr;
  if (info.has_documents) return std::make_unique<SentencePairs>(options, vocab);
  if (options.line_by_line) return std::make_unique<Lines>();
  return std::make_unique<Blocks>(options.max_length);
}

void UncutFeatures::make(const Record& record, std::vector<Sample>& samples) const {
  std::vector<Token> tokens;
  tokenizer_.tokenize(record.text, tokens);
  Sample& sample = samples.emplace_back();
  sample.row = record.row;
  if (with_specials_) sample.input_ids.push_back(tokenizer_.vocab().cls());
  for (const Token& token : tokens) sample.input_ids.push_back(token.id);
  if (with_specials_) sample.input_ids.push_back(tokenizer_.vocab().sep());
  sample.segment_b = static_cast<int32_t>(sample.input_ids.size());
}

}  // namespace berth::data
