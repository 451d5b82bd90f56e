#include "trainer/run/stragglers.h"

#include <algorithm>
#include <cstdio>
#include <map>

#include "data/check.h"
#include "data/words.h"

namespace berth::train {
namespace {

std::string rounded(const char* format, double number) {
  char text[32];
  std::snprintf(text, sizeof text, format, number);
  return text;
}

// "rank 3 (node7)", "ranks 2, 3 (node7)".
std::string named(const std::vector<size_t>& ranks, const std::string& host) {
  return concat(ranks.size() == 1 ? "rank " : "ranks ", joined(ranks), " (", host, ")");
}

// Of a host, in a window.
struct News {
  std::vector<size_t> slow, not_slow;  // ranks
  double times = 0, share = 0;         // of the slowest
};

std::string slow_line(const News& news, const std::string& host) {
  const bool one = news.slow.size() == 1;
  return concat(named(news.slow, host), one ? " takes " : " take up to ", rounded("%.2f", news.times),
                " times as long as the median of the ranks; the others wait ", rounded("%.0f", 100 * news.share),
                " % of the time for ", one ? "it" : "them",
                ": check that machine's clock, cooling, core binding, and what else runs on it");
}

}  // namespace

double wait_for_slowest(std::span<const OwnPart> parts) {
  double most = 0, sum = 0;
  for (const OwnPart& part : parts) {
    most = std::max(most, part.seconds);
    sum += part.seconds;
  }
  return parts.empty() ? 0 : most - sum / static_cast<double>(parts.size());
}

Stragglers::Stragglers(std::vector<std::string> hosts) : hosts_(std::move(hosts)), ranks_(hosts_.size()) {}

std::vector<std::string> Stragglers::saw_step(std::span<const OwnPart> parts, double seconds) {
  check_internal(parts.size() == ranks_.size(), "times of ", parts.size(), " ranks, not of ", ranks_.size());
  for (size_t r = 0; r < parts.size(); ++r) {
    ranks_[r].part.seconds += parts[r].seconds;
    ranks_[r].part.tokens += parts[r].tokens;
  }
  seconds_ += seconds;
  if (++steps_ < kSteps || seconds_ < kSeconds) return {};
  return close_window();
}

std::vector<std::string> Stragglers::close_window() {
  std::vector<double> for_a_token;
  for (const Rank& rank : ranks_)
    if (rank.part.tokens > 0) for_a_token.push_back(rank.part.seconds / static_cast<double>(rank.part.tokens));
  const auto middle = for_a_token.begin() + (std::max<int64_t>(std::ssize(for_a_token), 1) - 1) / 2;
  std::nth_element(for_a_token.begin(), middle, for_a_token.end());
  const double median = for_a_token.empty() ? 0 : *middle;

  std::map<std::string, News> news;  // by host
  for (size_t r = 0; r < ranks_.size(); ++r) {
    Rank& rank = ranks_[r];
    const double usual = median * static_cast<double>(rank.part.tokens), lost = rank.part.seconds - usual;
    const bool slow = usual > 0 && rank.part.seconds > kSlow * usual && lost > kShare * seconds_;
    rank.changed = slow == rank.told_slow ? 0 : rank.changed + 1;
    if (rank.changed == kInARow) {
      rank.told_slow = slow;
      rank.changed = 0;
      News& of_host = news[hosts_[r]];
      (slow ? of_host.slow : of_host.not_slow).push_back(r);
      if (slow) {
        of_host.times = std::max(of_host.times, rank.part.seconds / usual);
        of_host.share = std::max(of_host.share, std::min(1.0, lost / seconds_));
      }
    }
    rank.part = {};
  }
  steps_ = 0;
  seconds_ = 0;
  std::vector<std::string> lines;
  for (const auto& [host, of] : news) {
    if (!of.slow.empty()) lines.push_back(slow_line(of, host));
    if (!of.not_slow.empty()) lines.push_back(named(of.not_slow, host) + " no longer keeps the others waiting");
  }
  return lines;
}

}  // namespace berth::train
