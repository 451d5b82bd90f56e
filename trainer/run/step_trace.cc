#include "trainer/run/step_trace.h"

#include <c10/core/Event.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include <algorithm>
#include <boost/log/trivial.hpp>
#include <map>
#include <utility>
#include <vector>

#include "data/files/files.h"
#include "data/json/json.h"
#include "trainer/checkpoint/run_owner.h"
#include "trainer/run/records.h"
#include "trainer/trace/recording.h"

namespace berth::train {
namespace {

using Json = nlohmann::ordered_json;

double microseconds(std::chrono::steady_clock::duration time) { return std::chrono::duration<double, std::micro>(time).count(); }

// The events of one rank: https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU (Trace Event Format).
class Events {
 public:
  Events(int rank, const std::string& name) : rank_(rank) { name_lane("process_name", 0, name); }

  // Of a thread or a stream; microseconds.
  void add(const trace::Span& span, const std::string& lane, double begin, double end) {
    const auto [found, is_new] = lanes_.try_emplace(lane, std::ssize(lanes_));
    if (is_new) name_lane("thread_name", found->second, lane);
    Json event{{"ph", "X"},    {"name", span.name},
               {"pid", rank_}, {"tid", found->second},
               {"ts", begin},  {"dur", std::max(0.0, end - begin)}};
    if (span.bytes > 0) event["args"] = {{"bytes", span.bytes}};
    append(event);
  }
  // Without brackets around them.
  const std::string& text() const { return text_; }

 private:
  void name_lane(const char* what, int64_t lane, const std::string& name) {
    append({{"ph", "M"}, {"name", what}, {"pid", rank_}, {"tid", lane}, {"args", {{"name", name}}}});
  }
  void append(const Json& event) { text_ += (text_.empty() ? "" : ",\n") + data::dump_json(event); }

  int rank_;
  std::map<std::string, int64_t> lanes_;
  std::string text_;
};

}  // namespace

// Places in the streams of this rank's GPU.
class StepTrace::Device final : public trace::DeviceClock {
 public:
  explicit Device(at::Device device) : device_(device), guard_(device.type()), begin_(device.type(), kTimed) { synchronize(); }
  void begin() {
    const c10::Stream computing = guard_.getStream(device_);
    lane_of(computing);
    begin_.record(computing);
  }
  size_t mark() override {
    const c10::Stream stream = guard_.getStream(device_);
    marks_.push_back({c10::Event(device_.type(), kTimed), lane_of(stream)});
    marks_.back().event.record(stream);
    return marks_.size() - 1;
  }
  // After which the following may be asked.
  void synchronize() const { guard_.synchronizeDevice(device_.index()); }
  double microseconds(size_t mark) const { return 1e3 * begin_.elapsedTime(marks_[mark].event); }
  const std::string& lane(size_t mark) const { return marks_[mark].lane; }

 private:
  static constexpr auto kTimed = c10::EventFlag::BACKEND_DEFAULT;
  struct Mark {
    c10::Event event;
    std::string lane;
  };

  std::string lane_of(const c10::Stream& stream) {
    const std::string next = lanes_.empty() ? "GPU" : "GPU, stream " + std::to_string(lanes_.size() + 1);
    return lanes_.try_emplace(stream.id(), next).first->second;
  }

  at::Device device_;
  c10::impl::VirtualGuardImpl guard_;
  c10::Event begin_;
  std::map<c10::StreamId, std::string> lanes_;
  std::vector<Mark> marks_;
};

StepTrace::StepTrace(std::optional<TraceSteps> steps, std::filesystem::path file, comm::Communicator& comm)
    : steps_(steps), file_(std::move(file)), comm_(comm) {
  trace::name_thread("main");
}

StepTrace::~StepTrace() {
  if (under_way_) trace::end_recording();
}

void StepTrace::at_step(int64_t step) {
  if (!steps_) return;
  if (step > steps_->last) return end();
  if (under_way_ || step < steps_->first) return;
  under_way_ = true;
  if (!comm_.device().is_cpu()) device_ = std::make_unique<Device>(comm_.device());
  comm_.barrier();
  if (device_) device_->begin();  // on an idle stream
  begin_ = std::chrono::steady_clock::now();
  trace::begin_recording(device_.get());
}

void StepTrace::end() {
  if (!std::exchange(under_way_, false)) return;
  const std::vector<std::string> of_ranks = comm_.gather(events(), 0);
  steps_.reset();
  device_.reset();
  if (comm_.rank() != 0) return;
  std::string text = "{\"displayTimeUnit\": \"ms\", \"traceEvents\": [\n";
  for (const std::string& events : of_ranks) text += (&events == of_ranks.data() ? "" : ",\n") + events;
  text += "\n]}\n";
  if (try_to_record(file_, [&] { data::write_durably(file_, text); }))
    BOOST_LOG_TRIVIAL(info) << "the timeline of the traced steps is in " << file_.string()
                            << "; https://ui.perfetto.dev shows it";
}

// Of this rank.
std::string StepTrace::events() {
  const std::vector<trace::Span> spans = trace::end_recording();
  if (device_) device_->synchronize();
  Events events(comm_.rank(), "rank " + std::to_string(comm_.rank()) + ", " + OwnerIdentity::of_this_process().host);
  for (const trace::Span& span : spans) {
    events.add(span, span.thread, microseconds(span.begin - begin_), microseconds(span.end - begin_));
    if (device_)
      events.add(span, device_->lane(span.begin_mark), device_->microseconds(span.begin_mark),
                 device_->microseconds(span.end_mark));
  }
  return events.text();
}

}  // namespace berth::train
