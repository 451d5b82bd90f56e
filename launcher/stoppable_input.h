// Standard input for readers that know nothing of signals.
#pragma once

#include <filesystem>
#include <thread>

namespace berth::launch {

// Where standard input is a pipe or a terminal, a thread passes on what comes; a stop signal is its end, even if nothing comes. A
// file is read as it is.
class StoppableInput {
 public:
  StoppableInput();
  ~StoppableInput();
  StoppableInput(const StoppableInput&) = delete;
  StoppableInput& operator=(const StoppableInput&) = delete;

  // To be opened once, while this object lives.
  std::filesystem::path path() const;

 private:
  void pass_on();
  bool ready(int fd, short events) const;  // waits; false: the end

  int pipe_[2] = {-1, -1};  // none: standard input is a file
  int end_ = -1;            // readable once nobody reads any more
  std::thread thread_;
};

}  // namespace berth::launch
