// Errors: the one utility that every folder shares.
//
// An Error carries the sentence for the user (what was found, where, what was expected, what to do) and the exit code
// that the process ends with. Libraries throw; main() catches once, prints once and maps the code.
#pragma once

#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>
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

// What an exception from anywhere means to the user: a path that the file system refuses (a loop of links, a name that is too
// long) is bad input, whatever else is no Error is internal.
Error as_error(const std::exception& exception);

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

// Throws Error(kBadInput) with the joined parts unless `ok`. The parts are evaluated always, and formatted only on failure: not for
// each byte of a file.
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

// A number of the command line: Error(kUsage) unless it lies in [lowest, highest] (NaN does not).
template <class T>
void check_range(std::string_view name, T value, std::type_identity_t<T> lowest, std::type_identity_t<T> highest) {
  check_usage(value >= lowest && value <= highest, name, " must lie from ", lowest, " to ", highest, ", got ", value);
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
