#include "trainer/check/host.h"

#include <algorithm>
#include <fstream>
#include <sstream>
#include <vector>

namespace berth::preflight {
namespace {

namespace fs = std::filesystem;

constexpr double kBitsOfByte = 8;

std::string first_line(const fs::path& path) {
  std::string line;
  std::ifstream in(path);
  std::getline(in, line);
  return line;
}

// The number behind `key` in lines of "key number"; unset: there is none.
std::optional<int64_t> number_in(const fs::path& path, const std::string& key) {
  std::ifstream in(path);
  for (std::string line; std::getline(in, line);) {
    std::istringstream words(line);
    std::string name;
    int64_t value = 0;
    if (words >> name >> value && name == key) return value;
  }
  return std::nullopt;
}

std::optional<int64_t> number_of(const fs::path& path) {
  std::istringstream in(first_line(path));
  int64_t value = 0;
  return in >> value ? std::optional(value) : std::nullopt;  // "max": no limit
}

// A controller of the process's cgroup and those above it, whose limits hold for it, too. `controller`: "" for version 2. In a container the
// path is often one outside of it: then what is mounted is its own.
std::vector<fs::path> cgroups(const fs::path& root, const std::string& controller) {
  std::vector<fs::path> folders;
  const fs::path mounted = root / "sys/fs/cgroup" / controller;
  std::ifstream in(root / "proc/self/cgroup");
  for (std::string line; std::getline(in, line);) {
    const size_t first = line.find(':'), second = line.find(':', first + 1);
    if (second == std::string::npos) continue;
    std::istringstream names(line.substr(first + 1, second - first - 1));
    bool is_it = controller.empty() && second == first + 1;
    for (std::string name; std::getline(names, name, ',');) is_it |= name == controller && !controller.empty();
    if (!is_it) continue;
    for (fs::path path = fs::path(line.substr(second + 1)).relative_path(); !path.empty(); path = path.parent_path())
      folders.push_back(mounted / path);
  }
  folders.push_back(mounted);
  return folders;
}

void lower(std::optional<int64_t>& least, std::optional<int64_t> limit, std::optional<int64_t> used, int64_t cached) {
  if (!limit || !used) return;
  const int64_t left = std::max<int64_t>(0, *limit - std::max<int64_t>(0, *used - cached));
  least = least ? std::min(*least, left) : left;
}

}  // namespace

std::optional<int64_t> available_memory(const fs::path& root) {
  std::optional<int64_t> least = number_in(root / "proc/meminfo", "MemAvailable:");
  if (least) *least *= 1024;
  for (const fs::path& group : cgroups(root, ""))
    lower(least, number_of(group / "memory.max"), number_of(group / "memory.current"),
          number_in(group / "memory.stat", "inactive_file").value_or(0));
  for (const fs::path& group : cgroups(root, "memory"))
    lower(least, number_of(group / "memory.limit_in_bytes"), number_of(group / "memory.usage_in_bytes"),
          number_in(group / "memory.stat", "total_inactive_file").value_or(0));
  return least;
}

std::optional<double> cpu_quota(const fs::path& root) {
  std::optional<double> least;
  const auto allow = [&](double quota, double period) {
    if (quota > 0 && period > 0) least = std::min(least.value_or(quota / period), quota / period);
  };
  for (const fs::path& group : cgroups(root, "")) {
    std::istringstream in(first_line(group / "cpu.max"));
    double quota = 0, period = 0;
    if (in >> quota >> period) allow(quota, period);
  }
  for (const fs::path& group : cgroups(root, "cpu")) {
    const auto quota = number_of(group / "cpu.cfs_quota_us"), period = number_of(group / "cpu.cfs_period_us");
    if (quota && period) allow(static_cast<double>(*quota), static_cast<double>(*period));
  }
  return least;
}

std::optional<Link> fastest_link(const fs::path& root) {
  std::optional<Link> fastest;
  const auto saw = [&](const fs::path& device, double bits) {
    if (bits <= 0 || (fastest && fastest->bandwidth >= bits / kBitsOfByte)) return;
    fastest = Link{device.filename().string(), bits / kBitsOfByte};
  };
  std::error_code none;
  for (const auto& device : fs::directory_iterator(root / "sys/class/net", none))
    if (first_line(device.path() / "operstate") == "up" && fs::exists(device.path() / "device", none))
      saw(device.path(), 1e6 * static_cast<double>(number_of(device.path() / "speed").value_or(0)));
  for (const auto& device : fs::directory_iterator(root / "sys/class/infiniband", none))
    for (const auto& port : fs::directory_iterator(device.path() / "ports", none)) {
      std::istringstream rate(first_line(port.path() / "rate"));  // "200 Gb/sec (4X HDR)"
      double gigabits = 0;
      if (first_line(port.path() / "state").find("ACTIVE") != std::string::npos && rate >> gigabits)
        saw(device.path(), 1e9 * gigabits);
    }
  return fastest;
}

}  // namespace berth::preflight
