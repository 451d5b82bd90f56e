#include "trainer/scale/scaling.h"

#include <algorithm>
#include <cmath>

#include "data/check.h"

namespace berth::scale {
namespace {

double number(const Json& json, const char* key) {
  const double value = json.at(key).get<double>();
  check(value >= 0 && std::isfinite(value), key, " is ", value);
  return value;
}

int count(const Json& json, const char* key) {
  const double value = number(json, key);
  check(value >= 1 && value <= 1 << 20 && value == std::floor(value), key, " is ", value);
  return static_cast<int>(value);
}

template <class Item, class Make>
std::vector<Item> items(const Json& json, const char* key, const Make& make) {
  std::vector<Item> all;
  for (const Json& item : json.at(key)) all.push_back(make(item));
  return all;
}

Json json_of(const Step& step) {
  Json buckets = Json::array();
  for (const Bucket& bucket : step.buckets) buckets.push_back({{"ready", bucket.ready}, {"bytes", bucket.bytes}});
  return {{"before", step.before}, {"backward", step.backward},           {"after", step.after},
          {"buckets", buckets},    {"control_bytes", step.control_bytes}, {"sums_loss", step.sums_loss}};
}

Step parse_step(const Json& json) {
  return {.before = number(json, "before"),
          .backward = number(json, "backward"),
          .after = number(json, "after"),
          .buckets = items<Bucket>(json, "buckets",
                                   [](const Json& it) {
                                     return Bucket{number(it, "ready"), number(it, "bytes")};
                                   }),
          .control_bytes = number(json, "control_bytes"),
          .sums_loss = json.at("sums_loss").get<bool>()};
}

Json json_of(const Link& link) { return {{"latency", link.latency}, {"bandwidth", link.bandwidth}}; }

Link parse_link(const Json& json) { return {number(json, "latency"), number(json, "bandwidth")}; }

Json json_of(const std::vector<Timing>& timings) {
  Json all = Json::array();
  for (const Timing& timing : timings) all.push_back({{"bytes", timing.bytes}, {"seconds", timing.seconds}});
  return all;
}

std::vector<Timing> parse_timings(const Json& json, const char* key) {
  auto all = items<Timing>(json, key, [](const Json& it) { return Timing{number(it, "bytes"), number(it, "seconds")}; });
  const auto descends = [](const Timing& a, const Timing& b) { return a.bytes >= b.bytes; };
  check(std::adjacent_find(all.begin(), all.end(), descends) == all.end(), key, " has no ascending bytes");
  return all;
}

// What `parse` makes; complaints of it and of nlohmann-json become Error(kBadInput).
template <class Parse>
auto parsed(const std::string& origin, const char* what, const Parse& parse) {
  return in_context(concat(origin, ": is no ", what), [&] {
    try {
      return parse();
    } catch (const nlohmann::json::exception& error) {
      fail(ExitCode::kBadInput, error.what());
    }
  });
}

// On the line between the two points around it; beyond the last one no row is new.
double rows_of(const std::vector<TouchedRows>& touched, double samples) {
  const auto above = std::find_if(touched.begin(), touched.end(), [&](const TouchedRows& it) { return it.samples >= samples; });
  if (above == touched.end()) return touched.empty() ? 0 : touched.back().rows;
  const TouchedRows below = above == touched.begin() ? TouchedRows{} : *std::prev(above);
  return below.rows + (above->rows - below.rows) * (samples - below.samples) / (above->samples - below.samples);
}

}  // namespace

Step step_on(const Measurement& measured, int ranks) {
  Step step = measured.step;
  // Of each rank its wishes, counts and seconds, 64 bits each (TrainStep::agree).
  constexpr double kOfRank = 7 * 8;
  step.control_bytes = measured.word_bytes + kOfRank * ranks;
  if (measured.word_bucket >= 0)
    step.buckets[static_cast<size_t>(measured.word_bucket)].bytes =
        measured.word_row_bytes * rows_of(measured.touched, ranks * measured.samples);
  return step;
}

Json json_of(const Measurement& m) {
  Json touched = Json::array();
  for (const TouchedRows& it : m.touched) touched.push_back({{"samples", it.samples}, {"rows", it.rows}});
  return {{"model", m.model},
          {"data", m.data},
          {"device", m.device},
          {"ranks", m.ranks},
          {"hosts", m.hosts},
          {"threads", m.threads},
          {"samples", m.samples},
          {"tokens", m.tokens},
          {"forward", m.forward},
          {"backward", m.backward},
          {"optimizer", m.optimizer},
          {"step", json_of(m.step)},
          {"step_seconds", m.step_seconds},
          {"word_bytes", m.word_bytes},
          {"word_row_bytes", m.word_row_bytes},
          {"word_bucket", m.word_bucket},
          {"touched", touched},
          {"all_reduce", json_of(m.all_reduce)},
          {"messages", json_of(m.messages)},
          {"host_all_reduce", m.host_all_reduce}};
}

Measurement parse_measurement(const Json& json, const std::string& origin) {
  return parsed(origin, "measurement of berth scale", [&] {
    Measurement m{.model = json.at("model").get<std::string>(),
                  .data = json.at("data").get<std::string>(),
                  .device = json.at("device").get<std::string>(),
                  .ranks = count(json, "ranks"),
                  .hosts = count(json, "hosts"),
                  .threads = count(json, "threads"),
                  .samples = number(json, "samples"),
                  .tokens = number(json, "tokens"),
                  .forward = number(json, "forward"),
                  .backward = number(json, "backward"),
                  .optimizer = number(json, "optimizer"),
                  .step = parse_step(json.at("step")),
                  .step_seconds = number(json, "step_seconds"),
                  .word_bytes = number(json, "word_bytes"),
                  .word_row_bytes = number(json, "word_row_bytes"),
                  .word_bucket = json.at("word_bucket").get<int>(),
                  .touched = items<TouchedRows>(json, "touched",
                                                [](const Json& it) {
                                                  return TouchedRows{number(it, "samples"), number(it, "rows")};
                                                }),
                  .all_reduce = parse_timings(json, "all_reduce"),
                  .messages = parse_timings(json, "messages"),
                  .host_all_reduce = number(json, "host_all_reduce")};
    check(m.step.alone() > 0, "its step takes no time");
    check(m.word_bucket < static_cast<int>(m.step.buckets.size()), "word_bucket is ", m.word_bucket);
    const auto rises = [](const auto& a, const auto& b) { return a.samples >= b.samples; };
    check(std::adjacent_find(m.touched.begin(), m.touched.end(), rises) == m.touched.end(), "touched has no ascending samples");
    return m;
  });
}

Json json_of(const Case& one) {
  const Platform& p = one.platform;
  return {{"step", json_of(one.step)},
          {"platform",
           {{"ring", p.all_reduce == AllReduce::kRing},
            {"ranks_per_node", p.ranks_per_node},
            {"between", json_of(p.between)},
            {"within", json_of(p.within)},
            {"sum_bandwidth", p.sum_bandwidth},
            {"sum_latency", p.sum_latency}}},
          {"ranks", one.ranks}};
}

Case parse_case(const Json& json, const std::string& origin) {
  return parsed(origin, "case for the simulator", [&] {
    const Json& p = json.at("platform");
    return Case{.step = parse_step(json.at("step")),
                .platform = {.all_reduce = p.at("ring").get<bool>() ? AllReduce::kRing : AllReduce::kTwoLevels,
                             .ranks_per_node = count(p, "ranks_per_node"),
                             .between = parse_link(p.at("between")),
                             .within = parse_link(p.at("within")),
                             .sum_bandwidth = number(p, "sum_bandwidth"),
                             .sum_latency = number(p, "sum_latency")},
                .ranks = count(json, "ranks")};
  });
}

}  // namespace berth::scale
