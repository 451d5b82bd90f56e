// What Linux says of this host. `root`: "/", or a test's folder.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

namespace berth::preflight {

// Bytes that this process and others of its job may still take: the least of what is available on the host and of what the limits of its
// cgroups (a container's, Slurm's) leave; caches of files count as free. Unset: /proc does not say.
std::optional<int64_t> available_memory(const std::filesystem::path& root = "/");

// CPUs' worth of time that its cgroup's quota allows (a container's --cpus); unset: as many as it has.
std::optional<double> cpu_quota(const std::filesystem::path& root = "/");

// The fastest connection that the host has to others.
struct Link {
  std::string name = {};  // "eth0", "mlx5_0"
  double bandwidth = 0;   // bytes a second
};
// Of the interfaces that are up, InfiniBand's adapters included; unset: none says how fast it is, as virtual ones do not.
std::optional<Link> fastest_link(const std::filesystem::path& root = "/");

}  // namespace berth::preflight
