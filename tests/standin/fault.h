// How the stand-ins end a process that does what a GPU would not forgive, and their settings.
#pragma once

#include <cstdlib>
#include <sstream>
#include <string>

namespace berth::standin {

constexpr int kFaultCode = 99;  // the process's exit code

[[noreturn]] void fault_with(const std::string& message);

// Ends the process: the sentence and a backtrace go to standard error.
template <class... Parts>
[[noreturn]] void fault(const Parts&... parts) {
  std::ostringstream text;
  (text << ... << parts);
  fault_with(text.str());
}

inline long setting(const char* name, long otherwise) {
  const char* const value = std::getenv(name);
  return value ? std::atol(value) : otherwise;
}

}  // namespace berth::standin
