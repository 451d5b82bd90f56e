#include "trainer/model/heads.h"

#include "data/check.h"
#include "trainer/model/losses.h"
#include "trainer/model/ragged.h"
#include "trainer/model/token_heads.h"

namespace berth::train {
namespace {

using Tensors = std::vector<at::Tensor>;

// pooler -> dropout -> classifier of each sequence; pooled where samples are windows of long texts: [B, labels].
class SequenceClassifier : public Model {
 public:
  SequenceClassifier(const BertConfig& config, ParameterStore& parameters)
      : Model(config, parameters), classifier_(linear_at(parameters, "classifier")) {}

  static std::vector<ParameterSpec> declare(const BertConfig& config, bool rows) {
    std::vector<ParameterSpec> specs = encoder_parameters(config, /*with_pooler=*/true, rows);
    declare_linear(specs, "classifier", config.hidden_size, label_count(config));
    return specs;
  }

  Tensors logits(const DeviceBatch& batch, const ForwardContext& context) const override {
    const at::Tensor pooled = encoder_.pool(encoder_.forward(batch, context, /*first_tokens_only=*/true));
    const Dropout dropout = context.dropout(encoder_.config().classifier_dropout_prob(), Purpose::kClassifierDropout);
    const at::Tensor logits = linear(encoder_.parameters(), drop(pooled, dropout, first_token_rows(batch)), classifier_);
    const std::optional<DocumentWindows>& windows = encoder_.config().windows;
    check_internal(windows || batch.most_sequences == 1, "samples of several windows, which this model does not pool");
    return {windows ? pool_documents(logits, batch.cu_samples, batch.most_sequences, windows->pooling) : logits};
  }

  at::Tensor loss_sums(const Tensors& logits, const DeviceBatch& batch, double label_smoothing) const override {
    return cross_entropy_sum(logits[0], batch.labels, label_smoothing).view({1});
  }

  std::vector<int64_t> target_counts(const data::Batch& batch) const override {
    return {std::ssize(batch.labels) - std::count(batch.labels.begin(), batch.labels.end(), data::kIgnoreIndex)};
  }

 private:
  Linear classifier_;
};

class Regressor final : public SequenceClassifier {
 public:
  using SequenceClassifier::SequenceClassifier;
  at::Tensor loss_sums(const Tensors& logits, const DeviceBatch& batch, double) const override {
    return squared_error_sum(logits[0], batch.float_labels.view_as(logits[0])).view({1});
  }
  std::vector<int64_t> target_counts(const data::Batch& batch) const override { return {batch.size()}; }
};

class MultiLabelClassifier final : public SequenceClassifier {
 public:
  using SequenceClassifier::SequenceClassifier;
  at::Tensor loss_sums(const Tensors& logits, const DeviceBatch& batch, double) const override {
    return binary_cross_entropy_sum(logits[0], batch.float_labels.view_as(logits[0])).view({1});
  }
  std::vector<int64_t> target_counts(const data::Batch& batch) const override { return {batch.size()}; }
};

constexpr const char* kSequenceClass = "BertForSequenceClassification";

const Architecture kArchitectures[] = {
    {data::TaskKind::kSequenceClassification, kSequenceClass, SequenceClassifier::declare, make_head<SequenceClassifier>,
     "single_label_classification"},
    {data::TaskKind::kRegression, kSequenceClass, SequenceClassifier::declare, make_head<Regressor>, "regression"},
    {data::TaskKind::kMultiLabel, kSequenceClass, SequenceClassifier::declare, make_head<MultiLabelClassifier>,
     "multi_label_classification"},
    token_classification_architecture(),
    question_answering_architecture(),
    masked_lm_architecture(),
    pretraining_architecture(),
};

}  // namespace

int64_t label_count(const BertConfig& config) {
  check_internal(!config.label_names.empty(), "the config names no labels");
  return std::ssize(config.label_names);
}

const Architecture& architecture_of(data::TaskKind task) {
  for (const Architecture& architecture : kArchitectures)
    if (architecture.task == task) return architecture;
  fail(ExitCode::kInternal, "no model for task ", static_cast<int>(task));
}

}  // namespace berth::train
