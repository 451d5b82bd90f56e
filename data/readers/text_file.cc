#include "data/readers/text_file.h"

#include <cerrno>
#include <cstring>
#include <utility>

#include "data/check.h"
#include "data/utf8.h"

namespace berth::data {
namespace {

constexpr size_t kBlock = size_t{1} << 20;

// What people give for text that is none, by how it begins, and what makes text of it.
constexpr std::pair<std::string_view, const char*> kOtherFormats[] = {
    {"\x1F\x8B", "is compressed by gzip; unpack it first: gunzip"},
    {"\x28\xB5\x2F\xFD", "is compressed by zstd; unpack it first: unzstd"},
    {"\xFD"
     "7zXZ",
     "is compressed by xz; unpack it first: unxz"},
    {"BZh91AY&SY", "is compressed by bzip2; unpack it first: bunzip2"},
    {"PK\x03\x04", "is an Excel workbook or another zip archive; save the sheet as CSV (UTF-8), or unzip it"},
    {"\xD0\xCF\x11\xE0", "is an old Excel workbook; save the sheet as CSV (UTF-8)"},
    {"PAR1",
     "is a Parquet file; make JSON Lines of it, in Python by pandas.read_parquet(…).to_json(…, orient=\"records\", lines=True)"},
    {"ARROW1", "is an Arrow file; make JSON Lines of it, in Python by datasets.Dataset.from_file(…).to_json(…)"},
    {"\x89HDF", "is an HDF5 file, not text; what berth prepare wrote is for --data"},
    {"version https://git-lfs.github.com/spec/", "is a pointer of Git LFS, not the file itself: git lfs pull fetches that"}};

}  // namespace

TextFile::TextFile(const Source& source) : path_(source.name) {
  std::error_code error;
  check(std::filesystem::exists(source.path, error), path_.string(), ": no such file");
  check(!std::filesystem::is_directory(source.path, error), path_.string(), ": a folder, not a file");
  total_ = std::filesystem::file_size(source.path, error);
  if (error) total_ = 0;  // a pipe
  stream_.open(source.path, std::ios::binary);
  check(stream_.is_open(), path_.string(), ": cannot be read: ", std::strerror(errno));
  buffer_.resize(kBlock);
  check(fill(), path_.string(), ": the file is empty");
  const std::string_view start(buffer_.data(), end_);
  for (const auto& [begins, what] : kOtherFormats) check(!start.starts_with(begins), path_.string(), ": ", what);
  check(!start.starts_with("\xFF\xFE") && !start.starts_with("\xFE\xFF"), path_.string(),
        ": the file is UTF-16; convert it first: iconv -f UTF-16 -t UTF-8");
  check(start.substr(0, 4).find('\0') == std::string_view::npos, path_.string(),
        ": the file starts with NUL bytes: it is binary, or UTF-16 or -32 (iconv -t UTF-8 converts)");
  if (start.starts_with("\xEF\xBB\xBF")) at_ = 3;
  check(peek() >= 0, path_.string(), ": the file is empty");
}

bool TextFile::fill() {
  before_ += end_;
  at_ = end_ = 0;
  stream_.read(buffer_.data(), static_cast<std::streamsize>(buffer_.size()));
  check(!stream_.bad(), path_.string(), ": cannot be read further at byte ", before_);
  end_ = static_cast<size_t>(stream_.gcount());
  return end_ > 0;
}

bool TextFile::append_until(const bool (&stop)[256], std::string& out) {
  if (at_ == end_ && !fill()) return false;
  size_t to = at_;
  while (to < end_ && !stop[static_cast<unsigned char>(buffer_[to])]) ++to;
  out.append(buffer_, at_, to - at_);
  at_ = to;
  return true;
}

bool TextFile::next_line(std::string& line) {
  line.clear();
  if (peek() < 0) return false;
  while (at_ < end_ || fill()) {
    const char* begin = buffer_.data() + at_;
    const auto* newline = static_cast<const char*>(std::memchr(begin, '\n', end_ - at_));
    const size_t length = newline != nullptr ? static_cast<size_t>(newline - begin) : end_ - at_;
    line.append(begin, length);
    at_ += length + (newline != nullptr);
    check(line.size() <= kMaxRecordBytes, path_.string(), ": a line is longer than ", kMaxRecordBytes >> 20, " MiB");
    if (newline != nullptr) break;
  }
  if (line.ends_with('\r')) line.pop_back();
  return true;
}

void decode(TextEncoding encoding, std::string& text) {
  if (encoding == TextEncoding::kLatin1) {
    text = latin1_to_utf8(text);
    return;
  }
  const auto bad = find_invalid_utf8(text);
  if (!bad) return;
  constexpr const char* kHex = "0123456789ABCDEF";
  const auto byte = static_cast<unsigned char>(text[*bad]);
  fail(ExitCode::kBadInput, "byte ", *bad + 1, " of the text (0x", kHex[byte >> 4], kHex[byte & 15],
       ") is not UTF-8; if the file is Latin-1, say so (--encoding latin1)");
}

}  // namespace berth::data
