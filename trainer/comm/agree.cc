#include "trainer/comm/agree.h"

#include <string>

namespace berth::comm {
namespace {

// "" if `work` returned, else the exit code in one byte and the message.
std::string outcome(const std::function<void()>& work) {
  try {
    work();
  } catch (const std::exception& exception) {
    const Error error = as_error(exception);
    return std::string(1, static_cast<char>(error.code())) + error.what();
  }
  return {};
}

[[noreturn]] void throw_outcome(const std::string& outcome, const std::string& suffix) {
  throw AgreedError(static_cast<ExitCode>(outcome[0]), outcome.substr(1) + suffix);
}

}  // namespace

void agree(Communicator& comm, const std::function<void()>& work) {
  const auto outcomes = comm.all_gather(outcome(work));
  for (size_t rank = 0; rank < outcomes.size(); ++rank)
    if (!outcomes[rank].empty()) throw_outcome(outcomes[rank], rank == 0 ? "" : concat(" (on rank ", rank, ")"));
}

void agree_on_root(Communicator& comm, const std::function<void()>& work) {
  std::string result = comm.rank() == 0 ? outcome(work) : "";
  comm.broadcast(result, 0);
  if (!result.empty()) throw_outcome(result, "");
}

}  // namespace berth::comm
