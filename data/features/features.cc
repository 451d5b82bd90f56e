#include "data/features/features.h"

#include <utility>

#include "data/check.h"
#include "data/features/assembler.h"
#include "data/features/choices.h"
#include "data/features/question.h"
#include "data/features/sequence.h"
#include "data/features/tokens.h"
#include "data/samples/collate.h"

namespace berth::data {

std::unique_ptr<Features> make_features(TaskKind task, const BertTokenizer& tokenizer, FeatureOptions options) {
  check_usage(options.max_length <= kMostTokens, "a maximum length of ", options.max_length, " tokens is more than berth's ",
              kMostTokens);
  check_usage(options.max_length >= 5, "a maximum length of ", options.max_length,
              " leaves no room for two texts between [CLS] and [SEP]s");
  switch (task) {
    case TaskKind::kSequenceClassification:
    case TaskKind::kRegression:
    case TaskKind::kMultiLabel:
    case TaskKind::kNextSentencePrediction:
      return std::make_unique<SequenceFeatures>(task, tokenizer, std::move(options));
    case TaskKind::kTokenClassification:
      return std::make_unique<TokenFeatures>(tokenizer, std::move(options));
    case TaskKind::kQuestionAnswering:
      return std::make_unique<QuestionFeatures>(tokenizer, options);
    case TaskKind::kMultipleChoice:
      return std::make_unique<ChoiceFeatures>(tokenizer, options);
    case TaskKind::kMaskedLm:
    case TaskKind::kPretraining:
      if (options.uncut) return std::make_unique<UncutFeatures>(tokenizer, task == TaskKind::kMaskedLm);
      return std::make_unique<SequenceFeatures>(task, tokenizer, std::move(options));
    default:
      fail(ExitCode::kUsage, "the task ", task_info(task).name, " cannot be prepared yet");
  }
}

std::vector<int32_t> ids_of(const Encoding& encoding) {
  std::vector<int32_t> ids;
  ids.reserve(encoding.tokens.size());
  for (const Token& token : encoding.tokens) ids.push_back(token.id);
  return ids;
}

Batch make_batch(std::span<const Sample> samples, int64_t first_id) {
  Batch batch;
  begin_batch(batch);
  for (const Sample& sample : samples) {
    append_sample(batch, first_id + batch.size());
    append_sequence(batch, first_id + batch.sequences(), sample.input_ids, sample.segment_b);
    for (const Sequence& sequence : sample.further)
      append_sequence(batch, first_id + batch.sequences(), sequence.input_ids, sequence.segment_b);
    batch.labels.insert(batch.labels.end(), sample.labels.begin(), sample.labels.end());
    batch.float_labels.insert(batch.float_labels.end(), sample.float_labels.begin(), sample.float_labels.end());
  }
  return batch;
}

}  // namespace berth::data
