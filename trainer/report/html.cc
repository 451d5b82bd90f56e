#include "trainer/report/html.h"

#include <cmath>
#include <cstdio>
#include <limits>
#include <map>
#include <set>

#include "data/check.h"
#include "data/files/files.h"
#include "data/json/json.h"
#include "data/words.h"
#include "trainer/metrics/metrics.h"
#include "trainer/report/goodput.h"
#include "trainer/report/html_style.h"
#include "trainer/report/svg_chart.h"

namespace berth::train {
namespace {

using Json = nlohmann::ordered_json;

std::string text_of(const Json& value) {
  if (value.is_string()) return value.get<std::string>();
  if (value.is_null()) return "–";
  if (value.is_boolean()) return value.get<bool>() ? "yes" : "no";
  if (value.is_number_float()) {
    char text[32];
    std::snprintf(text, sizeof(text), "%.5g", value.get<double>());
    return text;
  }
  if (!value.is_array()) return data::dump_json(value);
  return joined(value, ", ", text_of);
}

// With its unit, which the name says in parts only.
std::string text_of(const std::string& name, const Json& value) {
  if (!value.is_number()) return text_of(value);
  char text[32];
  if (name.ends_with("mem_cpu_peak") || name.ends_with("mem_gpu_peak")) {
    std::snprintf(text, sizeof(text), "%.2f GiB", std::ldexp(value.get<double>(), -30));
    return text;
  }
  return text_of(value) + (name == "train_runtime" ? " s" : "");
}

std::string cell(const Json& value, const std::string& name = "") {
  return concat("<td", value.is_number() ? " class=\"number\"" : "", ">", escape_html(text_of(name, value)), "</td>");
}

std::string section(const std::string& title, const std::string& body) {
  return body.empty() ? "" : concat("<section><h2>", escape_html(title), "</h2>", body, "</section>\n");
}

using Flat = std::vector<std::pair<std::string, const Json*>>;

// Names and values; objects inside get dotted names. What is null was not given.
void collect(const Json& object, const std::string& prefix, Flat& flat) {
  for (const auto& [key, value] : object.items()) {
    if (value.is_object()) {
      collect(value, prefix + key + ".", flat);
    } else if (!value.is_null()) {
      flat.emplace_back(prefix + key, &value);
    }
  }
}

std::string key_table(const Json& object) {
  if (!object.is_object() || object.empty()) return "";
  Flat flat;
  collect(object, "", flat);
  std::string out = "<table class=\"keys\">";
  for (const auto& [key, value] : flat) out += concat("<tr><th>", escape_html(key), "</th>", cell(*value, key), "</tr>");
  return out + "</table>";
}

// The columns are `names`; missing values stay empty.
std::string row_table(const std::vector<std::string>& names, const std::vector<Json>& rows) {
  if (rows.empty()) return "";
  std::string out = "<div class=\"wide\"><table><tr>";
  for (const std::string& name : names) out += "<th>" + escape_html(name) + "</th>";
  out += "</tr>";
  for (const Json& row : rows) {
    out += "<tr>";
    for (const std::string& name : names) out += row.contains(name) ? cell(row[name]) : "<td></td>";
    out += "</tr>";
  }
  return out + "</table></div>";
}

Series series_of(const std::vector<LogRecord>& records, const std::string& key, const std::string& name) {
  Series series{.name = name, .points = {}};
  for (const LogRecord& record : records) {
    if (!record.contains(key)) continue;
    const Json& value = record[key];
    series.points.emplace_back(record["step"].get<double>(),
                               value.is_number() ? value.get<double>() : std::numeric_limits<double>::quiet_NaN());
  }
  return series;
}

std::string chart(const std::string& title, std::vector<Series> series) {
  std::erase_if(series, [](const Series& one) { return one.points.empty(); });
  const std::string svg = render_svg({.title = title, .series = series});
  if (svg.empty()) return "";
  std::string legend;
  for (size_t i = 0; series.size() > 1 && i < series.size(); ++i)
    legend += concat("<span class=\"legend series", i, "\">", escape_html(series[i].name), "</span>");
  return concat("<figure><figcaption>", escape_html(title), legend, "</figcaption>", svg, "</figure>\n");
}

// The evaluation metrics of the records without prefix, in order of appearance; neither loss nor speed.
std::vector<std::string> eval_metrics(const std::vector<LogRecord>& records) {
  std::vector<std::string> names;
  std::set<std::string> seen;
  for (const LogRecord& record : records) {
    for (const auto& [key, value] : record.items()) {
      if (key.starts_with("eval_") && key != "eval_loss" && metric_kind(key) != MetricKind::kSpeed && seen.insert(key).second)
        names.push_back(key.substr(5));
    }
  }
  return names;
}

std::string charts(const std::vector<LogRecord>& records) {
  std::string out = chart("Loss", {series_of(records, "loss", "training"), series_of(records, "eval_loss", "validation")});
  for (const std::string& name : eval_metrics(records))
    out += chart("Validation: " + name, {series_of(records, "eval_" + name, name)});
  out += chart("Learning rate", {series_of(records, "learning_rate", "learning rate")});
  out += chart("Gradient norm", {series_of(records, "grad_norm", "gradient norm")});
  out += chart("Tokens per second", {series_of(records, "tokens_per_second", "tokens per second")});
  out += chart("Share of the GPUs' peak (MFU)", {series_of(records, "mfu", "MFU")});
  return out.empty() ? "" : "<div class=\"charts\">" + out + "</div>";
}

// Training Loss | Epoch | Step | Validation Loss | metrics, a row an evaluation, as in the model cards of transformers.
std::string evaluation_table(const std::vector<LogRecord>& records) {
  std::vector<std::string> names = {"Training Loss", "Epoch", "Step", "Validation Loss"};
  const std::vector<std::string> metrics = eval_metrics(records);
  names.insert(names.end(), metrics.begin(), metrics.end());
  std::vector<Json> rows;
  Json training_loss;
  for (const LogRecord& record : records) {
    if (record.contains("loss")) training_loss = record["loss"];
    if (!record.contains("eval_loss")) continue;
    Json row = {{"Training Loss", training_loss},
                {"Epoch", record.value("epoch", Json())},
                {"Step", record["step"]},
                {"Validation Loss", record["eval_loss"]}};
    for (const std::string& name : metrics) row[name] = record.value("eval_" + name, Json());
    rows.push_back(std::move(row));
  }
  return row_table(names, rows);
}

// The figures one looks for first.
bool is_headline(const std::string& name) {
  for (const char* name_of : {"train_runtime", "train_samples_per_second", "train_mfu", "train_mem_gpu_peak", "train_device"})
    if (name == name_of) return true;
  for (const char* metric : {"_loss", "_accuracy", "_f1", "_pearson", "_spearmanr", "_exact_match", "_perplexity"})
    if (name.ends_with(metric)) return true;
  return false;
}

std::string tiles(const Json& results) {
  if (!results.is_object()) return "";
  std::string out;
  for (const auto& [key, value] : results.items()) {
    if (!is_headline(key)) continue;
    out += concat("<div class=\"tile\"><b>", escape_html(text_of(key, value)), "</b><span>", escape_html(key), "</span></div>");
  }
  return out.empty() ? "" : "<div class=\"tiles\">" + out + "</div>";
}

std::string subtitle(const RunReport& report) {
  std::string out;
  if (!report.records.empty()) {
    const LogRecord& last = report.records.back();
    out = concat("step ", text_of(last["step"]), ", epoch ", text_of(last.value("epoch", Json())),
                 last.contains("train_runtime") ? ", complete" : ", not complete");
  }
  if (report.provenance.is_object())
    out += (out.empty() ? "" : " · ") + text_of(report.provenance.value("berth_version", Json()));
  return out;
}

std::string jobs_table(const Json& provenance) {
  const Json jobs = provenance.is_object() ? provenance.value("jobs", Json()) : Json();
  if (!jobs.is_array() || jobs.empty() || !jobs[0].is_object()) return "";
  std::vector<std::string> names;
  for (const auto& [key, value] : jobs[0].items())
    if (key != "seconds" && key != "lost_steps") names.push_back(key);
  return row_table(names, {jobs.begin(), jobs.end()});
}

// Where the time of all jobs went.
Json goodput_table(const Json& provenance) {
  const std::optional<Goodput> goodput = goodput_of(provenance);
  if (!goodput) return Json::object();
  Json table{{"share of the time that trained the model", goodput->ratio()}, {"seconds in all", goodput->total()}};
  for (const auto& [name, seconds] : goodput->seconds) table["seconds: " + name] = seconds;
  if (goodput->lost_steps > 0) table["steps of killed jobs"] = goodput->lost_steps;
  return table;
}

// What is left of the provenance, e.g. the hashes of data and model.
Json other_provenance(const Json& provenance) {
  Json rest = provenance.is_object() ? provenance : Json::object();
  for (const char* shown_elsewhere : {"options", "jobs", "berth_version"}) rest.erase(shown_elsewhere);
  return rest;
}

Json read_json(const std::filesystem::path& path) {
  if (!std::filesystem::exists(path)) return nullptr;
  return data::parse_json<Json>(data::read_file(path), path.string());
}

}  // namespace

std::string render_html(const RunReport& report) {
  const std::string name = escape_html(report.name);
  const Json& provenance = report.provenance;
  const Json options = provenance.is_object() ? provenance.value("options", Json()) : Json();
  return concat("<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">",
                "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">",
                "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">",
                "<title>", name, " · berth</title>\n<style>", kHtmlStyle, "</style></head>\n<body><main><header><h1>", name,
                "</h1><p>", escape_html(subtitle(report)), "</p></header>\n", tiles(report.results), "\n", charts(report.records),
                section("Evaluations", evaluation_table(report.records)), section("Results", key_table(report.results)),
                section("Jobs", jobs_table(provenance)), section("Goodput", key_table(goodput_table(provenance))),
                section("Options", key_table(options)), section("Provenance", key_table(other_provenance(provenance))),
                "</main></body></html>\n");
}

std::optional<std::filesystem::path> write_report(const std::filesystem::path& run) {
  // The name of a run given as "." or "runs/a/" too.
  std::filesystem::path name = std::filesystem::weakly_canonical(run).filename();
  const RunReport report{.name = name.string(),
                         .records = read_records(run / "metrics.jsonl"),
                         .results = read_json(run / "all_results.json"),
                         .provenance = read_json(run / "provenance.json")};
  if (report.records.empty() && !report.results.is_object()) return std::nullopt;
  const std::filesystem::path path = run / "report.html";
  data::write_durably(path, render_html(report));
  return path;
}

}  // namespace berth::train
