#include "trainer/scale/measure/recorder.h"

#include <c10/core/impl/VirtualGuardImpl.h>

#include <algorithm>

#include "data/check.h"

namespace berth::scale {

Instant::Instant(at::Device device, std::chrono::steady_clock::duration ago) : time_(std::chrono::steady_clock::now() - ago) {
  if (device.is_cpu()) return;
  event_ = std::make_shared<c10::Event>(device.type(), c10::EventFlag::BACKEND_DEFAULT);
  event_->record(c10::impl::VirtualGuardImpl(device.type()).getStream(device));
}

double Instant::seconds_since(const Instant& before) const {
  if (!event_) return std::chrono::duration<double>(time_ - before.time_).count();
  event_->synchronize();
  return before.event_->elapsedTime(*event_) / 1e3;
}

void Recorder::note(Mark::What what, double bytes, const std::string& stage) {
  marks_.push_back({what, Instant(device(), left_out_), bytes, stage});
}

void Recorder::leave_out(const std::function<void()>& work) {
  const auto begin = std::chrono::steady_clock::now();
  work();
  left_out_ += std::chrono::steady_clock::now() - begin;
}

void Recorder::all_reduce_sum(std::span<double> values) {
  if (others_ != nullptr) leave_out([&] { others_->all_reduce_sum(values); });
}

std::vector<Mark> Recorder::end() {
  note(Mark::kStage, 0, "end");
  const auto begin = std::find_if(marks_.rbegin(), marks_.rend(), [](const Mark& mark) { return mark.stage == "begin"; });
  check_internal(begin != marks_.rend(), "a recording ends that was not begun");
  std::vector<Mark> recorded(std::prev(begin.base()), marks_.end());
  marks_.clear();
  return recorded;
}

comm::Ticket Recorder::start_all_reduce(const at::Tensor& tensor) {
  note(Mark::kStart, static_cast<double>(tensor.nbytes()));
  return 0;
}

// TrainStep names the stages "…: forward" and "…: backward" of each micro-batch, then "…: optimizer"; before that, GradReducer waits for what it
// has started.
Profile profile_of(const std::vector<Mark>& marks) {
  const auto is_stage = [](const Mark& mark) { return mark.what == Mark::kStage; };
  const auto is_backward = [&](const Mark& mark) { return is_stage(mark) && mark.stage.ends_with(": backward"); };
  const auto last = std::find_if(marks.rbegin(), marks.rend(), is_backward);
  check_internal(last != marks.rend(), "a step without backward was recorded");
  const auto begins = std::prev(last.base());
  const auto ends = std::find_if(begins + 1, marks.end(), [](const Mark& mark) { return mark.what != Mark::kStart; });
  Profile profile{.step = {.before = begins->at.seconds_since(marks.front().at),
                           .backward = ends->at.seconds_since(begins->at),
                           .after = marks.back().at.seconds_since(ends->at)}};
  for (auto mark = marks.begin(); mark != marks.end(); ++mark) {
    if (mark->what == Mark::kStart)
      profile.step.buckets.push_back({mark < begins ? 0 : mark->at.seconds_since(begins->at), mark->bytes});
    if (!is_stage(*mark) || mark >= begins) continue;
    const double seconds = std::find_if(mark + 1, marks.end(), is_stage)->at.seconds_since(mark->at);
    if (mark->stage.ends_with(": forward")) profile.forward += seconds;
    if (is_backward(*mark)) profile.backward += seconds;
  }
  profile.backward += profile.step.backward;
  profile.optimizer = profile.step.after;
  return profile;
}

}  // namespace berth::scale
