#include "launcher/stoppable_input.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <string>

#include "data/check.h"
#include "launcher/signals.h"

namespace berth::launch {

StoppableInput::StoppableInput() {
  struct stat status {};
  if (fstat(STDIN_FILENO, &status) != 0 || S_ISREG(status.st_mode)) return;
  end_ = eventfd(0, EFD_CLOEXEC);
  check_internal(end_ >= 0 && pipe2(pipe_, O_CLOEXEC) == 0, "no pipe for standard input: too many open files?");
  fcntl(pipe_[1], F_SETFL, O_NONBLOCK);
  thread_ = std::thread([this] { pass_on(); });
}

StoppableInput::~StoppableInput() {
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = write(end_, &one, sizeof one);
  if (thread_.joinable()) thread_.join();
  if (pipe_[0] >= 0) close(pipe_[0]);
  if (end_ >= 0) close(end_);
}

std::filesystem::path StoppableInput::path() const { return pipe_[0] < 0 ? "/dev/stdin" : "/dev/fd/" + std::to_string(pipe_[0]); }

bool StoppableInput::ready(int fd, short events) const {
  std::array<pollfd, 3> all{{{fd, events, 0}, {stop_signal_fd(), POLLIN, 0}, {end_, POLLIN, 0}}};
  while (poll(all.data(), all.size(), -1) < 0 && errno == EINTR) continue;
  return all[1].revents == 0 && all[2].revents == 0;
}

void StoppableInput::pass_on() {
  std::array<char, 1 << 16> block;
  ssize_t count = 0;
  while (ready(STDIN_FILENO, POLLIN) && (count = read(STDIN_FILENO, block.data(), block.size())) > 0) {
    for (ssize_t at = 0; at < count && ready(pipe_[1], POLLOUT);) {
      const ssize_t written = write(pipe_[1], block.data() + at, static_cast<size_t>(count - at));
      if (written > 0) at += written;
    }
  }
  close(pipe_[1]);
}

}  // namespace berth::launch
