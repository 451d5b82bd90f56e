#include "trainer/check/measure/data_check.h"

#include <map>
#include <memory>
#include <optional>

#include "data/check.h"
#include "data/files/sha256.h"
#include "data/store/dataset.h"
#include "data/store/folds.h"
#include "data/words.h"
#include "trainer/check/survey.h"
#include "trainer/comm/agree.h"

namespace berth::preflight {
namespace {

constexpr int64_t kRowsToRead = 16;  // by every rank, all over the split

struct Splits {
  std::unique_ptr<data::Split> train, validation;  // validation: null if there is none
};

Splits open_splits(const data::Dataset& dataset, const std::optional<int>& fold) {
  if (fold) {
    data::FoldSplits splits = data::open_fold(dataset, *fold);
    return {std::move(splits.others), std::move(splits.fold)};
  }
  return {dataset.split("train"), dataset.has_split("validation") ? dataset.split("validation") : nullptr};
}

// What a rank has read: equal texts mean equal files.
std::string identity_of(const data::Dataset& dataset, const data::Split& train) {
  std::vector<int64_t> samples;
  for (int64_t i = 0; i < kRowsToRead; ++i)
    if (const int64_t sample = i * train.size() / kRowsToRead; samples.empty() || sample > samples.back())
      samples.push_back(sample);
  if (train.size() == 0) samples.clear();
  data::Batch batch;
  train.read(samples, batch);
  const auto bytes = [](const auto& values) {
    return std::string_view(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(values[0]));
  };
  std::string all = concat(bytes(batch.input_ids), "|", bytes(batch.labels), "|", bytes(batch.float_labels), "|", train.size());
  for (const auto& [split, digest] : dataset.info().content_sha256) all += concat("|", split, " ", digest);
  return data::sha256_hex(all);
}

Finding same_everywhere(const data::Dataset& dataset, const std::vector<std::string>& identities,
                        const std::vector<RankFacts>& ranks) {
  std::map<std::string, size_t> first;
  for (size_t r = 0; r < identities.size(); ++r) first.emplace(identities[r], r);
  const std::string path = dataset.path().string();
  if (first.size() > 1) {
    size_t other = 1;
    while (identities[other] == identities[0]) ++other;
    return {
        .level = Level::kError,
        .name = "data",
        .found = concat(path, ": rank ", other, " on ", ranks[other].host, " reads other samples than rank 0 on ", ranks[0].host),
        .remedy = "copy the file to all hosts again, or put it on a file system that they share"};
  }
  const data::DatasetInfo& info = dataset.info();
  return {
      .name = "data",
      .found = concat(path, ": ", data::task_info(info.task).name, ", ", joined(info.splits), "; read by ",
                      identities.size() == 1 ? "the rank" : concat("all ", identities.size(), " ranks, with the same content"))};
}

}  // namespace

Findings check_data(const train::TrainOptions& options, const std::vector<RankFacts>& ranks, comm::Communicator& comm) {
  comm.set_stage("check: reading the data set");
  std::unique_ptr<data::Dataset> dataset;
  Splits splits;
  std::string identity;
  Findings findings;
  try {
    comm::agree(comm, [&] {
      dataset = data::Dataset::open(options.data);
      splits = open_splits(*dataset, options.fold);
      identity = identity_of(*dataset, *splits.train);
    });
    findings.push_back(same_everywhere(*dataset, comm.all_gather(identity), ranks));
    comm.set_stage("check: comparing samples");
    comm::agree_on_root(comm, [&] {
      const DataFacts facts = survey(dataset->info(), *splits.train, splits.validation.get(),
                                     {.max_train_samples = options.batch.max_train_samples,
                                      .max_eval_samples = options.batch.max_eval_samples,
                                      .train_in_file = dataset->split("train")->size()});
      const bool weighted = !options.model_options.class_weights.empty() || !options.model_options.pos_weight.empty() ||
                            options.batch.weighted_sampling;
      for (Finding& finding : judge_labels(facts, {.weighted = weighted})) findings.push_back(std::move(finding));
      findings.push_back(judge_truncation(facts));
      for (Finding& finding : judge_repeats(facts)) findings.push_back(std::move(finding));
    });
  } catch (const comm::AgreedError& error) {
    findings.push_back({.level = Level::kError, .name = "data", .found = error.what()});
    for (const char* name : {"labels", "truncation", "duplicates", "leakage"})
      findings.push_back(unknown(name, "the data set cannot be read"));
  }
  return findings;
}

}  // namespace berth::preflight
