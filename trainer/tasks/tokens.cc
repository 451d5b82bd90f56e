#include "trainer/tasks/tokens.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "data/check.h"
#include "data/features/offsets.h"
#include "data/features/tokens.h"
#include "data/words.h"
#include "trainer/metrics/entities.h"
#include "trainer/tasks/analysis.h"
#include "trainer/tasks/payload.h"
#include "trainer/tasks/rows.h"

namespace berth::train {
namespace {

using Json = nlohmann::ordered_json;

// What one sentence's evaluation leaves: its loss, then of each target the label, the prediction and its probability.
struct Outcome {
  struct Tag {
    int32_t label, said;
    float score;
  };
  double loss = 0;
  std::vector<Tag> tags;
};

std::string pack_outcome(const Outcome& outcome) {
  std::string payload = pack(outcome.loss);
  payload.append(reinterpret_cast<const char*>(outcome.tags.data()), outcome.tags.size() * sizeof(outcome.tags[0]));
  return payload;
}

Outcome unpack_outcome(const std::string& payload) {
  Outcome outcome{unpack<double>(payload.substr(0, sizeof(double))), {}};
  outcome.tags.resize((payload.size() - sizeof(double)) / sizeof(outcome.tags[0]));
  std::memcpy(outcome.tags.data(), payload.data() + sizeof(double), payload.size() - sizeof(double));
  return outcome;
}

// Where a word of a record was predicted: of the windows it is in, the one where it is farthest from a cut.
struct WordAt {
  int64_t token = -1;          // of its first WordPiece, in the batch; -1: it has none
  int64_t context = -1;        // tokens up to the nearer end of the window
  int32_t begin = 0, end = 0;  // code points of the sentence
};

class WordFinder {
 public:
  explicit WordFinder(const data::Record& record) : words_(record.words.size()), given_(!record.words.empty()) {
    for (size_t w = 0; w < words_.size(); ++w) {
      words_[w].begin = w == 0 ? 0 : words_[w - 1].end + 1;
      words_[w].end = words_[w].begin + data::CodePointOffsets(record.words[w]).size();
    }
  }

  // A sample of the record, whose tokens start at `first` in the batch. Samples come in the order of the text.
  void add(const data::Sample& sample, int64_t first) {
    const auto length = std::ssize(sample.words);
    for (int64_t i = 1; i + 1 < length; ++i) {
      const auto at = static_cast<size_t>(i), w = static_cast<size_t>(sample.words[at]);
      if (w >= words_.size()) words_.push_back({.begin = sample.offsets[at][0]});
      WordAt& word = words_[w];
      if (!given_) word.end = std::max(word.end, sample.offsets[at][1]);
      // A window may start within a word; that word was met before.
      const bool starts = sample.words[at - 1] != sample.words[at] && (i > 1 || word.token < 0);
      const int64_t context = std::min(i, length - 1 - i);
      if (starts && context > word.context) word.token = first + i, word.context = context;
    }
  }

  const std::vector<WordAt>& words() const { return words_; }

 private:
  std::vector<WordAt> words_;
  bool given_;  // the record has words; else they are those of the tokenizer
};

// A text by code points.
class CodePoints {
 public:
  explicit CodePoints(std::string text) : text_(std::move(text)) {
    for (size_t i = 0; i < text_.size(); ++i)
      if ((static_cast<unsigned char>(text_[i]) & 0xC0) != 0x80) starts_.push_back(i);
    starts_.push_back(text_.size());
  }
  const std::string& text() const { return text_; }
  std::string slice(int32_t begin, int32_t end) const {
    const size_t from = starts_.at(static_cast<size_t>(begin));
    return text_.substr(from, starts_.at(static_cast<size_t>(end)) - from);
  }

 private:
  std::string text_;
  std::vector<size_t> starts_;  // byte of each code point, and the end
};

// A sentence's targets by name.
struct TaggedSentence {
  std::vector<std::string> actual, predicted;
  std::vector<double> scores;  // of `predicted`
  TaggedSentence(const Outcome& outcome, const std::vector<std::string>& names) {
    for (const auto& [label, said, score] : outcome.tags) {
      actual.push_back(names[static_cast<size_t>(label)]);
      predicted.push_back(names[static_cast<size_t>(said)]);
      scores.push_back(score);
    }
  }
};

// "B-PER" -> "PER".
std::string type_of(const std::string& tag) { return tag.size() > 2 && tag[1] == '-' ? tag.substr(2) : tag; }

// The text of each target: its token and those after it, up to the next target's.
std::vector<std::string> labelled_words(const SampleTexts& texts, const data::Batch& batch) {
  std::vector<std::string> words;
  const int32_t end = batch.cu_seqlens[1];
  for (int32_t begin = 0, next = 0; begin < end; begin = next) {
    for (next = begin + 1; next < end && batch.labels[static_cast<size_t>(next)] == data::kIgnoreIndex;) ++next;
    if (batch.labels[static_cast<size_t>(begin)] != data::kIgnoreIndex) words.push_back(texts.decode(batch, begin, next));
  }
  return words;
}

// ["New York [LOC]", …]
Json told(const std::vector<Entity>& entities, const std::vector<std::string>& words) {
  Json all = Json::array();
  for (const Entity& entity : entities) {
    const std::span inside =
        std::span(words).subspan(static_cast<size_t>(entity.begin), static_cast<size_t>(entity.end - entity.begin));
    all.push_back(concat(joined(inside, " "), " [", entity.type, "]"));
  }
  return all;
}

class TokenClassification final : public Task {
 public:
  void configure(BertConfig& config, const std::vector<std::string>& label_names) const override {
    config.label_names = label_names;
    config.problem_type.clear();
  }

