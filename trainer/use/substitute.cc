#include "trainer/use/substitute.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <numeric>

#include "data/check.h"
#include "data/samples/collate.h"
#include "data/tokenizer/bert_tokenizer.h"
#include "trainer/checkpoint/model_path.h"
#include "trainer/model/heads.h"
#include "trainer/use/load_model.h"
#include "trainer/use/pretrained.h"

namespace berth::train {
namespace {

constexpr int64_t kCandidates = 10;
constexpr int64_t kBatchTokens = 4096;
constexpr int32_t kTarget = 0;  // any label: the head looks at labelled tokens only

bool is_ascii_punctuation(char c) {
  return (c > ' ' && c < '0') || (c > '9' && c < 'A') || (c > 'Z' && c < 'a') || (c > 'z' && c < '\x7f');
}

// "(film)," -> "(", "film", "),".
struct WordParts {
  std::string before, core, after;
  explicit WordParts(const std::string& word) {
    const auto first = std::find_if_not(word.begin(), word.end(), is_ascii_punctuation);
    const auto last = std::find_if_not(word.rbegin(), std::make_reverse_iterator(first), is_ascii_punctuation).base();
    before.assign(word.begin(), first);
    core.assign(first, last);
    after.assign(last, word.end());
  }
};

class Substitution {
 public:
  explicit Substitution(const std::filesystem::path& folder)
      : config_(load_config(folder)), tokenizer_(data::BertTokenizer::load(folder)), comm_(comm::make_local_communicator()) {
    const Architecture& architecture = architecture_of(data::TaskKind::kMaskedLm);
    const std::vector<ParameterSpec> specs = architecture.parameters(config_, false);
    const PretrainedOptions all_of_it{.family = config_.family->class_prefix, .allow_new_head = false};
    check_pretrained(folder, specs, *comm_, all_of_it);
    parameters_ =
        std::make_unique<ParameterStore>(specs, *comm_, kBucketBytes, std::vector<std::string>(), ParameterStore::Updates::kNone);
    load_pretrained(folder, *parameters_, *comm_, all_of_it);
    model_ = architecture.make(config_, *parameters_);
    check(tokenizer_.vocab().size() <= config_.vocab_size, (folder / "config.json").string(), ": vocab_size ", config_.vocab_size,
          " is smaller than the vocabulary of ", tokenizer_.vocab().size(), " tokens beside it");
    refuse_word_pieces();
  }

  std::vector<std::vector<std::string>> operator()(std::span<const data::HiddenWords> texts) const {
    at::NoGradGuard no_grad;
    std::vector<std::vector<std::string>> answers(texts.size());
    Asked asked;
    data::begin_batch(asked.batch);
    for (size_t i = 0; i < texts.size(); ++i) {
      answers[i].resize(texts[i].hidden.size());
      append(texts[i], answers[i], asked);
      if (asked.batch.tokens() >= kBatchTokens || i + 1 == texts.size()) answer(asked);
    }
    return answers;
  }

 private:
  // Where the word of one [MASK] goes.
  struct Place {
    std::string* answer;
    WordParts parts;
    float draw;
    int32_t own_id;  // the hidden word's, -1 if it is not one token
  };
  struct Asked {
    data::Batch batch;
    std::vector<Place> places;  // in the order of the batch's labelled tokens
  };

  // Only whole words may be put in: no "##s", "[unused7]" or ".".
  void refuse_word_pieces() {
    refused_ = at::zeros({config_.vocab_size}, at::kFloat);
    auto refused = refused_.accessor<float, 1>();
    for (int64_t id = 0; id < config_.vocab_size; ++id) {
      const bool known = id < tokenizer_.vocab().size();
      const std::string token = known ? tokenizer_.vocab().token(static_cast<int32_t>(id)) : "";
      if (token.empty() || std::any_of(token.begin(), token.end(), is_ascii_punctuation)) refused[id] = -INFINITY;
    }
  }

