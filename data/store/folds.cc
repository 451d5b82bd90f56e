#include "data/store/folds.h"

#include <numeric>
#include <utility>

#include "data/check.h"
#include "data/samples/collate.h"

namespace berth::data {
namespace {

// Some samples of another split.
class SelectedSplit final : public Split {
 public:
  // `samples` rise.
  SelectedSplit(std::shared_ptr<const Split> whole, std::string name, std::vector<int64_t> samples)
      : whole_(std::move(whole)), name_(std::move(name)), samples_(std::move(samples)) {
    for (const int64_t sample : samples_) {
      lengths_.push_back(whole_->lengths()[static_cast<size_t>(sample)]);
      first_sequences_.push_back(num_sequences_);
      num_sequences_ += whole_->sequences_of(sample);
      if (whole_->num_questions() == 0) continue;
      const int64_t question = whole_->question_of(sample);
      if (questions_.empty() || questions_.back() != question) questions_.push_back(question);
      question_.push_back(std::ssize(questions_) - 1);
    }
  }

  const std::filesystem::path& path() const override { return whole_->path(); }
  const std::string& name() const override { return name_; }
  int64_t size() const override { return std::ssize(samples_); }
  std::span<const int32_t> lengths() const override { return lengths_; }
  int64_t sequences_of(int64_t sample) const override { return whole_->sequences_of(at(sample)); }
  int fold_of(int64_t sample) const override { return whole_->fold_of(at(sample)); }

  void read(std::span<const int64_t> samples, Batch& batch) const override {
    whole_->read(in_whole(samples), batch);
    batch.sample_ids.assign(samples.begin(), samples.end());
    for (size_t b = 0; b < samples.size(); ++b)
      std::iota(batch.sequence_ids.begin() + batch.cu_samples[b], batch.sequence_ids.begin() + batch.cu_samples[b + 1],
                first_sequences_[static_cast<size_t>(samples[b])]);
  }

  void read_labels(int64_t begin, int64_t end, Batch& batch) const override {
    begin_batch(batch);
    Batch part;
    for (int64_t last = begin; begin < end; begin = last) {
      while (last < end && at(last) - at(begin) == last - begin) ++last;
      whole_->read_labels(at(begin), at(last - 1) + 1, part);
      batch.labels.insert(batch.labels.end(), part.labels.begin(), part.labels.end());
      batch.float_labels.insert(batch.float_labels.end(), part.float_labels.begin(), part.float_labels.end());
    }
  }

  std::vector<int64_t> rows(std::span<const int64_t> samples) const override { return whole_->rows(in_whole(samples)); }
  std::vector<AugmentKind> augmented(std::span<const int64_t> samples) const override {
    return whole_->augmented(in_whole(samples));
  }

  int64_t num_questions() const override { return std::ssize(questions_); }
  int64_t question_of(int64_t sample) const override { return question_.at(static_cast<size_t>(sample)); }
  Question question(int64_t index) const override { return whole_->question(questions_.at(static_cast<size_t>(index))); }
  std::vector<std::array<int32_t, 2>> token_offsets(int64_t sample) const override { return whole_->token_offsets(at(sample)); }

 private:
  int64_t at(int64_t sample) const {
    check_internal(sample >= 0 && sample < size(), "sample ", sample, " of ", size(), " was asked for");
    return samples_[static_cast<size_t>(sample)];
  }
  std::vector<int64_t> in_whole(std::span<const int64_t> samples) const {
    std::vector<int64_t> there;
    for (const int64_t sample : samples) there.push_back(at(sample));
    return there;
  }

  std::shared_ptr<const Split> whole_;
  std::string name_;
  std::vector<int64_t> samples_;          // [N] each one's number in `whole`
  std::vector<int32_t> lengths_;          // [N]
  std::vector<int64_t> first_sequences_;  // [N] number of each sample's first sequence
  int64_t num_sequences_ = 0;
  std::vector<int64_t> question_;   // [N], or empty
  std::vector<int64_t> questions_;  // each one's number in `whole`
};

}  // namespace

FoldSplits open_fold(const Dataset& dataset, int fold) {
  const int folds = dataset.info().folds;
  check(folds > 0, dataset.path().string(), ": --fold: its training split is not cut into folds; prepare it with --folds");
  check_usage(fold >= 0 && fold < folds, "--fold ", fold, ": ", dataset.path().string(), " has the folds 0 to ", folds - 1);
  const std::shared_ptr<const Split> whole = dataset.split("train");
  std::vector<int64_t> others, own;
  for (int64_t sample = 0; sample < whole->size(); ++sample) {
    if (whole->fold_of(sample) != fold)
      others.push_back(sample);
    else if (whole->augmented(std::span(&sample, 1))[0] == AugmentKind::kNone)
      own.push_back(sample);
  }
  check(!own.empty() && !others.empty(), dataset.path().string(), ": ", own.empty() ? "fold " : "all folds but ", fold,
        own.empty() ? " has" : " have", " no samples");
  const auto select = [&](const char* what, std::vector<int64_t> samples) {
    return std::make_unique<SelectedSplit>(whole, concat(what, fold), std::move(samples));
  };
  return {.others = select("train without fold ", std::move(others)), .fold = select("fold ", std::move(own))};
}

}  // namespace berth::data
