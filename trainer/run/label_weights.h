// How much each label counts in the loss of training (--class-weights, --pos-weight), and how often each class is drawn
// (--weighted-sampling).
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "data/pipeline/sampler.h"
#include "data/store/dataset.h"
#include "trainer/comm/communicator.h"
#include "trainer/run/train_options.h"

namespace berth::train {

// As they were asked for.
struct LabelWeights {
  bool balanced = false;            // they follow from the training samples
  std::vector<double> values = {};  // [labels]; empty: 1 each, or balanced

  bool any() const { return balanced || !values.empty(); }
};

// No weight may be greater.
inline constexpr double kMostWeight = 1e9;

// Where the items of an option, or the text of a file, come from, and what it means that something is wrong there.
struct WeightSource {
  std::string name;
  ExitCode failure = ExitCode::kUsage;
};
using NamedWeights = std::vector<std::pair<std::string, double>>;
// A JSON object {"label": number, …}, or a line "label<TAB>number" a label. Throws Error(kBadInput).
NamedWeights parse_weight_file(const std::string& text, const std::string& origin);
// In the order of the labels. Throws if one is missing, unknown or twice there, or a weight is not a number from 0 to kMostWeight, or
// all are 0.
std::vector<double> weights_of_labels(const NamedWeights& named, const std::vector<std::string>& labels,
                                      const WeightSource& source);

// What the options say of a data set's labels. Throws AgreedError if they do not fit its task. A collective call: rank 0 reads the
// file that they name.
LabelWeights read_label_weights(const TrainOptions& options, const data::DatasetInfo& info, comm::Communicator& comm);

// As sklearn.utils.class_weight.compute_class_weight("balanced"): all targets / (classes that occur * targets of the class), [classes].
// Classes that do not occur have 1.
std::vector<double> balanced_class_weights(std::span<const int64_t> targets);
// Negatives / positives of each label. Labels that all or no samples have, have 1.
std::vector<double> balanced_pos_weights(std::span<const int64_t> positives, int64_t samples);

// The weights for a run on the first `samples` samples of this split, [labels]; empty if none are asked for. A collective call: rank 0
// counts, and logs them.
std::vector<double> count_label_weights(const LabelWeights& asked, const data::DatasetInfo& info, const data::Split& split,
                                        int64_t samples, comm::Communicator& comm);

// Of the first `samples` samples of a split of single labels. Reads them. Throws Error(kBadInput).
data::BalancedDraws balanced_draws(const data::Split& split, int64_t samples, uint64_t seed);

// {"label": weight, …}.
nlohmann::ordered_json weights_by_name(std::span<const double> weights, const std::vector<std::string>& labels);

}  // namespace berth::train