  std::vector<int32_t> ids_of(const std::string& word) const {
    std::vector<data::Token> tokens;
    tokenizer_.tokenize(word, tokens);
    std::vector<int32_t> ids;
    for (const data::Token& token : tokens) ids.push_back(token.id);
    return ids;
  }

  void append(const data::HiddenWords& text, std::vector<std::string>& answer, Asked& asked) const {
    const auto room = static_cast<size_t>(config_.max_position_embeddings) - 1;
    std::vector<int32_t> ids{tokenizer_.vocab().cls()}, labels{data::kIgnoreIndex};
    const auto add = [&](const std::vector<int32_t>& more) {
      ids.insert(ids.end(), more.begin(), more.end());
      labels.resize(ids.size(), data::kIgnoreIndex);
    };
    for (size_t word = 0, k = 0; word < text.words.size() && ids.size() < room; ++word) {
      if (k == text.hidden.size() || word != text.hidden[k]) {
        add(ids_of(text.words[word]));
        continue;
      }
      WordParts parts(text.words[word]);
      add(ids_of(parts.before));
      const std::vector<int32_t> own = ids_of(parts.core);
      if (!own.empty() && ids.size() < room) {
        add({tokenizer_.vocab().mask()});
        labels.back() = kTarget;
        asked.places.push_back({&answer[k], parts, text.draws[k], own.size() == 1 ? own[0] : -1});
      }
      add(ids_of(parts.after));
      ++k;
    }
    ids.resize(std::min(ids.size(), room));
    labels.resize(ids.size());
    add({tokenizer_.vocab().sep()});
    data::append_sample(asked.batch, asked.batch.size());
    data::append_sequence(asked.batch, asked.batch.sequences(), ids, static_cast<int32_t>(ids.size()));
    asked.batch.labels.insert(asked.batch.labels.end(), labels.begin(), labels.end());
  }

  void answer(Asked& asked) const {
    if (!asked.places.empty()) {
      const at::Tensor scores = model_->logits(to_device(asked.batch, at::kCPU), {})[0] + refused_;  // [places, V]
      const auto [values, ids] = at::topk(scores, std::min(kCandidates + 1, config_.vocab_size));
      const at::Tensor best = values.contiguous(), best_ids = ids.contiguous();
      for (size_t i = 0; i < asked.places.size(); ++i) {
        const auto row = static_cast<int64_t>(i) * best.size(1);
        choose(asked.places[i], {best.const_data_ptr<float>() + row, static_cast<size_t>(best.size(1))},
               best_ids.const_data_ptr<int64_t>() + row);
      }
    }
    data::begin_batch(asked.batch);
    asked.places.clear();
  }

  void choose(const Place& place, std::span<const float> scores, const int64_t* ids) const {
    std::vector<double> weights;
    std::vector<int64_t> candidates;
    for (size_t i = 0; i < scores.size() && std::ssize(candidates) < kCandidates; ++i) {
      if (ids[i] == place.own_id || !std::isfinite(scores[i])) continue;
      weights.push_back(std::exp(static_cast<double>(scores[i] - scores[0])));
      candidates.push_back(ids[i]);
    }
    if (candidates.empty()) return;
    double left = place.draw * std::accumulate(weights.begin(), weights.end(), 0.);
    size_t chosen = 0;
    while (chosen + 1 < candidates.size() && left >= weights[chosen]) left -= weights[chosen++];
    *place.answer = place.parts.before + tokenizer_.vocab().token(static_cast<int32_t>(candidates[chosen])) + place.parts.after;
  }

  BertConfig config_;
  data::BertTokenizer tokenizer_;
  std::unique_ptr<comm::Communicator> comm_;
  std::unique_ptr<ParameterStore> parameters_;
  std::unique_ptr<Model> model_;
  at::Tensor refused_;  // [V] -inf for tokens that are no words, else 0
};

}  // namespace

data::SubstituteWords load_substitution(const std::string& model) {
  const auto substitution =
      in_context(concat("--augment-model ", model), [&] { return std::make_shared<const Substitution>(resolve_model(model)); });
  return [substitution](std::span<const data::HiddenWords> texts) { return (*substitution)(texts); };
}

}  // namespace berth::train
