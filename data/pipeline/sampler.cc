#include "data/pipeline/sampler.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <numeric>
#include <utility>

#include "data/check.h"

namespace berth::data {

Permutation::Permutation(int64_t n, uint64_t seed, uint64_t epoch, Purpose purpose) : n_(static_cast<uint64_t>(n)) {
  check_internal(n > 0, "a permutation needs at least one element, got ", n);
  const int bits = std::max(2, static_cast<int>(std::bit_width(n_ - 1)));
  half_bits_ = static_cast<uint32_t>((bits + 1) / 2);
  const PhiloxKey key = philox_key(seed, purpose, epoch);
  key_ = uint64_t{key[1]} << 32 | key[0];
}

int64_t Permutation::operator()(int64_t index) const {
  const PhiloxKey key{static_cast<uint32_t>(key_), static_cast<uint32_t>(key_ >> 32)};
  const uint64_t mask = (uint64_t{1} << half_bits_) - 1;
  uint64_t x = static_cast<uint64_t>(index);
  do {
    uint64_t left = x >> half_bits_, right = x & mask;
    for (uint32_t round = 0; round < 6; ++round) {
      const PhiloxCounter mixed = philox({static_cast<uint32_t>(right), static_cast<uint32_t>(right >> 32), round, 0}, key);
      const uint64_t f = (uint64_t{mixed[1]} << 32 | mixed[0]) & mask;
      left = std::exchange(right, left ^ f);
    }
    x = left << half_bits_ | right;
  } while (x >= n_);  // the domain is less than four times n, so this ends after a few walks
  return static_cast<int64_t>(x);
}

BalancedDraws::BalancedDraws(std::span<const int32_t> classes, uint64_t seed) : seed_(seed) {
  for (size_t i = 0; i < classes.size(); ++i)
    if (classes[i] >= 0) samples_.push_back(static_cast<int64_t>(i));
  check(!samples_.empty(), "no training sample has a label: there is nothing to draw from");
  check_internal(samples_.size() < uint64_t{1} << 32, samples_.size(), " samples are too many to draw from");
  const auto class_of = [&](int64_t sample) { return classes[static_cast<size_t>(sample)]; };
  std::stable_sort(samples_.begin(), samples_.end(), [&](int64_t a, int64_t b) { return class_of(a) < class_of(b); });
  for (size_t i = 0; i < samples_.size(); ++i)
    if (i == 0 || class_of(samples_[i]) != class_of(samples_[i - 1])) begins_.push_back(i);
  begins_.push_back(samples_.size());
}

int64_t BalancedDraws::operator()(int64_t epoch, int64_t index) const {
  const auto place = static_cast<uint64_t>(index);
  const PhiloxCounter random = philox({static_cast<uint32_t>(place), static_cast<uint32_t>(place >> 32), 0, 0},
                                      philox_key(seed_, Purpose::kWeightedSampling, static_cast<uint64_t>(epoch)));
  // The integer part of n times a fraction of 64 random bits, n < 2^32.
  const auto below = [](uint64_t n, uint32_t high, uint32_t low) { return (high * n + (low * n >> 32)) >> 32; };
  const size_t drawn = below(begins_.size() - 1, random[0], random[1]), begin = begins_[drawn];
  return samples_[begin + below(begins_[drawn + 1] - begin, random[2], random[3])];
}

Sampler::Sampler(SamplerOptions options) : options_(options) {
  check(options.num_samples > 0, "the data set is empty: there is nothing to train on");
  check_usage(options.global_batch > 0, "the global batch must hold at least one sample, got ", options.global_batch);
  check_usage(!options.drop_last || options.num_samples >= options.global_batch,
              "--dataloader-drop-last drops everything: the data set has ", options.num_samples, " samples, the global batch ",
              options.global_batch, "; use a smaller batch");
}

int64_t Sampler::steps_of(int64_t samples) const {
  const int64_t g = options_.global_batch;
  return options_.drop_last ? samples / g : (samples + g - 1) / g;
}

int64_t Sampler::steps_per_epoch() const { return steps_of(options_.num_samples); }

SamplePosition Sampler::position(int64_t step) const {
  const SamplePosition& start = options_.start;
  const int64_t made = step - start.step, first = first_steps();
  if (made < first) return {step, start.epoch, start.sample + made * options_.global_batch};
  const int64_t later = made - first;
  return {step, start.epoch + 1 + later / steps_per_epoch(), later % steps_per_epoch() * options_.global_batch};
}

double Sampler::epochs(int64_t step) const {
  const SamplePosition& start = options_.start;
  const auto share = [](int64_t part, int64_t whole) { return static_cast<double>(part) / static_cast<double>(whole); };
  const int64_t made = step - start.step, first = first_steps();
  const double begun = static_cast<double>(start.epoch);
  if (start.sample == 0) return begun + share(made, steps_per_epoch());
  if (made >= first) return begun + 1 + share(made - first, steps_per_epoch());
  const double done = share(start.sample, options_.num_samples);
  return begun + done + (1 - done) * share(made, first);
}

int64_t Sampler::steps_until(double epochs) const {
  const SamplePosition& start = options_.start;
  constexpr double kMost = 1e18;  // still an int64_t
  const auto steps = [&](double number) { return static_cast<int64_t>(std::ceil(std::clamp(number, 0.0, kMost))); };
  const double left = epochs - static_cast<double>(start.epoch), per_epoch = static_cast<double>(steps_per_epoch());
  if (start.sample == 0) return start.step + steps(left * per_epoch);
  if (left >= 1) return start.step + first_steps() + steps((left - 1) * per_epoch);
  const double done = static_cast<double>(start.sample) / static_cast<double>(options_.num_samples);
  return start.step + steps((left - done) / (1 - done) * static_cast<double>(first_steps()));
}

std::vector<int64_t> Sampler::global_step(int64_t step, const BalancedDraws* draws) const {
  const auto [ignored, epoch, begin] = position(step);
  const int64_t end = std::min(begin + options_.global_batch, options_.num_samples);
  std::vector<int64_t> samples(static_cast<size_t>(end - begin));
  std::iota(samples.begin(), samples.end(), begin);
  if (draws != nullptr) {
    for (int64_t& sample : samples) sample = (*draws)(epoch, sample);
  } else if (options_.shuffle) {
    const Permutation permutation(options_.num_samples, options_.seed, static_cast<uint64_t>(epoch));
    for (int64_t& sample : samples) sample = permutation(sample);
  }
  return samples;
}

namespace {

// Indices into lengths, longest first; ties in order of index.
std::vector<int64_t> longest_first(std::span<const int32_t> lengths) {
  std::vector<int64_t> order(lengths.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) { return lengths[a] > lengths[b]; });
  return order;
}

}  // namespace

