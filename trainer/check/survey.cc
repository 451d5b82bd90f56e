#include "trainer/check/survey.h"

#include <algorithm>
#include <functional>
#include <numeric>
#include <string_view>
#include <tuple>

#include "data/check.h"
#include "data/samples/batch.h"
#include "data/samples/sample.h"
#include "data/words.h"

namespace berth::preflight {
namespace {

using data::LabelShape;
using Clock = std::chrono::steady_clock;

constexpr int64_t kAtOnce = 1024;        // samples
constexpr size_t kMostNamed = 8;         // labels
constexpr double kRare = 0.2;            // of an even share
constexpr double kRarePositives = 0.01;  // of the samples
constexpr double kManyCut = 0.1;         // of the samples
constexpr double kManyRepeated = 0.01;   //
constexpr double kManyLeaked = 0.1;      // of the validation samples: metrics say little then

// Of a sample's content, and of its label: 64 bits each, with which two of four million samples are taken for the same once in a million
// such data sets.
struct Print {
  uint64_t content = 0, label = 0;
  bool operator<(const Print& other) const { return std::tie(content, label) < std::tie(other.content, other.label); }
};

uint64_t mixed(uint64_t hash, uint64_t value) { return (hash ^ value) * 0x9E3779B97F4A7C15ull + (hash >> 29); }

template <class T>
uint64_t hash_of(const T* values, int64_t number) {
  return std::hash<std::string_view>()({reinterpret_cast<const char*>(values), static_cast<size_t>(number) * sizeof(T)});
}

class SplitSurvey {
 public:
  // `in_file`: which of the file's splits it is, or is a part of.
  SplitSurvey(const data::DatasetInfo& info, const data::Split& split, const std::string& in_file, int64_t samples)
      : info_(info), shape_(data::task_info(info.task).labels), split_(split), facts_{.name = split.name(), .samples = samples} {
    if (shape_ == LabelShape::kClass || shape_ == LabelShape::kTokenClass || shape_ == LabelShape::kMultiHot)
      facts_.of_label.assign(info.label_names.size(), 0);
    if (const auto truncated = info.truncated.find(in_file); truncated != info.truncated.end())
      facts_.truncated = truncated->second;
  }

  void read(const SurveyOptions& options) {
    const auto end = Clock::now() + options.patience;
    const int64_t most = std::min(facts_.samples, options.most_samples);
    data::Batch batch;
    std::vector<int64_t> samples;
    while (facts_.looked_at < most && (facts_.looked_at == 0 || Clock::now() < end)) {
      samples.resize(static_cast<size_t>(std::min(kAtOnce, most - facts_.looked_at)));
      std::iota(samples.begin(), samples.end(), facts_.looked_at);
      split_.read(samples, batch);
      for (int64_t b = 0; b < batch.size(); ++b) add(batch, static_cast<size_t>(b));
      facts_.looked_at += batch.size();
    }
    std::sort(prints_.begin(), prints_.end());
    count_repeats();
  }

  SplitFacts& facts() { return facts_; }
  const std::vector<Print>& prints() const { return prints_; }

 private:
  void add(const data::Batch& batch, size_t b) {
    uint64_t content = 0;
    bool full = false;
    const auto first = static_cast<size_t>(batch.cu_samples[b]), last = static_cast<size_t>(batch.cu_samples[b + 1]);
    for (size_t s = first; s < last; ++s) {
      const auto begin = batch.cu_seqlens[s], length = batch.cu_seqlens[s + 1] - begin;
      content = mixed(content, hash_of(batch.input_ids.data() + begin, length));
      content = mixed(content, hash_of(batch.token_type_ids.data() + begin, length));
      full |= length == info_.max_length;
    }
    facts_.of_full_length += full;
    prints_.push_back({content, label_of(batch, b, batch.cu_seqlens[first], batch.cu_seqlens[last])});
  }

  // Counts it, too. Tokens of the sample are [begin, end) of the batch's.
  uint64_t label_of(const data::Batch& batch, size_t b, int32_t begin, int32_t end) {
    const auto numbers = [&](size_t from, int64_t number) {
      bool any = false;
      for (size_t i = from; i < from + static_cast<size_t>(number); ++i) {
        const int32_t label = batch.labels[i];
        any |= label != data::kIgnoreIndex;
        if (label >= 0 && static_cast<size_t>(label) < facts_.of_label.size()) ++facts_.of_label[static_cast<size_t>(label)];
      }
      facts_.unlabelled += !any;
      return hash_of(batch.labels.data() + from, number);
    };
    switch (shape_) {
      case LabelShape::kNone:
        return 0;
      case LabelShape::kTokenClass:
        return numbers(static_cast<size_t>(begin), end - begin);
      case LabelShape::kSpan:
        return numbers(2 * b, 2);
      case LabelShape::kFloat:
        return hash_of(batch.float_labels.data() + b, 1);
      case LabelShape::kMultiHot: {
        const size_t labels = facts_.of_label.size();
        const float* own = batch.float_labels.data() + b * labels;
        facts_.unlabelled += own[0] == data::kNoMultiHot;
        for (size_t c = 0; c < labels; ++c) facts_.of_label[c] += own[c] == 1;
        return hash_of(own, static_cast<int64_t>(labels));
      }
      default:
        return numbers(b, 1);
    }
  }

