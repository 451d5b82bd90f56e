#include "trainer/tasks/question.h"

#include <algorithm>
#include <array>
#include <boost/log/trivial.hpp>
#include <cmath>
#include <set>
#include <sstream>

#include "data/check.h"
#include "data/utf8.h"
#include "trainer/metrics/answers.h"
#include "trainer/tasks/analysis.h"
#include "trainer/tasks/payload.h"
#include "trainer/tasks/rows.h"

namespace berth::train {
namespace {

using Json = nlohmann::ordered_json;

// Of a window, in a record's payload, before its candidates.
struct WindowHead {
  double loss;
  float null_start, null_end;
};

// Columns of [T, 2] logits for tokens [begin, end).
struct WindowLogits {
  std::vector<float> start, end;
  WindowLogits(const at::Tensor& logits, int64_t begin, int64_t end_token) {
    const float* rows = logits.const_data_ptr<float>();
    for (int64_t t = begin; t < end_token; ++t) {
      start.push_back(rows[2 * t]);
      end.push_back(rows[2 * t + 1]);
    }
  }
};

double cross_entropy(const std::vector<float>& logits, int32_t label) {
  const double largest = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (float logit : logits) sum += std::exp(logit - largest);
  return largest + std::log(sum) - logits[static_cast<size_t>(label)];
}

WindowSpans spans_of(const WindowLogits& logits, size_t segment_b, const SpanOptions& options) {
  return best_spans(logits.start, logits.end, segment_b, logits.start.size() - 1, options);
}

void to_code_points(WindowSpans& window, const std::vector<std::array<int32_t, 2>>& offsets) {
  for (SpanCandidate& candidate : window.best) {
    candidate.begin = offsets[static_cast<size_t>(candidate.begin)][0];
    candidate.end = offsets[static_cast<size_t>(candidate.end)][1];
    check(candidate.begin < candidate.end, "an answer would begin at code point ", candidate.begin, " and end at ",
          candidate.end);
  }
}

Json n_best_json(const ChosenAnswer& chosen) {
  Json list = Json::array();
  for (const RankedAnswer& answer : chosen.n_best)
    list.push_back({{"start_logit", answer.start_logit},
                    {"end_logit", answer.end_logit},
                    {"text", answer.text},
                    {"probability", answer.probability}});
  return list;
}

// A JSON object with many keys, each added once.
class Lines {
 public:
  void add(const std::string& key, Json value) { object_.get_ref<Json::object_t&>().emplace_back(key, std::move(value)); }
  Json take() { return std::move(object_); }

 private:
  Json object_ = Json::object();
};

// What is said of a split, question by question.
class Judge {
 public:
  explicit Judge(const SpanOptions& options) : options_(options) {}

  void add(const data::Question& question, const ChosenAnswer& chosen) {
    const std::string text = chosen.answer().text;
    const bool negative = options_.version_2_with_negative;
    const AnswerScore score = score_answer(text, question.answers, negative ? SquadVersion::kTwo : SquadVersion::kOne);
    const JudgedAnswer judged{!question.answers.empty(), !text.empty(), 0, chosen.null_odds};
    exact_.push_back(judged);
    exact_.back().score = score.exact_match;
    f1_.push_back(judged);
    f1_.back().score = score.f1;
    predictions_.add(question.id, text);
    n_best_.add(question.id, n_best_json(chosen));
    if (negative) null_odds_.add(question.id, chosen.null_odds);
  }

  Evaluation finish(double loss) {
    Evaluation result{{{"loss", loss, MetricKind::kLoss},
                       {"exact_match", mean(exact_, {}), MetricKind::kScore},
                       {"f1", mean(f1_, {}), MetricKind::kScore}}};
    result.files["predictions.json"] = predictions_.take();
    result.files["nbest_predictions.json"] = n_best_.take();
    if (options_.version_2_with_negative) {
      add_version_2(result.metrics);
      result.files["null_odds.json"] = null_odds_.take();
    } else if (const int64_t none = count(false); none > 0) {
      BOOST_LOG_TRIVIAL(warning) << none
                                 << " questions have no answer, which every prediction gets wrong: add "
                                    "--version-2-with-negative";
    }
    return result;
  }

