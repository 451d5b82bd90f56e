#include "tests/standin/order.h"

#include <algorithm>

namespace berth::standin {

uint64_t& Clock::at(int stream) {
  if (ticks_.size() <= static_cast<size_t>(stream)) ticks_.resize(stream + 1);
  return ticks_[stream];
}

void Clock::join(const Clock& other) {
  if (ticks_.size() < other.ticks_.size()) ticks_.resize(other.ticks_.size());
  for (size_t i = 0; i < other.ticks_.size(); ++i) ticks_[i] = std::max(ticks_[i], other.ticks_[i]);
}

namespace {

bool beside(const Operation& before, const Operation& operation, const Clock& clock) {
  return before.stream >= 0 && before.stream != operation.stream && clock.of(before.stream) < before.tick;
}

}  // namespace

// Cuts the range that holds `at` in two there.
void Accesses::split(uintptr_t at) {
  auto it = ranges_.upper_bound(at);
  if (it == ranges_.begin()) return;
  --it;
  if (it->first == at || it->second.end <= at) return;
  Range tail = it->second;
  it->second.end = at;
  ranges_.emplace(at, std::move(tail));
}

std::optional<Accesses::Race> Accesses::read(uintptr_t begin, uintptr_t end, const Operation& operation, const Clock& clock) {
  split(begin);
  split(end);
  std::optional<Race> race;
  uintptr_t at = begin;
  for (auto it = ranges_.lower_bound(begin); at < end; ++it) {
    if (it == ranges_.end() || it->first > at) {  // nobody was here
      const uintptr_t stop = it == ranges_.end() ? end : std::min(end, it->first);
      it = ranges_.emplace(at, Range{stop, {}, {}}).first;
    }
    Range& range = it->second;
    if (!race && beside(range.write, operation, clock)) race = Race{"read after write", range.write, it->first};
    const auto mine = std::ranges::find(range.reads, operation.stream, &Operation::stream);
    if (mine == range.reads.end())
      range.reads.push_back(operation);
    else
      *mine = operation;
    at = range.end;
  }
  return race;
}

std::optional<Accesses::Race> Accesses::write(uintptr_t begin, uintptr_t end, const Operation& operation, const Clock& clock) {
  split(begin);
  split(end);
  std::optional<Race> race;
  const auto first = ranges_.lower_bound(begin), last = ranges_.lower_bound(end);
  for (auto it = first; it != last && !race; ++it) {
    if (beside(it->second.write, operation, clock)) race = Race{"write after write", it->second.write, it->first};
    for (const Operation& read : it->second.reads) {
      if (!race && beside(read, operation, clock)) race = Race{"write after read", read, it->first};
    }
  }
  ranges_.erase(first, last);
  ranges_.emplace(begin, Range{end, operation, {}});
  return race;
}

void Accesses::forget(uintptr_t begin, uintptr_t end) {
  split(begin);
  split(end);
  ranges_.erase(ranges_.lower_bound(begin), ranges_.lower_bound(end));
}

}  // namespace berth::standin
