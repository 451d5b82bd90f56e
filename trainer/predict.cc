#include "trainer/predict.h"

#include <algorithm>
#include <numeric>

#include "data/features/features.h"
#include "trainer/comm/agree.h"
#include "trainer/evaluate.h"

namespace berth::train {
namespace {

using Json = nlohmann::ordered_json;

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

// Rank 0's next window on all ranks.
std::vector<data::Record> share_window(comm::Communicator& comm, int64_t size, const std::function<bool(data::Record&)>& next,
                                       const std::function<bool()>& stop) {
  std::string bytes;
  std::vector<data::Record> window;
  comm::agree_on_root(comm, [&] {
    data::Record record;
    while (std::ssize(window) < size && !stop() && next(record)) window.push_back(record);
    Json all = Json::array();
    for (const data::Record& one : window) all.push_back(to_json(one));
    bytes = all.dump();
  });
  comm.broadcast(bytes, 0);
  if (comm.rank() != 0)
    for (const Json& one : Json::parse(bytes)) window.push_back(from_json(one));
  return window;
}

// Indices of the window in micro-batches, long texts first.
std::vector<std::vector<size_t>> micro_batches(const std::vector<data::Record>& window, int64_t batch_size) {
  const auto bytes = [&](size_t i) { return window[i].text.size() + window[i].text_pair.size(); };
  std::vector<size_t> order(window.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return bytes(a) > bytes(b); });
  std::vector<std::vector<size_t>> batches;
  for (size_t index : order) {
    if (batches.empty() || std::ssize(batches.back()) >= batch_size) batches.emplace_back();
    batches.back().push_back(index);
  }
  return batches;
}

}  // namespace

int64_t predict(const ModelInstance& model, const data::BertTokenizer& tokenizer, comm::Communicator& comm,
                const PredictOptions& options, const std::function<bool(data::Record&)>& next,
                const std::function<void(const data::Record&, const Json&)>& emit, const std::function<bool()>& stop) {
  at::NoGradGuard no_grad;
  const auto features = data::make_features(model.architecture().task, tokenizer,
                                            {.max_length = options.max_length, .label_names = model.config().label_names});
  const ForwardContext context{.compute_type = options.compute_type};
  int64_t total = 0;
  for (;;) {
    const std::vector<data::Record> window = share_window(comm, options.window, next, stop);
    if (window.empty()) return total;
    const auto batches = micro_batches(window, options.batch_size);
    Json own = Json::array();
    comm::agree(comm, [&] {
      for (size_t b = static_cast<size_t>(comm.rank()); b < batches.size(); b += static_cast<size_t>(comm.size())) {
        std::vector<data::Record> records;
        for (size_t index : batches[b]) records.push_back(window[index]);
        const data::Batch batch = data::encode_batch(records, *features, 0);
        const auto results = model.task().predictions(host_logits(model, batch, comm.device(), context), batch, model.config(),
                                                      options.with_logits);
        for (size_t i = 0; i < results.size(); ++i) own.push_back({batches[b][i], results[i]});
      }
    });
    const auto gathered = comm.gather(own.dump(), 0);
    comm::agree_on_root(comm, [&] {
      std::vector<Json> results(window.size());
      for (const std::string& bytes : gathered)
        for (Json& pair : Json::parse(bytes)) results[pair[0].get<size_t>()] = std::move(pair[1]);
      for (size_t i = 0; i < window.size(); ++i) emit(window[i], results[i]);
    });
    total += std::ssize(window);
  }
}

}  // namespace berth::train
