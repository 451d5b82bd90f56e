#include "trainer/scale/predict.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstdio>
#include <memory>

#include "data/check.h"
#include "data/json/json.h"
#include "data/shell.h"

namespace berth::scale {
namespace {

// A file in memory, which a program that is started then finds open.
class MemoryFile {
 public:
  explicit MemoryFile(const std::string& text) : fd_(memfd_create("berth scale", 0)) {
    check_internal(fd_ >= 0 && ::write(fd_, text.data(), text.size()) == static_cast<ssize_t>(text.size()),
                   "there is no room in memory for a case of ", text.size(), " bytes");
  }
  ~MemoryFile() { ::close(fd_); }
  MemoryFile(const MemoryFile&) = delete;
  MemoryFile& operator=(const MemoryFile&) = delete;
  std::string path() const { return "/dev/fd/" + std::to_string(fd_); }  // of whoever has it open

 private:
  int fd_;
};

}  // namespace

std::filesystem::path find_simulator() {
  std::error_code error;
  const std::filesystem::path program = std::filesystem::read_symlink("/proc/self/exe", error).parent_path() / kSimulator;
  return std::filesystem::exists(program, error) ? program : std::filesystem::path();
}

std::string without_simulator() {
  return concat(
      "predictions need SimGrid, which was not there when this berth was built: launcher/setup/install_deps.sh scale installs "
      "it, "
      "then make build; or keep what was measured (--json FILE) and predict where there is such a berth (berth scale --from "
      "FILE)");
}

double simulated(const Case& one, const std::filesystem::path& simulator) {
  const MemoryFile file(data::dump_json(json_of(one)));
  const std::string command = shell_quoted(simulator.string()) + " " + file.path();
  const std::unique_ptr<FILE, int (*)(FILE*)> pipe(::popen(command.c_str(), "re"), [](FILE*) { return 0; });
  double seconds = -1;
  const int read = pipe ? std::fscanf(pipe.get(), "%lf", &seconds) : 0;
  const int status = pipe ? ::pclose(pipe.get()) : -1;
  check_internal(read == 1 && status == 0 && seconds > 0, "the simulator failed: ", command, " ended with status ", status);
  return seconds;
}

Prediction predict(const Measurement& measured, const Platform& platform, int ranks, const std::filesystem::path& simulator) {
  const Case one{step_on(measured, ranks), platform, ranks};
  Prediction p{
      .platform = platform.name, .ranks = ranks, .nodes = (ranks + platform.ranks_per_node - 1) / platform.ranks_per_node};
  p.step = simulated(one, simulator);
  p.exposed = p.step - one.step.alone();
  p.efficiency = one.step.alone() / p.step;
  p.samples_per_second = ranks * measured.samples / p.step;
  return p;
}

Json json_of(const Prediction& p) {
  return {{"platform", p.platform},
          {"ranks", p.ranks},
          {"nodes", p.nodes},
          {"step", p.step},
          {"exposed", p.exposed},
          {"efficiency", p.efficiency},
          {"samples_per_second", p.samples_per_second}};
}

}  // namespace berth::scale
