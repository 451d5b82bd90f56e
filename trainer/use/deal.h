// New texts, dealt to the ranks a group at a time, and what is made of them, in the order of the texts, with bounded memory.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "data/samples/record.h"
#include "trainer/comm/communicator.h"

namespace berth::train {

constexpr int64_t kShortTexts = 32, kLongTexts = 8, kShortBytes = 16 << 10, kShortTokens = 4096;

struct DealOptions {
  std::string origin = "the input";  // where the records are from, for errors: "new.csv"
  // Records of a group, samples of one forward pass. Unset: up to kShortTexts of them, but not more than kLongTexts that together are long:
  // short ones alone are too little to compute at a time, and long ones take memory.
  std::optional<int64_t> batch_size;
  int64_t window_records = 4096;   // in memory at a time …
  int64_t window_bytes = 8 << 20;  // … and of no more text and fields than this, but at least one record
};

// Of a record's texts and words.
int64_t text_bytes(const data::Record& record);

// Waits for what a group of records has become: a result each, as bytes. On CPUs both are called on several threads, each for another group.
using FinishGroup = std::function<std::vector<std::string>()>;
// Begins to compute a group. What it returns is called when the next group has begun, so that a GPU is never waited for while it has
// nothing else to do.
using BeginGroup = std::function<FinishGroup(std::vector<data::Record> group)>;

// `next` gives the records one by one and false at the end; it is called on rank 0 only, as is `emit`, with each record and its
// result, in order. Records travel to the ranks, without labels, a window at a time; which are computed together does not depend on
// the number of ranks. `stop`, which any rank may say: give up. A collective call. False if it was stopped.
bool deal_records(comm::Communicator& comm, const DealOptions& options, const std::function<bool(data::Record&)>& next,
                  const BeginGroup& begin, const std::function<void(const data::Record&, const std::string& result)>& emit,
                  const std::function<bool()>& stop);

}  // namespace berth::train