  void count_repeats() {
    for (size_t begin = 0, end = 0; begin < prints_.size(); begin = end) {
      while (end < prints_.size() && prints_[end].content == prints_[begin].content) ++end;
      facts_.repeated += static_cast<int64_t>(end - begin) - 1;
      if (prints_[end - 1].label != prints_[begin].label) facts_.contradictory += static_cast<int64_t>(end - begin);
    }
  }

  const data::DatasetInfo& info_;
  LabelShape shape_;
  const data::Split& split_;
  SplitFacts facts_;
  std::vector<Print> prints_;
};

int64_t limited(int64_t samples, int64_t most) { return most < 0 ? samples : std::min(samples, most); }

double share(int64_t part, int64_t whole) { return whole > 0 ? static_cast<double>(part) / static_cast<double>(whole) : 0; }

std::string samples_with_share(int64_t part, int64_t whole) {
  return concat(part, " of ", counted(whole, "sample"), " (", percent(share(part, whole)), ")");
}

// " (of the first 4000000 of 9000000)" where not all were looked at.
std::string how_many(const SplitFacts& split) {
  return split.looked_at == split.samples ? "" : concat(" (looked at the first ", split.looked_at, " of ", split.samples, ")");
}

std::vector<std::string> missing_labels(const SplitFacts& split, const std::vector<std::string>& labels) {
  std::vector<std::string> missing;
  for (size_t c = 0; c < split.of_label.size(); ++c)
    if (split.of_label[c] == 0) missing.push_back(labels[c]);
  return missing;
}

// How often the labels occur that occur at all.
struct Balance {
  bool is_rare = false;
  std::string rarest;  // "b, is of 20 of 360 samples (5.6 %)"
  std::string range;   // "b 5.6 % to a 88.9 %"
};

// Of `there` labels. Not of tokens, most of which are none of the entities; and labels that are independent may be rarer than classes.
std::optional<Balance> balance_of(const DataFacts& facts, size_t there) {
  const std::vector<int64_t>& counts = facts.train.of_label;
  const LabelShape shape = data::task_info(facts.task).labels;
  const bool multi = shape == LabelShape::kMultiHot;
  if (!multi && (shape != LabelShape::kClass || there < 2)) return std::nullopt;
  const int64_t all = multi ? facts.train.looked_at : std::accumulate(counts.begin(), counts.end(), int64_t{0});
  size_t rarest = 0, commonest = 0;
  for (size_t c = 0; c < counts.size(); ++c) {
    if (counts[c] > 0 && (counts[rarest] == 0 || counts[c] < counts[rarest])) rarest = c;
    if (counts[c] >= counts[commonest]) commonest = c;
  }
  const auto with_share = [&](size_t c) { return concat(facts.labels[c], " ", percent(share(counts[c], all))); };
  return Balance{.is_rare = share(counts[rarest], all) < (multi ? kRarePositives : kRare / static_cast<double>(there)),
                 .rarest = concat(facts.labels[rarest], ", is of ", samples_with_share(counts[rarest], all)),
                 .range = with_share(rarest) + " to " + with_share(commonest)};
}

// Which training samples are the same does not depend on their labels.
int64_t count_common(const std::vector<Print>& sorted, const std::vector<Print>& others) {
  return std::count_if(others.begin(), others.end(), [&](const Print& print) {
    const auto at = std::lower_bound(sorted.begin(), sorted.end(), Print{print.content, 0});
    return at != sorted.end() && at->content == print.content;
  });
}

}  // namespace

DataFacts survey(const data::DatasetInfo& info, const data::Split& train, const data::Split* validation,
                 const SurveyOptions& options) {
  DataFacts facts{
      .task = info.task, .labels = info.label_names, .max_length = info.max_length, .train_in_file = options.train_in_file};
  SplitSurvey of_train(info, train, "train", limited(train.size(), options.max_train_samples));
  of_train.read(options);
  if (validation) {
    SplitSurvey of_validation(info, *validation, "validation", limited(validation->size(), options.max_eval_samples));
    of_validation.read(options);
    facts.leaked = count_common(of_train.prints(), of_validation.prints());
    facts.validation = std::move(of_validation.facts());
  }
  facts.train = std::move(of_train.facts());
  return facts;
}

Findings judge_labels(const DataFacts& facts, const LabelOptions& options) {
  const data::TaskInfo& task = data::task_info(facts.task);
  const SplitFacts& train = facts.train;
  Findings findings;
  const auto add = [&](Level level, const std::string& found, const std::string& remedy) {
    findings.push_back({.level = level, .name = "labels", .found = found + how_many(train), .remedy = remedy});
  };
  if (train.of_label.empty()) return {{.name = "labels", .found = concat(task.name, " has no classes")}};
  if (train.unlabelled > 0 && task.labels != LabelShape::kTokenClass)
    add(Level::kWarning, concat(samples_with_share(train.unlabelled, train.looked_at), " to train on have no label"),
        "leave them out, or label them");
  const std::vector<std::string> missing = missing_labels(train, facts.labels);
  const size_t there = facts.labels.size() - missing.size();
  if (there < 2 && task.labels == LabelShape::kClass)
    add(Level::kError, concat("all training samples have one label, of ", facts.labels.size(), ": nothing can be learned"),
        "is the label column the right one? berth prepare --label-column");
  else if (!missing.empty())
    add(Level::kWarning, concat("no training sample has ", listed(missing, kMostNamed)),
        "more data, or other --label-names in berth prepare");
  if (facts.validation)
    if (const auto absent = missing_labels(*facts.validation, facts.labels); !absent.empty() && absent != missing)
      add(Level::kWarning,
          concat("no validation sample has ", listed(absent, kMostNamed), ": metrics do not show how it is learned"),
          "a larger or stratified split: berth prepare --validation-split");
  const std::optional<Balance> balance = there > 0 ? balance_of(facts, there) : std::nullopt;
  if (balance && balance->is_rare && !options.weighted)
    add(Level::kWarning, concat("the rarest of ", counted(there, "label"), ", ", balance->rarest),
        concat(task.labels == LabelShape::kMultiHot ? "--pos-weight balanced" : "--class-weights balanced or --weighted-sampling",
               ", and a metric that sees it: --metric-for-best-model ",
               task.labels == LabelShape::kMultiHot ? "f1_macro" : "f1"));
  if (findings.empty())
    add(Level::kOk,
        concat(counted(facts.labels.size(), "label"), balance ? ", " + balance->range : "", options.weighted ? ", weighted" : ""),
        "");
  return findings;
}

Finding judge_truncation(const DataFacts& facts) {
  const SplitFacts& train = facts.train;
  Finding finding{.name = "truncation"};
  if (!train.truncated) {
    if (train.of_full_length == 0)
      return {.name = "truncation", .found = concat("no sample is as long as ", facts.max_length, " tokens")};
    return unknown("truncation",
                   concat("the file is an older berth's; at most ", samples_with_share(train.of_full_length, train.looked_at),
                          " were cut to ", facts.max_length, " tokens"));
  }
  const int64_t whole = facts.train_in_file;
  finding.found = *train.truncated == 0
                      ? concat("no sample was cut to ", facts.max_length, " tokens")
                      : concat(samples_with_share(*train.truncated, whole), " were cut to ", facts.max_length, " tokens");
  if (share(*train.truncated, whole) < kManyCut) return finding;
  finding.level = Level::kWarning;
  finding.remedy =
      concat("berth prepare with a greater --max-length, up to the model's positions",
             data::task_info(facts.task).pools_windows ? ", or --doc-stride, which cuts long texts into windows" : "");
  return finding;
}

Findings judge_repeats(const DataFacts& facts) {
  const SplitFacts& train = facts.train;
  Findings findings;
  const double repeated = share(train.repeated, train.looked_at);
  const bool labelled = data::task_info(facts.task).labels != LabelShape::kNone;
  const std::string remedy = "keep one of each, then berth prepare";
  if (labelled && train.contradictory > 0)
    findings.push_back({.level = Level::kWarning,
                        .name = "duplicates",
                        .found = concat(samples_with_share(train.contradictory, train.looked_at),
                                        " are the same as another one with another label", how_many(train)),
                        .remedy = "agree on their labels, or leave them out, then berth prepare"});
  if (repeated >= kManyRepeated)
    findings.push_back(
        {.level = Level::kWarning,
         .name = "duplicates",
         .found = concat(samples_with_share(train.repeated, train.looked_at), " repeat an earlier one", how_many(train)),
         .remedy = remedy});
  if (findings.empty())
    findings.push_back(
        {.name = "duplicates",
         .found = concat(train.repeated == 0 ? "no training sample occurs twice"
                                             : samples_with_share(train.repeated, train.looked_at) + " repeat an earlier one",
                         how_many(train))});
  if (!facts.validation) {
    findings.push_back(unknown("leakage", "there is no validation split"));
    return findings;
  }
  const int64_t validation = facts.validation->looked_at;
  Finding leakage{.name = "leakage",
                  .found = concat(facts.leaked == 0 ? concat("none of ", counted(validation, "validation sample"))
                                                    : concat(facts.leaked, " of ", counted(validation, "validation sample"), " (",
                                                             percent(share(facts.leaked, validation)), ")"),
                                  facts.leaked == 1 ? " is" : " are", " also trained on", how_many(train))};
  if (facts.leaked > 0) {
    leakage.level = share(facts.leaked, validation) < kManyLeaked ? Level::kWarning : Level::kError;
    leakage.remedy =
        "take them out of one of the two files, then berth prepare: metrics on them are of what was learned by heart";
  }
  findings.push_back(std::move(leakage));
  return findings;
}

}  // namespace berth::preflight
