#pragma once

#include <unistd.h>

#include <stdexcept>
#include <string>

namespace berth::testing_support {

// A console whose other end can be read. What is written in a test fits into a pipe's buffer.
class Pipe {
 public:
  Pipe() {
    if (::pipe(ends_) != 0) throw std::runtime_error("no pipe");
  }
  ~Pipe() {
    ::close(ends_[0]);
    if (ends_[1] >= 0) ::close(ends_[1]);
  }
  int write_end() const { return ends_[1]; }
  std::string close_and_read() {
    ::close(ends_[1]);
    ends_[1] = -1;
    std::string text;
    char buffer[4096];
    for (ssize_t n; (n = ::read(ends_[0], buffer, sizeof(buffer))) > 0;) text.append(buffer, static_cast<size_t>(n));
    return text;
  }

 private:
  int ends_[2];
};

}  // namespace berth::testing_support
