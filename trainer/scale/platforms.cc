#include "trainer/scale/platforms.h"

#include <algorithm>
#include <cmath>

#include "data/check.h"
#include "data/words.h"

namespace berth::scale {
namespace {

constexpr double kMicro = 1e-6, kGiga = 1e9;

// TCP/IP in frames of 1,500 bytes leaves 1,460 of 1,538 on the wire. The latency is assumed: half of a short message's way there and back
// through Linux's TCP.
constexpr Link kEthernet{30 * kMicro, 25 / 8.0 * kGiga * 1460 / 1538};
// HDR, 200 Gbit/s, at the share of the line rate that NCCL's developers expect of such adapters (NVIDIA/nccl-tests, issue 290: 46 to 48 GB/s of NDR's
// 50); the latency is assumed.
constexpr Link kInfiniBand{2 * kMicro, 25 * kGiga * 0.94};
// Rings over 8 H100 (NVIDIA/nccl-tests, issue 212: bus bandwidth), and 8 NDR adapters a node (issue 290). Latencies: what NCCL reckons with for
// the protocol Simple on rings (src/graph/tuning.cc, hwLat).
constexpr Link kNvLink{3.4 * kMicro, 370 * kGiga}, kNdr{14 * kMicro, 8 * 47 * kGiga};
// Messages and sums in shared memory, where they were not measured: bandwidths of 2 cores of an AMD EPYC (tests/bench/README.md, "One forward and
// backward pass"); the latencies are assumed.
constexpr Link kMessages{1 * kMicro, 3 * kGiga};
constexpr double kSumBandwidth = 12 * kGiga, kSumLatency = 20 * kMicro;

// The line through the first and the last point; noise makes neither number negative.
Link line(const std::vector<Timing>& timings) {
  const Timing &least = timings.front(), &most = timings.back();
  const double slope = std::max(1e-15, (most.seconds - least.seconds) / (most.bytes - least.bytes));
  return {std::max(0.0, least.seconds - slope * least.bytes), 1 / slope};
}

// Of messages, by what an all-reduce took that passes `steps` of them one after the other, each of `share` of the bytes.
Link of_messages(const Link& all, double steps, double share) { return {all.latency / steps, all.bandwidth * steps * share}; }

double rounds(int ranks) { return 2 * std::ceil(std::log2(ranks)); }

bool has_links(const Measurement& m) {
  return m.ranks > 1 && m.all_reduce.size() > 1 && (m.device != "cpu" || m.messages.size() > 1);
}

void use_measured_sums(Platform& p, const Measurement& m) {
  if (!has_links(m) || m.hosts > 1) return;
  const Link sum = line(m.all_reduce);
  p.sum_latency = sum.latency;
  p.sum_bandwidth = sum.bandwidth;
  p.within = of_messages(line(m.messages), rounds(m.ranks), 1);
}

// All that was not measured is as it was.
void use_measured_links(Platform& p, const Measurement& m) {
  p.ranks_per_node = m.hosts > 1 ? std::max(1, m.ranks / m.hosts) : 1 << 20;
  p.description = m.hosts > 1 ? concat("nodes of ", counted(p.ranks_per_node, "rank"), " on the network measured here")
                              : "all ranks in one node, as measured here";
  const Link links = p.all_reduce == AllReduce::kRing ? of_messages(line(m.all_reduce), 2.0 * (m.ranks - 1), 1.0 / m.ranks)
                                                      : of_messages(line(m.messages), rounds(m.ranks), 1);
  (m.hosts > 1 ? p.between : p.within) = links;
}

}  // namespace

const std::vector<std::string>& platform_names() {
  static const std::vector<std::string> names{"ethernet", "infiniband", "nvlink", "measured"};
  return names;
}

void check_platform(const std::string& name) {
  const auto& names = platform_names();
  check_usage(std::find(names.begin(), names.end(), name) != names.end(), "--platform ", name, " is not known; use ",
              joined(names, ", "));
}

std::optional<Platform> platform(const std::string& name, int ranks_per_node, const Measurement& measured) {
  check_platform(name);
  if (name == "measured" && !has_links(measured)) return std::nullopt;
  const bool gpus = name == "nvlink" || measured.device != "cpu";
  Platform p{.name = name,
             .all_reduce = gpus ? AllReduce::kRing : AllReduce::kTwoLevels,
             .ranks_per_node = ranks_per_node,
             .between = name == "ethernet"     ? kEthernet
                        : name == "infiniband" ? kInfiniBand
                                               : kNdr,
             .within = gpus ? kNvLink : kMessages,
             .sum_bandwidth = kSumBandwidth,
             .sum_latency = kSumLatency};
  const char* network = name == "ethernet"     ? "25 Gbit/s Ethernet, TCP"
                        : name == "infiniband" ? "200 Gbit/s InfiniBand (HDR)"
                                               : "8 x 400 Gbit/s InfiniBand (NDR)";
  p.description = concat("nodes of ", counted(ranks_per_node, "rank"), ", ", network,
                         gpus ? " between them, NVLink 4 in them, NCCL's rings" : " between them, MPI; shared memory in them");
  if (name == "measured") use_measured_links(p, measured);
  if (p.all_reduce == AllReduce::kTwoLevels) use_measured_sums(p, measured);
  return p;
}

}  // namespace berth::scale
