#include <algorithm>
#include <cstdio>
#include <numeric>

#include "data/check.h"
#include "data/prepare/prepare.h"
#include "data/words.h"

namespace berth::data {
namespace {

template <class... Values>
std::string format(const char* pattern, Values... values) {
  std::string text(static_cast<size_t>(std::snprintf(nullptr, 0, pattern, values...)) + 1, '\0');
  std::snprintf(text.data(), text.size(), pattern, values...);
  text.pop_back();
  return text;
}

double percent(int64_t part, int64_t whole) {
  return whole > 0 ? 100. * static_cast<double>(part) / static_cast<double>(whole) : 0.;
}

// The length that `fraction` of the samples do not exceed.
size_t quantile(const std::vector<int64_t>& lengths, double fraction) {
  const auto samples = std::accumulate(lengths.begin(), lengths.end(), int64_t{0});
  int64_t seen = 0;
  for (size_t length = 0; length < lengths.size(); ++length) {
    seen += lengths[length];
    if (static_cast<double>(seen) >= fraction * static_cast<double>(samples)) return length;
  }
  return lengths.size() - 1;
}

// Eight bars from 1 to the maximum length.
std::string histogram(const std::vector<int64_t>& lengths) {
  constexpr size_t kBars = 8;
  constexpr int kWidth = 40;
  const size_t width = (lengths.size() - 1 + kBars - 1) / kBars;
  std::vector<int64_t> bars;
  for (size_t begin = 1; begin < lengths.size(); begin += width) {
    const size_t end = std::min(begin + width, lengths.size());
    bars.push_back(std::accumulate(lengths.begin() + static_cast<ptrdiff_t>(begin), lengths.begin() + static_cast<ptrdiff_t>(end),
                                   int64_t{0}));
  }
  const int64_t tallest = std::max<int64_t>(1, *std::max_element(bars.begin(), bars.end()));
  std::string text;
  for (size_t i = 0; i < bars.size(); ++i) {
    const int length = static_cast<int>((bars[i] * kWidth + tallest - 1) / tallest);
    text += format("    %4zu-%-4zu %9lld %s\n", 1 + i * width, std::min((i + 1) * width, lengths.size() - 1),
                   static_cast<long long>(bars[i]), std::string(static_cast<size_t>(length), '#').c_str());
  }
  return text;
}

// What to do about samples that are cut; nothing if few are.
std::string advice(const SplitReport& split, bool can_make_windows) {
  constexpr double kMany = .1, kFew = .05;  // of the samples
  constexpr int64_t kPositions = 512;       // of BERT
  const auto samples = static_cast<double>(split.samples);
  if (split.cut_lengths.empty() || static_cast<double>(split.truncated()) < kMany * samples) return "";
  int64_t longer = 0, length = 0;
  for (auto it = split.cut_lengths.rbegin(); it != split.cut_lengths.rend(); ++it) {
    length = it->first;
    if (length <= kPositions && static_cast<double>(longer + it->second) > kFew * samples) break;
    longer += it->second;
  }
  length = std::min(length, kPositions);
  std::vector<std::string> ways;
  if (length >= std::ssize(split.lengths))
    ways.push_back(format("--max-length %lld would cut %.1f%%, if the model has so many positions",
                          static_cast<long long>(length), percent(longer, split.samples)));
  if (can_make_windows)
    ways.push_back(concat("--doc-stride ", std::max<size_t>(1, split.lengths.size() / 4), " makes windows of long texts"));
  return ways.empty() ? "" : concat("  advice   ", joined(ways, "; or "), "\n");
}

constexpr size_t kListed = 20;  // labels

std::string labels_of(const SplitReport& split, const std::vector<std::string>& names) {
  const auto with_count = [&](const std::string& name) {
    const auto count = split.label_counts.find(name);
    return concat(name, " ", count == split.label_counts.end() ? 0 : count->second);
  };
  return listed(names, kListed, with_count) + (names.size() > kListed ? concat(" (", names.size(), " labels)") : "");
}

std::string copies_of(const SplitReport& split) {
  std::vector<std::string> parts;
  for (const auto& [kind, count] : split.augmented) parts.push_back(concat(kind, " ", count));
  if (split.not_augmented > 0) parts.push_back(concat(split.not_augmented, " not made: nothing could be changed"));
  return joined(parts);
}

}  // namespace

int64_t SplitReport::truncated() const {
  return std::accumulate(cut_lengths.begin(), cut_lengths.end(), int64_t{0},
                         [](int64_t sum, const auto& one) { return sum + one.second; });
}

std::string describe(const PrepareReport& report) {
  std::string text;
  if (report.cased_vocabulary)
    text +=
        "warning: the texts are lower-cased, but the vocabulary has upper-case tokens: if its model is a cased one, say "
        "--do-lower-case false\n";
  int64_t tokens = 0;
  for (const SplitReport& split : report.splits) {
    tokens += split.tokens;
    text += concat(split.name, ": ", counted(split.rows, "row"));
    if (split.samples != split.rows) text += ", " + counted(split.samples, "sample");
    if (split.sequences != split.samples) text += ", " + counted(split.sequences, "sequence");
    text += concat(", ", counted(split.tokens, "token"), ", from ", split.file, "\n  columns  ", split.columns, "\n");
    if (!report.label_names.empty()) text += "  labels   " + labels_of(split, report.label_names) + "\n";
    if (!split.augmented.empty() || split.not_augmented > 0) text += "  copies   " + copies_of(split) + "\n";
    if (!split.folds.empty())
      text += concat("  folds    ", split.folds.size(), ", of ", listed(split.folds, kListed), " samples\n");
    if (!split.folds.empty() && !report.rare_labels.empty())
      text +=
          concat("  warning  fewer rows than folds, so that some folds have none: ", listed(report.rare_labels, kListed), "\n");
    if (!split.summary.empty()) text += "  " + split.summary + "\n";
    const std::string scheme = split.tag_schemes.describe();
    if (!scheme.empty()) text += concat("  tags     ", scheme, "\n");
    if (split.unlabelled > 0) text += concat("  warning  ", counted(split.unlabelled, "row"), " without a label\n");
    if (split.unanswerable > 0) text += concat("  answers  ", split.unanswerable, " questions have none\n");
    if (split.misaligned > 0)
      text += concat("  warning  ", split.misaligned,
                     " answers do not stand where their answer_start says; it and the length of the answer are trusted\n");
    if (split.unreached > 0)
      text += concat("  warning  ", split.unreached,
                     " answers are empty or fit into no window of the context: their questions are trained as without answer\n");
    if (split.windowed > 0)
      text += concat("  windows  ", split.sequences, " of ", counted(split.samples, "text"), "; ", split.windowed,
                     " longer than ", split.lengths.size() - 1, " tokens, up to ", split.most_windows, " windows of one\n");
    if (split.empty > 0) text += concat("  warning  ", counted(split.empty, "row"), " with an empty text\n");
    text += format("  tokens   median %zu, 95%% up to %zu; %s (%.1f%%) cut to %zu", quantile(split.lengths, .5),
                   quantile(split.lengths, .95), counted(split.truncated(), "sample").c_str(),
                   percent(split.truncated(), split.samples), split.lengths.size() - 1);
    if (!split.cut_lengths.empty()) text += concat(", the longest from ", split.cut_lengths.rbegin()->first);
    text += concat("\n", &split == report.splits.data() ? advice(split, report.can_make_windows) : "");
    text += histogram(split.lengths);
  }
  text += format("%.1f MB written in %.1f s (%.2f million tokens/s)\n", static_cast<double>(report.file_bytes) / 1e6,
                 report.seconds, static_cast<double>(tokens) / 1e6 / std::max(1e-9, report.seconds));
  return text;
}

}  // namespace berth::data
