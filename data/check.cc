#include "data/check.h"

#include <filesystem>
#include <new>

namespace berth {

Error as_error(const std::exception& exception) {
  if (const auto* error = dynamic_cast<const Error*>(&exception)) return *error;
  if (const auto* error = dynamic_cast<const std::filesystem::filesystem_error*>(&exception))
    return {ExitCode::kBadInput, concat(error->path1().string(), ": ", error->code().message())};
  if (dynamic_cast<const std::bad_alloc*>(&exception) != nullptr) return {ExitCode::kInternal, "out of memory"};
  return {ExitCode::kInternal, concat("internal error: ", exception.what())};
}

}  // namespace berth
