#include "data/files/record_file.h"

#include <utility>

#include "data/check.h"
#include "data/files/failpoint.h"
#include "data/words.h"

namespace berth::data {
namespace {

constexpr size_t kMostWaiting = size_t{1} << 20;

}  // namespace

RecordFile::RecordFile(std::filesystem::path name, std::function<std::filesystem::path()> open, Tell tell)
    : name_(std::move(name)), open_(std::move(open)), tell_(std::move(tell)) {
  write_waiting();
}

RecordFile::~RecordFile() {
  if (!failure_.empty() && !write_waiting()) {
    tell_(concat(name_.string(), " lacks ", counted(records_waiting_ + records_lost_, "record"), ": ", failure_));
    return;
  }
  sync();
}

void RecordFile::sync() {
  try {
    if (file_) file_->sync();
  } catch (const Error& error) {
    tell_(concat(name_.string(), " may lack records: ", error.what()));
  }
}

void RecordFile::append(std::string_view record) {
  failpoint("record");
  if (waiting_.empty() || waiting_.size() + record.size() <= kMostWaiting) {
    waiting_ += record;
    ++records_waiting_;
  } else {
    ++records_lost_;
  }
  write_waiting();
}

bool RecordFile::write_waiting() {
  try {
    if (!file_) file_.emplace(open_());
    file_->append(waiting_);
  } catch (const std::exception& error) {
    if (failure_.empty())
      tell_(concat(error.what(), "; work goes on, and what is missing there is written when that works again"));
    failure_ = error.what();
    return false;
  }
  waiting_.clear();
  records_waiting_ = 0;
  if (!failure_.empty())
    tell_(concat(name_.string(), ": written again, ",
                 records_lost_ == 0 ? "nothing is lost" : counted(records_lost_, "record") + " of that time lost"));
  records_lost_ = 0;
  failure_.clear();
  return true;
}

}  // namespace berth::data
