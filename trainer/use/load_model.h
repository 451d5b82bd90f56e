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
#include "trainer/tasks/instance.h"

namespace berth::train {

struct LoadedModel {
  std::filesystem::path folder;
  std::unique_ptr<ModelInstance> model;
  std::optional<data::BertTokenizer> tokenizer;
};

// `name`: a folder, or a name in the local Hugging Face cache. The head must be there: a pretrained encoder alone cannot evaluate
// or predict. Collective calls; rank 0 reads. The task is the one that config.json names. Throws comm::AgreedError.
LoadedModel load_model(const std::string& name, comm::Communicator& comm);
// Several that can be asked together: of one task, with the same labels and vocabulary.
std::vector<LoadedModel> load_models(const std::vector<std::string>& names, comm::Communicator& comm);
// With the task of the data set, whose vocabulary, labels and lengths must fit the model.
LoadedModel load_model_for(const data::Dataset& dataset, const std::string& name, comm::Communicator& comm);

// The tokenizer of a model folder, which rank 0 reads, on all ranks. A collective call. Throws comm::AgreedError.
data::BertTokenizer share_tokenizer(const std::filesystem::path& folder, comm::Communicator& comm);

}  // namespace berth::train
