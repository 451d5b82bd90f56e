#include "trainer/use/predict.h"

#include <algorithm>
#include <numeric>

#include "data/check.h"
#include "data/json/json.h"
#include "data/text/normalize.h"
#include "trainer/comm/agree.h"
#include "trainer/tasks/instance.h"
#include "trainer/use/host_logits.h"

namespace berth::train {
namespace {

using Json = nlohmann::ordered_json;
using Tensors = std::vector<at::Tensor>;

Json parse_own(const std::string& text) { return data::parse_json<Json>(text, "", data::kOwnJson, ExitCode::kInternal); }

// What the features need of a record.
Json to_json(const data::Record& r) {
  return {{"row", r.row}, {"text", r.text}, {"pair", r.text_pair}, {"has_pair", r.has_pair}, {"words", r.words}, {"id", r.id}};
}

data::Record from_json(const Json& json) {
  data::Record record;
  record.row = json["row"];
  record.text = json["text"];
  record.text_pair = json["pair"];
  record.has_pair = json["has_pair"];
  record.words = json["words"].get<std::vector<std::string>>();
  record.id = json["id"];
  return record;
}

int64_t bytes_of(const data::Record& record) {
  size_t bytes = record.text.size() + record.text_pair.size();
  for (const std::string& word : record.words) bytes += word.size() + 1;
  return static_cast<int64_t>(bytes);
}

// Rank 0's next window on all ranks, without labels.
std::vector<data::Record> share_window(comm::Communicator& comm, const PredictOptions& options,
                                       const std::function<bool(data::Record&)>& next, const std::function<bool()>& stop) {
  std::string shared;
  std::vector<data::Record> window;
  comm::agree_on_root(comm, [&] {
    data::Record record;
    for (int64_t bytes = 0;
         std::ssize(window) < options.window_records && bytes < options.window_bytes && !stop() && next(record);
         bytes += bytes_of(record)) {
      record.labels.clear();
      record.tags.clear();
      record.answers.clear();
      window.push_back(record);
    }
    Json all = Json::array();
    for (const data::Record& one : window) all.push_back(to_json(one));
    shared = data::dump_json(all);
  });
  comm.broadcast(shared, 0);
  if (comm.rank() != 0)
    for (const Json& one : parse_own(shared)) window.push_back(from_json(one));
  return window;
}

// Indexes into the window of the records that are predicted together, long texts first.
std::vector<std::vector<size_t>> make_groups(const std::vector<data::Record>& window, int64_t batch_size) {
  std::vector<size_t> order(window.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return bytes_of(window[a]) > bytes_of(window[b]); });
  std::vector<std::vector<size_t>> groups;
  for (size_t index : order) {
    if (groups.empty() || std::ssize(groups.back()) >= batch_size) groups.emplace_back();
    groups.back().push_back(index);
  }
  return groups;
}

// The records as the models' training texts were: cleaned as those.
NewTexts make_texts(const std::vector<data::Record>& window, const std::vector<size_t>& group, const data::Features& features,
                    const data::NormalizeOptions& normalize, const data::BertTokenizer& tokenizer,
                    const PredictOptions& options) {
  NewTexts texts;
  texts.tokenizer = &tokenizer;
  for (size_t index : group) {
    data::Record record = window[index];
    data::normalize(record, normalize);
    const size_t before = texts.samples.size();
    in_context([&] { return concat(options.origin, ": row ", record.row); },
               [&] {
                 features.make(record, texts.samples);
                 check(std::ssize(texts.samples) - static_cast<int64_t>(before) <= options.row_windows, "the text of ",
                       bytes_of(record), " bytes does not fit into ", options.row_windows, " windows of ",
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
  size_t index;  // of the window's groups
  NewTexts texts;
  struct Pass {
    data::Batch batch;
    std::vector<HostLogits> logits;  // one a model
  };
  std::vector<Pass> passes;  // one forward pass each
};

void compute(std::span<const LoadedModel> models, at::Device device, const PredictOptions& options, Group& group) {
  const std::vector<data::Sample>& samples = group.texts.samples;
  for (size_t at = 0; at < samples.size(); at += static_cast<size_t>(options.batch_size)) {
    const size_t count = std::min(samples.size() - at, static_cast<size_t>(options.batch_size));
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
  const data::BertTokenizer& tokenizer = *models[0].tokenizer;
  data::FeatureOptions feature_options = options.features;
  feature_options.label_names = models[0].config().label_names;
  feature_options.offsets = true;
  feature_options.windows = true;
  const auto features = in_context((models[0].folder / "config.json").string(),
                                   [&] { return data::make_features(models[0].kind(), tokenizer, std::move(feature_options)); });
  for (;;) {
    const std::vector<data::Record> window = share_window(comm, options, next, stop);
    const auto groups = make_groups(window, options.batch_size);
    Json own = Json::array();
    std::optional<Group> before;  // is looked at when the next group is being computed
    const auto look = [&] {
      if (!before) return;
      const std::vector<size_t>& records = groups[before->index];
      std::vector<Json> results = in_context(options.origin, [&] { return predictions(models, options, *before); });
      check_internal(results.size() == records.size(), results.size(), " predictions for ", records.size(), " records");
      for (size_t i = 0; i < results.size(); ++i) own.push_back({records[i], std::move(results[i])});
      before.reset();
    };
    comm::agree(comm, [&] {
      for (size_t g = static_cast<size_t>(comm.rank()); g < groups.size() && !stop(); g += static_cast<size_t>(comm.size())) {
        Group group{g, make_texts(window, groups[g], *features, models[0].config().normalize, tokenizer, options), {}};
        in_context(options.origin, [&] { compute(models, comm.device(), options, group); });
        look();
        before = std::move(group);
      }
      look();
    });
    int64_t wishes = stop() ? 1 : 0;
    comm.all_reduce_sum(std::span<int64_t>(&wishes, 1));
    if (wishes > 0) return false;
    if (window.empty()) return true;
    const auto gathered = comm.gather(data::dump_json(own), 0);
    comm::agree_on_root(comm, [&] {
      std::vector<Json> results(window.size());
      for (const std::string& bytes : gathered)
        for (Json& pair : parse_own(bytes)) results[pair[0].get<size_t>()] = std::move(pair[1]);
      for (size_t i = 0; i < window.size(); ++i) emit(window[i], results[i]);
    });
  }
}

}  // namespace berth::train
