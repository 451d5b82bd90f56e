// Predictions: cases that the simulator, a program of its own, is asked.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "trainer/scale/platforms.h"

namespace berth::scale {

// berth_simulate, which is built where SimGrid is. SimGrid's library also has an MPI in it, which no program that computes may load.
inline constexpr const char* kSimulator = "berth_simulate";
// Beside the running program; empty if it is not there.
std::filesystem::path find_simulator();
// What to do about that, in a sentence.
std::string without_simulator();

struct Prediction {
  std::string platform;
  int ranks = 1, nodes = 1;
  double step = 0;                // seconds
  double exposed = 0;             // of these, those that a rank alone does not need
  double efficiency = 1;          // weak scaling: a rank alone needs so much of the step's time
  double samples_per_second = 0;  // all ranks
};

// Seconds of the step. Throws Error(kInternal) if the simulator fails.
double simulated(const Case& one, const std::filesystem::path& simulator);

Prediction predict(const Measurement& measured, const Platform& platform, int ranks, const std::filesystem::path& simulator);

Json json_of(const Prediction& prediction);

}  // namespace berth::scale
