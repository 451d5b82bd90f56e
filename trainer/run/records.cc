#include "trainer/run/records.h"

#include <algorithm>
#include <boost/log/trivial.hpp>

#include "trainer/checkpoint/run_owner.h"
#include "trainer/model/device_memory.h"
#include "trainer/report/closing_table.h"
#include "trainer/report/metrics_file.h"
#include "trainer/report/results.h"
#include "trainer/report/tensorboard.h"
#include "trainer/run/card.h"
#include "trainer/run/peak_flops.h"

namespace berth::train {

std::unique_ptr<RunLog> open_log(const TrainOptions& options, const RunState& state, std::vector<std::unique_ptr<Sink>> more) {
  const LoggingOptions& o = options.logging;
  std::vector<std::unique_ptr<Sink>> sinks = std::move(more);
  if (o.report_to.jsonl)
    sinks.push_back(std::make_unique<MetricsFile>(options.output_dir / "metrics.jsonl", state.global_step, state.log_history));
  if (o.report_to.tensorboard)
    sinks.push_back(std::make_unique<TensorBoard>(o.logging_dir.empty() ? options.output_dir / "tensorboard" : o.logging_dir,
                                                  state.global_step));
  sinks.push_back(std::make_unique<ResultsSink>(options.output_dir));
  return std::make_unique<RunLog>(std::move(sinks), state.run_log, state.log_history);
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

Provenance provenance_of(const TrainSetup& setup, const std::string& version, const nlohmann::ordered_json& all_options,
                         comm::Communicator& comm) {
  const OwnerIdentity self = OwnerIdentity::of_this_process();
  std::vector<std::string> hosts = comm.gather(self.host, 0);
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

namespace {

// Calls `write`, which makes the run's record `name`. False, with a warning, if it throws: the run goes on without.
bool try_to_record(const std::filesystem::path& name, const std::function<void()>& write) {
  try {
    write();
    return true;
  } catch (const std::exception& error) {
    BOOST_LOG_TRIVIAL(warning) << name.string() << " was not written: " << error.what() << "; the run goes on without it";
    return false;
  }
}

}  // namespace

void ProvenanceFile::write() {
  if (!written_) written_ = try_to_record(run_ / "provenance.json", [&] { write_provenance(run_, provenance_); });
}

void ProvenanceFile::write(const JobSeconds& seconds) {
  provenance_.job.seconds = seconds;
  written_ = false;
  write();
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
  if (rate > 0) lost.lost = static_cast<double>(lost.lost_steps * global_batch) / rate;
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

void write_closing_table(const std::filesystem::path& run, const nlohmann::ordered_json& log_history) {
  const std::string table = closing_table(log_history);
  if (table.empty()) return;
  BOOST_LOG_TRIVIAL(info) << "the evaluations of this run:\n" << table;
  const std::filesystem::path path = run / "training_results.md";
  try_to_record(path, [&] { data::write_durably(path, table); });
}

}  // namespace berth::train
