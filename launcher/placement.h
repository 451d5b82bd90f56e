// Where a rank with a GPU runs: on the cores beside it.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "trainer/comm/communicator.h"

namespace berth::launch {

// The cores of the GPU's NUMA node, as Linux's sysfs has them (bus/pci/devices/<address>/local_cpulist). `pci_address`: e.g.
// "0000:65:00.0". Empty where nothing is said of it.
std::vector<int> cores_near(const std::string& pci_address, const std::filesystem::path& sysfs = "/sys");

// Of threads that share a core (Linux's thread_siblings_list) one, that of the lowest number, whether or not it is among `cores`: products keep a
// core's arithmetic busy with one. In order.
std::vector<int> whole_cores(const std::vector<int>& cores, const std::filesystem::path& sysfs = "/sys");

// The cores that this job has of the host, whoever of its ranks may run on which: as Slurm says, or the container's, or all.
int cores_of_host();

// One rank of a host: the cores that it may run on (by its launcher and cgroup), and those near its GPU.
struct RankCores {
  std::vector<int> own, near;
};

// The cores of its own that rank `rank` of a host should keep to: those near its GPU, if all ranks of the host may run on the same
// cores, so that nobody has placed them, and if near ones are enough for the threads of all that share them. Empty: leave it.
std::vector<int> cores_to_keep(const std::vector<RankCores>& host, size_t rank);

// Binds the calling thread, and those that it starts, to these cores. False if the system does not allow it.
bool bind_to(const std::vector<int>& cores);

// Binds this rank beside its GPU where nobody has bound it. Returns what there is to say of the cores of all ranks, on rank 0 (else,
// and if there is nothing, ""): that ranks have fewer cores than threads, and what to do. A collective call,
// to be made while the process has few threads.
std::string place_beside_gpu(comm::Communicator& comm, const std::string& pci_address);

}  // namespace berth::launch
