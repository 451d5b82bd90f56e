#include "trainer/comm/mpi/guardian.h"

#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <iterator>
#include <vector>

#include "trainer/comm/peer_process.h"

namespace berth::comm {
namespace {

constexpr int kLooksASecond = 10;

// The nearest process above this one that starts Open MPI's ranks, on the job's first host or on others; 0: there is none.
pid_t find_launcher() {
  constexpr const char* kNames[] = {"mpirun", "mpiexec", "orterun", "orted", "prterun", "prted"};
  for (pid_t above = find_process(getpid()).parent; above > 1;) {
    const PeerProcess found = find_process(above);
    if (std::find(std::begin(kNames), std::end(kNames), found.name) != std::end(kNames)) return above;
    above = found.parent;
  }
  return 0;
}

}  // namespace

void leave_guardian(int seconds) {
  std::vector<pid_t> watched{getpid()};
  if (const pid_t launcher = find_launcher(); launcher > 0) watched.push_back(launcher);
  if (fork() != 0) return;
  // Of many threads only this one is here. Nothing is kept open, and what is sent to the job's process groups does not come here.
  setsid();
  for (int fd = 0; fd < 1024; ++fd) close(fd);
  const auto ended = [](pid_t process) { return find_process(process).state == '\0'; };
  for (int look = 0; look < seconds * kLooksASecond; ++look) {
    if (std::all_of(watched.begin(), watched.end(), ended)) _exit(0);
    usleep(1'000'000 / kLooksASecond);
  }
  for (const pid_t process : watched) kill(process, SIGKILL);
  _exit(0);
}

}  // namespace berth::comm