  void record(const std::vector<at::Tensor>& logits, const data::Batch& batch, const PredictionOptions&,
              std::vector<EvalRecord>& out) const override {
    const at::Tensor log_probabilities = logits[0].to(at::kDouble).log_softmax(1), best = logits[0].argmax(1);
    const auto values = log_probabilities.accessor<double, 2>();
    const auto predicted = best.accessor<int64_t, 1>();
    for (size_t b = 0; b < batch.sample_ids.size(); ++b) {
      Outcome outcome;
      for (int32_t t = batch.cu_seqlens[b]; t < batch.cu_seqlens[b + 1]; ++t) {
        const int32_t label = batch.labels[static_cast<size_t>(t)];
        if (label == data::kIgnoreIndex) continue;
        outcome.loss -= values[t][label];
        outcome.tags.push_back(
            {label, static_cast<int32_t>(predicted[t]), static_cast<float>(std::exp(values[t][predicted[t]]))});
      }
      out.push_back({batch.sample_ids[b], pack_outcome(outcome)});
    }
  }

  Evaluation evaluate(const std::vector<EvalRecord>& records, const EvalContext& context) const override {
    const std::vector<std::string>& names = context.config.label_names;
    EntityCounts counts(context.options.tag_scheme);
    double loss = 0;
    int64_t targets = 0;
    for (const EvalRecord& record : records) {
      const Outcome outcome = unpack_outcome(record.payload);
      loss += outcome.loss;
      targets += std::ssize(outcome.tags);
      std::vector<std::string> actual, predicted;
      for (const auto& [label, said, score] : outcome.tags) {
        actual.push_back(names[static_cast<size_t>(label)]);
        predicted.push_back(names[static_cast<size_t>(said)]);
      }
      counts.add(actual, predicted);
    }
    check(targets > 0, "none of the ", records.size(), " sentences has tags: this split can be predicted, not evaluated");
    const PrecisionRecallF1 all = counts.overall();
    Metrics metrics{{"loss", loss / static_cast<double>(targets), MetricKind::kLoss},
                    {"precision", all.precision, MetricKind::kScore},
                    {"recall", all.recall, MetricKind::kScore},
                    {"f1", all.f1, MetricKind::kScore},
                    {"accuracy", counts.accuracy(), MetricKind::kScore}};
    if (!context.options.each_entity_type) return {metrics};
    for (const auto& [type, one] : counts.by_type())
      metrics.insert(metrics.end(), {{type + "_precision", one.precision, MetricKind::kScore},
                                     {type + "_recall", one.recall, MetricKind::kScore},
                                     {type + "_f1", one.f1, MetricKind::kScore},
                                     {type + "_number", static_cast<double>(counts.number(type)), MetricKind::kCount}});
    return {metrics};
  }

