#include "trainer/checkpoint/provenance.h"

#include "data/files/files.h"
#include "data/json/json.h"

namespace berth::train {
namespace {

using nlohmann::ordered_json;

// What an earlier job wrote; an empty object if there is none, or a damaged one.
ordered_json read_earlier(const std::filesystem::path& path) {
  if (!std::filesystem::exists(path)) return ordered_json::object();
  const ordered_json earlier = data::find_json<ordered_json>(data::read_file(path)).value_or(nullptr);
  return earlier.is_object() ? earlier : ordered_json::object();
}

}  // namespace

void write_provenance(const std::filesystem::path& run, const Provenance& provenance) {
  const std::filesystem::path path = run / "provenance.json";
  const JobRecord& job = provenance.job;
  const ordered_json earlier = job.from_step > 0 ? read_earlier(path) : ordered_json::object();
  ordered_json jobs = earlier.value("jobs", ordered_json());
  if (!jobs.is_array()) jobs = ordered_json::array();
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
                    {"wait", seconds.wait},
                    {"evaluation", seconds.evaluation},
                    {"checkpoint", seconds.checkpoint},
                    {"lost", seconds.lost}}},
                  {"lost_steps", seconds.lost_steps}});
  if (seconds.steps)
    jobs.back()["step_seconds"] = {
        {"data", seconds.steps->data},           {"forward", seconds.steps->forward},
        {"backward", seconds.steps->backward},   {"reduce", seconds.steps->reduce},
        {"optimizer", seconds.steps->optimizer}, {"reduce_overlapped", seconds.steps->reduce_overlapped}};
  ordered_json text{{"berth_version", provenance.berth_version},
                    {"options", provenance.options},
                    {"changed_options", provenance.changed_options},
                    {"data", provenance.data_sha256},
                    // What the run began with; a job that goes on has read a checkpoint.
                    {"model", earlier.value("model", ordered_json(provenance.model_sha256))}};
  if (!provenance.label_weights.is_null()) text["label_weights"] = provenance.label_weights;
  text["jobs"] = jobs;
  data::write_durably(path, data::dump_json(text, 2) + "\n");
}

}  // namespace berth::train
