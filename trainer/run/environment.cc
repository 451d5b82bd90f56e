#include "trainer/run/environment.h"

#include <ATen/Parallel.h>
#include <ATen/Version.h>
#include <torch/headeronly/version.h>

#include <boost/log/trivial.hpp>

#include "data/check.h"
#include "data/json/json.h"
#include "data/words.h"

namespace berth::train {

nlohmann::ordered_json describe_environment(comm::Communicator& comm, bool shares_moments, const nlohmann::ordered_json& stored) {
  std::vector<int> local_sizes, threads;
  for (const std::string& numbers : comm.all_gather(concat(comm.local_size(), " ", at::get_num_threads()))) {
    std::istringstream in(numbers);
    in >> local_sizes.emplace_back() >> threads.emplace_back();
  }
  const nlohmann::ordered_json now{{"ranks", comm.size()},      {"ranks_per_host", local_sizes},
                                   {"threads", threads},        {"instruction_set", at::get_cpu_capability()},
                                   {"libtorch", TORCH_VERSION}, {"device", comm.device_name()},
                                   {"zero", shares_moments}};
  if (comm.rank() != 0 || stored.is_null()) return now;
  std::vector<std::string> others;
  for (const auto& [key, value] : now.items()) {
    if (!others.empty() && (key == "ranks_per_host" || key == "threads")) continue;  // which follow from the ranks
    const nlohmann::ordered_json unknown =
        key == "zero" ? nlohmann::ordered_json(false) : nlohmann::ordered_json();  // as it once was
    if (const nlohmann::ordered_json before = stored.value(key, unknown); before != value)
      others.push_back(concat(key, " (", data::dump_json(before), " before, ", data::dump_json(value), " now)"));
  }
  if (!others.empty())
    BOOST_LOG_TRIVIAL(warning) << "resumed with other " << joined(others)
                               << ": the same samples in the same order, but results are equal to rounding only";
  return now;
}

}  // namespace berth::train
