#include "trainer/run/label_weights.h"

#include <algorithm>
#include <boost/log/trivial.hpp>
#include <charconv>
#include <filesystem>
#include <functional>
#include <numeric>
#include <optional>
#include <sstream>

#include "data/check.h"
#include "data/files/files.h"
#include "data/json/json.h"
#include "data/samples/sample.h"
#include "data/words.h"
#include "trainer/comm/agree.h"

namespace berth::train {
namespace {

using data::LabelShape;

constexpr uint64_t kMostFileBytes = 16 << 20;
constexpr int64_t kSamplesAtOnce = 1 << 14;
constexpr size_t kMostNamed = 20;  // labels in a message

std::optional<double> number_of(std::string_view text) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

bool names_file(const std::vector<std::string>& items) {
  return items.size() == 1 && items[0] != "balanced" && items[0].find('=') == std::string::npos && !number_of(items[0]);
}

NamedWeights parse_items(const std::vector<std::string>& items, const std::string& flag) {
  NamedWeights named;
  for (const std::string& item : items) {
    const size_t equals = item.rfind('=');
    const auto value = equals == std::string::npos ? std::nullopt : number_of(std::string_view(item).substr(equals + 1));
    check_usage(value.has_value(), flag, ": '", item, "' is not label=number");
    named.emplace_back(item.substr(0, equals), *value);
  }
  return named;
}

// What the file that `items` name holds, on all ranks; "" if they name none.
std::string share_file(const std::vector<std::string>& items, const std::string& flag, comm::Communicator& comm) {
  std::string text;
  if (!names_file(items)) return text;
  comm::agree_on_root(comm, [&] {
    check_usage(std::filesystem::exists(items[0]), flag, " ", items[0], ": is neither balanced, nor label=number,…, nor a file");
    text = data::read_file(items[0], kMostFileBytes);
  });
  comm.broadcast(text, 0);
  return text;
}

void check_task(const TrainOptions& options, const data::DatasetInfo& info) {
  const data::TaskInfo& task = data::task_info(info.task);
  const bool one_class = task.labels == LabelShape::kClass, classes = one_class || task.labels == LabelShape::kTokenClass,
             multi = task.labels == LabelShape::kMultiHot;
  const auto is_of = [&](std::string_view hint) { return concat("this data set is for ", task.name, hint); };
  check_usage(options.model_options.class_weights.empty() || classes,
              "--class-weights is for classification and token classification; ", is_of(multi ? ": see --pos-weight" : ""));
  check_usage(options.model_options.pos_weight.empty() || multi, "--pos-weight is for multi-label classification; ",
              is_of(classes ? ": see --class-weights" : ""));
  check_usage(!options.batch.weighted_sampling || one_class, "--weighted-sampling is for classification into single labels; ",
              is_of(""));
}

void for_each_batch_of_labels(const data::Split& split, int64_t samples, const std::function<void(const data::Batch&)>& f) {
  data::Batch batch;
  for (int64_t begin = 0; begin < samples; begin += kSamplesAtOnce) {
    split.read_labels(begin, std::min(samples, begin + kSamplesAtOnce), batch);
    f(batch);
  }
}

// Targets of each class, or positives of each label; and of how many samples.
struct LabelCounts {
  std::vector<int64_t> of_label;
  int64_t samples = 0;
};

LabelCounts count_labels(const data::Split& split, int64_t samples, size_t labels) {
  LabelCounts counts{.of_label = std::vector<int64_t>(labels, 0)};
  for_each_batch_of_labels(split, samples, [&](const data::Batch& batch) {
    for (const int32_t label : batch.labels)
      if (label != data::kIgnoreIndex) ++counts.of_label[static_cast<size_t>(label)];
    for (size_t row = 0; row < batch.float_labels.size(); row += labels) {
      if (batch.float_labels[row] == data::kNoMultiHot) continue;
      ++counts.samples;
      for (size_t c = 0; c < labels; ++c) counts.of_label[c] += batch.float_labels[row + c] > 0.5f;
    }
  });
  return counts;
}

void log_weights(const std::string& what, std::span<const double> weights, const std::vector<std::string>& labels) {
  std::vector<std::string> pairs;
  for (size_t c = 0; c < weights.size(); ++c) pairs.push_back(concat(labels[c], " ", weights[c]));
  BOOST_LOG_TRIVIAL(info) << what << ": " << joined(pairs);
}

}  // namespace

NamedWeights parse_weight_file(const std::string& text, const std::string& origin) {
  NamedWeights named;
  if (const size_t first = text.find_first_not_of(" \t\r\n"); first != std::string::npos && text[first] == '{') {
    const auto json = data::parse_json<nlohmann::ordered_json>(text, origin);
    for (const auto& [label, value] : json.items()) {
      check(value.is_number(), origin, ": the weight of '", label, "' is a JSON ", value.type_name(), ", expected a number");
      named.emplace_back(label, value.get<double>());
    }
    return named;
  }
  std::istringstream lines(text);
  std::string line;
  for (int64_t row = 1; std::getline(lines, line); ++row) {
    if (line.ends_with('\r')) line.pop_back();
    if (line.empty()) continue;
    const size_t tab = line.rfind('\t');
    const auto value = tab == std::string::npos ? std::nullopt : number_of(std::string_view(line).substr(tab + 1));
    check(value.has_value(), origin, ": line ", row, " is not a label, a tab and a number (nor is the file a JSON object)");
    named.emplace_back(line.substr(0, tab), *value);
  }
  return named;
}

std::vector<double> weights_of_labels(const NamedWeights& named, const std::vector<std::string>& labels,
                                      const WeightSource& source) {
  const auto require = [&](bool ok, const auto&... parts) {
    if (!ok) fail(source.failure, source.name, ": ", parts...);
  };
  std::vector<std::optional<double>> found(labels.size());
  for (const auto& [label, value] : named) {
    const auto known = std::find(labels.begin(), labels.end(), label);
    require(known != labels.end(), "'", label, "' is none of the labels: ", listed(labels, kMostNamed));
    require(value >= 0 && value <= kMostWeight, "the weight of '", label, "' must lie from 0 to ", kMostWeight, ", got ", value);
    auto& own = found[static_cast<size_t>(known - labels.begin())];
    require(!own, "'", label, "' has two weights");
    own = value;
  }
  std::vector<std::string> missing;
  std::vector<double> weights;
  for (size_t c = 0; c < labels.size(); ++c) {
    if (!found[c]) missing.push_back(labels[c]);
    weights.push_back(found[c].value_or(0));
  }
  require(missing.empty(), "no weight for ", listed(missing, kMostNamed),
          "; every label needs one: ", listed(labels, kMostNamed));
  require(std::any_of(weights.begin(), weights.end(), [](double weight) { return static_cast<float>(weight) > 0; }),
          "all weights are 0: nothing would be learned");
  return weights;
}

LabelWeights read_label_weights(const TrainOptions& options, const data::DatasetInfo& info, comm::Communicator& comm) {
  comm::agree(comm, [&] { check_task(options, info); });
  const bool multi = !options.model_options.pos_weight.empty();
  const std::vector<std::string>& items = multi ? options.model_options.pos_weight : options.model_options.class_weights;
  const std::string flag = multi ? "--pos-weight" : "--class-weights", file = share_file(items, flag, comm);
  LabelWeights weights;
  comm::agree(comm, [&] {
    if (items.empty()) return;
    check(!info.label_names.empty(), options.data.string(), ": names no labels to give weights to");
    const std::optional<double> of_all = multi && items.size() == 1 ? number_of(items[0]) : std::nullopt;
    weights.balanced = items.size() == 1 && items[0] == "balanced";
    if (weights.balanced) return;
    NamedWeights named;
    if (of_all)
      for (const std::string& label : info.label_names) named.emplace_back(label, *of_all);
    else
      named = names_file(items) ? parse_weight_file(file, items[0]) : parse_items(items, flag);
    weights.values = weights_of_labels(
        named, info.label_names,
        {.name = names_file(items) ? items[0] : flag, .failure = names_file(items) ? ExitCode::kBadInput : ExitCode::kUsage});
  });
  return weights;
}

std::vector<double> balanced_class_weights(std::span<const int64_t> targets) {
  const auto all = static_cast<double>(std::accumulate(targets.begin(), targets.end(), int64_t{0}));
  const auto classes = static_cast<double>(std::count_if(targets.begin(), targets.end(), [](int64_t n) { return n > 0; }));
  std::vector<double> weights;
  for (const int64_t n : targets) weights.push_back(n > 0 ? all / (classes * static_cast<double>(n)) : 1);
  return weights;
}

std::vector<double> balanced_pos_weights(std::span<const int64_t> positives, int64_t samples) {
  std::vector<double> weights;
  for (const int64_t n : positives)
    weights.push_back(n > 0 && n < samples ? static_cast<double>(samples - n) / static_cast<double>(n) : 1);
  return weights;
}

std::vector<double> count_label_weights(const LabelWeights& asked, const data::DatasetInfo& info, const data::Split& split,
                                        int64_t samples, comm::Communicator& comm) {
  if (!asked.any()) return {};
  const std::vector<std::string>& labels = info.label_names;
  const bool multi = data::task_info(info.task).labels == LabelShape::kMultiHot;
  const std::string what = multi ? "weights of positives (--pos-weight)" : "class weights (--class-weights)";
  if (!asked.balanced) {
    if (comm.rank() == 0) log_weights(what, asked.values, labels);
    return asked.values;
  }
  LabelCounts counts{.of_label = std::vector<int64_t>(labels.size(), 0)};
  comm::agree_on_root(comm, [&] { counts = count_labels(split, samples, labels.size()); });
  comm.all_reduce_sum(std::span(counts.of_label));  // the others have zeros
  comm.all_reduce_sum(std::span(&counts.samples, 1));
  const std::vector<double> weights =
      multi ? balanced_pos_weights(counts.of_label, counts.samples) : balanced_class_weights(counts.of_label);
  if (comm.rank() == 0) {
    log_weights(concat(what, ", balanced over ", counted(samples, "sample")), weights, labels);
    std::vector<std::string> unbalanced;
    for (size_t c = 0; c < labels.size(); ++c)
      if (counts.of_label[c] == 0 || (multi && counts.of_label[c] == counts.samples)) unbalanced.push_back(labels[c]);
    if (!unbalanced.empty())
      BOOST_LOG_TRIVIAL(warning) << (multi ? "all or none of the training samples have " : "no training sample has ")
                                 << listed(unbalanced, kMostNamed) << ": the weight there is 1";
  }
  return weights;
}

data::BalancedDraws balanced_draws(const data::Split& split, int64_t samples, uint64_t seed) {
  std::vector<int32_t> classes;
  for_each_batch_of_labels(
      split, samples, [&](const data::Batch& batch) { classes.insert(classes.end(), batch.labels.begin(), batch.labels.end()); });
  return {classes, seed};
}

nlohmann::ordered_json weights_by_name(std::span<const double> weights, const std::vector<std::string>& labels) {
  nlohmann::ordered_json named = nlohmann::ordered_json::object();
  for (size_t c = 0; c < weights.size(); ++c) named[labels[c]] = weights[c];
  return named;
}

}  // namespace berth::train
