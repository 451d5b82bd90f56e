#include "trainer/run/records.h"

#include <algorithm>
#include <array>
#include <boost/log/trivial.hpp>
#include <cstdlib>

#include "data/check.h"
#include "data/files/files.h"
#include "data/json/json.h"
#include "data/words.h"
#include "trainer/checkpoint/run_owner.h"
#include "trainer/model/device_memory.h"
#include "trainer/report/closing_table.h"
#include "trainer/report/metrics_file.h"
#include "trainer/report/results.h"
#include "trainer/report/tensorboard.h"
#include "trainer/run/card.h"
#include "trainer/run/peak_flops.h"

namespace berth::train {

namespace {

std::filesystem::path tensorboard_folder(const TrainOptions& options) {
  const LoggingOptions& o = options.logging;
  return o.logging_dir.empty() ? options.output_dir / "tensorboard" : o.logging_dir;
}

}  // namespace

std::unique_ptr<RunLog> open_log(const TrainOptions& options, const RunState& state, std::vector<std::unique_ptr<Sink>> more) {
  const LoggingOptions& o = options.logging;
  std::vector<std::unique_ptr<Sink>> sinks = std::move(more);
  if (o.report_to.jsonl)
    sinks.push_back(std::make_unique<MetricsFile>(options.output_dir / "metrics.jsonl", state.global_step, state.log_history));
  if (o.report_to.tensorboard) sinks.push_back(std::make_unique<TensorBoard>(tensorboard_folder(options), state.global_step));
  sinks.push_back(std::make_unique<ResultsSink>(options.output_dir));
  return std::make_unique<RunLog>(std::move(sinks), state.run_log, state.log_history);
}

void sync_log(const TrainOptions& options) {
  if (!options.logging.report_to.tensorboard) return;
  try {
    sync_event_files(tensorboard_folder(options));
  } catch (const std::exception& error) {
    BOOST_LOG_TRIVIAL(warning) << "should this machine fail, TensorBoard's curve may lack records: " << error.what();
  }
}

double peak_flops_of_ranks(const ModelOptions& options, comm::Communicator& comm) {
  const PrecisionOptions& precision = options.precision;
  const ProductType type = precision.bf16   ? ProductType::kBf16
                           : precision.fp16 ? ProductType::kFp16
                           : precision.tf32 ? ProductType::kTf32
                                            : ProductType::kFp32;
  double sum = peak_flops(device_model(comm.device_name()), type);
  comm.all_reduce_sum(std::span<double>(&sum, 1));
  return sum;
}

MemoryPeak memory_peak(const comm::Communicator& comm) {
  const at::Device device = comm.device();
  return {.cpu = peak_host_memory(), .gpu = device.is_cpu() ? 0 : device_memory(device).peak};
}

MemoryPeak memory_peak_of_ranks(comm::Communicator& comm) {
  const MemoryPeak own = memory_peak(comm);
  int64_t most[] = {own.cpu, own.gpu};
  comm.all_reduce_max(most);
  return {.cpu = most[0], .gpu = most[1]};
}

std::vector<std::string> hosts_of_ranks(comm::Communicator& comm) {
  return comm.gather(OwnerIdentity::of_this_process().host, 0);
}

Provenance provenance_of(const TrainSetup& setup, const std::string& version, const nlohmann::ordered_json& all_options,
                         std::vector<std::string> hosts, const comm::Communicator& comm) {
  const OwnerIdentity self = OwnerIdentity::of_this_process();
  std::sort(hosts.begin(), hosts.end());
  hosts.erase(std::unique(hosts.begin(), hosts.end()), hosts.end());
  return {.berth_version = version,
          .options = all_options,
          .data_sha256 = setup.dataset->info().source_sha256,
          .model_sha256 = setup.model_sha256,
          .label_weights = setup.label_weights.empty() ? nlohmann::ordered_json()
                                                       : weights_by_name(setup.label_weights, setup.dataset->info().label_names),
          .job = {.slurm_job_id = self.slurm_job_id,
                  .hosts = hosts,
                  .device = comm.device_name(),
                  .ranks = comm.size(),
                  .train_batch_size = setup.state.train_batch_size,
                  .started = self.started,
                  .from_step = setup.state.global_step}};
}

bool try_to_record(const std::filesystem::path& name, const std::function<void()>& write) {
  try {
    write();
    return true;
  } catch (const std::exception& error) {
    BOOST_LOG_TRIVIAL(warning) << name.string() << " was not written: " << error.what() << "; the run goes on without it";
    return false;
  }
}

void ProvenanceFile::write() {
  if (!written_) written_ = try_to_record(run_ / "provenance.json", [&] { write_provenance(run_, provenance_); });
}

void ProvenanceFile::write(const JobSeconds& seconds) {
  provenance_.job.seconds = seconds;
  written_ = false;
  write();
}

namespace {

// A value of an option as provenance.json has it: whatever was typed, or the default as text.
bool is_same_value(const nlohmann::ordered_json& a, const nlohmann::ordered_json& b) {
  const auto text = [](const nlohmann::ordered_json& value) {
    return value.is_null() ? "false" : value.is_string() ? value.get<std::string>() : data::dump_json(value);
  };
  const std::string first = text(a), second = text(b);
  char *first_end = nullptr, *second_end = nullptr;
  const double one = std::strtod(first.c_str(), &first_end), other = std::strtod(second.c_str(), &second_end);
  const bool numbers = first_end != first.c_str() && *first_end == '\0' && second_end != second.c_str() && *second_end == '\0';
  return numbers ? one == other : first == second;
}

}  // namespace

void tell_idle_options(const std::filesystem::path& run, const nlohmann::ordered_json& all_options) {
  // How the job is started, and what was compared already.
  constexpr std::array kNotOfTheRun{"allow-change",
                                    "data",
                                    "ddp-timeout",
                                    "device",
                                    "disable-tqdm",
                                    "log-level",
                                    "max-steps",
                                    "max-time",
                                    "model",
                                    "output-dir",
                                    "num-train-epochs",
                                    "overwrite-output-dir",
                                    "resume-from-checkpoint",
                                    "threads"};
  try {
    const auto provenance = data::find_json<nlohmann::ordered_json>(data::read_file(run / "provenance.json"));
    if (!provenance || !provenance->is_object()) return;
    const nlohmann::ordered_json began = provenance->value("options", nlohmann::ordered_json::object());
    std::vector<std::string> idle;
    for (const auto& [name, value] : all_options.items())
      if (began.contains(name) && !is_same_value(began[name], value) &&
          std::find(kNotOfTheRun.begin(), kNotOfTheRun.end(), name) == kNotOfTheRun.end())
        idle.push_back("--" + name);
    if (!idle.empty()) BOOST_LOG_TRIVIAL(warning) << joined(idle) << ": without effect, for the run ended with other values";
  } catch (const Error&) {  // no record of what it began with
  }
}

JobSeconds lost_after(int64_t step, int64_t global_batch, const std::filesystem::path& run) {
  JobSeconds lost;
  double rate = 0;  // samples a second
  for (const LogRecord& record : read_records(run / "metrics.jsonl")) {
    const int64_t logged = record.value("step", int64_t{0});
    if (logged <= step || record.contains("train_runtime")) continue;
    lost.lost_steps = std::max(lost.lost_steps, logged - step);
    if (const auto speed = record.find("samples_per_second"); speed != record.end() && speed->is_number())
      rate = speed->get<double>();
  }
  if (rate > 0) lost.lost = static_cast<double>(lost.lost_steps) * static_cast<double>(global_batch) / rate;
  return lost;
}

void write_card(const TrainOptions& options, const TrainSetup& setup, const std::string& command, const std::string& version,
                int64_t model_step) {
  try_to_record(options.output_dir / "README.md", [&] {
    if (!write_model_card(options.output_dir, to_markdown(make_card(options, setup, command, version, model_step))))
      BOOST_LOG_TRIVIAL(info) << (options.output_dir / "README.md").string()
                              << " is not berth's: it stays, there is no model card";
  });
}

void write_analysis(const std::filesystem::path& run, const data::Split& split, int64_t step, const EvalResult& result) {
  if (result.analysis.is_null()) return;
  try_to_record(run / "eval_analysis.json", [&] {
    write_analysis(run, "eval", {{"split", split.name()}, {"samples", result.samples}, {"step", step}}, result.analysis);
  });
}

void write_closing_table(const std::filesystem::path& run, const nlohmann::ordered_json& log_history) {
  const std::string table = closing_table(log_history);
  if (table.empty()) return;
  BOOST_LOG_TRIVIAL(info) << "the evaluations of this run:\n" << table;
  const std::filesystem::path path = run / "training_results.md";
  try_to_record(path, [&] { data::write_durably(path, table); });
}

}  // namespace berth::train
