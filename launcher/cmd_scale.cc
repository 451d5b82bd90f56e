#include "launcher/cmd_scale.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <iostream>

#include "data/check.h"
#include "data/files/files.h"
#include "data/json/json.h"
#include "data/words.h"
#include "launcher/logging.h"
#include "launcher/options.h"
#include "launcher/signals.h"
#include "launcher/version.h"
#include "trainer/comm/agree.h"
#include "trainer/scale/measure/measure.h"
#include "trainer/scale/predict.h"

namespace berth::launch {
namespace {

using scale::Json;
using scale::Measurement;

constexpr int kMostRanks = 4096;

// Four digits.
double short_number(double value) {
  char text[32];
  std::snprintf(text, sizeof(text), "%.4g", value);
  return std::atof(text);
}
double milliseconds(double seconds) { return short_number(1e3 * seconds); }
double microseconds(double seconds) { return short_number(1e6 * seconds); }

Json describe_all_reduce(const Measurement& m) {
  Json rows = Json::array();
  for (size_t i = 0; i < m.all_reduce.size(); ++i) {
    const scale::Timing& own = m.all_reduce[i];
    Json& row = rows.emplace_back(Json{{"bytes", static_cast<int64_t>(own.bytes)},
                                       {"microseconds", microseconds(own.seconds)},
                                       {"GB/s", short_number(1e-9 * own.bytes / own.seconds)}});
    if (i < m.messages.size()) row["by MPI alone, microseconds"] = microseconds(m.messages[i].seconds);
  }
  return rows;
}

Json describe(const Measurement& m) {
  double bytes = 0;
  for (const scale::Bucket& bucket : m.step.buckets) bytes += bucket.bytes;
  Json out{{"model", m.model},
           {"data", m.data},
           {"measured on", concat(counted(m.ranks, "rank"), " on ", counted(m.hosts, "host"), ", ", m.device, ", ",
                                  counted(m.threads, "thread"), " a rank")},
           {"a rank's step",
            {{"samples", m.samples},
             {"tokens", m.tokens},
             {"forward, ms", milliseconds(m.forward)},
             {"backward, ms", milliseconds(m.backward)},
             {"optimizer, ms", milliseconds(m.optimizer)},
             {"all of it, ms", milliseconds(m.step.alone())},
             {"forward, us a token", microseconds(m.forward / std::max(1.0, m.tokens))},
             {"backward, us a token", microseconds(m.backward / std::max(1.0, m.tokens))},
             {"all-reduces", m.step.buckets.size()},
             {"their MB", short_number(1e-6 * bytes)}}}};
  if (m.ranks == 1) return out;
  out["step of all ranks, ms"] = milliseconds(m.step_seconds);
  out["all-reduce of a number by the host, us"] = microseconds(m.host_all_reduce);
  out["all-reduce of gradients"] = describe_all_reduce(m);
  return out;
}

Json describe(const scale::Prediction& p) {
  return {{"platform", p.platform},
          {"ranks", p.ranks},
          {"nodes", p.nodes},
          {"step, ms", milliseconds(p.step)},
          {"exposed, ms", milliseconds(p.exposed)},
          {"efficiency, %", short_number(100 * p.efficiency)},
          {"samples/s", short_number(p.samples_per_second)}};
}

// Prints all there is to say, and writes it. On rank 0.
void report(const ScaleOptions& options, const Measurement& m) {
  Json shown = describe(m), file{{"berth_version", version()}, {"measured", scale::json_of(m)}};
  if (const std::filesystem::path simulator = scale::find_simulator(); !simulator.empty()) {
    Json machines = Json::object(), rows = Json::array();
    file["predicted"] = Json::array();
    const auto add = [&](const scale::Platform& platform, int ranks) {
      const scale::Prediction prediction = scale::predict(m, platform, ranks, simulator);
      file["predicted"].push_back(scale::json_of(prediction));
      rows.push_back(describe(prediction));
    };
    for (const std::string& name : options.platforms) {
      const std::optional<scale::Platform> platform = scale::platform(name, options.ranks_per_node, m);
      if (!platform) continue;
      machines[name] = platform->description;
      if (name == "measured" && std::find(options.ranks.begin(), options.ranks.end(), m.ranks) == options.ranks.end())
        add(*platform, m.ranks);
      for (const int ranks : options.ranks) add(*platform, ranks);
    }
    shown["platforms, on which each rank computes as fast as here"] = machines;
    shown["predicted"] = rows;
  } else {
    check_usage(options.from.empty(), scale::without_simulator());
    BOOST_LOG_TRIVIAL(warning) << scale::without_simulator();
  }
  std::cout << describe_as_text(shown) << std::flush;
  if (options.json.empty()) return;
  data::DurableFile written(options.json, ExitCode::kBadInput);
  written.write(data::dump_json(file, 2) + "\n");
  written.commit();
}

int predict_from(const ScaleOptions& options) {
  const std::string origin = options.from.string();
  const auto json = data::parse_json<Json>(data::read_file(options.from), origin);
  check(json.is_object() && json.contains("measured"), origin, ": holds nothing that berth scale --json has written");
  report(options, scale::parse_measurement(json["measured"], origin));
  return static_cast<int>(ExitCode::kOk);
}

}  // namespace

void ScaleOptions::validate() const {
  for (const int number : ranks) check_range("--ranks", number, 1, kMostRanks);
  check_range("--ranks-per-node", ranks_per_node, 1, kMostRanks);
  for (const std::string& name : platforms) scale::check_platform(name);
  const std::filesystem::path folder = json.parent_path();
  check_usage(folder.empty() || std::filesystem::is_directory(folder), "--json ", json.string(), ": there is no folder ",
              folder.string());
}

int run_scale(const ScaleCommand& command, const CommandLine& line) {
  command.scale.validate();
  restore_signals();
  if (!command.scale.from.empty()) return predict_from(command.scale);
  train::TrainOptions options = command.train.options;
  options.output_dir = ".";  // nothing is written there
  options.validate();
  return on_all_ranks(command.train.device, line.log_level, [&](Rank& rank) {
    train::set_precision(options.model_options.precision, rank.comm);
    if (rank.comm.rank() == 0) log_remarks(line.remarks);
    std::unique_ptr<comm::Communicator> messages;
    if (rank.comm.size() > 1 && rank.comm.device_name() == "cpu")
      messages = comm::make_mpi_communicator({.timeout_seconds = command.train.device.timeout, .shared_memory = false});
    const Measurement measurement = scale::measure(options, rank.comm, messages.get());
    comm::agree_on_root(rank.comm, [&] { report(command.scale, measurement); });
    return static_cast<int>(ExitCode::kOk);
  });
}

}  // namespace berth::launch
