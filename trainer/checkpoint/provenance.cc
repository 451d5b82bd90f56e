#include "trainer/checkpoint/provenance.h"

#include "data/files/files.h"
#include "data/json/json.h"

namespace berth::train {
namespace {

using nlohmann::ordered_json;

ordered_json earlier_jobs(const std::filesystem::path& path) {
  if (!std::filesystem::exists(path)) return ordered_json::array();
  const ordered_json earlier = data::find_json<ordered_json>(data::read_file(path)).value_or(nullptr);
  const bool listed = earlier.is_object() && earlier.contains("jobs") && earlier["jobs"].is_array();
  return listed ? earlier["jobs"] : ordered_json::array();
}

}  // namespace

void write_provenance(const std::filesystem::path& run, const Provenance& provenance) {
  const std::filesystem::path path = run / "provenance.json";
  const JobRecord& job = provenance.job;
  ordered_json jobs = job.from_step > 0 ? earlier_jobs(path) : ordered_json::array();
  if (!jobs.empty() && jobs.back().is_object() && jobs.back().value("started", ordered_json()) == job.started &&
      jobs.back().value("from_step", ordered_json()) == job.from_step)
    jobs.erase(jobs.size() - 1);
  const JobSeconds& seconds = job.seconds;
  jobs.push_back({{"slurm_job_id", job.slurm_job_id},
                  {"hosts", job.hosts},
                  {"device", job.device},
                  {"ranks", job.ranks},
                  {"train_batch_size", job.train_batch_size},
                  {"started", job.started},
                  {"from_step", job.from_step},
                  {"seconds",
                   {{"start", seconds.start},
                    {"train", seconds.train},
                    {"evaluation", seconds.evaluation},
                    {"checkpoint", seconds.checkpoint},
                    {"lost", seconds.lost}}},
                  {"lost_steps", seconds.lost_steps}});
  ordered_json text{{"berth_version", provenance.berth_version},
                    {"options", provenance.options},
                    {"data", provenance.data_sha256},
                    {"model", provenance.model_sha256}};
  if (!provenance.label_weights.is_null()) text["label_weights"] = provenance.label_weights;
  text["jobs"] = jobs;
  data::write_durably(path, data::dump_json(text, 2) + "\n");
}

}  // namespace berth::train