std::vector<RankShare> deal(std::span<const int64_t> samples, std::span<const int32_t> lengths, int num_ranks,
                            int64_t max_micro_batch, int64_t max_tokens) {
  struct Load {
    int64_t tokens = 0, samples = 0, micro_tokens = 0;
  };
  const int64_t n = static_cast<int64_t>(samples.size());
  std::vector<RankShare> shares(static_cast<size_t>(num_ranks));
  std::vector<Load> loads(static_cast<size_t>(num_ranks));
  int64_t with_extra = n % num_ranks;  // how many ranks may still take one sample more than the others
  for (int64_t i : longest_first(lengths)) {
    int best = -1;
    for (int r = 0; r < num_ranks; ++r) {
      const bool room = loads[r].samples < n / num_ranks || (loads[r].samples == n / num_ranks && with_extra > 0);
      if (room && (best < 0 || loads[r].tokens < loads[best].tokens)) best = r;
    }
    Load& load = loads[best];
    if (load.samples == n / num_ranks) --with_extra;
    RankShare& share = shares[best];
    const bool full = share.empty() || static_cast<int64_t>(share.back().size()) >= max_micro_batch ||
                      (max_tokens > 0 && load.micro_tokens + lengths[i] > max_tokens);
    if (full) {
      share.emplace_back();
      load.micro_tokens = 0;
    }
    share.back().push_back(samples[i]);
    load.tokens += lengths[i];
    load.micro_tokens += lengths[i];
    ++load.samples;
  }
  return shares;
}

std::vector<std::vector<int64_t>> evaluation_batches(std::span<const int32_t> lengths, int64_t batch_size) {
  std::vector<std::vector<int64_t>> batches;
  for (int64_t sample : longest_first(lengths)) {
    if (batches.empty() || static_cast<int64_t>(batches.back().size()) >= batch_size) batches.emplace_back();
    batches.back().push_back(sample);
  }
  return batches;
}

}  // namespace berth::data
