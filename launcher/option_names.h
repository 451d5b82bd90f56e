// Names of options on a command line and in files.
#pragma once

#include <string>
#include <vector>

namespace CLI {
class App;
}

namespace berth::launch {

// "--per_device_x" -> "--per-device-x"; values are left alone.
std::string canonical(const std::string& argument);

// The first name of the option that `argument` gives; if there is none of that name, all before "=".
std::string option_in(const CLI::App& app, const std::string& argument);

// Whether `app` has the options of berth train, as berth sweep has, too.
bool has_train_options(const CLI::App& app);

// "; did you mean X?" of the names in `known` that begin with `word`, or of the one nearest to it by edit distance; "" if none is near.
std::string did_you_mean(const std::string& word, const std::vector<std::string>& known);

// What to do about `name`, "--lr", which `app` has no option of: how it is called here, whose option it is, or what Trainer's setting of
// that name is to berth; begins with "; ", and is "" if nothing is known.
std::string option_hint(const CLI::App& app, const std::string& name);

}  // namespace berth::launch