 private:
  int64_t count(bool has_answer) const {
    return std::count_if(f1_.begin(), f1_.end(), [&](const JudgedAnswer& a) { return a.has_answer == has_answer; });
  }

  // In percent; of all, or of those with or without an answer.
  static double mean(const std::vector<JudgedAnswer>& judged, std::optional<bool> has_answer) {
    double sum = 0;
    int64_t total = 0;
    for (const JudgedAnswer& one : judged) {
      if (has_answer && *has_answer != one.has_answer) continue;
      sum += one.score;
      ++total;
    }
    return 100 * sum / static_cast<double>(total);
  }

  void add_version_2(Metrics& metrics) const {
    metrics.push_back({"exact", mean(exact_, {}), MetricKind::kScore});
    metrics.push_back({"total", static_cast<double>(f1_.size()), MetricKind::kCount});
    for (const bool has_answer : {true, false}) {
      if (count(has_answer) == 0) continue;
      const std::string prefix = has_answer ? "HasAns_" : "NoAns_";
      metrics.push_back({prefix + "exact", mean(exact_, has_answer), MetricKind::kScore});
      metrics.push_back({prefix + "f1", mean(f1_, has_answer), MetricKind::kScore});
      metrics.push_back({prefix + "total", static_cast<double>(count(has_answer)), MetricKind::kCount});
    }
    const BestThreshold exact = best_threshold(exact_), f1 = best_threshold(f1_);
    metrics.push_back({"best_exact", exact.score, MetricKind::kScore});
    metrics.push_back({"best_exact_thresh", exact.threshold, MetricKind::kOther});
    metrics.push_back({"best_f1", f1.score, MetricKind::kScore});
    metrics.push_back({"best_f1_thresh", f1.threshold, MetricKind::kOther});
  }

  const SpanOptions& options_;
  std::vector<JudgedAnswer> exact_, f1_;
  Lines predictions_, n_best_, null_odds_;
};

// Exact match and F1, in percent, by the words of a question's first answer.
class AnswerLengths {
 public:
  void add(const data::Question& question, const AnswerScore& score) {
    size_t words = 0;
    std::istringstream text(question.answers.empty() ? "" : question.answers.front());
    for (std::string word; text >> word;) ++words;
    Bin& bin = bins_[words == 0 ? 0 : words <= 2 ? words : words <= 4 ? 3 : words <= 8 ? 4 : 5];
    ++bin.count;
    bin.exact += score.exact_match;
    bin.f1 += score.f1;
  }

  Json rows() const {
    static constexpr const char* kNames[] = {"no answer", "1", "2", "3 to 4", "5 to 8", "9 and more"};
    Json rows = Json::array();
    for (size_t b = 0; b < bins_.size(); ++b) {
      if (bins_[b].count == 0) continue;
      const double percent = 100 / static_cast<double>(bins_[b].count);
      rows.push_back({{"words", kNames[b]},
                      {"count", bins_[b].count},
                      {"exact_match", percent * bins_[b].exact},
                      {"f1", percent * bins_[b].f1}});
    }
    return rows;
  }

 private:
  struct Bin {
    int64_t count = 0;
    double exact = 0, f1 = 0;
  };
  std::array<Bin, 6> bins_;
};

// The part of a context around the answer's first place in it.
std::string surroundings(std::string_view context, const std::string& answer) {
  constexpr int64_t kBefore = kMostCharacters / 2;
  const size_t found = context.find(answer);
  const int64_t at = found == std::string_view::npos ? 0 : data::count_code_points(context.substr(0, found));
  const int64_t begin = std::max<int64_t>(0, at - kBefore);
  const std::string_view part = data::slice_code_points(context, begin, data::count_code_points(context));
  return (begin > 0 ? "…" : "") + clipped(part);
}

class QuestionAnswering final : public Task {
 public:
  void configure(BertConfig& config, const std::vector<std::string>&) const override {
    config.label_names = {"LABEL_0", "LABEL_1"};  // not labels: the outputs for start and end
    config.problem_type.clear();
  }

