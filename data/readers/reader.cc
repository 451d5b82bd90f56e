#include "data/readers/reader.h"

#include "data/check.h"
#include "data/readers/delimited.h"
#include "data/readers/jsonl.h"

namespace berth::data {
namespace {

FileFormat tell_format(const std::filesystem::path& path) {
  const std::string ending = path.extension().string();
  if (ending == ".csv") return FileFormat::kCsv;
  if (ending == ".tsv") return FileFormat::kTsv;
  if (ending == ".jsonl" || ending == ".ndjson" || ending == ".json") return FileFormat::kJsonl;
  TextFile file(path);
  std::string line;
  file.next_line(line);
  if (line.starts_with('{')) return FileFormat::kJsonl;
  if (line.find('\t') != std::string::npos) return FileFormat::kTsv;
  fail(ExitCode::kUsage, path.string(), ": neither name nor first line tells the format; say it (--format csv, tsv or jsonl)");
}

}  // namespace

std::unique_ptr<RecordReader> open_reader(const std::filesystem::path& path, const ReaderOptions& options) {
  const FileFormat format = options.format == FileFormat::kAuto ? tell_format(path) : options.format;
  if (format == FileFormat::kJsonl) return std::make_unique<JsonlReader>(path, options);
  return std::make_unique<DelimitedReader>(path, format == FileFormat::kTsv ? Dialect::tsv() : Dialect::csv(), options);
}

FileFormat find_format(const std::string& name) {
  if (name == "auto") return FileFormat::kAuto;
  if (name == "csv") return FileFormat::kCsv;
  if (name == "tsv") return FileFormat::kTsv;
  if (name == "jsonl") return FileFormat::kJsonl;
  fail(ExitCode::kUsage, "unknown format '", name, "'; known are: auto, csv, tsv, jsonl");
}

}  // namespace berth::data
