#include "data/readers/lines.h"

#include "data/check.h"

namespace berth::data {

LinesReader::LinesReader(const Source& source, const ReaderOptions& options)
    : file_(source), encoding_(options.encoding), keep_blank_lines_(options.keep_blank_lines) {
  check(!options.need_label, source.name.string(), ": plain text has no labels");
}

bool LinesReader::next(Record& record) {
  record = Record{};
  while (file_.next_line(record.text)) {
    ++line_number_;
    if (!keep_blank_lines_ && is_blank(record.text)) continue;
    record.row = ++row_;
    in_context([&] { return concat(file_.path().string(), ": row ", row_, " (line ", line_number_, ")"); },
               [&] { decode(encoding_, record.text); });
    return true;
  }
  return false;
}

}  // namespace berth::data
