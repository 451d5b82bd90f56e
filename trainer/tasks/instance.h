// A model with its parameters: configuration, parameter store, and the task's head on the encoder.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "trainer/model/config.h"
#include "trainer/model/heads.h"
#include "trainer/model/parameters.h"
#include "trainer/tasks/task.h"

namespace berth::train {

class ModelInstance {
 public:
  // Parameters are declared and have space; initialize() or a checkpoint fills them. `freeze`: see ModelOptions::freeze. `comm` must
  // outlive it.
  ModelInstance(const BertConfig& config, data::TaskKind task, comm::Communicator& comm, int64_t bucket_bytes = kBucketBytes,
                const std::vector<std::string>& freeze = {},
                ParameterStore::Updates updates = ParameterStore::Updates::kOnEachHost);

  void set_loss(LossOptions loss) { model_->set_loss(std::move(loss)); }
  void initialize(uint64_t seed) { parameters_->initialize(specs_, config_.initializer_range, seed); }
  // One parameter, to what it would be with all, on this rank alone.
  void initialize(uint64_t seed, const std::string& parameter);

  const BertConfig& config() const { return config_; }
  const Task& task() const { return task_; }
  const Architecture& architecture() const { return architecture_; }
  ParameterStore& parameters() const { return *parameters_; }
  const Model& model() const { return *model_; }

 private:
  BertConfig config_;
  const Task& task_;
  const Architecture& architecture_;
  std::vector<ParameterSpec> specs_;
  std::unique_ptr<ParameterStore> parameters_;
  std::unique_ptr<Model> model_;
};

}  // namespace berth::train
