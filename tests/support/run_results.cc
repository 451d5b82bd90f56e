#include "tests/support/run_results.h"

#include <algorithm>
#include <cstring>
#include <optional>

#include "tests/support/temp_dir.h"
#include "tests/support/tiny_files.h"
#include "trainer/report/event.pb.h"

namespace berth::test {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

bool is_of_the_clock(const std::string& name) {
  return name.ends_with("_per_second") || name.ends_with("runtime") || name.ends_with("_peak");
}

std::string line(const nlohmann::json& record) {
  nlohmann::json kept = nlohmann::json::object();
  for (const auto& [name, value] : record.items())
    if (!is_of_the_clock(name)) kept[name] = value;
  return kept.dump() + "\n";
}

template <class Records>
std::string lines(const Records& records) {
  std::string text;
  for (const auto& record : records) text += line(record);
  return text;
}

// The records of an event file, up to one that is cut off.
std::vector<events::Event> read_events(const fs::path& file) {
  const std::string bytes = read_bytes(file);
  std::vector<events::Event> events;
  constexpr size_t kHead = 12, kTail = 4;  // length and its checksum; the payload's
  for (size_t at = 0; at + kHead <= bytes.size();) {
    uint64_t size = 0;
    std::memcpy(&size, bytes.data() + at, sizeof size);
    if (at + kHead + size + kTail > bytes.size()) break;
    if (!events.emplace_back().ParseFromString(bytes.substr(at + kHead, size))) throw std::runtime_error(file.string());
    at += kHead + size + kTail;
  }
  return events;
}

// A line for each tag and step. What a job wrote after the step that the next one began at is not shown.
std::string shown_by_tensorboard(const fs::path& folder) {
  std::vector<fs::path> files(fs::directory_iterator(folder), fs::directory_iterator{});
  std::sort(files.begin(), files.end());
  std::map<std::pair<int64_t, std::string>, float> curve;
  for (const fs::path& file : files) {
    for (const events::Event& event : read_events(file)) {
      if (event.session_log().status() == events::SessionLog::START)
        curve.erase(curve.lower_bound({event.step(), ""}), curve.end());
      for (const auto& value : event.summary().value())
        if (!is_of_the_clock(value.tag())) curve[{event.step(), value.tag()}] = value.simple_value();
    }
  }
  std::string text;
  for (const auto& [where, value] : curve)
    text += std::to_string(where.first) + " " + where.second + " " + Json(value).dump() + "\n";
  return text;
}

}  // namespace

std::string curve(const fs::path& run) { return lines(read_jsonl(run / "metrics.jsonl")); }

std::string history(const fs::path& checkpoint) {
  return lines(nlohmann::json::parse(read_bytes(checkpoint / "trainer_state.json")).at("log_history"));
}

nlohmann::json own_state(const fs::path& folder) {
  return nlohmann::json::parse(read_bytes(folder / "trainer_state.json"))["berth"];
}

std::map<std::string, int> traced_spans(const std::filesystem::path& run) {
  const nlohmann::json trace = nlohmann::json::parse(read_bytes(run / "trace.json"));
  std::map<std::pair<int, int>, std::string> lanes;
  std::map<std::string, int> spans;
  for (const nlohmann::json& event : trace.at("traceEvents")) {
    const std::pair<int, int> lane(event.at("pid"), event.at("tid"));
    if (event.at("name") == "thread_name") lanes[lane] = event.at("args").at("name");
    if (event.at("name") == "all-reduce of gradients") event.at("args").at("bytes").get<uint32_t>();
    if (event.at("ph") == "X")
      ++spans[std::to_string(lane.first) + " " + lanes.at(lane) + ": " + event.at("name").get<std::string>()];
  }
  return spans;
}

std::vector<int64_t> checkpoint_steps(const fs::path& run) {
  std::vector<int64_t> steps;
  for (const auto& entry : fs::directory_iterator(run)) {
    const std::string name = entry.path().filename(), number = name.substr(std::min(name.size(), size_t{11}));
    if (name.starts_with("checkpoint-") && std::all_of(number.begin(), number.end(), ::isdigit))
      steps.push_back(std::stoll(number));
  }
  std::sort(steps.begin(), steps.end());
  return steps;
}

RunResults final_results(const fs::path& run) {
  RunResults results{{"model.safetensors", read_bytes(run / "model.safetensors")}, {"metrics.jsonl", curve(run)}};
  for (const char* name : {"train_results.json", "all_results.json"})
    results[name] = line(nlohmann::json::parse(read_bytes(run / name)));
  if (fs::exists(run / "eval_results.json"))
    results["eval_results.json"] = line(nlohmann::json::parse(read_bytes(run / "eval_results.json")));
  return results;
}

std::vector<std::string> differences(const RunResults& run, const RunResults& other) {
  std::vector<std::string> names;
  for (const auto& [name, bytes] : run)
    if (const auto found = other.find(name); found == other.end() || found->second != bytes) names.push_back(name);
  for (const auto& [name, bytes] : other)
    if (!run.contains(name)) names.push_back(name);
  return names;
}

RunResults all_results(const fs::path& run) {
  RunResults results = final_results(run);
  results["tensorboard"] = shown_by_tensorboard(run / "tensorboard");
  const std::vector<int64_t> steps = checkpoint_steps(run);
  results["checkpoints"] = Json(steps).dump();
  if (steps.empty()) return results;
  const fs::path newest = run / ("checkpoint-" + std::to_string(steps.back()));
  results["optimizer"] = read_bytes(newest / "optimizer.safetensors");
  results["log history"] = history(newest);
  return results;
}

}  // namespace berth::test
