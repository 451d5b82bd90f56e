#include "trainer/report/html.h"

#include <cmath>

#include "data/check.h"
#include "data/files/files.h"
#include "data/json/json.h"
#include "trainer/report/analysis_page.h"
#include "trainer/report/comparison.h"
#include "trainer/report/evaluations.h"
#include "trainer/report/html_parts.h"
#include "trainer/report/run_charts.h"
#include "trainer/report/run_facts.h"

namespace berth::train {
namespace {

using page::Json, page::Row;

constexpr size_t kMostMetricTiles = 4;

std::string step_of(const LogRecord& record) { return page::text_of(record["step"]); }

// A metric at its best, and what it was in the end.
page::Tile metric_tile(const Evaluations& evaluations, const std::string& metric, bool first) {
  const std::string key = "eval_" + metric;
  const bool greater = metric == evaluations.metric ? evaluations.greater : greater_is_better(metric_kind(metric));
  const LogRecord* best = best_of(evaluations.all, key, greater);
  const LogRecord* last = evaluations.last();
  page::Tile tile{.value = "–", .name = "validation " + metric, .more = "", .first = first};
  if (best == nullptr) return tile;
  tile.value = page::metric_text(page::number_at(*best, key));
  const std::string at_last = page::metric_text(page::number_at(*last, key));
  if (evaluations.all.size() == 1)
    tile.more = "step " + step_of(*best);
  else if (best == last)
    tile.more = "best and last, step " + step_of(*best);
  else if (at_last == tile.value)
    tile.more = concat("best and last, since step ", step_of(*best));
  else
    tile.more = concat("best, step ", step_of(*best), " · last ", at_last);
  return tile;
}

// Metrics first, the one that chooses the best model before all.
std::vector<page::Tile> metric_tiles(const RunReport& report, const Evaluations& evaluations) {
  std::vector<page::Tile> all;
  if (!evaluations.all.empty()) {
    if (evaluations.metric != "loss") all.push_back(metric_tile(evaluations, evaluations.metric, true));
    for (const std::string& metric : evaluations.metrics)
      if (all.size() < kMostMetricTiles && metric != evaluations.metric && is_headline(metric))
        all.push_back(metric_tile(evaluations, metric, all.empty()));
    all.push_back(metric_tile(evaluations, "loss", false));
  }
  size_t tests = 0;
  if (report.results.is_object())
    for (const auto& [key, value] : report.results.items())
      if (key.starts_with("test_") && value.is_number() && is_headline(key.substr(5)) && tests++ < kMostMetricTiles)
        all.push_back({page::metric_text(value.get<double>()), "test " + key.substr(5), "of the final model"});
  return all;
}

std::vector<page::Tile> run_tiles(const RunReport& report) {
  std::vector<page::Tile> all;
  const auto add = [&](const char* key, const char* name, const std::string& more) {
    const Json& value = page::member(report.results, key);
    if (!value.is_null()) all.push_back({page::result_text(key, value), name, more});
  };
  add("train_loss", "training loss", "mean over the run");
  add("train_runtime", "in steps", "");
  add("train_samples_per_second", "samples a second", "");
  add("train_mfu", "of the GPUs' peak (MFU)", "");
  add("train_mem_cpu_peak", "memory", "the most of a rank");
  add("train_mem_gpu_peak", "GPU memory", "the most of a rank");
  add("train_device", "device", "");
  return all;
}

std::string which_model(const RunReport& report, const Evaluations& evaluations, bool complete) {
  const Json options = page::member(report.provenance, "options");
  const std::string loads = page::string_at(options, "load-best-model-at-end");
  if (!complete || evaluations.all.empty() || !options.is_object()) return "";
  if (loads.empty() || loads == "false")
    return page::note(concat("The model in this folder is that of the last step",
                             evaluations.best == nullptr ? "."
                                                         : concat("; the best validation ", evaluations.metric, " was at step ",
                                                                  step_of(*evaluations.best), ".")));
  return evaluations.best == nullptr ? ""
                                     : page::note(concat("The model in this folder is that of step ", step_of(*evaluations.best),
                                                         ", which has the best validation ", evaluations.metric, "."));
}

// Training Loss | Epoch | Step | Validation Loss | metrics, a row an evaluation, as in the model cards of transformers.
std::string evaluation_table(const std::vector<LogRecord>& records, const Evaluations& evaluations) {
  std::vector<std::string> heads{"#Step", "#Epoch", "#Training loss", "#Validation loss"};
  for (const std::string& metric : evaluations.metrics) heads.push_back("#" + metric);
  std::vector<Row> rows;
  double training_loss = std::nan("");
  for (const LogRecord& record : records) {
    if (record.contains("loss")) training_loss = page::number_at(record, "loss");
    if (!record.contains("eval_loss")) continue;
    const std::string best = &record == evaluations.best ? " ★" : "";
    Row row{page::number_cell(step_of(record) + best), page::number_cell(page::text_of(page::member(record, "epoch"))),
            page::metric_cell(training_loss), page::metric_cell(page::number_at(record, "eval_loss"))};
    for (const std::string& metric : evaluations.metrics)
      row.push_back(page::json_cell(page::member(record, "eval_" + metric), metric));
    rows.push_back(std::move(row));
  }
  return page::table(heads, rows);
}

std::vector<Mark> marks_of(const RunReport& report, const Evaluations& evaluations) {
  std::vector<Mark> marks;
  double before = 0;
  for (const Json& job : page::list_at(report.provenance, "jobs"))
    if (const double step = page::number_at(job, "from_step"); step > 0 && step != before)
      marks.push_back({.x = before = step, .name = "resumed"});
  if (evaluations.best != nullptr && evaluations.all.size() > 1)
    marks.push_back({.x = page::number_at(*evaluations.best, "step"), .name = "best", .good = true});
  return marks;
}

Json read_json(const std::filesystem::path& path) {
  if (!std::filesystem::exists(path)) return nullptr;
  return data::parse_json<Json>(data::read_file(path), path.string());
}

}  // namespace

std::string render_html(const RunReport& report) {
  const Json& provenance = report.provenance;
  const Evaluations evaluations = evaluations_of(report.records, page::member(provenance, "options"));
  std::string subtitle;
  bool complete = false;
  if (!report.records.empty()) {
    const LogRecord& last = report.records.back();
    complete = last.contains("train_runtime");
    subtitle = concat("step ", step_of(last), ", epoch ", page::text_of(page::member(last, "epoch")),
                      complete ? ", complete" : ", not complete");
  }
  if (const std::string version = page::string_at(provenance, "berth_version"); !version.empty())
    subtitle += (subtitle.empty() ? "" : " · ") + version;
  return page::document(
      report.name, subtitle,
      concat(page::tiles(metric_tiles(report, evaluations)), which_model(report, evaluations, complete),
             page::tiles(run_tiles(report)), render_curves(report.records, evaluations, marks_of(report, evaluations)),
             page::section("Evaluations", evaluation_table(report.records, evaluations)), render_analysis(report.eval_analysis),
             render_analysis(report.test_analysis), render_time(provenance), render_jobs(provenance), render_options(provenance),
             page::section("Results", page::folded("All numbers of all_results.json", page::key_table(report.results))),
             render_origins(provenance)));
}

std::optional<RunReport> read_run(const std::filesystem::path& run) {
  // The name of a run given as "." or "runs/a/" too.
  const std::filesystem::path whole = std::filesystem::weakly_canonical(run);
  RunReport report{.name = (whole.has_filename() ? whole : whole.parent_path()).filename().string(),
                   .records = read_records(run / "metrics.jsonl"),
                   .results = read_json(run / "all_results.json"),
                   .provenance = read_json(run / "provenance.json"),
                   .eval_analysis = read_json(run / "eval_analysis.json"),
                   .test_analysis = read_json(run / "test_analysis.json")};
  return report.records.empty() && !report.results.is_object() ? std::nullopt : std::optional(std::move(report));
}

std::optional<std::string> render_folder(const std::filesystem::path& folder) {
  if (const Json sweep = read_json(folder / "sweep.json"); sweep.is_object())
    return render_sweep(std::filesystem::weakly_canonical(folder), sweep);
  const std::optional<RunReport> report = read_run(folder);
  return report ? std::optional(render_html(*report)) : std::nullopt;
}

std::optional<std::filesystem::path> write_report(const std::filesystem::path& run) {
  const std::optional<std::string> html = render_folder(run);
  if (!html) return std::nullopt;
  std::filesystem::path path = run / kReportFile;
  data::write_durably(path, *html);
  return path;
}

}  // namespace berth::train
