// What happens before what on the streams of a process, by vector clocks: whatever timing hides, an operation that touches memory is
// compared with those that touched it before, and without a chain of streams, events and host synchronisations between them it is a
// race. Clocks: C. J. Fidge 1988, F. Mattern 1989; last write and last reads kept with the memory: FastTrack (Flanagan and Freund 2009).
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <vector>

namespace berth::standin {

// How many operations of each stream, by its number from 0, are known to have ended.
class Clock {
 public:
  uint64_t of(int stream) const { return static_cast<size_t>(stream) < ticks_.size() ? ticks_[stream] : 0; }
  void tick(int stream) { at(stream) += 1; }
  void join(const Clock& other);

 private:
  uint64_t& at(int stream);
  std::vector<uint64_t> ticks_;
};

// An operation: the tick-th of a stream, which its own clock counts already. `name` outlives everything.
struct Operation {
  int stream = -1;
  uint64_t tick = 0;
  const char* name = "";
};

// Who touched which bytes of device memory last.
class Accesses {
 public:
  struct Race {
    const char* kind;
    Operation before;
    uintptr_t address;
  };
  // Notes that `operation` reads or writes [begin, end); the race, if it may run beside an earlier one.
  std::optional<Race> read(uintptr_t begin, uintptr_t end, const Operation& operation, const Clock& clock);
  std::optional<Race> write(uintptr_t begin, uintptr_t end, const Operation& operation, const Clock& clock);
  // The memory is gone.
  void forget(uintptr_t begin, uintptr_t end);

 private:
  struct Range {
    uintptr_t end;
    Operation write;
    std::vector<Operation> reads;  // since the write; one a stream, the latest
  };
  void split(uintptr_t at);
  std::map<uintptr_t, Range> ranges_;  // by begin; disjoint
};

}  // namespace berth::standin
