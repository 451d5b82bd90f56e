// A BERT with a head: what the tasks train. One class per Hugging Face architecture; make_model looks the task up in one table.
#pragma once

#include <memory>

#include "data/samples/task.h"
#include "trainer/model/bert.h"

namespace berth::train {

class Model {
 public:
  virtual ~Model() = default;

  // One tensor per output of the head, the main one first, in the compute type; its rows are what the class says.
  virtual std::vector<at::Tensor> logits(const DeviceBatch& batch, const ForwardContext& context) const = 0;

  // The loss is sum over terms of loss_sums[term] / (target_counts[term] of all samples of the step, on all ranks). Most heads
  // have one term.
  virtual at::Tensor loss_sums(const std::vector<at::Tensor>& logits, const DeviceBatch& batch,
                               double label_smoothing) const = 0;                  // [terms]
  virtual std::vector<int64_t> target_counts(const data::Batch& batch) const = 0;  // [terms]

  const BertEncoder& encoder() const { return encoder_; }

 protected:
  Model(const BertConfig& config, ParameterStore& parameters) : encoder_(config, parameters) {}
  BertEncoder encoder_;
};

// What a task's model is made of.
struct Architecture {
  data::TaskKind task;
  const char* name;  // Hugging Face's class, e.g. "BertForSequenceClassification"
  // All parameters, in forward order. The config's label_names say how many classes there are. `rows`: word embeddings get
  // GradKind::kRows where they are not tied to an output layer.
  std::vector<ParameterSpec> (*parameters)(const BertConfig& config, bool rows);
  std::unique_ptr<Model> (*make)(const BertConfig& config, ParameterStore& parameters);
  const char* problem_type = "";  // of several with one class: what config.json says; one without this takes the first
};
const Architecture& architecture_of(data::TaskKind task);

// For the files that define heads.
template <class Head>
std::unique_ptr<Model> make_head(const BertConfig& config, ParameterStore& parameters) {
  return std::make_unique<Head>(config, parameters);
}
int64_t label_count(const BertConfig& config);

}  // namespace berth::train
