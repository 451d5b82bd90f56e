#include "trainer/use/deal.h"

#include <algorithm>
#include <mutex>
#include <numeric>

#include "data/check.h"
#include "data/files/failpoint.h"
#include "data/json/json.h"
#include "trainer/comm/agree.h"
#include "trainer/kernels/compute.h"
#include "trainer/use/gather.h"

namespace berth::train {
namespace {

using Json = nlohmann::ordered_json;

// Of all that is kept of a record until its result is there.
int64_t kept_bytes(const data::Record& record) {
  size_t bytes = 0;
  for (const data::Field& field : record.fields) bytes += field.name.size() + field.json.size();
  return text_bytes(record) + static_cast<int64_t>(bytes);
}

// What a result may depend on.
Json to_json(const data::Record& r) {
  return {{"row", r.row},         {"text", r.text},   {"pair", r.text_pair}, {"has_pair", r.has_pair},
          {"choices", r.choices}, {"words", r.words}, {"id", r.id}};
}

data::Record from_json(const Json& json) {
  data::Record record;
  record.row = json["row"];
  record.text = json["text"];
  record.text_pair = json["pair"];
  record.has_pair = json["has_pair"];
  record.choices = json["choices"].get<std::vector<std::string>>();
  record.words = json["words"].get<std::vector<std::string>>();
  record.id = json["id"];
  return record;
}

// Rank 0's next window on all ranks.
std::vector<data::Record> share_window(comm::Communicator& comm, const DealOptions& options,
                                       const std::function<bool(data::Record&)>& next, const std::function<bool()>& stop) {
  std::string shared;
  std::vector<data::Record> window;
  comm::agree_on_root(comm, [&] {
    data::Record record;
    for (int64_t bytes = 0;
         std::ssize(window) < options.window_records && bytes < options.window_bytes && !stop() && next(record);
         bytes += kept_bytes(record)) {
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
    for (const Json& one : data::parse_json<Json>(shared, "", data::kOwnJson, ExitCode::kInternal))
      window.push_back(from_json(one));
  return window;
}

// Text of a group that one thread computes, beside others.
constexpr int64_t kBytesOfAThread = 4096;

// Indexes into the window of the records that are computed together, long texts first.
std::vector<std::vector<size_t>> make_groups(const std::vector<data::Record>& window, const std::optional<int64_t>& batch_size) {
  std::vector<size_t> order(window.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return text_bytes(window[a]) > text_bytes(window[b]); });
  std::vector<std::vector<size_t>> groups;
  int64_t bytes = 0;  // of the last group
  const auto full = [&](int64_t records) {
    return batch_size ? records >= *batch_size : records >= kShortTexts || (records >= kLongTexts && bytes >= kShortBytes);
  };
  for (size_t index : order) {
    if (groups.empty() || full(std::ssize(groups.back()))) {
      groups.emplace_back();
      bytes = 0;
    }
    groups.back().push_back(index);
    bytes += text_bytes(window[index]);
  }
  return groups;
}

// How many of these groups, the first ones, are computed by all threads, one group after the other; of the others, short ones, a thread computes
// one. It goes by the group alone, so that its bits depend on nothing else.
size_t computed_alone(const std::vector<data::Record>& window, const std::vector<std::vector<size_t>>& groups,
                      const std::vector<size_t>& mine, at::Device device) {
  if (!device.is_cpu() || compute_threads() == 1) return mine.size();
  const auto is_long = [&](size_t g) {
    int64_t bytes = 0;
    for (const size_t index : groups[g]) bytes += text_bytes(window[index]);
    return bytes > kBytesOfAThread;
  };
  return static_cast<size_t>(std::find_if_not(mine.begin(), mine.end(), is_long) - mine.begin());
}

}  // namespace

int64_t text_bytes(const data::Record& record) {
  size_t bytes = record.text.size() + record.text_pair.size();
  for (const std::string& word : record.words) bytes += word.size() + 1;
  for (const std::string& choice : record.choices) bytes += record.text.size() + choice.size();
  return static_cast<int64_t>(bytes);
}

bool deal_records(comm::Communicator& comm, const DealOptions& options, const std::function<bool(data::Record&)>& next,
                  const BeginGroup& begin, const std::function<void(const data::Record&, const std::string& result)>& emit,
                  const std::function<bool()>& stop) {
  for (;;) {
    const std::vector<data::Record> window = share_window(comm, options, next, stop);
    const auto groups = make_groups(window, options.batch_size);
    std::vector<EvalRecord> own;
    const auto begin_group = [&](size_t g) {
      data::failpoint("predict");
      std::vector<data::Record> group;
      for (const size_t index : groups[g]) group.push_back(window[index]);
      return in_context(options.origin, [&] { return begin(std::move(group)); });
    };
    std::mutex mutex;  // guards `own`
    const auto finish = [&](const FinishGroup& group, const std::vector<size_t>& indexes) {
      if (!group) return;
      std::vector<std::string> results = in_context(options.origin, group);
      check_internal(results.size() == indexes.size(), results.size(), " results for ", indexes.size(), " records");
      const std::lock_guard lock(mutex);
      for (size_t i = 0; i < results.size(); ++i) own.push_back({static_cast<int64_t>(indexes[i]), std::move(results[i])});
    };
    comm::agree(comm, [&] {
      std::vector<size_t> mine;
      for (size_t g = static_cast<size_t>(comm.rank()); g < groups.size(); g += static_cast<size_t>(comm.size()))
        mine.push_back(g);
      const size_t alone = computed_alone(window, groups, mine, comm.device());
      FinishGroup before;  // is looked at when the next group is being computed
      std::vector<size_t> indexes_before;
      for (size_t i = 0; i < alone && !stop(); ++i) {
        FinishGroup now = begin_group(mine[i]);
        finish(before, indexes_before);
        before = std::move(now);
        indexes_before = groups[mine[i]];
      }
      finish(before, indexes_before);
      side_by_side(std::ssize(mine) - static_cast<int64_t>(alone), [&](int64_t i) {
        if (stop()) return;
        const size_t g = mine[alone + static_cast<size_t>(i)];
        finish(begin_group(g), groups[g]);
      });
    });
    int64_t wishes = stop() ? 1 : 0;
    comm.all_reduce_sum(std::span<int64_t>(&wishes, 1));
    if (wishes > 0) return false;
    if (window.empty()) return true;
    const std::vector<EvalRecord> results = gather_records(own, comm);
    comm::agree_on_root(comm, [&] {
      check_internal(results.size() == window.size(), results.size(), " results for ", window.size(), " records");
      for (size_t i = 0; i < window.size(); ++i) emit(window[i], results[i].payload);
    });
  }
}

}  // namespace berth::train
