#include "trainer/scale/simgrid/simulate.h"

#include <algorithm>
#include <simgrid/s4u.hpp>
#include <string>
#include <vector>

namespace berth::scale {
namespace {

namespace sg = simgrid::s4u;

// A host's work is counted in nanoseconds of computing: SimGrid rounds to 1e-5 of a unit.
constexpr double kUnit = 1e9;

// From so many nodes and bytes on Open MPI's MPI_Iallreduce takes a ring (ompi/mca/coll/libnbc/nbc_iallreduce.c, 4.1 and 5.0). Two nodes exchange halves
// (comm/mpi), a ring of two.
constexpr int kRingNodes = 4;
constexpr double kRingBytes = 65536;
// Of the norm of the gradient a number, 8 bytes, for each such part of it (trainer/model/parameters.h: kChunk).
constexpr double kNormPart = 4096 * sizeof(float);

// One rank: a host with one core, for what computes and what reduces.
struct Rank {
  int number = 0;
  sg::Host* host = nullptr;
  sg::SemaphorePtr ready = sg::Semaphore::create(0);    // buckets, to be reduced
  sg::SemaphorePtr reduced = sg::Semaphore::create(0);  // all of them
};

class Simulation {
 public:
  explicit Simulation(const Case& one) : step_(one.step), platform_(one.platform), ranks_(static_cast<size_t>(one.ranks)) {
    make_platform();
  }
  double run();

 private:
  void make_platform();
  int per_node() const { return platform_.ranks_per_node; }
  int size() const { return static_cast<int>(ranks_.size()); }
  int nodes() const { return (size() + per_node() - 1) / per_node(); }
  sg::Barrier& of_node(const Rank& rank) { return *node_barriers_[static_cast<size_t>(rank.number / per_node())]; }

  void compute(const Rank& rank);
  void reduce(const Rank& rank);
  void all_reduce(const Rank& rank, double bytes);
  // Of the ranks 0, stride, 2 stride, …
  void ring(const Rank& rank, int stride, double bytes);
  void tree(const Rank& rank, int stride, double bytes);
  static void work(double seconds) { sg::this_actor::execute(seconds * kUnit); }
  double norm_bytes() const {
    double bytes = 0;
    for (const Bucket& bucket : step_.buckets) bytes += bucket.bytes / kNormPart * sizeof(double);
    return bytes;
  }
  void add(double bytes) const { work(bytes / platform_.sum_bandwidth); }

  static sg::Mailbox* mailbox(int from, int to) { return sg::Mailbox::by_name(std::to_string(from) + ">" + std::to_string(to)); }
  void send(int from, int to, double bytes) {
    mailbox(from, to)->put(&message_, std::max<uint64_t>(1, static_cast<uint64_t>(bytes)));
  }
  static void receive(int from, int to) { mailbox(from, to)->get<int>(); }

