#include "trainer/report/tensorboard.h"

#include <unistd.h>

#include <algorithm>
#include <boost/crc.hpp>
#include <boost/log/trivial.hpp>
#include <chrono>
#include <cmath>

#include "data/check.h"
#include "data/files/record_file.h"
#include "trainer/report/event.pb.h"

namespace berth::train {
namespace {

constexpr std::string_view kFilePrefix = "events.out.tfevents.";

template <class Integer>
void append_little_endian(std::string& out, Integer value) {
  for (size_t i = 0; i < sizeof(Integer); ++i) out.push_back(static_cast<char>((value >> (8 * i)) & 0xff));
}

double now() { return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count(); }

// The callback's naming: eval_x -> eval/x, test_x -> test/x, all else train/….
std::string tag(const std::string& name) {
  for (const std::string_view prefix : {"eval", "test"}) {
    if (name.size() > prefix.size() && name.starts_with(prefix) && name[prefix.size()] == '_') {
      return std::string(prefix) + "/" + name.substr(prefix.size() + 1);
    }
  }
  return "train/" + name;
}

// The seconds in an event file's name; 0 if it is none.
int64_t seconds_in_name(const std::string& name) {
  if (!name.starts_with(kFilePrefix)) return 0;
  return std::strtoll(name.c_str() + kFilePrefix.size(), nullptr, 10);
}

// TensorBoard reads a folder's files in order of their names, which start with the time: a new file's is later than all others',
// also where the clocks of two hosts differ.
std::filesystem::path new_file(const std::filesystem::path& folder) {
  data::make_folders(folder);
  int64_t seconds = static_cast<int64_t>(now());
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    seconds = std::max(seconds, seconds_in_name(entry.path().filename().string()) + 1);
  }
  char host[256] = "";
  ::gethostname(host, sizeof(host) - 1);
  return folder / concat(kFilePrefix, seconds, ".", host, ".", ::getpid(), ".berth");
}

}  // namespace

uint32_t masked_crc32c(std::string_view bytes) {
  boost::crc_optimal<32, 0x1EDC6F41, 0xFFFFFFFF, 0xFFFFFFFF, true, true> crc;
  crc.process_bytes(bytes.data(), bytes.size());
  const auto value = static_cast<uint32_t>(crc.checksum());
  return ((value >> 15) | (value << 17)) + 0xa282ead8u;
}

std::string frame_record(std::string_view payload) {
  std::string out;
  append_little_endian(out, static_cast<uint64_t>(payload.size()));
  append_little_endian(out, masked_crc32c(out));
  out += payload;
  append_little_endian(out, masked_crc32c(payload));
  return out;
}

struct TensorBoard::Writer {
  explicit Writer(const std::filesystem::path& folder)
      : file(
            folder, [folder] { return new_file(folder); }, [](const std::string& what) { BOOST_LOG_TRIVIAL(warning) << what; }) {}

  void write(events::Event& event, int64_t step) {
    event.set_wall_time(now());
    event.set_step(step);
    file.append(frame_record(event.SerializeAsString()));
  }

  // `epoch` comes with each log; an evaluation at the same step would show it twice.
  void write(int64_t step, const Metrics& values, bool with_epoch = false) {
    events::Event event;
    for (const Metric& metric : values) {
      if (metric.name == "epoch" && !with_epoch) continue;
      auto* added = event.mutable_summary()->add_value();
      added->set_tag(tag(metric.name));
      added->set_simple_value(static_cast<float>(metric.value));
    }
    write(event, step);
  }

  data::RecordFile file;
};

TensorBoard::TensorBoard(const std::filesystem::path& folder, int64_t resume_step) : writer_(std::make_unique<Writer>(folder)) {
  events::Event version;
  version.set_file_version("brain.Event:2");
  writer_->write(version, 0);
  events::Event start;
  start.mutable_session_log()->set_status(events::SessionLog::START);
  writer_->write(start, resume_step + 1);
}

TensorBoard::~TensorBoard() = default;

void TensorBoard::log(const LogReport& report) { writer_->write(report.step, scalars(report), /*with_epoch=*/true); }

void TensorBoard::eval(const EvalReport& report) { writer_->write(report.step, scalars(report)); }

void TensorBoard::finish(const TrainSummary& summary) {
  writer_->write(summary.step, scalars(summary));
  writer_->file.sync();
}

void sync_event_files(const std::filesystem::path& folder) {
  for (const auto& entry : std::filesystem::directory_iterator(folder))
    if (entry.path().extension() == ".berth") data::AppendFile(entry.path()).sync();
  data::sync_folder(folder);
}

}  // namespace berth::train