  void record(const std::vector<at::Tensor>& logits, const data::Batch& batch, const PredictionOptions& options,
              std::vector<EvalRecord>& out) const override {
    for (int64_t b = 0; b < batch.size(); ++b) {
      const auto i = static_cast<size_t>(b);
      const int64_t sample = batch.sample_ids[i];
      const int32_t first = batch.labels[2 * i], last = batch.labels[2 * i + 1];
      check(first != data::kIgnoreIndex && last != data::kIgnoreIndex, "sample ", sample,
            " has no answers: this split can be predicted, not evaluated");
      const int32_t begin = batch.cu_seqlens[i], end = batch.cu_seqlens[i + 1];
      const auto types = batch.token_type_ids.begin();
      const auto segment_b = static_cast<size_t>(std::find(types + begin, types + end - 1, 1) - (types + begin));
      const WindowLogits window(logits[0], begin, end);
      const WindowSpans spans =
          in_context([&] { return concat("sample ", sample); }, [&] { return spans_of(window, segment_b, options.spans); });
      const double loss = (cross_entropy(window.start, first) + cross_entropy(window.end, last)) / 2;
      std::string payload = pack(WindowHead{loss, spans.null_start, spans.null_end});
      for (const SpanCandidate& candidate : spans.best) payload += pack(candidate);
      out.push_back({sample, std::move(payload)});
    }
  }

  Evaluation evaluate(const std::vector<EvalRecord>& records, const EvalContext& context) const override {
    Judge judge(context.options.spans);
    double loss = 0;
    for (const EvalRecord& record : records) loss += unpack<WindowHead>(record.payload.substr(0, sizeof(WindowHead))).loss;
    for_each_question(records, context,
                      [&](int64_t, const data::Question& question, const ChosenAnswer& chosen) { judge.add(question, chosen); });
    return judge.finish(loss / static_cast<double>(records.size()));
  }

  Json analyse(const std::vector<EvalRecord>& records, const EvalContext& context,
               const AnalysisOptions& options) const override {
    struct Asked {
      int64_t sample;
      std::string answer;
    };
    AnswerLengths lengths;
    std::vector<Asked> asked;
    std::vector<Judged> judged;
    std::vector<double> surest;
    const SquadVersion version = context.options.spans.version_2_with_negative ? SquadVersion::kTwo : SquadVersion::kOne;
    for_each_question(records, context, [&](int64_t sample, const data::Question& question, const ChosenAnswer& chosen) {
      const RankedAnswer& answer = chosen.answer();
      const AnswerScore score = score_answer(answer.text, question.answers, version);
      lengths.add(question, score);
      asked.push_back({sample, answer.text});
      judged.push_back({answer.probability, score.exact_match == 1});
      surest.push_back(score.f1 > 0 ? 0 : answer.probability);
    });
    Json analysis;
    analysis["lengths"] = lengths.rows();
    add_calibration(analysis, judged);
    const SampleTexts texts(context.split, options.tokenizer);
    add_mistakes(
        analysis, surest,
        [&](size_t i) {
          const data::Question question = context.split.question(context.split.question_of(asked[i].sample));
          Json mistake = texts.describe(asked[i].sample);
          const std::string first = question.answers.empty() ? asked[i].answer : question.answers.front();
          mistake["text_pair"] = surroundings(question.context, first);
          const std::set<std::string> answers(question.answers.begin(), question.answers.end());
          mistake["actual"] = answers;
          mistake["predicted"] = asked[i].answer.empty() ? Json::array() : Json{clipped(asked[i].answer)};
          mistake["score"] = judged[i].score;
          return mistake;
        },
        options);
    return analysis;
  }

