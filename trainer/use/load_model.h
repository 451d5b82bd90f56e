// A fine-tuned model folder as a model that computes: for evaluation and prediction.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "data/store/dataset.h"
#include "data/tokenizer/bert_tokenizer.h"
#include "trainer/comm/communicator.h"
#include "trainer/tasks/task.h"
#include "trainer/use/precision.h"

namespace berth::train {

class ModelInstance;

struct LoadedModel {
  std::filesystem::path folder;
  std::shared_ptr<ModelInstance> model;  // shared, because whoever loads and hands on does not know the class
  std::optional<data::BertTokenizer> tokenizer;

  data::TaskKind kind() const;
  const Task& task() const;
  const BertConfig& config() const;
};

// `name`: a folder, or a name in the local Hugging Face cache. The head must be there: a pretrained encoder alone cannot evaluate
// or predict. Ready to compute in `precision`. Collective calls; rank 0 reads. Throw comm::AgreedError.
// Several that can be asked together: of the one task that their config.json names, with the same labels and vocabulary.
std::vector<LoadedModel> load_models(const std::vector<std::string>& names, const PrecisionOptions& precision,
                                     comm::Communicator& comm);
// With the task of the data set, whose vocabulary, labels and lengths must fit the model.
LoadedModel load_model_for(const data::Dataset& dataset, const std::string& name, const PrecisionOptions& precision,
                           comm::Communicator& comm);

// Whether the samples of this split are pairs of texts: if one is, all are. Unset if it is empty, or texts have no labels as a whole.
std::optional<bool> pairs_of(const data::Split& split, data::TaskKind task);

// The config.json of a model folder, of at most 64 MiB. Throws Error(kBadInput).
BertConfig load_config(const std::filesystem::path& folder);

// The tokenizer of a model folder, which rank 0 reads, on all ranks. A collective call. Throws comm::AgreedError.
data::BertTokenizer share_tokenizer(const std::filesystem::path& folder, comm::Communicator& comm);

}  // namespace berth::train
