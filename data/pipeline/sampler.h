// Which samples an optimizer step holds, and which rank and micro-batch gets each: two pure functions.
//
// The first depends on (seed, epoch, number of samples, global batch) alone, so step k holds the same samples on 1, 3 or
// 8 ranks. The position in a run is the step number; seeking costs O(1) and nothing is replayed. Where the global batch is changed
// in mid-run, steps count on from there with the new size, and no sample is repeated or left out. Nothing here reads a file.
// (Where classes are balanced, the samples of an epoch are drawn, each a function of (seed, epoch, its place in the epoch): some come
// several times, others not at all.)
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "data/philox.h"

namespace berth::data {

// A pseudo-random permutation of [0, n), evaluated one index at a time in O(1) and without memory: a balanced Feistel
// network over the next even number of bits, with Philox as its round function, walked until it lands inside [0, n).
// (Cycle walking: Black and Rogaway, "Ciphers with arbitrary finite domains", CT-RSA 2002.)
class Permutation {
 public:
  Permutation(int64_t n, uint64_t seed, uint64_t epoch, Purpose purpose = Purpose::kShuffle);
  int64_t operator()(int64_t index) const;  // index in [0, n)

 private:
  uint64_t n_;
  uint32_t half_bits_;
  uint64_t key_;
};

// Samples drawn with replacement such that each class comes as often as any other: torch's WeightedRandomSampler with one over the number
// of samples of its class as a sample's weight. A draw is O(1).
class BalancedDraws {
 public:
  // The class of each sample; those below 0 are never drawn. Throws Error(kBadInput) if there are no others.
  BalancedDraws(std::span<const int32_t> classes, uint64_t seed);
  int64_t operator()(int64_t epoch, int64_t index) const;  // index in [0, number of samples)

 private:
  uint64_t seed_;
  std::vector<int64_t> samples_;  // by class
  std::vector<size_t> begins_;    // of the classes that occur, in samples_, and the end of the last
};

// Sample `sample` of the order of `epoch`, before which `step` steps were made.
struct SamplePosition {
  int64_t step = 0, epoch = 0, sample = 0;
};

struct SamplerOptions {
  int64_t num_samples = 0;   // > 0
  int64_t global_batch = 0;  // > 0
  uint64_t seed = 42;
  bool shuffle = true;
  bool drop_last = false;     // drop an epoch's last, smaller batch
  SamplePosition start = {};  // from where on steps are of this size; only such steps are asked for
};

class Sampler {
 public:
  explicit Sampler(SamplerOptions options);

  int64_t steps_per_epoch() const;  // of a whole epoch
  // Where global step `step` (0-based, counted over the whole run) begins.
  SamplePosition position(int64_t step) const;
  // Epochs done after `step` steps.
  double epochs(int64_t step) const;
  // How many steps are done when so many epochs are, rounded up; about 1e18 at most.
  int64_t steps_until(double epochs) const;
  // The samples of global step `step`, in the order of the epoch's permutation, or `draws` in its place.
  // The last step of an epoch holds fewer unless drop_last.
  std::vector<int64_t> global_step(int64_t step, const BalancedDraws* draws = nullptr) const;
  const SamplerOptions& options() const { return options_; }

 private:
  int64_t steps_of(int64_t samples) const;
  int64_t first_steps() const { return steps_of(options_.num_samples - options_.start.sample); }  // in the epoch of the start

  SamplerOptions options_;
};

// One rank's share of a step: micro-batches of sample ids. May be empty (a rank without samples takes part in the
// collectives with weight zero).
using RankShare = std::vector<std::vector<int64_t>>;

// Deals the samples of one step to `num_ranks` ranks: sample counts differ by at most one, token counts are balanced
// (longest first to the least loaded rank that still has room), then each rank's share is cut, in order of length, into
// micro-batches of at most `max_micro_batch` samples whose token counts are at most `max_tokens` (unless one sample alone is
// longer; 0 = no token limit). `lengths[i]` is the number of tokens of `samples[i]`. A pure function of its arguments, the same
// on all ranks.
std::vector<RankShare> deal(std::span<const int64_t> samples, std::span<const int32_t> lengths, int num_ranks,
                            int64_t max_micro_batch, int64_t max_tokens);

// Evaluation: fixed micro-batches of [0, n) in order of length, which do not depend on the number of ranks (the result of a
// row in a GEMM may change with the rows beside it). Micro-batch i belongs to rank i % num_ranks.
std::vector<std::vector<int64_t>> evaluation_batches(std::span<const int32_t> lengths, int64_t batch_size);

}  // namespace berth::data
