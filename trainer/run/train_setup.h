// Everything a training run needs before its first step: data set, model, optimizer, and where to go on from. All ranks end up
// with the same.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "data/pipeline/sampler.h"
#include "data/store/dataset.h"
#include "data/tokenizer/bert_tokenizer.h"
#include "trainer/comm/communicator.h"
#include "trainer/optim/adamw.h"
#include "trainer/run/label_weights.h"
#include "trainer/run/run_folder.h"
#include "trainer/run/run_plan.h"
#include "trainer/run/run_state.h"
#include "trainer/run/train_options.h"
#include "trainer/tasks/instance.h"

namespace berth::train {

struct TrainSetup {
  std::unique_ptr<data::Dataset> dataset;
  std::unique_ptr<data::Split> train, validation;  // validation: null if nothing is evaluated
  std::filesystem::path model_folder;              // where weights came from: the pretrained model, or the checkpoint of a resume
  std::optional<data::BertTokenizer> tokenizer;
  LabelWeights weights_asked;
  std::vector<double> label_weights;         // [labels]; empty: 1 each
  std::optional<data::BalancedDraws> draws;  // --weighted-sampling
  RunPlan plan;
  RunState state;
  bool resumed = false;
  std::map<std::string, std::string> model_sha256;  // weight files that the model was filled from
  std::unique_ptr<ModelInstance> model;
  std::unique_ptr<AdamW> optimizer;
};

// A collective call. If the run is complete already (state.complete), nothing but data set and state is there. `folder`: null for steps that
// nobody keeps, which begin afresh. Throws comm::AgreedError: bad data, model, checkpoint or options.
TrainSetup set_up(const TrainOptions& options, const RunFolder* folder, comm::Communicator& comm);

}  // namespace berth::train
