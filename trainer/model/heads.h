// A BERT, or a relative, with a head: what the tasks train. One class per Hugging Face architecture; architecture_of looks the task up in one
// table.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "data/samples/task.h"
#include "trainer/model/bert.h"

namespace berth::train {

// How the loss of training is made of a head's outputs.
struct LossOptions {
  double label_smoothing = 0;  // of cross entropies
  // Of each class what its targets count (torch.nn.CrossEntropyLoss's weight), or of each of multi-label's labels what its
  // positives count (BCEWithLogitsLoss's pos_weight); empty: 1 each.
  std::vector<float> label_weights = {};
};

class Model {
 public:
  virtual ~Model() = default;

  // One tensor per output of the head, the main one first, in the compute type; its rows are what the class says.
  virtual std::vector<at::Tensor> logits(const DeviceBatch& batch, const ForwardContext& context) const = 0;

  // The loss is sum over terms of loss_sums[term] / (target_weights[term] of all samples of the step, on all ranks). Most heads
  // have one term. A target weighs 1, or what its class does.
  virtual at::Tensor loss_sums(const std::vector<at::Tensor>& logits, const DeviceBatch& batch) const = 0;  // [terms]
  virtual std::vector<double> target_weights(const data::Batch& batch) const = 0;                           // [terms]
  // Of both; to be called before them.
  void set_loss(LossOptions loss);

  const BertEncoder& encoder() const { return encoder_; }

 protected:
  Model(const BertConfig& config, ParameterStore& parameters) : encoder_(config, parameters) {}
  at::Tensor cross_entropy(const at::Tensor& logits, const at::Tensor& labels) const;  // [1]
  double weight_of(std::span<const int32_t> labels) const;                             // of those that are targets
  double label_smoothing() const { return loss_.label_smoothing; }

  BertEncoder encoder_;
  at::Tensor label_weights_;  // those of loss_ on the device; undefined if there are none

 private:
  LossOptions loss_;
};

// What a task's model is made of.
struct Architecture {
  data::TaskKind task;
  const char* name;  // Hugging Face's class, e.g. "BertForSequenceClassification"; a relative's: BertConfig::class_name
  // All parameters, in forward order. The config's label_names say how many classes there are. `rows`: word embeddings get
  // GradKind::kRows where they are not tied to an output layer.
  std::vector<ParameterSpec> (*parameters)(const BertConfig& config, bool rows);
  std::unique_ptr<Model> (*make)(const BertConfig& config, ParameterStore& parameters);
  const char* problem_type = "";  // of several with one class: what config.json says; one without this takes the first
};
const Architecture& architecture_of(data::TaskKind task);
// Throws Error(kBadInput), beginning with `origin`, if the config's family has no class for the task.
void check_has_class(const BertConfig& config, data::TaskKind task, const std::string& origin);

// For the files that define heads.
template <class Head>
std::unique_ptr<Model> make_head(const BertConfig& config, ParameterStore& parameters) {
  return std::make_unique<Head>(config, parameters);
}
int64_t label_count(const BertConfig& config);

}  // namespace berth::train
