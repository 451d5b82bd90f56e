#include "trainer/model/heads.h"

#include "data/check.h"
#include "trainer/model/choice_heads.h"
#include "trainer/model/head_layers.h"
#include "trainer/model/losses.h"
#include "trainer/model/pooling.h"
#include "trainer/model/ragged.h"
#include "trainer/model/token_heads.h"
#include "trainer/model/upload.h"

namespace berth::train {
namespace {

using Tensors = std::vector<at::Tensor>;

// pooler, or another row of the text -> dropout -> hidden layers, if there are any -> classifier of each sequence; pooled where samples
// are windows of long texts: [B, labels]. Some families have dropout before the pooler, too.
class SequenceClassifier : public Model {
 public:
  SequenceClassifier(const BertConfig& config, ParameterStore& parameters)
      : Model(config, parameters),
        layers_(config, parameters),
        classifier_(linear_at(parameters, std::string(config.family->classifier))) {}

  static std::vector<ParameterSpec> declare(const BertConfig& config, bool rows) {
    std::vector<ParameterSpec> specs = encoder_parameters(config, config.head.pooling == TextPooling::kPooler, rows);
    HeadLayers::declare(specs, config);
    declare_linear(specs, std::string(config.family->classifier), config.head.width(config.hidden_size), label_count(config));
    return specs;
  }

  Tensors logits(const DeviceBatch& batch, const ForwardContext& context) const override {
    const BertConfig& config = encoder_.config();
    const TokenRows rows = first_token_rows(batch);
    const auto dropped = [&](const at::Tensor& x, uint32_t layer) {
      return drop(x, context.dropout(config.classifier_dropout_prob(), Purpose::kClassifierDropout, layer), rows.ids);
    };
    const at::Tensor pooled = config.family->drops_pooler_input
                                  ? encoder_.pool(dropped(encoder_.forward(batch, context, rows), 1))
                                  : pooled_texts(encoder_, batch, context, config.head.pooling);
    const at::Tensor logits = linear(encoder_.parameters(), layers_.forward(dropped(pooled, 0), context, rows.ids), classifier_);
    const std::optional<DocumentWindows>& windows = config.windows;
    check_internal(windows || batch.most_sequences == 1, "samples of several windows, which this model does not pool");
    return {windows ? pool_documents(logits, batch.cu_samples, batch.most_sequences, windows->pooling) : logits};
  }

  at::Tensor loss_sums(const Tensors& logits, const DeviceBatch& batch) const override {
    return cross_entropy(logits[0], batch.labels);
  }
  std::vector<double> target_weights(const data::Batch& batch) const override { return {weight_of(batch.labels)}; }

 private:
  HeadLayers layers_;
  Linear classifier_;
};

class Regressor final : public SequenceClassifier {
 public:
  using SequenceClassifier::SequenceClassifier;
  at::Tensor loss_sums(const Tensors& logits, const DeviceBatch& batch) const override {
    return squared_error_sum(logits[0], batch.float_labels.view_as(logits[0])).view({1});
  }
  std::vector<double> target_weights(const data::Batch& batch) const override { return {static_cast<double>(batch.size())}; }
};

class MultiLabelClassifier final : public SequenceClassifier {
 public:
  using SequenceClassifier::SequenceClassifier;
  at::Tensor loss_sums(const Tensors& logits, const DeviceBatch& batch) const override {
    return binary_cross_entropy_sum(logits[0], batch.float_labels.view_as(logits[0]), label_weights_).view({1});
  }
  std::vector<double> target_weights(const data::Batch& batch) const override { return {static_cast<double>(batch.size())}; }
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
    multiple_choice_architecture(),
    next_sentence_architecture(),
    masked_lm_architecture(),
    pretraining_architecture(),
};

}  // namespace

void Model::set_loss(LossOptions loss) {
  loss_ = std::move(loss);
  label_weights_.reset();
  if (loss_.label_weights.empty()) return;
  check_internal(std::ssize(loss_.label_weights) == label_count(encoder_.config()), loss_.label_weights.size(), " weights for ",
                 label_count(encoder_.config()), " labels");
  label_weights_ = uploaded(std::span<const float>(loss_.label_weights), encoder_.parameters().comm().device());
}

at::Tensor Model::cross_entropy(const at::Tensor& logits, const at::Tensor& labels) const {
  return cross_entropy_sum(logits, labels, label_weights_, loss_.label_smoothing).view({1});
}

double Model::weight_of(std::span<const int32_t> labels) const {
  double sum = 0;
  for (const int32_t label : labels)
    if (label != data::kIgnoreIndex) sum += loss_.label_weights.empty() ? 1 : loss_.label_weights.at(static_cast<size_t>(label));
  return sum;
}

int64_t label_count(const BertConfig& config) {
  check_internal(!config.label_names.empty(), "the config names no labels");
  return std::ssize(config.label_names);
}

const Architecture& architecture_of(data::TaskKind task) {
  for (const Architecture& architecture : kArchitectures)
    if (architecture.task == task) return architecture;
  fail(ExitCode::kInternal, "no model for task ", static_cast<int>(task));
}

void check_has_class(const BertConfig& config, data::TaskKind task, const std::string& origin) {
  const auto& without = config.family->without;
  check(std::find(without.begin(), without.end(), architecture_of(task).name) == without.end(), origin, ": models of type ",
        config.family->model_type, " have no class for ", data::task_info(task).name, " in berth; take a model of type ",
        kBert.model_type);
  check(config.head.is_standard() || config.family == &kBert, origin, ": models of type ", config.family->model_type,
        " have no custom head (--head-hidden-sizes, --pooling) in berth; take a model of type ", kBert.model_type);
}

}  // namespace berth::train
