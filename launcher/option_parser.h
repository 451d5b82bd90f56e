// How options are declared: CLI11 with berth's habits. Used by options*.cc alone.
#pragma once

#include <CLI/CLI.hpp>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <type_traits>
#include <vector>

#include "data/check.h"
#include "data/pipeline/masking.h"
#include "data/readers/reader.h"
#include "launcher/cmd_check.h"
#include "launcher/cmd_scale.h"
#include "launcher/cmd_sweep.h"
#include "launcher/cmd_train.h"
#include "launcher/options.h"
#include "launcher/ranks.h"
#include "trainer/tasks/prediction_options.h"
#include "trainer/use/precision.h"

namespace berth::launch {

// "--some-name" registered once accepts dashes or underscores (see canonical()), defaults are shown, the last of two wins.
//
// What a value is stands in the option's type name, for help_table.h to read: "N" (an integer), "NUMBER", "TEXT", "FILE", "DIR",
// "PATH" (either), "{a|b}" (one of these), "{a|b}DIR" (one of these, or a folder).
class Parser {
 public:
  Parser(CLI::App& app) : app_(app) {}

  void group(const std::string& name) { group_ = name; }

  template <class T>
  CLI::Option* add(const std::string& names, T& value, const std::string& help) {
    return ours<T>(app_.add_option(names, value, help)->capture_default_str()->take_last());
  }
  CLI::Option* add(const std::string& names, bool& value, const std::string& help) {
    return app_.add_flag(names, value, help)->group(group_)->take_last();
  }
  template <class T>
  CLI::Option* add(const std::string& names, std::optional<T>& value, const std::string& help) {
    return ours<T>(add_function<T>(names, help, [&value](const T& given) { value = given; })->take_last());
  }
  // A flag that says yes, "--name false" no, and by its absence neither.
  CLI::Option* add_flag(const std::string& names, std::optional<bool>& value, const std::string& help) {
    return app_
        .add_flag_function(
            names, [&value](int64_t given) { value = given > 0; }, help)
        ->group(group_)
        ->take_last();
  }
  CLI::Option* add(const std::string& names, std::filesystem::path& value, const std::string& help) {
    return add_named(names, "", help, [&value](const std::string& given) { value = given; })->type_name("FILE");
  }
  template <class T>
  CLI::Option* add_list(const std::string& names, std::vector<T>& values, const std::string& help) {
    return ours<T>(app_.add_option(names, values, help)->delimiter(','));
  }
  CLI::Option* add_named_list(const std::string& names, const std::string& help,
                              const std::function<void(const std::vector<std::string>&)>& set) {
    return ours<std::string>(add_function<std::vector<std::string>>(names, help, set)->delimiter(','));
  }
  // May be given several times. Not a list option: CLI11 would take "[MASK] a [MASK]" for a list in brackets.
  CLI::Option* add_texts(const std::string& names, std::vector<std::string>& values, const std::string& help) {
    return ours<std::string>(add_function<std::string>(names, help, [&values](const std::string& given) {
                               values.push_back(given);
                             })->trigger_on_parse());
  }
  // A value that is parsed from its name; `shown` is the default's.
  CLI::Option* add_named(const std::string& names, const std::string& shown, const std::string& help,
                         const std::function<void(const std::string&)>& set) {
    return ours<std::string>(add_function<std::string>(names, help, set)->default_str(shown)->take_last());
  }
  // One of `choices`, and of what `set` accepts besides; `set` throws Error(kUsage) for others, which is told the nearest choice.
  CLI::Option* add_choice(const std::string& names, const std::string& shown, const std::vector<std::string>& choices,
                          const std::string& help, const std::function<void(const std::string&)>& set);
  // Several of them.
  CLI::Option* add_choices(const std::string& names, const std::vector<std::string>& choices, const std::string& help,
                           const std::function<void(const std::vector<std::string>&)>& set);

 private:
  // Says what CLI11's own message about a value that is no number does not.
  template <class T>
  static CLI::Validator is_number() {
    return {[](const std::string& value) {
              T number;
              if (CLI::detail::lexical_cast(value, number)) return std::string();
              return concat(std::is_integral_v<T> ? "expected a whole number, got '" : "expected a number, got '", value, "'");
            },
            "", ""};
  }
  template <class T>
  CLI::Option* add_function(const std::string& names, const std::string& help, const std::function<void(const T&)>& set) {
    return app_.add_option_function<T>(names, set, help);
  }
  template <class T>
  CLI::Option* ours(CLI::Option* option) {
    if constexpr (std::is_arithmetic_v<T> && !std::is_same_v<T, bool>) option->check(is_number<T>());
    return option->group(group_)->type_name(std::is_same_v<T, bool>       ? "{true|false}"
                                            : std::is_floating_point_v<T> ? "NUMBER"
                                            : std::is_integral_v<T>       ? "N"
                                                                          : "TEXT");
  }

  CLI::App& app_;
  std::string group_ = kGeneralGroup;
};

// What several subcommands have.
void add_answers(Parser& p, train::SpanOptions& o);
void add_decisions(Parser& p, train::PredictionOptions& o);
void add_device(Parser& p, DeviceOptions& o);
void add_masks(Parser& p, data::MaskOptions& o);
void add_precision(Parser& p, train::PrecisionOptions& o);  // into the group before
void add_reader(Parser& p, data::ReaderOptions& o);
void add_thresholds(Parser& p, train::PredictionOptions& o);  // into the group before

void add_train(CLI::App& app, TrainCommand& c);
void add_check(CLI::App& app, CheckCommand& c);
void add_sweep(CLI::App& app, SweepCommand& c);
void add_scale(CLI::App& app, ScaleCommand& c);

}  // namespace berth::launch
