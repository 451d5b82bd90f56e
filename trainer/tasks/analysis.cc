#include "trainer/tasks/analysis.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>

#include "data/json/json.h"
#include "data/utf8.h"

namespace berth::train {
namespace {

using Json = nlohmann::ordered_json;

constexpr size_t kBins = 10;

// What is no number is in the first.
size_t bin_of(double score) { return score > 0 ? static_cast<size_t>(std::min(score * kBins, double{kBins - 1})) : 0; }

}  // namespace

Json class_row(const std::string& name, const PrecisionRecallF1& values, int64_t support, int64_t predicted) {
  return {{"name", name},       {"precision", values.precision}, {"recall", values.recall}, {"f1", values.f1},
          {"support", support}, {"predicted", predicted}};
}

void add_classes(Json& analysis, const ConfusionMatrix& matrix, const std::vector<std::string>& names) {
  const int classes = matrix.num_classes();
  std::vector<int64_t> actual(names.size()), predicted(names.size());
  Json cells = Json::array();
  for (int label = 0; label < classes; ++label) {
    for (int said = 0; said < classes; ++said) {
      const int64_t count = matrix.count(label, said);
      if (count == 0) continue;
      actual[static_cast<size_t>(label)] += count;
      predicted[static_cast<size_t>(said)] += count;
      cells.push_back({label, said, count});
    }
  }
  Json& rows = analysis["classes"] = Json::array();
  for (size_t c = 0; c < names.size(); ++c)
    rows.push_back(class_row(names[c], matrix.of_class(static_cast<int>(c)), actual[c], predicted[c]));
  analysis["confusion"] = {{"names", names}, {"cells", std::move(cells)}};
}

Json confusion_of(const std::map<std::pair<std::string, std::string>, int64_t>& counts) {
  std::map<std::string, size_t> index;
  for (const auto& [pair, count] : counts) index[pair.first], index[pair.second];
  Json names = Json::array(), cells = Json::array();
  for (auto& [name, at] : index) at = names.size(), names.push_back(name);
  for (const auto& [pair, count] : counts) cells.push_back({index[pair.first], index[pair.second], count});
  return {{"names", std::move(names)}, {"cells", std::move(cells)}};
}

void add_calibration(Json& analysis, std::span<const Judged> judged, const char* right, const char* wrong) {
  struct Bin {
    int64_t count = 0, right = 0;
    double score = 0;
  };
  std::array<Bin, kBins> bins;
  for (const Judged& one : judged) {
    Bin& bin = bins[bin_of(one.score)];
    ++bin.count;
    bin.right += one.right;
    bin.score += one.score;
  }
  double error = 0;
  Json rows = Json::array(), rights = Json::array(), wrongs = Json::array();
  for (size_t b = 0; b < kBins; ++b) {
    const Bin& bin = bins[b];
    rights.push_back(bin.right);
    wrongs.push_back(bin.count - bin.right);
    if (bin.count == 0) continue;
    const auto count = static_cast<double>(bin.count), accuracy = static_cast<double>(bin.right) / count,
               score = bin.score / count;
    error += count / static_cast<double>(judged.size()) * std::abs(accuracy - score);
    rows.push_back({{"from", static_cast<double>(b) / kBins},
                    {"to", static_cast<double>(b + 1) / kBins},
                    {"count", bin.count},
                    {"confidence", score},
                    {"accuracy", accuracy}});
  }
  analysis["calibration"] = {{"error", error}, {"bins", std::move(rows)}};
  analysis["scores"] = {{"names", {right, wrong}}, {"counts", {std::move(rights), std::move(wrongs)}}};
}

void add_mistakes(Json& analysis, std::span<const double> sizes, const std::function<Json(size_t)>& describe,
                  const AnalysisOptions& options) {
  std::vector<size_t> order(sizes.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::erase_if(order, [&](size_t i) { return !(sizes[i] > 0); });
  const auto most = order.begin() + static_cast<std::ptrdiff_t>(std::min(kMostMistakes, order.size()));
  std::partial_sort(order.begin(), most, order.end(),
                    [&](size_t a, size_t b) { return sizes[a] != sizes[b] ? sizes[a] > sizes[b] : a < b; });
  Json& mistakes = analysis["mistakes"] = Json::array();
  for (auto i = order.begin(); i != most; ++i) mistakes.push_back(describe(*i));
  if (options.predictions == nullptr) return;
  for (size_t i = 0; i < sizes.size(); ++i) *options.predictions += data::dump_json(describe(i)) + "\n";
}

data::Batch SampleTexts::read(int64_t sample) const {
  data::Batch batch;
  split_.read({&sample, 1}, batch);
  return batch;
}

int64_t SampleTexts::row(int64_t sample) const { return split_.rows({&sample, 1}).at(0); }

std::string SampleTexts::decode(const data::Batch& batch, int32_t begin, int32_t end) const {
  const std::span<const int32_t> ids(batch.input_ids);
  return tokenizer_.decode(ids.subspan(static_cast<size_t>(begin), static_cast<size_t>(end - begin)), /*skip_special=*/true);
}

Json SampleTexts::describe(int64_t sample) const {
  const data::Batch batch = read(sample);
  const int32_t end = batch.cu_seqlens[1];
  const auto types = batch.token_type_ids.begin();
  const auto pair = static_cast<int32_t>(std::find(types, types + end, 1) - types);
  Json texts{{"row", row(sample)}, {"text", clipped(decode(batch, 0, pair))}};
  if (pair < end) texts["text_pair"] = clipped(decode(batch, pair, end));
  return texts;
}

std::string clipped(std::string_view text) {
  if (data::count_code_points(text) <= kMostCharacters) return std::string(text);
  return std::string(data::slice_code_points(text, 0, kMostCharacters)) + "…";
}

}  // namespace berth::train
