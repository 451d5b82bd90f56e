// How a training step scales to more ranks: what was measured of it, the machines it is to run on, and what is predicted. Plain data, which
// goes from the ranks that measure to the program that simulates, and into files, as JSON. Without libtorch, MPI and SimGrid.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace berth::scale {

using Json = nlohmann::ordered_json;

// What one all-reduce of gradients is of, and when backward has it ready: seconds from the beginning of the last micro-batch's backward pass.
struct Bucket {
  double ready = 0;
  double bytes = 0;
};

// A rank's step without any communication. Seconds.
struct Step {
  double before = 0;                 // data, forward, and all micro-batches but the last one's backward
  double backward = 0;               // of the last micro-batch, in which buckets are started
  double after = 0;                  // norm and update
  std::vector<Bucket> buckets = {};  // in the order in which they are started
  double control_bytes = 0;          // of the host's all-reduce before a step
  bool sums_loss = true;             // on the host, after backward
  double alone() const { return before + backward + after; }
};

// n bytes take latency + n / bandwidth: seconds, bytes a second, each way.
struct Link {
  double latency = 0;
  double bandwidth = 0;
};

// kTwoLevels: what berth does on CPUs. The ranks of a node sum in shared memory, their first ones reduce along a binomial tree and broadcast
// along it (which is what Open MPI's MPI_Iallreduce does in place), the others copy the result. kRing: NCCL's, with NCCL_ALGO=Ring.
enum class AllReduce { kTwoLevels, kRing };

// A machine of equal nodes on a network that carries whatever they send.
struct Platform {
  std::string name = {}, description = {};
  AllReduce all_reduce = AllReduce::kTwoLevels;
  int ranks_per_node = 1;
  Link between = {};         // nodes: all network adapters of one
  Link within = {};          // a node, of each of its ranks
  double sum_bandwidth = 0;  // kTwoLevels: bytes of a gradient a second that the ranks of a node sum, or one adds or copies
  double sum_latency = 0;    // kTwoLevels: of a sum in shared memory, seconds
};

// What the simulator is asked.
struct Case {
  Step step = {};
  Platform platform = {};
  int ranks = 1;
};

// An all-reduce of so many bytes.
struct Timing {
  double bytes = 0;
  double seconds = 0;
};

// The rows of the word embeddings that so many samples touch, all ranks' together.
struct TouchedRows {
  double samples = 0;
  double rows = 0;
};

// What berth scale has measured. Of the times of a step, medians of steps and means over the ranks.
struct Measurement {
  std::string model = {}, data = {}, device = {};  // device: what computes, as Communicator::device_name has it
  int ranks = 1, hosts = 1, threads = 1;
  double samples = 0, tokens = 0;                   // of a rank's step
  double forward = 0, backward = 0, optimizer = 0;  // of all micro-batches, seconds
  Step step = {};                                   // of a rank alone; all of them computed at the same time
  double step_seconds = 0;                          // of a step of all ranks together, as berth train takes it
  double word_bytes = 0, word_row_bytes = 0;        // of the bit per row in a step's control data; of a row. 0: no table
  int word_bucket = -1;                             // of step.buckets: the rows touched; -1: none
  std::vector<TouchedRows> touched = {};            // with ascending samples
  std::vector<Timing> all_reduce = {};              // of gradients, as a step makes it; ascending bytes; empty for one rank
  std::vector<Timing> messages = {};                // MPI alone, without shared memory of berth's own; empty on GPUs
  double host_all_reduce = 0;                       // of 8 bytes, seconds
};

// The step of each of `ranks` ranks: more ranks touch more rows of the word embeddings, and have more to tell each other.
Step step_on(const Measurement& measured, int ranks);

Json json_of(const Measurement& measured);
Json json_of(const Case& one);
// Throw Error(kBadInput) naming `origin` and what is missing, of a wrong type or negative.
Measurement parse_measurement(const Json& json, const std::string& origin);
Case parse_case(const Json& json, const std::string& origin);

}  // namespace berth::scale
