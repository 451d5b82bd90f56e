#include "data/readers/reader.h"

#include <map>

#include "data/check.h"
#include "data/readers/conll.h"
#include "data/readers/delimited.h"
#include "data/readers/jsonl.h"
#include "data/readers/lines.h"
#include "data/readers/squad.h"

namespace berth::data {
namespace {

FileFormat tell_format(const Source& source, const ReaderOptions& options) {
  const std::string ending = source.name.extension().string();
  if (ending == ".csv") return FileFormat::kCsv;
  if (ending == ".tsv") return options.kind == RecordKind::kWords ? FileFormat::kConll : FileFormat::kTsv;
  if (ending == ".jsonl" || ending == ".ndjson" || ending == ".json") return FileFormat::kJsonl;
  std::error_code unlike;
  check_usage(!std::filesystem::exists(source.path, unlike) || std::filesystem::is_regular_file(source.path, unlike),
              source.name.string(), ": is no file, of which the first line could tell the format: say it (--format)");
  TextFile file(source);
  std::string line;
  file.next_line(line);
  if (line.starts_with('{')) return FileFormat::kJsonl;
  if (options.kind == RecordKind::kWords) return FileFormat::kConll;
  if (ending == ".txt" && !options.need_label) return FileFormat::kLines;
  if (line.find('\t') != std::string::npos) return FileFormat::kTsv;
  fail(ExitCode::kUsage, source.name.string(),
       ": neither name nor first line tells the format; say it (--format csv, tsv, jsonl, conll or text)");
}

// CSV with semicolons, as spreadsheets write it where a comma is the decimal point: told by a header that has usual or the given names then.
Dialect csv_of(const Source& source, const ReaderOptions& options) {
  std::error_code unlike;
  if (!std::filesystem::is_regular_file(source.path, unlike)) return Dialect::csv();
  TextFile file(source);
  std::string line;
  file.next_line(line);
  if (line.find(',') != std::string::npos) return Dialect::csv();
  std::vector<std::string> cells(1);
  for (const char c : line) {
    if (c == ';')
      cells.emplace_back();
    else if (c != '"')
      cells.back() += c;
  }
  return cells.size() > 1 && looks_like_header(cells, options.columns) ? Dialect{';', true} : Dialect::csv();
}

}  // namespace

std::unique_ptr<RecordReader> open_reader(const Source& source, const ReaderOptions& options) {
  if (options.kind == RecordKind::kQuestions) {
    check_usage(options.format == FileFormat::kAuto || options.format == FileFormat::kJsonl, source.name.string(),
                ": questions are read from SQuAD's JSON and from JSON Lines");
    return std::make_unique<SquadReader>(source, options);
  }
  if (options.format == FileFormat::kAuto && std::filesystem::is_directory(source.path)) {
    check(std::filesystem::exists(source.path / "seq.in"), source.name.string(),
          ": is a folder without seq.in: give a file; of folders those are read that hold seq.in with seq.out or label");
    return std::make_unique<SequenceFolderReader>(source.path, options);
  }
  const FileFormat format = options.format == FileFormat::kAuto ? tell_format(source, options) : options.format;
  // New sentences need no words; the tokenizer finds them.
  check_usage(
      options.kind != RecordKind::kWords || !options.need_label || format == FileFormat::kJsonl || format == FileFormat::kConll,
      source.name.string(), ": words and tags are read from CoNLL files, JSON Lines and folders with seq.in and seq.out");
  switch (format) {
    case FileFormat::kJsonl:
      return std::make_unique<JsonlReader>(source, options);
    case FileFormat::kConll:
      check_usage(options.kind == RecordKind::kWords, source.name.string(),
                  ": CoNLL files hold words and tags, for --task token-classification");
      return std::make_unique<ConllReader>(source, options);
    case FileFormat::kLines:
      return std::make_unique<LinesReader>(source, options);
    default:
      return std::make_unique<DelimitedReader>(source, format == FileFormat::kTsv ? Dialect::tsv() : csv_of(source, options),
                                               options);
  }
}

FileFormat find_format(const std::string& name) {
  static const std::map<std::string, FileFormat> known{{"auto", FileFormat::kAuto},   {"csv", FileFormat::kCsv},
                                                       {"tsv", FileFormat::kTsv},     {"jsonl", FileFormat::kJsonl},
                                                       {"conll", FileFormat::kConll}, {"text", FileFormat::kLines}};
  const auto found = known.find(name);
  check_usage(found != known.end(), "unknown format '", name, "'; known are: auto, csv, tsv, jsonl, conll, text");
  return found->second;
}

}  // namespace berth::data