  const Step& step_;
  const Platform& platform_;
  std::vector<Rank> ranks_;
  std::vector<sg::BarrierPtr> node_barriers_;
  double end_ = 0;
  int message_ = 0;
};

// A switch, nodes on it, and ranks on a switch in each node. (Messages to other nodes do not pass what those in a node do on CPUs.)
void Simulation::make_platform() {
  using Direction = sg::LinkInRoute::Direction;
  const bool passes = platform_.all_reduce == AllReduce::kRing;
  const double port_bandwidth =
      passes ? platform_.within.bandwidth : std::max(platform_.within.bandwidth, platform_.between.bandwidth);
  sg::NetZone* network = sg::create_star_zone("network");
  for (int node = 0; node < nodes(); ++node) {
    const std::string name = "node" + std::to_string(node);
    sg::NetZone* zone = sg::create_star_zone(name);
    zone->set_parent(network);
    const int first = node * per_node(), end = std::min(size(), first + per_node());
    for (int number = first; number < end; ++number) {
      Rank& rank = ranks_[static_cast<size_t>(number)];
      rank.number = number;
      rank.host = zone->create_host("rank" + std::to_string(number), kUnit);
      const auto* port = zone->create_split_duplex_link("port" + std::to_string(number), port_bandwidth)
                             ->set_latency(platform_.within.latency / 2);
      zone->add_route(rank.host->get_netpoint(), nullptr, nullptr, nullptr, {{port, Direction::UP}}, true);
    }
    auto* router = zone->create_router(name + "_router");
    zone->seal();
    const double latency = std::max(0.0, platform_.between.latency - platform_.within.latency) / 2;
    const auto* adapter = network->create_split_duplex_link(name + "_adapter", platform_.between.bandwidth)->set_latency(latency);
    network->add_route(zone->get_netpoint(), nullptr, router, nullptr, {{adapter, Direction::UP}}, true);
    node_barriers_.push_back(sg::Barrier::create(static_cast<unsigned>(end - first)));
  }
  network->seal();
}

void Simulation::compute(const Rank& rank) {
  tree(rank, 1, step_.control_bytes);
  work(step_.before);
  double now = 0;
  for (const Bucket& bucket : step_.buckets) {
    work(std::max(0.0, bucket.ready - now));
    now = std::max(now, bucket.ready);
    rank.ready->release();
  }
  work(std::max(0.0, step_.backward - now));
  rank.reduced->acquire();
  if (step_.sums_loss) tree(rank, 1, sizeof(double));
  const bool shares = platform_.all_reduce == AllReduce::kTwoLevels && per_node() > 1;
  if (shares) tree(rank, 1, norm_bytes());
  work(step_.after);
  if (shares) tree(rank, 1, 0);
  end_ = std::max(end_, sg::Engine::get_clock());
}

void Simulation::reduce(const Rank& rank) {
  for (const Bucket& bucket : step_.buckets) {
    rank.ready->acquire();
    all_reduce(rank, bucket.bytes);
  }
  rank.reduced->release();
}

void Simulation::all_reduce(const Rank& rank, double bytes) {
  if (size() == 1) return;
  if (platform_.all_reduce == AllReduce::kRing) return ring(rank, 1, bytes);
  sg::Barrier& node = of_node(rank);
  const bool shares = per_node() > 1 && size() > 1, first = rank.number % per_node() == 0;
  if (shares) {
    node.wait();
    sg::this_actor::sleep_for(platform_.sum_latency);
    add(bytes);
    node.wait();
  }
  if (nodes() == 1) return;
  if (first && (nodes() == 2 || (nodes() >= kRingNodes && bytes >= kRingBytes))) {
    ring(rank, per_node(), bytes);
    add(bytes * (nodes() - 1) / nodes());
  } else if (first) {
    tree(rank, per_node(), bytes);
  }
  if (!shares) return;
  node.wait();
  if (!first) add(bytes / per_node());  // its part
  node.wait();
}

// Each rank sends a p-th of the bytes to the next one, 2 (p - 1) times. Nothing else is on the links meanwhile, so that all of it takes as long as
// one message of that size and the latencies that a piece meets on its two ways around: on each it passes all edges but one.
void Simulation::ring(const Rank& rank, int stride, double bytes) {
  const int own = rank.number / stride, all = (size() + stride - 1) / stride, steps = 2 * (all - 1);
  const int next = (own + 1) % all * stride, before = (own + all - 1) % all * stride;
  const auto sent =
      mailbox(rank.number, next)->put_async(&message_, std::max<uint64_t>(1, static_cast<uint64_t>(steps * bytes / all)));
  receive(before, rank.number);
  sent->wait();
  const int far = nodes() > 1 ? std::min(steps, 2 * nodes()) : 0;
  const double latencies = far * platform_.between.latency + (steps - far) * platform_.within.latency;
  sg::this_actor::sleep_for(std::max(0.0, latencies - (far > 0 ? platform_.between : platform_.within).latency));
}

void Simulation::tree(const Rank& rank, int stride, double bytes) {
  const int own = rank.number / stride, all = (size() + stride - 1) / stride;
  int bit = 1;
  for (; bit < all && (own & bit) == 0; bit *= 2)
    if (own + bit < all) {
      receive((own + bit) * stride, rank.number);
      if (platform_.all_reduce == AllReduce::kTwoLevels) add(bytes);
    }
  if (bit < all) {
    send(rank.number, (own - bit) * stride, bytes);
    receive((own - bit) * stride, rank.number);
  }
  while ((bit /= 2) > 0)
    if (own + bit < all) send(rank.number, (own + bit) * stride, bytes);
}

double Simulation::run() {
  for (const Rank& rank : ranks_) {
    sg::Actor::create("compute", rank.host, [this, &rank] { compute(rank); });
    sg::Actor::create("reduce", rank.host, [this, &rank] { reduce(rank); });
  }
  sg::Engine::get_instance()->run();
  return end_;
}

}  // namespace

// Links carry what they say (network model CM02 without corrections for TCP, which the platforms' numbers have in them).
double simulate(const Case& one) {
  std::vector<std::string> words{"berth_simulate",
                                 "--log=root.thresh:warning",
                                 "--cfg=network/model:CM02",
                                 "--cfg=network/TCP-gamma:0",
                                 "--cfg=network/crosstraffic:0",
                                 "--cfg=contexts/stack-size:64"};
  std::vector<char*> arguments;
  arguments.reserve(words.size() + 1);
  for (std::string& word : words) arguments.push_back(word.data());
  auto count = static_cast<int>(arguments.size());
  arguments.push_back(nullptr);
  const sg::Engine engine(&count, arguments.data());
  return Simulation(one).run();
}

}  // namespace berth::scale
