// Errors: the one utility that every folder shares.
//
// An Error carries the sentence for the user (what was found, where, what was expected, what to do) and the exit code
// that the process ends with. Libraries throw; main() catches once, prints once and maps the code.
#pragma once

#include <sstream>
#include <stdexcept>
#include <string>
#include <type_traits>

namespace berth {

// Process exit codes. Batch scripts rely on them: requeue on kStoppedEarly and on nothing else.
enum class ExitCode : int {
  kOk = 0,
  kInternal = 1,      // a bug, or the machine failed
  kUsage = 2,         // wrong command line
  kBadInput = 3,      // data, model or checkpoint cannot be used
  kDiverged = 4,      // non-finite loss or gradient, or replicas that differ
  kStoppedEarly = 75  // stopped on request, a verified checkpoint was written
};

class Error : public std::runtime_error {
 public:
  Error(ExitCode code, const std::string& what) : std::runtime_error(what), code_(code) {}
  ExitCode code() const { return code_; }

 private:
  ExitCode code_;
};

// Joins its arguments with operator<<.
template <class... Parts>
std::string concat(const Parts&... parts) {
  std::ostringstream out;
  (out << ... << parts);
  return out.str();
}

template <class... Parts>
[[noreturn]] void fail(ExitCode code, const Parts&... parts) {
  throw Error(code, concat(parts...));
}

// Throws Error(kBadInput) with the joined parts unless `ok`. The parts are only formatted on failure.
template <class... Parts>
void check(bool ok, const Parts&... parts) {
  if (!ok) [[unlikely]]
    fail(ExitCode::kBadInput, parts...);
}

// The same for the command line: Error(kUsage).
template <class... Parts>
void check_usage(bool ok, const Parts&... parts) {
  if (!ok) [[unlikely]]
    fail(ExitCode::kUsage, parts...);
}

// The same for what only a bug in berth can cause: Error(kInternal).
template <class... Parts>
void check_internal(bool ok, const Parts&... parts) {
  if (!ok) [[unlikely]]
    fail(ExitCode::kInternal, parts...);
}

// Calls `action`; an Error out of it goes on with "`where`: " before its sentence. `where` is a string, or makes one when it is
// needed.
template <class Where, class Action>
decltype(auto) in_context(const Where& where, Action&& action) {
  try {
    return action();
  } catch (const Error& error) {
    if constexpr (std::is_invocable_v<const Where&>)
      fail(error.code(), where(), ": ", error.what());
    else
      fail(error.code(), where, ": ", error.what());
  }
}

}  // namespace berth
