#include "trainer/report/run_facts.h"

#include <algorithm>
#include <cmath>
#include <set>
#include <vector>

#include "data/words.h"
#include "trainer/report/goodput.h"
#include "trainer/report/html_parts.h"

namespace berth::train {
namespace {

using page::Json, page::Row;

struct Named {
  const char* key;
  const char* name;
};

constexpr Named kPhases[] = {{"train", "training"},
                             {"evaluation", "evaluating"},
                             {"checkpoint", "checkpoints"},
                             {"start", "starting"},
                             {"wait", "waiting for the slowest rank"},
                             {"lost", "lost with killed jobs"}};
constexpr Named kStepParts[] = {{"forward", "forward"},
                                {"backward", "backward"},
                                {"optimizer", "optimizer"},
                                {"reduce", "waiting for other ranks and reductions"},
                                {"data", "reading data"}};

double sum_over_jobs(const Json& provenance, const char* part, const char* key) {
  double sum = 0;
  for (const Json& job : page::list_at(provenance, "jobs")) {
    const double value = page::number_at(page::member(job, part), key);
    if (std::isfinite(value) && value > 0) sum += value;
  }
  return sum;
}

double seconds_of(const Json& job) {
  double sum = 0;
  for (const Named& phase : kPhases) {
    const double value = page::number_at(page::member(job, "seconds"), phase.key);
    if (std::string_view(phase.key) != "lost" && std::isfinite(value)) sum += value;
  }
  return sum;
}

std::string percent(double share) { return concat(std::lround(1000 * share) / 10.0, " %"); }

std::string hosts_of(const Json& job) {
  const Json& hosts = page::list_at(job, "hosts");
  return hosts.size() <= 4
             ? page::text_of(hosts)
             : concat(hosts.size(), " hosts, ", page::text_of(hosts[0]), " to ", page::text_of(hosts[hosts.size() - 1]));
}

}  // namespace

std::string render_time(const Json& provenance) {
  const std::optional<Goodput> goodput = goodput_of(provenance);
  if (!goodput) return "";
  const auto bar = [&](const char* part, const auto& names) {
    std::vector<page::Part> parts;
    for (const Named& one : names) {
      const double seconds = sum_over_jobs(provenance, part, one.key);
      parts.push_back({one.name, seconds, page::duration(seconds)});
    }
    return page::split_bar(parts);
  };
  std::string told = concat("Goodput ", percent(goodput->ratio()), ": the share of ", page::duration(goodput->total()), " in ",
                            counted(goodput->jobs, "job"), " that trained the model.");
  const double train = sum_over_jobs(provenance, "seconds", "train"), wait = sum_over_jobs(provenance, "seconds", "wait");
  if (train + wait > 0) told += concat(" Ranks waited ", percent(wait / (train + wait)), " of their steps for the slowest one.");
  if (goodput->lost_steps > 0) told += concat(" Killed jobs took ", counted(goodput->lost_steps, "step"), " with them.");
  const std::string steps = bar("step_seconds", kStepParts);
  return page::section("Where the time went", "<p>" + page::escape_html(told) + "</p>" + bar("seconds", kPhases) +
                                                  (steps.empty() ? "" : "<h3>Within the steps</h3>" + steps));
}

std::string render_jobs(const Json& provenance) {
  const Json& jobs = page::list_at(provenance, "jobs");
  std::set<std::string> devices;
  bool slurm = false, lost = false;
  for (const Json& job : jobs) {
    devices.insert(page::string_at(job, "device"));
    slurm |= !page::string_at(job, "slurm_job_id").empty();
    lost |= page::number_at(job, "lost_steps") > 0;
  }
  std::vector<std::string> heads{"#Job"};
  if (slurm) heads.emplace_back("Slurm job");
  heads.insert(heads.end(), {"Started", "#From step", "#Time", "#Ranks", "#Batch a rank", "Hosts"});
  if (lost) heads.emplace_back("#Lost steps before it");
  if (devices.size() > 1) heads.emplace_back("Device");
  std::vector<Row> rows;
  for (const Json& job : jobs) {
    Row row{page::number_cell(std::to_string(rows.size() + 1))};
    if (slurm) row.push_back(page::text_cell(page::string_at(job, "slurm_job_id")));
    std::string started = page::string_at(job, "started");  // "2026-01-01T00:00:00Z"
    std::replace(started.begin(), started.end(), 'T', ' ');
    row.push_back(page::text_cell(started));
    row.push_back(page::number_cell(page::string_at(job, "from_step")));
    row.push_back(page::number_cell(page::duration(seconds_of(job))));
    row.push_back(page::number_cell(page::string_at(job, "ranks")));
    row.push_back(page::number_cell(page::string_at(job, "train_batch_size")));
    row.push_back(page::text_cell(hosts_of(job)));
    if (lost) row.push_back(page::number_cell(page::string_at(job, "lost_steps")));
    if (devices.size() > 1) row.push_back(page::text_cell(page::string_at(job, "device")));
    rows.push_back(std::move(row));
  }
  const std::string device = devices.size() == 1 && !devices.begin()->empty() ? page::note("On " + *devices.begin() + ".") : "";
  return page::section("Jobs", page::table(heads, rows) + (rows.empty() ? "" : device));
}

std::string render_options(const Json& provenance) {
  const Json& options = page::member(provenance, "options");
  const Json& names = page::member(provenance, "changed_options");
  if (!options.is_object()) return "";
  if (!names.is_array()) return page::section("Options", page::key_table(options));  // of an older berth
  Json changed = Json::object(), rest = options;
  for (const Json& name : names) {
    if (!name.is_string() || !rest.contains(name.get<std::string>())) continue;
    changed[name.get<std::string>()] = rest[name.get<std::string>()];
    rest.erase(name.get<std::string>());
  }
  const std::string first = page::key_table(changed);
  return page::section("Options that are not as by default",
                       (first.empty() ? page::note("None.") : first) +
                           page::folded(concat("The other ", rest.size(), " options"), page::key_table(rest)));
}

std::string render_origins(const Json& provenance) {
  if (!provenance.is_object()) return "";
  Json rest = provenance;
  for (const char* shown_elsewhere : {"options", "changed_options", "jobs"}) rest.erase(shown_elsewhere);
  return page::section("Provenance", page::folded("Version, and SHA-256 of data and model", page::key_table(rest)));
}

}  // namespace berth::train