  // The logits: only they can be compared between a context's windows. So an ensemble averages them.
  std::vector<at::Tensor> probabilities(const std::vector<at::Tensor>& logits, const data::Batch&) const override {
    return {logits[0].to(at::kDouble)};
  }

  std::string describe(const data::Record& record, const Json& prediction) const override {
    const auto answer = prediction["answer"].get<std::string>();
    return concat("Question: ", record.text, " => Answer: ", answer.empty() ? "(none)" : answer, " (",
                  four_digits(prediction["score"]), ")");
  }

  std::vector<Json> predictions(const NewTexts& texts, const std::vector<at::Tensor>&, const std::vector<at::Tensor>& logits,
                                const BertConfig&, const PredictionOptions& options) const override {
    std::vector<Json> results;
    for (size_t sample = 0, r = 0; r < texts.records.size(); ++r) {
      std::vector<WindowSpans> windows;
      Json raw = Json::array();
      for (; sample < texts.samples.size() && texts.record_of[sample] == r; ++sample) {
        const data::Sample& window = texts.samples[sample];
        const WindowLogits outputs(logits[0], texts.batch.cu_seqlens[sample], texts.batch.cu_seqlens[sample + 1]);
        windows.push_back(spans_of(outputs, static_cast<size_t>(window.segment_b), options.spans));
        to_code_points(windows.back(), window.offsets);
        raw.push_back({{"start", outputs.start}, {"end", outputs.end}});
      }
      const data::Record& record = texts.records[r];
      results.push_back(prediction(record, choose_answer(windows, record.text_pair, options.spans), options));
      if (options.with_logits) results.back()["logits"] = std::move(raw);
    }
    return results;
  }

 private:
  // What all windows of each question say together: calls `look` with the question's first sample.
  template <class Look>
  static void for_each_question(const std::vector<EvalRecord>& records, const EvalContext& context, const Look& look) {
    for (size_t i = 0; i < records.size();) {
      const int64_t first = records[i].sample, index = context.split.question_of(first);
      std::vector<WindowSpans> windows;
      for (; i < records.size() && context.split.question_of(records[i].sample) == index; ++i) {
        windows.push_back(window_of(records[i].payload));
        to_code_points(windows.back(), context.split.token_offsets(records[i].sample));
      }
      const data::Question question = context.split.question(index);
      look(first, question, choose_answer(windows, question.context, context.options.spans));
    }
  }

  static WindowSpans window_of(const std::string& payload) {
    const auto head = unpack<WindowHead>(payload.substr(0, sizeof(WindowHead)));
    WindowSpans window{.null_start = head.null_start, .null_end = head.null_end, .best = {}};
    for (size_t at = sizeof(WindowHead); at < payload.size(); at += sizeof(SpanCandidate))
      window.best.push_back(unpack<SpanCandidate>(payload.substr(at, sizeof(SpanCandidate))));
    return window;
  }

  static Json prediction(const data::Record& record, const ChosenAnswer& chosen, const PredictionOptions& options) {
    const RankedAnswer& answer = chosen.answer();
    const bool found = answer.end > 0;  // else no answer, or no context to look in
    Json result;
    if (!record.id.empty()) result["id"] = record.id;
    result["answer"] = found ? answer.text : "";
    result["start"] = answer.begin;
    result["end"] = answer.end;
    result["score"] = answer.probability;
    if (options.spans.version_2_with_negative) result["null_odds"] = chosen.null_odds;
    if (options.with_n_best) result["n_best"] = n_best_json(chosen);
    return result;
  }
};

}  // namespace

const Task& question_answering() {
  static const QuestionAnswering task;
  return task;
}

}  // namespace berth::train
