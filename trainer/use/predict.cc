#include "trainer/use/predict.h"

#include <memory>

#include "data/check.h"
#include "data/json/json.h"
#include "data/text/normalize.h"
#include "trainer/tasks/instance.h"
#include "trainer/use/host_logits.h"

namespace berth::train {
namespace {

using Json = nlohmann::ordered_json;
using Tensors = std::vector<at::Tensor>;

// What was trained on pairs of texts knows nothing of single ones, and the other way round.
void check_pair(const data::Record& record, std::span<const LoadedModel> models) {
  for (const LoadedModel& one : models) {
    const std::optional<bool> pairs = one.config().text_pairs;
    check(!pairs || *pairs == record.has_pair, record.has_pair ? "two texts, but " : "one text, but ", one.folder.string(),
          " was trained on ",
          record.has_pair ? "single texts: name their column (--text-column), or give --text alone"
                          : "pairs: name the second text's column (--text-pair-column), or give it (--text-pair)");
  }
}

// The records as the models' training texts were: cleaned as those.
NewTexts make_texts(std::vector<data::Record> group, const data::Features& features, std::span<const LoadedModel> models,
                    const PredictOptions& options) {
  NewTexts texts;
  texts.tokenizer = &*models[0].tokenizer;
  for (data::Record& record : group) {
    data::normalize(record, models[0].config().normalize);
    const size_t before = texts.samples.size();
    in_context([&] { return concat("row ", record.row); },
               [&] {
                 check_pair(record, models);
                 features.make(record, texts.samples);
                 check(std::ssize(texts.samples) - static_cast<int64_t>(before) <= options.row_windows, "the text of ",
                       text_bytes(record), " bytes does not fit into ", options.row_windows, " windows of ",
                       options.features.max_length, " tokens: split it into several rows");
               });
    texts.record_of.resize(texts.samples.size(), texts.records.size());
    texts.records.push_back(std::move(record));
  }
  texts.batch = data::make_batch(texts.samples, 0);
  return texts;
}

// Adds `part` / `count`, tensor by tensor.
void add_share(Tensors& sum, const Tensors& part, size_t count) {
  for (size_t i = 0; i < part.size(); ++i) {
    const at::Tensor share = part[i] / static_cast<double>(count);
    if (i == sum.size())
      sum.push_back(share);
    else
      sum[i] += share;
  }
}

// Records that are predicted together, and what is computed of them.
struct Group {
  NewTexts texts;
  struct Pass {
    data::Batch batch;
    std::vector<HostLogits> logits;  // one a model
  };
  std::vector<Pass> passes;  // one forward pass each
};

// How many of the samples from `at` on one forward pass takes.
size_t pass_size(const std::vector<data::Sample>& samples, size_t at, const std::optional<int64_t>& batch_size) {
  const size_t left = samples.size() - at;
  if (batch_size) return std::min(left, static_cast<size_t>(*batch_size));
  size_t count = 0, tokens = 0;
  while (count < left && (count < kLongTexts || (count < kShortTexts && tokens < kShortTokens))) {
    const data::Sample& sample = samples[at + count++];
    tokens += sample.input_ids.size();
    for (const data::Sequence& sequence : sample.further) tokens += sequence.input_ids.size();
  }
  return count;
}

void compute(std::span<const LoadedModel> models, at::Device device, const PredictOptions& options, Group& group) {
  const std::vector<data::Sample>& samples = group.texts.samples;
  for (size_t at = 0, count = 0; at < samples.size(); at += count) {
    count = pass_size(samples, at, options.batch_size);
    Group::Pass& pass = group.passes.emplace_back();
    pass.batch = data::make_batch(std::span(samples).subspan(at, count), static_cast<int64_t>(at));
    models[0].task().mark_targets(group.texts.tokenizer->vocab(), pass.batch);
    for (const LoadedModel& one : models)
      pass.logits.emplace_back(*one.model, pass.batch, device, compute_type(options.precision));
  }
}

std::vector<Json> predictions(std::span<const LoadedModel> models, const PredictOptions& options, const Group& group) {
  std::vector<Tensors> logits, probabilities;  // of each forward pass
  for (const Group::Pass& pass : group.passes) {
    Tensors logits_here, probabilities_here;
    for (size_t i = 0; i < models.size(); ++i) {
      const Tensors& outputs = pass.logits[i].get();
      add_share(probabilities_here, models[i].task().probabilities(outputs, pass.batch), models.size());
      add_share(logits_here, outputs, models.size());
    }
    logits.push_back(std::move(logits_here));
    probabilities.push_back(std::move(probabilities_here));
  }
  const auto join = [](const std::vector<Tensors>& parts) {
    Tensors whole;
    for (size_t i = 0; !parts.empty() && i < parts[0].size(); ++i) {
      std::vector<at::Tensor> pieces;
      for (const Tensors& part : parts) pieces.push_back(part[i]);
      whole.push_back(at::cat(pieces));
    }
    return whole;
  };
  return models[0].task().predictions(group.texts, join(probabilities), join(logits), models[0].config(), options.predictions);
}

}  // namespace

bool predict(std::span<const LoadedModel> models, comm::Communicator& comm, const PredictOptions& options,
             const std::function<bool(data::Record&)>& next, const std::function<void(const data::Record&, const Json&)>& emit,
             const std::function<bool()>& stop) {
  at::NoGradGuard no_grad;
  data::FeatureOptions feature_options = options.features;
  feature_options.label_names = models[0].config().label_names;
  feature_options.offsets = true;
  feature_options.windows = true;
  const auto features = in_context((models[0].folder / "config.json").string(), [&] {
    return data::make_features(models[0].kind(), *models[0].tokenizer, std::move(feature_options));
  });
  const auto begin = [&](std::vector<data::Record> records) -> FinishGroup {
    const auto group = std::make_shared<Group>();
    group->texts = make_texts(std::move(records), *features, models, options);
    compute(models, comm.device(), options, *group);
    return [&, group] {
      std::vector<std::string> results;
      for (const Json& prediction : predictions(models, options, *group)) results.push_back(data::dump_json(prediction));
      return results;
    };
  };
  return deal_records(
      comm, options, next, begin,
      [&](const data::Record& record, const std::string& prediction) {
        emit(record, data::parse_json<Json>(prediction, "", data::kOwnJson, ExitCode::kInternal));
      },
      stop);
}

}  // namespace berth::train
