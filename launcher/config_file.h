// --config FILE: options from a file, JSON if its name ends in .json, else TOML. To berth train and sweep it may be Trainer's
// arguments (training_arguments.h).
#pragma once

#include <string>
#include <vector>

namespace CLI {
class App;
}

namespace berth::launch {

// What of a file has no effect, on one line each: summed up for the log, and by name for its debug level.
struct ConfigRemark {
  std::string summary, names;
};
void log_remarks(const std::vector<ConfigRemark>& remarks);

// Replaces each "--config FILE" among `arguments` by the file's options, but for those that the command line gives, or a later file.
// Throws Error(kUsage) that lists all that a file asks for and `app` cannot do.
std::vector<std::string> expand_config(const CLI::App& app, const std::vector<std::string>& arguments,
                                       std::vector<ConfigRemark>& remarks);

}  // namespace berth::launch