  Json analyse(const std::vector<EvalRecord>& records, const EvalContext& context,
               const AnalysisOptions& options) const override {
    const TagScheme scheme = context.options.tag_scheme;
    EntityCounts counts(scheme), mirrored(scheme);  // mirrored: how many were predicted
    std::map<std::pair<std::string, std::string>, int64_t> confusion;
    std::vector<Judged> judged;
    std::vector<double> surest;
    for (const EvalRecord& record : records) {
      const TaggedSentence sentence(unpack_outcome(record.payload), context.config.label_names);
      counts.add(sentence.actual, sentence.predicted);
      mirrored.add(sentence.predicted, sentence.actual);
      surest.push_back(0);
      for (size_t w = 0; w < sentence.scores.size(); ++w) {
        ++confusion[{type_of(sentence.actual[w]), type_of(sentence.predicted[w])}];
        judged.push_back({sentence.scores[w], sentence.actual[w] == sentence.predicted[w]});
        if (!judged.back().right) surest.back() = std::max(surest.back(), judged.back().score);
      }
    }
    Json analysis;
    Json& rows = analysis["classes"] = Json::array();
    for (const auto& [type, one] : counts.by_type())
      rows.push_back(class_row(type, one, counts.number(type), mirrored.number(type)));
    analysis["confusion"] = confusion_of(confusion);
    add_calibration(analysis, judged);
    const SampleTexts texts(context.split, options.tokenizer);
    add_mistakes(
        analysis, surest,
        [&](size_t i) {
          const TaggedSentence sentence(unpack_outcome(records[i].payload), context.config.label_names);
          const std::vector<std::string> words = labelled_words(texts, texts.read(records[i].sample));
          Json mistake{{"row", texts.row(records[i].sample)},
                       {"text", clipped(joined(words, " "))},
                       {"actual", told(find_entities(sentence.actual, scheme), words)},
                       {"predicted", told(find_entities(sentence.predicted, scheme), words)}};
          if (surest[i] > 0) mistake["score"] = surest[i];
          return mistake;
        },
        options);
    return analysis;
  }

  std::vector<at::Tensor> probabilities(const std::vector<at::Tensor>& logits, const data::Batch&) const override {
    return {logits[0].to(at::kDouble).softmax(1)};
  }

  std::vector<Json> predictions(const NewTexts& texts, const std::vector<at::Tensor>& probabilities,
                                const std::vector<at::Tensor>& logits, const BertConfig& config,
                                const PredictionOptions& options) const override {
    std::vector<WordFinder> finders;
    for (const data::Record& record : texts.records) finders.emplace_back(record);
    for (size_t s = 0; s < texts.samples.size(); ++s)
      finders[texts.record_of[s]].add(texts.samples[s], texts.batch.cu_seqlens[s]);
    std::vector<Json> results;
    for (size_t r = 0; r < finders.size(); ++r)
      results.push_back(predict_one(texts.records[r], finders[r].words(), probabilities[0], logits[0], config, options));
    return results;
  }

  std::string describe(const data::Record& record, const Json& prediction) const override {
    const auto with_type = [](const Json& entity) {
      return concat(entity["text"].get<std::string>(), " [", entity["type"].get<std::string>(), "] (",
                    four_digits(entity["score"]), ")");
    };
    const Json& entities = prediction["entities"];
    return shown(record) + "Entities: " + (entities.empty() ? "none" : joined(entities, ", ", with_type));
  }

 private:
  static Json predict_one(const data::Record& record, const std::vector<WordAt>& words, const at::Tensor& probabilities,
                          const at::Tensor& logits, const BertConfig& config, const PredictionOptions& options) {
    const CodePoints text(record.words.empty() ? record.text : data::join_words(record.words));
    std::vector<TaggedWord> tagged;
    Json tokens = Json::array(), tags = Json::array(), outputs = Json::array();
    for (const WordAt& word : words) {
      TaggedWord& one = tagged.emplace_back(TaggedWord{"O", 1, word.begin, word.end});
      outputs.push_back(nullptr);
      if (word.token >= 0) {
        const auto scores = row_of<double>(probabilities, word.token);
        const size_t best = argmax(scores);
        one.tag = config.label_names[best];
        one.score = scores[best];
        const auto raw = row_of<float>(logits, word.token);
        outputs.back() = std::vector<float>(raw.begin(), raw.end());
      }
      tokens.push_back(text.slice(word.begin, word.end));
      tags.push_back(one.tag);
    }
    Json entities = Json::array();
    for (const FoundEntity& entity : entities_of(tagged))
      entities.push_back({{"text", text.slice(entity.begin, entity.end)},
                          {"type", entity.type},
                          {"start", entity.begin},
                          {"end", entity.end},
                          {"score", entity.score}});
    Json result{{"text", text.text()}, {"entities", entities}, {"tokens", tokens}, {"tags", tags}};
    if (options.with_logits) result["logits"] = outputs;
    return result;
  }
};

}  // namespace

std::vector<FoundEntity> entities_of(std::span<const TaggedWord> words) {
  std::vector<std::string> tags;
  for (const TaggedWord& word : words) tags.push_back(word.tag);
  std::vector<FoundEntity> found;
  for (const Entity& entity : find_entities(tags, TagScheme::kLenient)) {
    const auto inside = words.subspan(static_cast<size_t>(entity.begin), static_cast<size_t>(entity.end - entity.begin));
    double score = 0;
    for (const TaggedWord& word : inside) score += word.score;
    found.push_back({entity.type, inside.front().begin, inside.back().end, score / static_cast<double>(inside.size())});
  }
  return found;
}

const Task& token_classification() {
  static const TokenClassification task;
  return task;
}

}  // namespace berth::train
